//! The listening side of a peer: the port, the tasks of its connections, and what it counts.

use std::collections::{BTreeSet, HashMap};
use std::future::{Future, pending};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::wire::Random;
use super::{Behaviour, TestTorrent, connection};

/// What a peer counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Handshakes received for a torrent it holds.
    pub handshakes: u64,
    /// Keys of MSE initiators received.
    pub mse_keys: u64,
    /// Requests for metadata pieces received.
    pub requests: u64,
    /// Blocks sent, good or bad.
    pub blocks: u64,
}

impl std::iter::Sum for Counters {
    fn sum<I: Iterator<Item = Self>>(counters: I) -> Self {
        counters.fold(Self::default(), |a, b| Self {
            connections: a.connections + b.connections,
            handshakes: a.handshakes + b.handshakes,
            mse_keys: a.mse_keys + b.mse_keys,
            requests: a.requests + b.requests,
            blocks: a.blocks + b.blocks,
        })
    }
}

/// What the connections of a peer share.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) behaviour: Behaviour,
    pub(super) infos: HashMap<[u8; 20], Arc<[u8]>>,
    pub(super) id: [u8; 20],
    pub(super) seed: u64,
    pub(super) connections: AtomicU64,
    pub(super) handshakes: AtomicU64,
    pub(super) mse_keys: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) blocks: AtomicU64,
    /// The peers that it names, and what it says of each (BEP 11).
    pub(super) named: Mutex<Vec<(SocketAddr, u8)>>,
    /// Where connections have come from.
    pub(super) clients: Mutex<BTreeSet<IpAddr>>,
}

impl Peer {
    pub(super) fn new(behaviour: Behaviour, torrents: &[TestTorrent], seed: u64) -> Self {
        let mut id = Random::new(seed).id();
        id[..8].copy_from_slice(b"-SW0001-");
        let infos = torrents.iter().flat_map(|torrent| {
            let info = &torrent.info;
            torrent
                .wire_ids()
                .into_iter()
                .map(|id| (id, Arc::clone(info)))
        });
        Self {
            behaviour,
            infos: infos.collect(),
            id,
            seed,
            connections: AtomicU64::default(),
            handshakes: AtomicU64::default(),
            mse_keys: AtomicU64::default(),
            requests: AtomicU64::default(),
            blocks: AtomicU64::default(),
            named: Mutex::default(),
            clients: Mutex::default(),
        }
    }

    pub(super) fn counters(&self) -> Counters {
        Counters {
            connections: self.connections.load(Relaxed),
            handshakes: self.handshakes.load(Relaxed),
            mse_keys: self.mse_keys.load(Relaxed),
            requests: self.requests.load(Relaxed),
            blocks: self.blocks.load(Relaxed),
        }
    }
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes a port for the peer. The address, and what has to run for it.
pub(super) async fn listen(ip: IpAddr, peer: Arc<Peer>) -> io::Result<(SocketAddr, Task)> {
    match peer.behaviour {
        Behaviour::Refused => {
            // Bound, but not listening: connections are refused, and nobody else gets the port.
            let socket = bind(ip)?;
            let addr = socket.local_addr()?;
            Ok((addr, Box::pin(hold(socket))))
        }
        Behaviour::BlackHole => {
            let listener = bind(ip)?.listen(0)?;
            let addr = listener.local_addr()?;
            let fill = fill_backlog(addr).await?;
            Ok((addr, Box::pin(hold((listener, fill)))))
        }
        _ => {
            let listener = bind(ip)?.listen(4096)?;
            let addr = listener.local_addr()?;
            Ok((addr, Box::pin(accept(listener, peer))))
        }
    }
}

fn bind(ip: IpAddr) -> io::Result<TcpSocket> {
    let socket = match ip {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(ip, 0))?;
    Ok(socket)
}

async fn hold<T>(held: T) {
    let _held = held;
    pending::<()>().await;
}

/// Connects until no connection comes about any more: with its backlog full and nobody accepting,
/// Linux drops the SYNs of later ones. The connections must stay open for that.
async fn fill_backlog(addr: SocketAddr) -> io::Result<Vec<TcpStream>> {
    let mut fill = Vec::new();
    while fill.len() < 16 {
        match timeout(Duration::from_millis(50), TcpStream::connect(addr)).await {
            Ok(stream) => fill.push(stream?),
            Err(_) => return Ok(fill),
        }
    }
    Err(io::Error::other(format!(
        "the backlog of {addr} does not fill up"
    )))
}

async fn accept(listener: TcpListener, peer: Arc<Peer>) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                peer.connections.fetch_add(1, Relaxed);
                peer.clients.lock().unwrap().insert(client.ip());
                let peer = Arc::clone(&peer);
                connections.spawn(async move {
                    // An error is a client that went away, or one that broke the protocol.
                    let _ = connection::serve(&peer, stream).await;
                });
            }
            // Out of file descriptors, most likely: they come back.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}
