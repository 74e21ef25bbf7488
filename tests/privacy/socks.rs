//! A SOCKS5 proxy: CONNECT, UDP ASSOCIATE, Tor's RESOLVE, with a login or without. What it sends comes
//! from an address of its own, and names are resolved from a list.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// Whence everything comes that passed the proxy.
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);

const CONNECT: u8 = 1;
const ASSOCIATE: u8 = 3;
const RESOLVE: u8 = 0xf0;

/// What a proxy is like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conduct {
    /// The user and password that it wants.
    pub(crate) login: Option<(&'static str, &'static str)>,
    /// Whether it passes on no datagrams.
    pub(crate) tcp_only: bool,
    /// The names that it can resolve.
    pub(crate) names: HashMap<String, IpAddr>,
}

#[derive(Debug)]
struct Shared {
    conduct: Conduct,
    names_asked: Mutex<Vec<String>>,
}

/// A proxy that runs until it is dropped.
pub(crate) struct Socks {
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Socks {
    pub(crate) async fn start(conduct: Conduct) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            conduct,
            names_asked: Mutex::default(),
        });
        let addr = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        let for_task = Arc::clone(&shared);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&for_task);
                connections.spawn(async move {
                    let _ = serve(stream, &shared).await;
                });
            }
        });
        Self {
            addr,
            shared,
            _tasks: tasks,
        }
    }

    /// The names that it was to resolve.
    pub(crate) fn names_asked(&self) -> Vec<String> {
        self.shared.names_asked.lock().unwrap().clone()
    }
}

impl Shared {
    fn resolve(&self, name: &str) -> Option<IpAddr> {
        self.names_asked.lock().unwrap().push(name.to_owned());
        self.conduct.names.get(name).copied()
    }
}

async fn serve(mut stream: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    if !log_in(&mut stream, shared).await? {
        return Ok(());
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let target = match head[3] {
        1 => Some(stream.read_u32().await.map(Ipv4Addr::from)?.into()),
        4 => Some(IpAddr::from(stream.read_u128().await?.to_be_bytes())),
        _ => {
            let mut name = vec![0; stream.read_u8().await?.into()];
            stream.read_exact(&mut name).await?;
            shared.resolve(&String::from_utf8_lossy(&name))
        }
    };
    let port = stream.read_u16().await?;
    let Some(ip) = target else {
        return refuse(stream, 4).await;
    };
    match head[1] {
        CONNECT => connect(stream, SocketAddr::new(ip, port)).await,
        RESOLVE => answer(&mut stream, SocketAddr::new(ip, 0)).await,
        ASSOCIATE if !shared.conduct.tcp_only => associate(stream, shared).await,
        _ => refuse(stream, 7).await,
    }
}

async fn log_in(stream: &mut TcpStream, shared: &Shared) -> io::Result<bool> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await?;
    let mut methods = vec![0; head[1].into()];
    stream.read_exact(&mut methods).await?;
    let Some((user, password)) = shared.conduct.login else {
        stream.write_all(&[5, 0]).await?;
        return Ok(true);
    };
    if !methods.contains(&2) {
        stream.write_all(&[5, 0xff]).await?;
        return Ok(false);
    }
    stream.write_all(&[5, 2]).await?;
    stream.read_u8().await?;
    let mut parts = Vec::new();
    for _ in 0..2 {
        let mut part = vec![0; stream.read_u8().await?.into()];
        stream.read_exact(&mut part).await?;
        parts.push(part);
    }
    let welcome = parts[0] == user.as_bytes() && parts[1] == password.as_bytes();
    stream.write_all(&[1, u8::from(!welcome)]).await?;
    Ok(welcome)
}

async fn refuse(mut stream: TcpStream, code: u8) -> io::Result<()> {
    stream.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await
}

async fn answer(stream: &mut TcpStream, addr: SocketAddr) -> io::Result<()> {
    let mut bytes = vec![5, 0, 0];
    bytes.extend(encoded(addr));
    stream.write_all(&bytes).await
}

fn encoded(addr: SocketAddr) -> Vec<u8> {
    let mut bytes = match addr.ip() {
        IpAddr::V4(ip) => [&[1], &ip.octets()[..]].concat(),
        IpAddr::V6(ip) => [&[4], &ip.octets()[..]].concat(),
    };
    bytes.extend(addr.port().to_be_bytes());
    bytes
}

async fn connect(mut stream: TcpStream, target: SocketAddr) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((OUTSIDE, 0).into())?;
    match socket.connect(target).await {
        Ok(mut outside) => {
            answer(&mut stream, outside.local_addr()?).await?;
            tokio::io::copy_bidirectional(&mut stream, &mut outside)
                .await
                .map(drop)
        }
        Err(_) => refuse(stream, 5).await,
    }
}

async fn associate(mut stream: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let inside = UdpSocket::bind("127.0.0.1:0").await?;
    let outside = UdpSocket::bind((OUTSIDE, 0)).await?;
    answer(&mut stream, inside.local_addr()?).await?;
    let mut client = None;
    let (mut to, mut from) = (vec![0; 65_536], vec![0; 65_536]);
    let mut end = [0];
    loop {
        tokio::select! {
            _ = stream.read(&mut end) => return Ok(()),
            received = inside.recv_from(&mut to) => {
                let Ok((length, addr)) = received else { continue };
                client = Some(addr);
                if let Some((target, message)) = unwrapped(&to[..length], shared) {
                    let _ = outside.send_to(message, target).await;
                }
            }
            received = outside.recv_from(&mut from) => {
                let (Ok((length, addr)), Some(client)) = (received, client) else { continue };
                let datagram = [&[0, 0, 0], &encoded(addr)[..], &from[..length]].concat();
                let _ = inside.send_to(&datagram, client).await;
            }
        }
    }
}

fn unwrapped<'a>(datagram: &'a [u8], shared: &Shared) -> Option<(SocketAddr, &'a [u8])> {
    let (ip, rest): (IpAddr, _) = match datagram {
        [_, _, 0, 1, a, b, c, d, rest @ ..] => (Ipv4Addr::new(*a, *b, *c, *d).into(), rest),
        [_, _, 0, 3, length, rest @ ..] => {
            let (name, rest) = rest.split_at_checked((*length).into())?;
            (shared.resolve(&String::from_utf8_lossy(name))?, rest)
        }
        _ => return None,
    };
    let (port, message) = rest.split_first_chunk::<2>()?;
    Some((SocketAddr::new(ip, u16::from_be_bytes(*port)), message))
}
