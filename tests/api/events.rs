//! What happens, as it happens.

use std::time::Duration;

use futures_util::StreamExt as _;
use metafetch::config::{ApiToken, Config, Scope};
use reqwest::Method;

use crate::home::Home;

#[tokio::test(flavor = "multi_thread")]
async fn listeners_hear_of_hashes_and_of_the_state() {
    let home = Home::start().await;
    let response = home.get("/api/v1/events").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut parts = response.bytes_stream();
    let hash = "c".repeat(40);
    let hashes = [hash.clone()];
    let asked = home.resolve(&hashes);
    let hear = async {
        let mut heard = String::new();
        while ![
            "event: stats",
            "event: queued",
            "event: started",
            "event: failed",
        ]
        .iter()
        .all(|event| heard.contains(event))
        {
            heard.push_str(&String::from_utf8_lossy(
                &parts.next().await.unwrap().unwrap(),
            ));
        }
        heard
    };
    let both = async { tokio::join!(asked, hear) };
    let (_, heard) = tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .unwrap();
    assert!(
        heard.contains(&format!("\"infohash\":\"{hash}\"")),
        "{heard}"
    );
    assert!(heard.contains("\"reason\":\"no_peers\""), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_are_limited_and_places_come_back() {
    let home = Home::with("streams = 1").await;
    let first = home.get("/api/v1/events").await;
    assert_eq!(
        home.problem("/api/v1/events").await,
        (503, "busy".to_owned())
    );
    drop(first);
    crate::home::until(async || home.get("/api/v1/events").await.status() == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_token_hears_no_more() {
    let (token, kept) = ApiToken::generate(Scope::Read);
    let (_, other) = ApiToken::generate(Scope::Read);
    let home = Home::with(&format!("tokens = [\"{kept}\"]")).await;
    let request = home.request(Method::GET, "/api/v1/events");
    let response = request.bearer_auth(token).send().await.unwrap();
    let mut parts = response.bytes_stream();
    assert!(parts.next().await.unwrap().is_ok());
    let mut config = Config::clone(&home.service.config());
    config.api.tokens = vec![other];
    home.config.send_replace(config.into());
    let end = async { while parts.next().await.is_some_and(|part| part.is_ok()) {} };
    tokio::time::timeout(Duration::from_secs(20), end)
        .await
        .unwrap();
}
