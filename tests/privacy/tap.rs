//! Stands before a peer, a tracker or a DHT node, and keeps every byte that comes to it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// A connection's bytes, or a datagram.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) from: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

type Log = Arc<Mutex<Vec<Received>>>;

/// Passes on what comes over TCP and UDP, at one port. It ends when it is dropped.
pub(crate) struct Tap {
    pub(crate) addr: SocketAddr,
    log: Log,
    _tasks: JoinSet<()>,
}

impl Tap {
    /// Before whoever is at `target`.
    pub(crate) async fn before(target: SocketAddr) -> Self {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let addr = tcp.local_addr().unwrap();
        let log = Log::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(tcp, target, Arc::clone(&log)));
        tasks.spawn(relay(Arc::new(udp), target, Arc::clone(&log)));
        Self {
            addr,
            log,
            _tasks: tasks,
        }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.log.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, log: Log) {
    let mut connections = JoinSet::new();
    while let Ok((client, from)) = listener.accept().await {
        let at = {
            let mut log = log.lock().unwrap();
            log.push(Received {
                from,
                bytes: Vec::new(),
            });
            log.len() - 1
        };
        let log = Arc::clone(&log);
        connections.spawn(async move {
            let _ = pass_on(client, target, &log, at).await;
        });
    }
}

async fn pass_on(
    client: TcpStream,
    target: SocketAddr,
    log: &Log,
    at: usize,
) -> std::io::Result<()> {
    let (mut from_server, mut to_server) = TcpStream::connect(target).await?.into_split();
    let (mut from_client, mut to_client) = client.into_split();
    let there = async {
        let mut buffer = [0; 4096];
        loop {
            let read = from_client.read(&mut buffer).await?;
            if read == 0 {
                return to_server.shutdown().await;
            }
            log.lock().unwrap()[at].bytes.extend(&buffer[..read]);
            to_server.write_all(&buffer[..read]).await?;
        }
    };
    let back = async {
        tokio::io::copy(&mut from_server, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::try_join!(there, back).map(drop)
}

/// Each client has a socket of its own towards the target.
async fn relay(udp: Arc<UdpSocket>, target: SocketAddr, log: Log) {
    let mut sockets: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; 65_536];
    loop {
        // An error is an ICMP answer to an earlier datagram.
        let Ok((length, from)) = udp.recv_from(&mut buffer).await else {
            continue;
        };
        let bytes = buffer[..length].to_vec();
        log.lock().unwrap().push(Received {
            from,
            bytes: bytes.clone(),
        });
        if let Entry::Vacant(entry) = sockets.entry(from) {
            // From another address than the proxy's, and the client's.
            let socket = Arc::new(UdpSocket::bind("127.0.0.9:0").await.unwrap());
            socket.connect(target).await.unwrap();
            entry.insert(Arc::clone(&socket));
            let udp = Arc::clone(&udp);
            tasks.spawn(async move {
                let mut buffer = vec![0; 65_536];
                loop {
                    if let Ok(length) = socket.recv(&mut buffer).await {
                        let _ = udp.send_to(&buffer[..length], from).await;
                    } else {
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
        let _ = sockets[&from].send(&bytes).await;
    }
}
