//! An HTTP tracker (BEP 3): compact answers (BEP 23, BEP 7), or a list where the client wants one.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::TrackerState;
use super::wire::{self, Value};

type State = Arc<Mutex<TrackerState>>;

pub(super) async fn start() -> io::Result<(SocketAddr, State, impl Future<Output = ()> + Send)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let state = State::default();
    Ok((
        listener.local_addr()?,
        Arc::clone(&state),
        accept(listener, state),
    ))
}

async fn accept(listener: TcpListener, state: State) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            // An error is a client that went away.
            let _ = serve(stream, &state).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, state: &State) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 || request.len() > 64 * 1024 {
            return Ok(());
        }
    }
    let line = request
        .split(|&byte| byte == b'\r')
        .next()
        .unwrap_or_default();
    let target = line.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    let (status, body) = match target.strip_prefix(b"/announce?") {
        Some(query) => ("200 OK", announce(query, state).encode()),
        None => ("404 Not Found", b"no such page\n".to_vec()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream
        .write_all(&[head.into_bytes(), body].concat())
        .await?;
    stream.shutdown().await
}

fn announce(query: &[u8], state: &State) -> Value {
    let failure = |text: &str| Value::dict([("failure reason", Value::bytes(text))]);
    let parameter = |name: &str| {
        let mut pairs = query.split(|&byte| byte == b'&');
        pairs.find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    };
    let infohash = parameter("info_hash").and_then(unescaped);
    let Some(Ok(infohash)) = infohash.map(<[u8; 20]>::try_from) else {
        return failure("info_hash is missing or has not 20 bytes");
    };
    let Some(peers) = state.lock().unwrap().answer(infohash) else {
        return failure("torrent is not registered with this tracker");
    };
    let compact = |v4: bool| {
        let of_family = peers.iter().filter(|peer| peer.is_ipv4() == v4);
        Value::Bytes(of_family.flat_map(|peer| wire::compact(*peer)).collect())
    };
    let mut answer = vec![
        ("complete", Value::Int(i64::try_from(peers.len()).unwrap())),
        ("incomplete", Value::Int(0)),
        ("interval", Value::Int(1800)),
    ];
    if parameter("compact") == Some(b"0") {
        let list = peers.iter().map(|peer| {
            let ip = Value::bytes(peer.ip().to_string());
            Value::dict([("ip", ip), ("port", Value::Int(peer.port().into()))])
        });
        answer.push(("peers", Value::List(list.collect())));
    } else {
        answer.push(("peers", compact(true)));
        answer.push(("peers6", compact(false)));
    }
    Value::dict(answer)
}

/// Percent-decoded bytes; `None` if an escape is broken.
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            let (digits, tail) = tail.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            rest = tail;
        } else {
            out.push(*first);
        }
    }
    Some(out)
}
