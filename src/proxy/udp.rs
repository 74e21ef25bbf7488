//! Datagrams through the proxy (UDP ASSOCIATE), to hosts by their names.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

use super::login::{Login, greet};

const ASSOCIATE: u8 = 3;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
/// Answers are small, and what is longer is none.
const MAX_DATAGRAM: usize = 4096;

/// Sends `message` to each host, and returns where answers that hold `mark` came from, each once.
pub(super) async fn ask(
    mut stream: TcpStream,
    login: Option<&Login>,
    hosts: &[(&str, u16)],
    message: &[u8],
    mark: &[u8],
    within: Duration,
) -> io::Result<Vec<SocketAddr>> {
    greet(&mut stream, login).await?;
    let relay = associate(&mut stream).await?;
    let socket = UdpSocket::bind((stream.local_addr()?.ip(), 0)).await?;
    socket.connect(relay).await?;
    for (host, port) in hosts {
        if let Some(datagram) = wrapped(host, *port, message) {
            socket.send(&datagram).await?;
        }
    }
    let deadline = Instant::now() + within;
    let mut answered = Vec::new();
    let mut buffer = vec![0; MAX_DATAGRAM];
    // The association lasts as long as its connection.
    while answered.len() < hosts.len()
        && let Ok(Ok(length)) = timeout_at(deadline, socket.recv(&mut buffer)).await
    {
        let Some((from, answer)) = buffer.get(..length).and_then(unwrapped) else {
            continue;
        };
        let is_answer = answer.windows(mark.len().max(1)).any(|part| part == mark);
        if is_answer && !answered.contains(&from) {
            answered.push(from);
        }
    }
    drop(stream);
    Ok(answered)
}

/// Where datagrams are to be sent.
async fn associate(stream: &mut TcpStream) -> io::Result<SocketAddr> {
    // We do not know from which address the proxy will see our datagrams come.
    stream
        .write_all(&[5, ASSOCIATE, 0, IPV4, 0, 0, 0, 0, 0, 0])
        .await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [5, 0, _, kind] = head else {
        return Err(io::Error::other("it refuses UDP ASSOCIATE"));
    };
    let ip: IpAddr = match kind {
        IPV4 => stream
            .read_u32()
            .await
            .map(std::net::Ipv4Addr::from)?
            .into(),
        IPV6 => stream
            .read_u128()
            .await
            .map(std::net::Ipv6Addr::from)?
            .into(),
        _ => return Err(io::Error::other("it names no address for datagrams")),
    };
    let port = stream.read_u16().await?;
    // "Where you found me", as many put it.
    let ip = if ip.is_unspecified() {
        stream.peer_addr()?.ip()
    } else {
        ip
    };
    Ok(SocketAddr::new(ip, port))
}

/// A datagram to a host; `None` where its name is too long.
fn wrapped(host: &str, port: u16, message: &[u8]) -> Option<Vec<u8>> {
    let mut datagram = vec![0, 0, 0];
    match host.parse() {
        Ok(IpAddr::V4(ip)) => {
            datagram.push(IPV4);
            datagram.extend(ip.octets());
        }
        Ok(IpAddr::V6(ip)) => {
            datagram.push(IPV6);
            datagram.extend(ip.octets());
        }
        Err(_) => {
            datagram.extend([NAME, u8::try_from(host.len()).ok()?]);
            datagram.extend(host.as_bytes());
        }
    }
    datagram.extend(port.to_be_bytes());
    datagram.extend(message);
    Some(datagram)
}

/// Who sent a datagram, and what; `None` for fragments, and for senders without an address.
fn unwrapped(datagram: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (ip, rest): (IpAddr, _) = match datagram {
        [_, _, 0, IPV4, rest @ ..] => {
            let (ip, rest) = rest.split_first_chunk::<4>()?;
            (IpAddr::from(*ip), rest)
        }
        [_, _, 0, IPV6, rest @ ..] => {
            let (ip, rest) = rest.split_first_chunk::<16>()?;
            (IpAddr::from(*ip), rest)
        }
        _ => return None,
    };
    let (port, message) = rest.split_first_chunk::<2>()?;
    Some((SocketAddr::new(ip, u16::from_be_bytes(*port)), message))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn datagrams_to_names_and_addresses() {
        assert_eq!(
            wrapped("a.example", 258, b"x").unwrap(),
            b"\0\0\0\x03\x09a.example\x01\x02x"
        );
        assert_eq!(
            wrapped("1.2.3.4", 5, b"x").unwrap(),
            b"\0\0\0\x01\x01\x02\x03\x04\0\x05x"
        );
        assert_eq!(wrapped(&"a".repeat(256), 5, b"x"), None);
        let from = wrapped("::1", 5, b"hi").unwrap();
        assert_eq!(
            unwrapped(&from),
            Some(("[::1]:5".parse().unwrap(), &b"hi"[..]))
        );
        assert_eq!(unwrapped(b"\0\0\x01\x01\x01\x02\x03\x04\0\x05x"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(datagram in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = unwrapped(&datagram);
        }
    }
}
