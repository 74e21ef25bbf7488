//! aria2.

use std::net::SocketAddr;

use serde_json::json;

use super::http::request;
use super::process::directory;
use super::{LOOPBACK, Process, Seeder, Torrent, free_port};

impl Seeder {
    /// aria2, which takes peers by TCP only.
    pub(crate) fn aria2(torrent: &Torrent) -> Self {
        Self::start_aria2(torrent, &["--enable-dht=false".to_owned()])
    }

    /// The same, which takes encrypted connections only.
    pub(crate) fn aria2_encrypted(torrent: &Torrent) -> Self {
        let options = [
            "--enable-dht=false",
            "--bt-require-crypto=true",
            "--bt-min-crypto-level=arc4",
        ];
        Self::start_aria2(torrent, &options.map(str::to_owned))
    }

    /// aria2 with its own DHT node, which starts from this one, and to which it announces itself.
    pub(crate) fn aria2_in_dht(torrent: &Torrent, bootstrap: SocketAddr) -> Self {
        let dht = [
            "--enable-dht=true".to_owned(),
            format!("--dht-listen-port={}", free_port()),
            "--dht-file-path=dht.dat".to_owned(),
            format!("--dht-entry-point={bootstrap}"),
        ];
        Self::start_aria2(torrent, &dht)
    }

    fn start_aria2(torrent: &Torrent, dht: &[String]) -> Self {
        let (peers, control) = (free_port(), free_port());
        let mut process = Process::start("aria2c", "aria2", directory(), |command| {
            command.args([
                "--no-conf",
                "--interface=127.0.0.1",
                "--disable-ipv6=true",
                "--enable-dht6=false",
                "--bt-enable-lpd=false",
                "--enable-peer-exchange=false",
                "--enable-rpc=true",
                "--rpc-listen-all=false",
                "--check-integrity=true",
                "--seed-ratio=0.0",
            ]);
            command.args(dht);
            command.arg(format!("--listen-port={peers}"));
            command.arg(format!("--rpc-listen-port={control}"));
            command.arg("--dir").arg(torrent.save_path());
            command.arg(&torrent.path);
        });
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
    let question = json!({"jsonrpc": "2.0", "id": 1, "method": "aria2.tellActive"});
    let answer = request(control, "/jsonrpc", "", Some(&question.to_string())).ok()?;
    let answer = answer.json()?;
    Some(answer.pointer("/result/0/seeder")?.as_str()? == "true")
}
