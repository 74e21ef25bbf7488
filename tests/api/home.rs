//! A service with its API, as the tests start it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metafetch::config::Config;
use metafetch::daemon::{Service, api};
use metafetch::engine::{Engine, Options};
use metafetch::store::{Store, StoreUrl};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::swarm::{Behaviour, Swarm, TestTorrent};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A service and its API. Dropping it ends both.
pub(crate) struct Home {
    pub(crate) service: Service,
    pub(crate) at: SocketAddr,
    pub(crate) swarm: Swarm,
    client: Client,
    stop: CancellationToken,
    pub(crate) config: watch::Sender<Arc<Config>>,
    _directory: TempDir,
}

impl Drop for Home {
    fn drop(&mut self) {
        self.stop.cancel();
        self.service.stop();
    }
}

impl Home {
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// With these lines below `[api]`.
    pub(crate) async fn with(keys: &str) -> Self {
        let text = format!(
            "network.listen = [\"127.0.0.1:0\"]\nnetwork.allow_local_peers = true\n\
             engine.strategy = \"direct\"\nengine.timeout = \"5s\"\n[api]\nlisten = [\"127.0.0.1:0\"]\n{keys}"
        );
        let config = Config::parse(&text).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(directory.path().join("metafetch.db"));
        let store = Store::open(&url).unwrap();
        let options = Options {
            dht: false,
            trackers: false,
            ..config.engine_options(None, None)
        };
        let engine = Engine::start(options, Some(store.clone())).unwrap();
        let listeners = api::bind(&config.api).await.unwrap();
        let at = listeners[0].local_addr().unwrap();
        let (sender, config) = watch::channel(Arc::new(config));
        let service = Service::new(engine, store, config);
        let stop = CancellationToken::new();
        tokio::spawn(api::serve(service.clone(), listeners, stop.clone()));
        Self {
            service,
            at,
            swarm: Swarm::start(7),
            client: Client::builder().timeout(PATIENCE).build().unwrap(),
            stop,
            config: sender,
            _directory: directory,
        }
    }

    /// A request to this path.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.at);
        self.client.request(method, url)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// The JSON of an answer that is good.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The reason of the problem that a request meets, with its status.
    pub(crate) async fn problem(&self, path: &str) -> (u16, String) {
        problem(self.get(path).await).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Response {
        self.request(Method::POST, path)
            .json(&body)
            .send()
            .await
            .unwrap()
    }

    /// The JSON lines that a batch is answered with.
    pub(crate) async fn resolve(&self, hashes: &[String]) -> Vec<Value> {
        let body = serde_json::json!({ "hashes": hashes });
        let response = self.post("/api/v1/resolve", body).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        let text = response.text().await.unwrap();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// A torrent that is stored, resolved from a peer of the swarm.
    pub(crate) async fn stored(&self, torrent: TestTorrent) -> TestTorrent {
        let peer = self
            .swarm
            .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
            .await;
        let lines = self.resolve(&[torrent.magnet(&[peer], &[])]).await;
        assert_eq!(lines[0]["status"], "resolved", "{lines:?}");
        torrent
    }
}

/// The reason of a problem, which is checked to be one.
pub(crate) async fn problem(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let media = response.headers().get("content-type").cloned();
    let text = response.text().await.unwrap();
    assert_eq!(
        media.unwrap(),
        "application/problem+json",
        "{status}: {text}"
    );
    let problem: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(problem["status"], status);
    for name in ["type", "title", "detail", "reason"] {
        assert!(
            problem[name].as_str().is_some_and(|it| !it.is_empty()),
            "{name}: {text}"
        );
    }
    (status, problem["reason"].as_str().unwrap().to_owned())
}

/// Waits until it is so.
pub(crate) async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}
