//! The log and the metrics of `metafetch daemon` itself.

use std::collections::HashSet;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

pub(crate) const HASH: &str = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a";

/// A service that asks nobody, and the lines of its log.
pub(crate) struct Service {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    seen: Vec<Value>,
}

impl Service {
    pub(crate) fn start(home: &std::path::Path, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_metafetch"))
            .args([
                "daemon",
                "--no-dht",
                "--no-trackers",
                "--listen",
                "127.0.0.1:0",
            ])
            .args(["--strategy", "direct", "--store"])
            .arg(home.join("metafetch.db"))
            .current_dir(home)
            .env("METAFETCH_API_LISTEN", "127.0.0.1:0")
            .env("METAFETCH_LOG_FORMAT", "json")
            .env("METAFETCH_LOG_FILTER", "debug")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self {
            child,
            log,
            seen: Vec::new(),
        }
    }

    /// The first line that passes, read as JSON; all lines must be.
    async fn line(&mut self, passes: impl Fn(&Value) -> bool) -> Value {
        while let Some(line) = self.log.next_line().await.unwrap() {
            let value: Value =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            self.seen.push(value.clone());
            if passes(&value) {
                return value;
            }
        }
        panic!("the log has ended: {:#?}", self.seen);
    }

    /// Ends it as a service manager does; all of its log.
    pub(crate) async fn stop(mut self) -> Vec<Value> {
        let process = rustix::process::Pid::from_raw(self.child.id().unwrap().cast_signed());
        rustix::process::kill_process(process.unwrap(), rustix::process::Signal::TERM).unwrap();
        while let Some(line) = self.log.next_line().await.unwrap() {
            self.seen.push(serde_json::from_str(&line).unwrap());
        }
        assert!(self.child.wait().await.unwrap().success());
        self.seen
    }

    /// Asks it for [`HASH`], which nobody has; the address of its API.
    pub(crate) async fn asked_in_vain(&mut self) -> String {
        let begins = "the API is at ";
        let line = self.line(|line| message(line).starts_with(begins)).await;
        let base = message(&line)[begins.len()..]
            .trim_end_matches('/')
            .to_owned();
        let (status, body) = get(&format!("{base}/api/v1/torrents/{HASH}?wait=20s")).await;
        assert_eq!(status, 404, "{body}");
        assert!(body.contains("no_peers"), "{body}");
        base
    }
}

pub(crate) fn message(line: &Value) -> &str {
    line["message"].as_str().unwrap_or_default()
}

/// Status and body of an answer.
async fn get(url: &str) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.get(url).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn every_line_about_a_hash_has_the_id_of_its_request_from_the_intake_to_the_end() {
    let home = tempfile::tempdir().unwrap();
    let mut service = Service::start(home.path(), &[]);
    let base = service.asked_in_vain().await;
    service.line(|line| line["station"] == "emit").await;

    let about = |line: &&Value| line["span"]["infohash"] == HASH;
    let lines: Vec<&Value> = service.seen.iter().filter(about).collect();
    let stations: Vec<&str> = lines
        .iter()
        .filter_map(|it| it["station"].as_str())
        .collect();
    let passed: HashSet<&str> = stations.iter().copied().collect();
    for station in ["intake", "gate", "lookup", "attempt", "record", "emit"] {
        assert!(passed.contains(station), "{station}: {stations:?}");
    }
    assert_eq!(
        (stations.first(), stations.last()),
        (Some(&"intake"), Some(&"emit"))
    );
    let ids: HashSet<String> = lines
        .iter()
        .map(|it| it["span"]["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 1, "{lines:#?}");

    let text = async |path: &str| get(&format!("{base}{path}")).await;
    let (status, metrics) = text("/metrics").await;
    assert_eq!(status, 200, "{metrics}");
    for begins in [
        "metafetch_station_hashes_total{station=\"emit\",outcome=\"no_peers\"} 1",
        "metafetch_queue_ended_total{source=\"api\",outcome=\"failed\"} 1",
        "metafetch_loop_silent_seconds{loop=\"queue\"}",
        "metafetch_api_requests_total{method=\"GET\",route=\"/api/v1/torrents/{infohash}\",status=\"404\"} 1",
    ] {
        assert!(
            metrics.lines().any(|line| line.starts_with(begins)),
            "{begins}\n{metrics}"
        );
    }
    let (status, alive) = text("/healthz").await;
    assert_eq!((status, alive.contains("true")), (200, true), "{alive}");
    let (_, ready) = text("/readyz").await;
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let parts: Vec<&str> = (ready["parts"].as_array().unwrap().iter())
        .filter_map(|part| part["part"].as_str())
        .collect();
    assert_eq!(parts, ["store", "disk", "dht", "ports", "queue", "loops"]);
    service.stop().await;
}
