//! A DHT whose nodes store torrents, peers that have them, and crawls of it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metafetch::store::{CrawlSession, DhtNode, Store, StoreUrl};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::command::{Run, run};
use crate::swarm::{Behaviour, Dht, DhtOptions, Swarm, TestTorrent};

/// How long a crawl may take to notice what a test does to it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Torrents that one peer has.
const SHARE: usize = 50;

pub(crate) struct Network {
    pub(crate) swarm: Swarm,
    pub(crate) dht: Dht,
    pub(crate) torrents: Vec<TestTorrent>,
    home: TempDir,
}

impl Network {
    /// So many nodes and torrents; each torrent is announced by one peer.
    pub(crate) async fn start(seed: u64, nodes: usize, torrents: u64) -> Self {
        let swarm = Swarm::start(seed);
        let options = DhtOptions {
            nodes,
            ..DhtOptions::default()
        };
        let dht = swarm.dht_with(options).await;
        let torrents: Vec<_> = (0..torrents)
            .map(|number| TestTorrent::v1(seed * 10_000 + number, 2_000))
            .collect();
        for share in torrents.chunks(SHARE) {
            let peer = swarm.peer(Behaviour::Honest, share).await;
            for torrent in share {
                dht.announce(torrent, peer);
            }
        }
        Self {
            swarm,
            dht,
            torrents,
            home: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn store_path(&self) -> PathBuf {
        self.home.path().join("metafetch.db")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The hashes of all torrents.
    pub(crate) fn hashes(&self) -> HashSet<String> {
        self.torrents.iter().map(TestTorrent::hex).collect()
    }

    /// `metafetch crawl` that starts from this DHT.
    pub(crate) fn crawl(&self, args: &[&str]) -> Command {
        crawl(&self.store_path(), &self.dht.bootstrap, args)
    }

    /// Asks the store.
    pub(crate) async fn with_store<T>(&self, ask: impl AsyncFnOnce(&Store) -> T) -> T {
        let store = Store::open(&StoreUrl::Sqlite(self.store_path())).unwrap();
        let answer = ask(&store).await;
        store.close().await;
        answer
    }

    /// The runs, the latest first.
    pub(crate) async fn sessions(&self) -> Vec<CrawlSession> {
        self.with_store(async |store| store.sessions(100).await.unwrap())
            .await
    }

    pub(crate) async fn nodes(&self) -> Vec<DhtNode> {
        self.with_store(async |store| store.dht_nodes(10_000).await.unwrap())
            .await
    }

    pub(crate) async fn stored(&self) -> u64 {
        self.with_store(async |store| store.counts().await.unwrap().torrents)
            .await
    }
}

/// `metafetch crawl`, which talks to nobody but these nodes and whom they name.
pub(crate) fn crawl(store: &Path, bootstrap: &[SocketAddr], args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metafetch"));
    command.arg("crawl").arg("--store").arg(store);
    command.args(["--allow-local-peers", "--every", "200ms"]);
    if !args.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    for node in bootstrap {
        command.args(["--bootstrap", &node.to_string()]);
    }
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a crawl to its end.
pub(crate) async fn ended(mut command: Command) -> Run {
    run(&mut command).await
}

/// A crawl that runs.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Hashes that have failed, as it said last.
    pub(crate) failed: u64,
    stderr: Arc<Mutex<String>>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.arg("--format").arg("jsonl").spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let stderr = Arc::new(Mutex::new(String::new()));
        let (said, mut from) = (Arc::clone(&stderr), child.stderr.take().unwrap());
        tokio::spawn(async move {
            let mut bytes = vec![0; 4096];
            while let Ok(length @ 1..) = from.read(&mut bytes).await {
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                said.lock().unwrap().push_str(&text);
            }
        });
        Self {
            child,
            lines,
            failed: 0,
            stderr,
        }
    }

    /// What it has said on stderr.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// How often it has said this on stderr.
    pub(crate) fn said(&self, what: &str) -> usize {
        self.stderr().matches(what).count()
    }

    /// Waits until it has said this on stderr. What it writes to stdout meanwhile is read, and the
    /// hashes that it resolved are returned.
    pub(crate) async fn says(&mut self, what: &str) -> Vec<String> {
        let mut hashes = Vec::new();
        let all = async {
            while self.said(what) == 0 {
                // Lines come five times a second.
                let line = self.line().await.expect("it ended");
                hashes.extend(resolved_hash(&line));
            }
        };
        let said = tokio::time::timeout(PATIENCE, all).await;
        assert!(said.is_ok(), "it does not say `{what}`: {}", self.stderr());
        hashes
    }

    /// Reads what it writes to stdout for so long, and returns the hashes that it resolved.
    pub(crate) async fn goes_on(&mut self, time: Duration) -> Vec<String> {
        let mut hashes = Vec::new();
        let all = async {
            loop {
                let line = self.line().await.expect("it ended");
                hashes.extend(resolved_hash(&line));
            }
        };
        let end: Result<(), _> = tokio::time::timeout(time, all).await;
        assert!(end.is_err());
        hashes
    }

    /// Ends it, and returns its exit code and the hashes that it resolved since it was last asked.
    pub(crate) async fn end(&mut self) -> (Option<i32>, Vec<String>) {
        self.signal("-TERM");
        let mut hashes = Vec::new();
        while let Some(line) = self.line().await {
            hashes.extend(resolved_hash(&line));
        }
        (self.child.wait().await.unwrap().code(), hashes)
    }

    /// The next line; `None` at the end.
    pub(crate) async fn line(&mut self) -> Option<Value> {
        let line = self.lines.next_line().await.unwrap()?;
        let line: Value = serde_json::from_str(&line).expect(&line);
        self.failed = line["total"]["failed"].as_u64().unwrap_or(self.failed);
        Some(line)
    }

    /// The next hashes that were resolved.
    pub(crate) async fn resolved(&mut self, count: usize) -> Vec<String> {
        let mut hashes = Vec::new();
        while hashes.len() < count {
            let line = self.line().await.expect("it ended");
            hashes.extend(resolved_hash(&line));
        }
        hashes
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().unwrap().to_string();
        let kill = std::process::Command::new("kill")
            .args([signal, &pid])
            .status();
        assert!(kill.unwrap().success());
    }
}

/// The hash that this line says was resolved.
fn resolved_hash(line: &Value) -> Option<String> {
    (line["status"] == "resolved").then(|| line["infohash"].as_str().unwrap().to_owned())
}

/// The hashes that a run has resolved.
pub(crate) fn resolved(run: &Run) -> Vec<String> {
    run.lines()
        .iter()
        .filter(|line| line["status"] == "resolved")
        .map(|line| line["infohash"].as_str().unwrap().to_owned())
        .collect()
}
