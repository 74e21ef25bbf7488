//! opentracker.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use super::http::request;
use super::process::directory;
use super::{LOOPBACK, Process, Torrent, free_port};

/// A tracker on 127.0.0.1, on one port by HTTP and UDP.
pub(crate) struct Tracker {
    addr: SocketAddr,
    process: Process,
}

impl Tracker {
    /// opentracker, for `torrent` alone: Debian's takes no torrent that it is not told of.
    pub(crate) fn opentracker(torrent: &Torrent) -> Self {
        let port = free_port();
        let dir = directory();
        // Started by root it becomes `nobody`, who must be able to read this.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let list = dir.path().join("whitelist");
        fs::write(&list, format!("{}\n", torrent.wire_id())).unwrap();
        fs::set_permissions(&list, Permissions::from_mode(0o644)).unwrap();
        let root = dir.path().to_owned();
        let mut process = Process::start("opentracker", "opentracker", dir, |command| {
            command.args([
                "-i",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-P",
                &port.to_string(),
            ]);
            // The list is named as seen from the directory, which root's instance makes its root.
            command.arg("-d").arg(root).args(["-w", "whitelist"]);
        });
        let addr = SocketAddr::new(LOOPBACK, port);
        // The list is read in the background, and until then every torrent is refused. The peer
        // that asks takes itself off again.
        process.wait_until("it took the torrent", || announce(addr, torrent, "started"));
        process.wait_until("it let go of the peer", || {
            announce(addr, torrent, "stopped")
        });
        Self { addr, process }
    }

    /// Its announce URL by HTTP.
    pub(crate) fn http(&self) -> String {
        format!("http://{}/announce", self.addr)
    }

    /// Its URL by UDP (BEP 15).
    pub(crate) fn udp(&self) -> String {
        format!("udp://{}", self.addr)
    }
}

fn announce(tracker: SocketAddr, torrent: &Torrent, event: &str) -> Option<()> {
    let mut hash = String::new();
    for (position, digit) in torrent.wire_id().chars().enumerate() {
        if position % 2 == 0 {
            hash.push('%');
        }
        write!(hash, "{digit}").ok()?;
    }
    let path = format!(
        "/announce?info_hash={hash}&peer_id=-XX0000-000000000000&port=1&uploaded=0&downloaded=0\
         &left=1&compact=1&event={event}"
    );
    let answer = request(tracker, &path, "", None).ok()?;
    answer.body.starts_with(b"d8:complete").then_some(())
}
