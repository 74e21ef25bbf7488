//! rTorrent.

use std::fs;
use std::net::SocketAddr;

use super::process::directory;
use super::{LOOPBACK, Process, Seeder, Torrent, free_port};

impl Seeder {
    /// rTorrent, which takes peers by TCP only.
    pub(crate) fn rtorrent(torrent: &Torrent) -> Self {
        let peers = free_port();
        let dir = directory();
        let (config, seeded) = (dir.path().join("rtorrent.rc"), dir.path().join("seeded"));
        let session = dir.path().join("session");
        fs::create_dir(&session).unwrap();
        // It takes a path for a pattern.
        let seed = dir.path().join("seed.torrent");
        fs::copy(&torrent.path, &seed).unwrap();
        // The hook runs when it has found all of the torrent on disk.
        let text = format!(
            "system.daemon.set = true\n\
             network.bind_address.set = 127.0.0.1\n\
             network.port_range.set = {peers}-{peers}\n\
             network.port_random.set = no\n\
             dht.mode.set = off\n\
             protocol.pex.set = no\n\
             trackers.use_udp.set = no\n\
             session.path.set = {session}\n\
             directory.default.set = {data}\n\
             method.insert = touch_seeded, simple, \"execute.nothrow=touch,{seeded}\"\n\
             method.set_key = event.download.hash_done, seeded, \"touch_seeded=\"\n\
             schedule2 = load, 0, 0, \"load.start={torrent}\"\n",
            session = session.display(),
            data = torrent.save_path().display(),
            seeded = seeded.display(),
            torrent = seed.display(),
        );
        fs::write(&config, text).unwrap();
        let mut process = Process::start("rtorrent", "rtorrent", dir, |command| {
            command
                .arg("-n")
                .arg("-o")
                .arg(format!("import={}", config.display()));
        });
        process.wait_until("the torrent was seeded", || seeded.exists().then_some(()));
        Self {
            addr: SocketAddr::new(LOOPBACK, peers),
            process,
        }
    }
}
