//! Transmission.

use std::fs;
use std::net::SocketAddr;

use serde_json::json;

use super::http::request;
use super::process::directory;
use super::{LOOPBACK, Process, Seeder, Torrent, free_port};

/// `status` of a torrent that is seeded.
const SEEDING: u64 = 6;

impl Seeder {
    /// Transmission's daemon. Slow by design: its extension handshake takes it half a second, and
    /// it serves two blocks of metadata a second.
    ///
    /// Its peers find it by TCP and uTP. On start it connects a UDP socket to a public IPv6 address
    /// to learn its own one; nothing is sent by that, and there is no setting for it.
    pub(crate) fn transmission(torrent: &Torrent) -> Self {
        Self::start_transmission(torrent, 1)
    }

    /// The same, which talks only over encrypted connections.
    pub(crate) fn transmission_encrypted(torrent: &Torrent) -> Self {
        Self::start_transmission(torrent, 2)
    }

    /// `encryption`: 1 prefers it, 2 requires it.
    fn start_transmission(torrent: &Torrent, encryption: u8) -> Self {
        let (peers, control) = (free_port(), free_port());
        let dir = directory();
        let watched = dir.path().join("watched");
        fs::create_dir(&watched).unwrap();
        fs::copy(&torrent.path, watched.join("seeded.torrent")).unwrap();
        let settings = json!({
            "bind-address-ipv4": "127.0.0.1",
            "bind-address-ipv6": "::1",
            "blocklist-enabled": false,
            "dht-enabled": false,
            "download-dir": torrent.save_path(),
            "encryption": encryption,
            "incomplete-dir-enabled": false,
            "lpd-enabled": false,
            "peer-port": peers,
            "peer-port-random-on-start": false,
            "pex-enabled": false,
            "port-forwarding-enabled": false,
            "rename-partial-files": false,
            "rpc-authentication-required": false,
            "rpc-bind-address": "127.0.0.1",
            "rpc-port": control,
            "rpc-whitelist": "127.0.0.1",
            "start-added-torrents": true,
            "utp-enabled": true,
            "watch-dir": watched,
            "watch-dir-enabled": true,
        });
        fs::write(dir.path().join("settings.json"), settings.to_string()).unwrap();
        let config = dir.path().to_owned();
        let mut process = Process::start(
            "transmission-daemon",
            "transmission-daemon",
            dir,
            |command| {
                command.args(["--foreground", "--config-dir"]).arg(config);
            },
        );
        let control = SocketAddr::new(LOOPBACK, control);
        process.wait_until("the torrent was seeded", || {
            is_seeding(control).filter(|seeds| *seeds)
        });
        Self {
            addr: SocketAddr::new(LOOPBACK, peers),
            process,
        }
    }
}

fn is_seeding(control: SocketAddr) -> Option<bool> {
    let path = "/transmission/rpc";
    let name = "X-Transmission-Session-Id";
    // The first answer is a refusal that carries the session's id.
    let refusal = request(control, path, "", Some("")).ok()?;
    let session = format!("{name}: {}\r\n", refusal.header(name)?);
    let question = json!({"method": "torrent-get", "arguments": {"fields": ["status"]}});
    let answer = request(control, path, &session, Some(&question.to_string())).ok()?;
    let status = answer
        .json()?
        .pointer("/arguments/torrents/0/status")?
        .as_u64()?;
    Some(status == SEEDING)
}
