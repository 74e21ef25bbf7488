//! Runs the `metafetch` binary as a user would, on loopback alone.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate uses a part of this"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::{Child, Command};

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code; 1000 + the signal where one ended it.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) elapsed: Duration,
}

impl Run {
    /// The JSON lines.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }

    /// The one JSON line there is.
    pub(crate) fn line(&self) -> Value {
        let mut lines = self.lines();
        assert_eq!(lines.len(), 1, "{self:#?}");
        lines.remove(0)
    }

    /// The reason of the one hash, which failed.
    pub(crate) fn reason(&self) -> String {
        let line = self.line();
        assert_eq!(line["status"], "failed", "{self:#?}");
        line["reason"].as_str().unwrap().to_owned()
    }
}

/// `metafetch resolve`, which talks to nobody unless told to: no DHT, no trackers, no store.
pub(crate) struct Resolve {
    args: Vec<String>,
    store: String,
    format: String,
    listen: SocketAddr,
    local_peers: bool,
    dht: bool,
    trackers: bool,
}

impl Resolve {
    pub(crate) fn new() -> Self {
        Self {
            args: Vec::new(),
            store: "none".into(),
            format: "jsonl".into(),
            listen: ([127, 0, 0, 1], 0).into(),
            local_peers: true,
            dht: false,
            trackers: false,
        }
    }

    pub(crate) fn arg(mut self, arg: impl std::fmt::Display) -> Self {
        self.args.push(arg.to_string());
        self
    }

    pub(crate) fn strategy(self, strategy: &str) -> Self {
        self.arg("--strategy").arg(strategy)
    }

    pub(crate) fn peer(self, peer: SocketAddr) -> Self {
        self.arg("--peer").arg(peer)
    }

    pub(crate) fn tracker(mut self, url: &str) -> Self {
        self.trackers = true;
        self.arg("--tracker").arg(url)
    }

    /// Asks the trackers of the magnets.
    pub(crate) fn trackers(mut self) -> Self {
        self.trackers = true;
        self
    }

    pub(crate) fn bootstrap(self, node: SocketAddr) -> Self {
        self.bootstrap_at(&node.to_string())
    }

    /// By a name, perhaps.
    pub(crate) fn bootstrap_at(mut self, node: &str) -> Self {
        self.dht = true;
        self.arg("--bootstrap").arg(node)
    }

    pub(crate) fn out(self, directory: &Path) -> Self {
        self.arg("-o").arg(directory.display())
    }

    pub(crate) fn store(mut self, file: &Path) -> Self {
        self.store = file.display().to_string();
        self
    }

    pub(crate) fn format(mut self, format: &str) -> Self {
        format.clone_into(&mut self.format);
        self
    }

    /// Listens there instead of at any port of 127.0.0.1.
    pub(crate) fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = addr;
        self
    }

    /// Takes no loopback addresses as peers, as by default.
    pub(crate) fn public_peers_only(mut self) -> Self {
        self.local_peers = false;
        self
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_metafetch"));
        command.arg("resolve");
        command.args(["--store", &self.store, "--format", &self.format]);
        command.args(["--listen", &self.listen.to_string()]);
        if self.local_peers {
            command.arg("--allow-local-peers");
        }
        if !self.dht {
            command.arg("--no-dht");
        }
        if !self.trackers {
            command.arg("--no-trackers");
        }
        command
            .args(&self.args)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self) -> Child {
        self.command().spawn().unwrap()
    }

    pub(crate) async fn run(&self) -> Run {
        run(&mut self.command()).await
    }
}

/// `metafetch`, with a store and these arguments, for commands that talk to nobody.
pub(crate) fn metafetch(store: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metafetch"));
    command.args(args).arg("--store").arg(store);
    command
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
pub(crate) async fn run(command: &mut Command) -> Run {
    let started = Instant::now();
    let output = command.output().await.unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    Run {
        code: output
            .status
            .code()
            .unwrap_or_else(|| 1000 + signal.unwrap_or_default()),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        elapsed: started.elapsed(),
    }
}
