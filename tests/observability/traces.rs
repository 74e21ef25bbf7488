//! Traces of hashes, as a collector gets them from `metafetch daemon`.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::service::{HASH, Service, message};

async fn take(State(requests): State<UnboundedSender<Bytes>>, body: Bytes) {
    let _ = requests.send(body);
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn a_collector_gets_the_trace_of_a_hash_with_its_stations() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, mut requests) = unbounded_channel();
    let collector = Router::new()
        .route("/v1/traces", post(take))
        .with_state(sender);
    tokio::spawn(async move { axum::serve(listener, collector).await });

    let home = tempfile::tempdir().unwrap();
    let mut service = Service::start(home.path(), &[("METAFETCH_TELEMETRY_OTLP", &url)]);
    service.asked_in_vain().await;
    // What waits is sent before the end.
    service.stop().await;
    let mut told = Vec::new();
    while let Ok(body) = requests.try_recv() {
        told.extend(body);
    }
    for text in [
        "metafetch",
        HASH,
        "intake",
        "gate",
        "lookup",
        "emit",
        "no_peers",
    ] {
        assert!(has(&told, text), "{text}");
    }
}

#[tokio::test]
async fn without_its_collector_the_service_works_and_says_so_once() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let home = tempfile::tempdir().unwrap();
    let mut service = Service::start(home.path(), &[("METAFETCH_TELEMETRY_OTLP", &url)]);
    service.asked_in_vain().await;
    let log = service.stop().await;
    let says = |line: &&serde_json::Value| message(line).contains("takes no traces");
    assert_eq!(log.iter().filter(says).count(), 1, "{log:#?}");
}
