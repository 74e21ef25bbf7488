//! The metafetch binary, run as a user would.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde::Deserialize;
use tempfile::TempDir;

use super::{Seeder, Torrent, torrent::info_of};

/// `metafetch resolve`, kept on loopback and without a database.
pub(crate) struct Resolve {
    command: Command,
    timeout: &'static str,
    dir: TempDir,
}

/// What it prints of a hash, as far as the tests read it.
#[derive(Deserialize)]
struct Line {
    infohash: String,
    status: String,
    name: Option<String>,
    metadata_size: Option<usize>,
    reason: Option<String>,
}

impl Resolve {
    /// By this strategy, and from wherever [`Self::with`] says.
    pub(crate) fn new(input: &str, strategy: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("timeout");
        command.args(["60", env!("CARGO_BIN_EXE_metafetch"), "resolve", input]);
        command.args(["--strategy", strategy]);
        command.args(["--allow-local-peers", "--listen", "127.0.0.1:0"]);
        command.args(["--store", "none", "--format", "jsonl"]);
        command.arg("-o").arg(dir.path().join("out"));
        // Whoever runs the tests may have a configuration of their own.
        let home = dir.path().join("home");
        for variable in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
            command.env(variable, &home);
        }
        Self {
            command,
            timeout: "30s",
            dir,
        }
    }

    /// From this peer and from nowhere else.
    pub(crate) fn from_peer(input: &str, seeder: &Seeder, strategy: &str) -> Self {
        let peer = seeder.addr.to_string();
        Self::new(input, strategy).with(&["--peer", &peer, "--no-dht", "--no-trackers"])
    }

    /// With more arguments.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// With another time limit than 30 seconds.
    pub(crate) fn within(mut self, timeout: &'static str) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs it to its one line of JSON, and whatever else it did.
    fn run(&mut self) -> (Line, Output) {
        // `--timeout` ends the program; `timeout` ends it where that fails.
        self.command.args(["--timeout", self.timeout]);
        let output = self.command.output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<_> = stdout.lines().collect();
        let [line] = lines.as_slice() else {
            panic!("one hash is one line: {output:#?}");
        };
        let line = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("no line as expected: {error}: {output:#?}"));
        (line, output)
    }

    /// Runs it, and expects the metadata of `torrent` byte by byte.
    pub(crate) fn delivers(mut self, torrent: &Torrent, listed_as: &str) {
        let (line, output) = self.run();
        assert_eq!(line.status, "resolved", "{output:#?}");
        assert_eq!(output.status.code(), Some(0), "{output:#?}");
        assert_eq!(line.infohash, listed_as);
        assert_eq!(line.name.as_ref(), Some(&torrent.name));
        assert_eq!(line.metadata_size, Some(torrent.info.len()));
        let written = fs::read(self.written(listed_as)).unwrap();
        assert!(
            info_of(&written) == torrent.info,
            "the info dictionary was changed on its way"
        );
    }

    /// Runs it, and expects that it fails and writes no file; the reason it gives.
    pub(crate) fn fails(mut self, listed_as: &str) -> String {
        let (line, output) = self.run();
        assert_eq!(line.status, "failed", "{output:#?}");
        assert_eq!(output.status.code(), Some(3), "{output:#?}");
        assert_eq!(line.infohash, listed_as);
        assert!(!self.written(listed_as).exists());
        line.reason.unwrap()
    }

    fn written(&self, listed_as: &str) -> PathBuf {
        self.dir.path().join(format!("out/{listed_as}.torrent"))
    }
}
