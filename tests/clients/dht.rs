//! A DHT on loopback.

use std::net::SocketAddr;

use serde::Deserialize;

use super::Process;

/// A few libtorrent nodes on 127.0.0.1 that know each other and nobody else.
pub(crate) struct LoopbackDht {
    /// A node to start from.
    pub(crate) bootstrap: SocketAddr,
    process: Process,
}

#[derive(Deserialize)]
struct Ready {
    bootstrap: SocketAddr,
}

impl LoopbackDht {
    /// Starts five nodes and waits until each has found the others.
    pub(crate) fn start() -> Self {
        let mut process = Process::script("dht.py", |_| {});
        let Ready { bootstrap } = process.says();
        Self { bootstrap, process }
    }
}
