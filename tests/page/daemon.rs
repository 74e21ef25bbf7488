//! `metafetch daemon` on loopback, with a store in a temporary directory.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::swarm::free_address;

/// How long the daemon may take to begin.
const PATIENCE: Duration = Duration::from_secs(40);

/// A daemon that has its home in a temporary directory.
pub(crate) struct Daemon {
    addr: SocketAddr,
    process: Child,
    home: tempfile::TempDir,
}

/// How it is to run.
#[derive(Default)]
pub(crate) struct Setup {
    /// `.torrent` files that are stored before it starts.
    pub(crate) torrents: Vec<Vec<u8>>,
    /// Lines of its section `[api]`.
    pub(crate) api: String,
}

impl Daemon {
    /// Starts one that talks to loopback alone, and waits until it answers.
    pub(crate) async fn start(setup: Setup) -> Self {
        let home = tempfile::tempdir().unwrap();
        let addr = free_address();
        let config = write_config(home.path(), addr, &setup.api);
        for (number, torrent) in setup.torrents.iter().enumerate() {
            std::fs::write(home.path().join(format!("{number}.torrent")), torrent).unwrap();
        }
        if !setup.torrents.is_empty() {
            let files = (0..setup.torrents.len()).map(|number| format!("{number}.torrent"));
            let import = metafetch(home.path())
                .args(["db", "import", "--strict", "--store", "metafetch.db"])
                .args(files)
                .output()
                .await
                .unwrap();
            assert!(import.status.success(), "{import:?}");
        }
        let log = std::fs::File::create(home.path().join("log")).unwrap();
        let mut process = metafetch(home.path())
            .arg("daemon")
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let start = Instant::now();
        while tokio::net::TcpStream::connect(addr).await.is_err() {
            let ended = process.try_wait().unwrap();
            let is_late = start.elapsed() > PATIENCE;
            if ended.is_some() || is_late {
                let log = std::fs::read_to_string(home.path().join("log")).unwrap();
                panic!("the daemon does not answer ({ended:?}): {log}");
            }
            sleep(Duration::from_millis(50)).await;
        }
        Self {
            addr,
            process,
            home,
        }
    }

    /// The address of a view, such as `#/ask`.
    pub(crate) fn page(&self, view: &str) -> String {
        format!("{}{view}", self.origin())
    }

    /// The beginning of all its addresses.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}/", self.addr)
    }

    /// Ends it at once.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// What it logged until now.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap()
    }
}

fn metafetch(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metafetch"));
    command.current_dir(home).env_remove("METAFETCH_CONFIG");
    command
}

fn write_config(home: &Path, addr: SocketAddr, api: &str) -> PathBuf {
    let mut text = String::new();
    let _ = write!(
        text,
        "[network]\nlisten = [\"127.0.0.1:0\"]\nallow_local_peers = true\n\
         [dht]\nenabled = false\n\
         [store]\nurl = \"metafetch.db\"\n\
         [engine]\ntimeout = \"5s\"\n\
         [api]\nlisten = [\"{addr}\"]\n{api}\n"
    );
    let path = home.join("metafetch.toml");
    std::fs::write(&path, text).unwrap();
    path
}
