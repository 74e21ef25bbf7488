//! What administrators do.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::home::{Home, problem};

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_paused_and_resumed() {
    let home = Home::start().await;
    let paused = async || {
        let sources = home.json("/admin/sources").await;
        let items = sources["items"].as_array().unwrap().clone();
        let crawl = items
            .iter()
            .find(|source| source["name"] == "crawl")
            .cloned();
        crawl.unwrap()["paused"].clone()
    };
    assert_eq!(paused().await, false);
    for (action, is_paused) in [("pause", true), ("pause", true), ("resume", false)] {
        let path = format!("/admin/sources/crawl/{action}");
        let response = home.request(Method::POST, &path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(paused().await, is_paused);
    }
    let response = home
        .request(Method::POST, "/admin/sources/nobody/pause")
        .send()
        .await
        .unwrap();
    assert_eq!(problem(response).await, (404, "not_found".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_cleared_by_reason_and_age_and_never_by_mistake() {
    let home = Home::start().await;
    let hashes: Vec<String> = (0..5).map(|n| format!("{n:040x}")).collect();
    assert_eq!(home.resolve(&hashes).await.len(), 5);
    let clear = async |how: Value| home.post("/admin/failed-torrents/clear", how).await;
    for wrong in [
        json!({}),
        json!({ "all": false }),
        json!({ "all": true, "reason": "no_peers" }),
        json!({ "reason": "?" }),
        json!({ "older": "1h" }),
        json!([]),
    ] {
        assert_eq!(problem(clear(wrong.clone()).await).await.0, 400, "{wrong}");
    }
    for (how, removed) in [
        (json!({ "reason": "refused" }), 0),
        (json!({ "older_than": "1h" }), 0),
        (json!({ "reason": "no_peers", "older_than": "0s" }), 5),
        (json!({ "all": true }), 0),
    ] {
        let told: Value = clear(how.clone()).await.json().await.unwrap();
        assert_eq!(told["removed"], removed, "{how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_copied_beside_itself() {
    let home = Home::start().await;
    let told: Value = home
        .request(Method::POST, "/admin/backup")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let path = std::path::PathBuf::from(told["path"].as_str().unwrap());
    assert!(path.is_file(), "{told}");
    assert_eq!(
        path.parent().unwrap(),
        home.service.store().directory().join("backups")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_on_the_blocklist_is_refused() {
    let home = Home::start().await;
    let hash = "a".repeat(40);
    for wrong in [
        json!({}),
        json!({ "hashes": [] }),
        json!({ "hashes": ["x"] }),
        json!({ "hashes": [hash], "list": "" }),
        json!({ "hashes": [hash], "list": "a\nb" }),
        json!({ "hashes": [hash], "list": "x".repeat(101) }),
        json!({ "hashes": hash }),
    ] {
        assert_eq!(
            problem(home.post("/admin/blocklist", wrong.clone()).await)
                .await
                .0,
            400,
            "{wrong}"
        );
    }
    assert_eq!(home.json("/admin/blocklist").await["items"], json!([]));
    let gone = home
        .request(Method::DELETE, &format!("/admin/blocklist/{hash}"))
        .send()
        .await
        .unwrap();
    assert_eq!(problem(gone).await, (404, "not_found".to_owned()));
}
