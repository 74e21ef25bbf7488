//! A service in a directory of its own, that listens and talks to loopback alone.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel::{Connection as _, QueryableByName, RunQueryDsl as _, SqliteConnection};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// How long the service may take to notice what a test does to it.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    number: i64,
}

/// What most services talk to: nobody but whom a magnet names.
const ALONE: &str =
    "network.listen = [\"127.0.0.1:0\"]\ndht.enabled = false\nengine.trackers = false";

/// Where services run, one after the other.
pub(crate) struct Home {
    directory: TempDir,
    network: String,
}

impl Home {
    /// With `config` beside what keeps it on loopback.
    pub(crate) fn new(config: &str) -> Self {
        Self::with_network(ALONE, config)
    }

    /// With a DHT of these nodes.
    pub(crate) fn with_dht(bootstrap: &[SocketAddr], config: &str) -> Self {
        let nodes: Vec<_> = bootstrap.iter().map(ToString::to_string).collect();
        let network = format!(
            "network.listen = [\"127.0.0.1:0\"]\nengine.trackers = false\nnetwork.bootstrap = {nodes:?}"
        );
        Self::with_network(&network, config)
    }

    /// `network` says whom it talks to.
    pub(crate) fn with_network(network: &str, config: &str) -> Self {
        let home = Self {
            directory: tempfile::tempdir().unwrap(),
            network: network.to_owned(),
        };
        std::fs::create_dir(home.path("in")).unwrap();
        home.configure(config);
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn configure(&self, config: &str) {
        let mut text = self.network.clone();
        text.push_str(
            "\nnetwork.allow_local_peers = true\nstore.url = \"store.db\"\n\
             api.listen = [\"127.0.0.1:0\"]\nsources.directories = [\"in\"]\nsources.rescan = \"1s\"\n",
        );
        writeln!(text, "{config}").unwrap();
        std::fs::write(self.path("metafetch.toml"), text).unwrap();
    }

    /// Puts a file into the watched directory, whole.
    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let part = self.path("part");
        let mut bytes = bytes.as_ref().to_vec();
        if name.to_ascii_lowercase().ends_with(".magnet") {
            // Nobody waits for the rest of a line that has its end.
            bytes.push(b'\n');
        }
        std::fs::write(&part, bytes).unwrap();
        std::fs::rename(part, self.path("in").join(name)).unwrap();
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_metafetch"));
        command.arg("daemon").current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    pub(crate) async fn start(&self) -> Running {
        let running = Running::of(self.command());
        running.says("the service works").await;
        running
    }

    /// A connection to the database of its own.
    pub(crate) fn database(&self) -> SqliteConnection {
        let path: &Path = &self.path("store.db");
        let mut store = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        let busy = diesel::sql_query("PRAGMA busy_timeout = 20000");
        busy.execute(&mut store).unwrap();
        store
    }

    /// What a question with one column `number` answers.
    pub(crate) fn number(&self, query: &str) -> i64 {
        let mut store = self.database();
        let row: Number = diesel::sql_query(query).get_result(&mut store).unwrap();
        row.number
    }

    pub(crate) fn resolved(&self) -> i64 {
        self.number(
            "SELECT count(*) AS number FROM torrent_metadata WHERE validation_status = 'valid'",
        )
    }

    pub(crate) fn wanted(&self) -> i64 {
        self.number("SELECT count(*) AS number FROM wanted_torrent")
    }
}

/// A service that runs.
pub(crate) struct Running {
    pub(crate) child: Child,
    stderr: Arc<Mutex<String>>,
}

impl Running {
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        let (said, from) = (Arc::clone(&stderr), child.stderr.take().unwrap());
        tokio::spawn(async move {
            let mut lines = BufReader::new(from).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                writeln!(said.lock().unwrap(), "{line}").unwrap();
            }
        });
        Self { child, stderr }
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    pub(crate) async fn says(&self, what: &str) {
        let said = || self.stderr().contains(what);
        until(said, || format!("`{what}` in\n{}", self.stderr())).await;
    }

    /// What its API answers.
    pub(crate) async fn api(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        self.says("the API is at ").await;
        let stderr = self.stderr();
        let (_, address) = stderr.split_once("the API is at ").unwrap();
        let address = address.lines().next().unwrap().trim_end_matches('/');
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.request(method, format!("{address}{path}"));
        let response = request.json(&body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }

    /// How a source is, by the API.
    pub(crate) async fn source(&self, name: &str) -> Value {
        let (_, sources) = self.api(Method::GET, "/admin/sources", Value::Null).await;
        let sources = sources["items"].as_array().unwrap();
        let source = sources.iter().find(|source| source["name"] == name);
        source.unwrap().clone()
    }

    /// Pauses or resumes a source.
    pub(crate) async fn tell(&self, source: &str, action: &str) {
        let path = format!("/admin/sources/{source}/{action}");
        let (status, said) = self.api(Method::POST, &path, Value::Null).await;
        assert_eq!(status, 204, "{said}");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// The exit code.
    pub(crate) async fn ends(&mut self) -> Option<i32> {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.expect("it ends").unwrap().code()
    }
}

/// Waits for something to be so.
pub(crate) async fn until(is_so: impl Fn() -> bool, what: impl Fn() -> String) {
    let waited = timeout(PATIENCE, async {
        while !is_so() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(waited.await.is_ok(), "not in time: {}", what());
}

/// Waits until so many hashes of the directories are in work.
pub(crate) async fn begun(running: &Running, count: u64) {
    until_source(running, "directory", |source| source["in_work"] == count).await;
}

/// Waits until a source is so.
pub(crate) async fn until_source(running: &Running, name: &str, is_so: impl Fn(&Value) -> bool) {
    let waiting = async {
        while !is_so(&running.source(name).await) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = timeout(PATIENCE, waiting).await;
    assert!(
        waited.is_ok(),
        "not in time: {name} in\n{}",
        running.stderr()
    );
}
