//! `/metrics`, `/healthz` and `/readyz` of a service that has worked.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use axum::routing::get;
use metafetch::config::Config;
use metafetch::daemon::{Service, health, heartbeat, metrics};
use metafetch::engine::{Engine, Strategy, Wanted};
use metafetch::store::{Store, StoreUrl};
use metafetch::telemetry::catalogue;
use metafetch::torrent::{Infohash, PeerHint, Reason};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower::ServiceExt as _;

async fn ask(router: &Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// The value of the series with this name and these labels.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let line = text.lines().find(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    });
    line?.rsplit(' ').next()?.parse().ok()
}

fn condition<'a>(readiness: &'a Value, part: &str) -> &'a Value {
    let parts = readiness["parts"].as_array().unwrap();
    let found = parts.iter().find(|it| it["part"] == part);
    &found.unwrap_or_else(|| panic!("{part}: {readiness}"))["condition"]
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a line for each count")]
async fn a_hash_is_counted_at_each_station_and_health_is_told() {
    metrics::install().unwrap();
    let home = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite(home.path().join("metafetch.db"));
    let store = Store::open(&url).unwrap();
    let mut config = Config::default();
    config.engine.strategy = Strategy::Direct;
    config.network.allow_local_peers = true;
    let engine = Engine::start(config.engine_options(None, None), Some(store.clone())).unwrap();
    // A port that nobody listens at any more.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = listener.local_addr().unwrap();
    drop(listener);
    let wanted = Wanted {
        peers: vec![PeerHint::Addr(peer.into())],
        ..Wanted::from(Infohash::V1([7; 20]))
    };
    let reason = engine.resolve(wanted.clone()).await.result.unwrap_err();
    assert_eq!(reason.failure.reason, Reason::Refused);
    let again = engine.resolve(wanted).await.result.unwrap_err();
    assert_eq!(again.failure.reason, Reason::Cooldown);

    let (_sender, configs) = watch::channel(Arc::new(config));
    let service = Service::new(engine, store, configs);
    let router = metrics::router(service.clone())
        .merge(health::router(service))
        .route("/things/{thing}", get(|| async { "" }))
        .layer(axum::middleware::from_fn(metrics::measure));
    assert_eq!(ask(&router, "/things/a").await.0, StatusCode::OK);
    assert_eq!(ask(&router, "/things/b").await.0, StatusCode::OK);
    assert_eq!(
        ask(&router, "/no/such/thing").await.0,
        StatusCode::NOT_FOUND
    );

    let (status, text) = ask(&router, "/metrics").await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let station = |station: &str, outcome: &str| {
        let labels = [
            format!("station=\"{station}\""),
            format!("outcome=\"{outcome}\""),
        ];
        let labels = labels.each_ref().map(String::as_str);
        value(&text, "metafetch_station_hashes_total", &labels)
    };
    let once = [
        ("gate", "open"),
        ("gate", "cooldown"),
        ("lookup", "peers"),
        ("attempt", "refused"),
        ("record", "ok"),
        ("emit", "refused"),
        ("emit", "cooldown"),
    ];
    for (at, outcome) in once {
        assert_eq!(station(at, outcome), Some(1.0), "{at} {outcome}\n{text}");
    }
    let attempts = [
        "arm=\"direct\"",
        "way=\"direct:tcp\"",
        "phase=\"connect\"",
        "outcome=\"refused\"",
    ];
    assert_eq!(
        value(&text, "metafetch_attempts_total", &attempts),
        Some(1.0)
    );
    let found = value(&text, "metafetch_peers_found_total", &["source=\"hint\""]);
    assert_eq!(found, Some(1.0));
    let stored = value(&text, "metafetch_store_records_total", &["to=\"database\""]);
    assert_eq!(stored, Some(1.0));
    assert_eq!(
        value(&text, "metafetch_store_batch_records_count", &[]),
        Some(1.0)
    );
    assert_eq!(value(&text, "metafetch_store_writable", &[]), Some(1.0));
    assert_eq!(value(&text, "metafetch_hashes_in_work", &[]), Some(0.0));
    let requests = ["route=\"/things/{thing}\"", "status=\"200\""];
    assert_eq!(
        value(&text, "metafetch_api_requests_total", &requests),
        Some(2.0)
    );
    let requests = ["route=\"other\"", "status=\"404\""];
    assert_eq!(
        value(&text, "metafetch_api_requests_total", &requests),
        Some(1.0)
    );
    assert!(value(&text, "process_resident_memory_bytes", &[]).unwrap() > 1e6);
    assert!(value(&text, "process_open_fds", &[]).unwrap() > 2.0);
    for line in text.lines().filter(|line| line.starts_with("metafetch_")) {
        let known = catalogue::ALL.iter().any(|it| line.starts_with(it.name));
        assert!(known, "{line}");
    }

    let (status, text) = ask(&router, "/readyz").await;
    let readiness: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(condition(&readiness, "store"), "ok");
    assert_eq!(condition(&readiness, "dht"), "off");
    assert_eq!(condition(&readiness, "loops"), "ok");
    // The disk of whoever runs this may be full.
    let is_ready = condition(&readiness, "disk") != "failed";
    assert_eq!(readiness["ready"], is_ready);
    assert_eq!(status == StatusCode::OK, is_ready);
    assert!(!text.contains("metafetch.db"), "{text}");

    assert_eq!(ask(&router, "/healthz").await.0, StatusCode::OK);
    let stuck = heartbeat::watch("test", std::time::Duration::ZERO);
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let (status, text) = ask(&router, "/healthz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains(r#""loop":"test""#), "{text}");
    drop(stuck);
    assert_eq!(ask(&router, "/healthz").await.0, StatusCode::OK);
}
