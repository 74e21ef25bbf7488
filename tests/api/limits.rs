//! Those who ask too much, too fast, too slowly, or never to the end.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::home::{Home, problem, until};

/// What comes until the connection is closed.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    // A reset is an end, too.
    let _ = tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_batches_have_a_limit() {
    let home = Home::with("body = 1000\nbatch = 3").await;
    let large = home
        .request(Method::POST, "/api/v1/resolve")
        .header("content-type", "text/plain")
        .body("a".repeat(1001));
    assert_eq!(
        problem(large.send().await.unwrap()).await,
        (413, "body_too_large".to_owned())
    );
    // Without saying how long it is.
    let parts =
        futures_util::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>("a".repeat(50))));
    let large = home
        .request(Method::POST, "/api/v1/resolve")
        .header("content-type", "text/plain");
    let large = large.body(reqwest::Body::wrap_stream(parts));
    assert_eq!(
        problem(large.send().await.unwrap()).await,
        (413, "body_too_large".to_owned())
    );
    let many: Vec<String> = (0..4).map(|n| format!("{n:040x}")).collect();
    let many = home
        .post("/api/v1/resolve", serde_json::json!({ "hashes": many }))
        .await;
    assert_eq!(problem(many).await, (413, "batch_too_large".to_owned()));
    let long = format!("/api/v1/torrents?q={}", "a".repeat(20_000));
    assert_eq!(home.problem(&long).await, (414, "uri_too_long".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_too_fast_is_told_when_to_come_again() {
    let home = Home::with("rate = 3\nrate_loopback = true").await;
    let mut refused = 0;
    for _ in 0..20 {
        let response = home.get("/api/v1/sessions").await;
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(response.headers().contains_key("retry-after"));
            assert_eq!(problem(response).await.1, "rate_limited");
            refused += 1;
        }
    }
    assert!(refused > 0);
    until(async || home.get("/api/v1/sessions").await.status() == StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_half_a_request_is_not_waited_for() {
    let home = Home::with("timeout = \"200ms\"").await;
    let mut head = TcpStream::connect(home.at).await.unwrap();
    head.write_all(b"GET /api/v1/stats HTTP/1.1\r\nHost: loc")
        .await
        .unwrap();
    let mut silent = TcpStream::connect(home.at).await.unwrap();
    let mut body = TcpStream::connect(home.at).await.unwrap();
    let half = "POST /api/v1/resolve HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nabc";
    body.write_all(half.as_bytes()).await.unwrap();
    rest(&mut head).await;
    rest(&mut silent).await;
    let answer = rest(&mut body).await;
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("body_timeout"),
        "{answer}"
    );
    assert_eq!(home.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_have_a_limit() {
    let home = Home::start().await;
    let mut stream = TcpStream::connect(home.at).await.unwrap();
    let many = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        "a: b\r\n".repeat(200)
    );
    let _ = stream.write_all(many.as_bytes()).await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_told_so() {
    let home = Home::with("connections = 1").await;
    let first = TcpStream::connect(home.at).await.unwrap();
    // The first one is taken before the second comes.
    let mut second = TcpStream::connect(home.at).await.unwrap();
    let answer = rest(&mut second).await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("\"reason\":\"busy\""),
        "{answer}"
    );
    drop(first);
    until(async || {
        let ask = home.request(Method::GET, "/healthz").send().await;
        ask.is_ok_and(|answer| answer.status() == StatusCode::OK)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_limit_are_told_so() {
    let home = Home::with("requests = 1").await;
    let listener = home.get("/api/v1/events").await;
    let answer = home.get("/api/v1/sessions").await;
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(problem(answer).await, (503, "busy".to_owned()));
    drop(listener);
    until(async || home.get("/api/v1/sessions").await.status() == StatusCode::OK).await;
}
