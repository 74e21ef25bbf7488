//! BitTorrent clients, trackers and a DHT from the distribution, as private instances on loopback.
//!
//! Everything listens on 127.0.0.1 and talks to nobody but 127.0.0.1: the DHT (unless it is
//! [`LoopbackDht`]), local discovery, port mapping and peer exchange are off. What is started here
//! lives in a temporary directory, waits until it really serves, and dies with the value that
//! holds it. A program that is not installed fails the test and names its Debian package.
//!
//! A test crate includes this as `#[cfg(test)] mod clients;`.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test crate uses its own part of this"
)]

mod aria2;
mod dht;
mod http;
mod libtorrent;
mod opentracker;
mod process;
mod qbittorrent;
mod resolve;
mod rtorrent;
mod torrent;
mod transmission;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

pub(crate) use dht::LoopbackDht;
pub(crate) use libtorrent::{Encryption, LibtorrentOptions, StockFetch};
pub(crate) use opentracker::Tracker;
use process::Process;
pub(crate) use resolve::Resolve;
pub(crate) use torrent::Torrent;

/// The one address that the clients use.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A client that seeds one torrent until this is dropped.
pub(crate) struct Seeder {
    /// Where it takes peers.
    pub(crate) addr: SocketAddr,
    process: Process,
}

/// A port of 127.0.0.1 that is free for TCP and UDP.
///
/// For programs that cannot bind to port 0. It is below the range from which the kernel takes
/// ports for outgoing connections, so none of those takes it before the program does.
fn free_port() -> u16 {
    for _ in 0..100 {
        let port = rand::random_range(20_000..32_000);
        let tcp = TcpListener::bind((LOOPBACK, port));
        let udp = UdpSocket::bind((LOOPBACK, port));
        if tcp.is_ok() && udp.is_ok() {
            return port;
        }
    }
    panic!("no free port between 20000 and 32000 on 127.0.0.1");
}
