//! Opening a TCP connection to a peer, and telling apart the ways in which that fails.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Once;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::proxy::Proxy;
use crate::torrent::{Failure, PeerAddr, Phase, Reason};

/// The pause before another try to open a socket, where there are too many files.
const OUT_OF_FILES: Duration = Duration::from_millis(50);
/// The longest wait for a file to be closed.
const FILES_WITHIN: Duration = Duration::from_secs(10);

/// Connects to `peer` within `limit`, through the proxy where there is one. Says how long that took.
///
/// Where this process, or the host, has as many files open as it may, it waits for some to be closed: the
/// peer can't help that, and it costs it no time.
///
/// The socket is bound before it connects only where `bind` names addresses: a bound one occupies a
/// local port for a minute after it closes, which caps the whole host at some 470 connections a second.
pub(super) async fn dial(
    proxy: Option<&Proxy>,
    bind: &[IpAddr],
    peer: PeerAddr,
    limit: Duration,
) -> Result<(TcpStream, Duration), Failure> {
    if let Some(proxy) = proxy {
        let began = Instant::now();
        let stream = proxy.connect(peer, limit).await?;
        return Ok((stream, began.elapsed()));
    }
    let stream = dial_by(limit, || connect(bind, peer.socket_addr())).await?;
    // Requests are small and must not wait for Nagle; the loss of this is only latency.
    let _ = stream.0.set_nodelay(true);
    Ok(stream)
}

/// Connects by `connect`, again and again while there are too many files. Apart from sockets, so that a
/// test can have none left.
async fn dial_by<T, C>(limit: Duration, connect: impl Fn() -> C) -> Result<(T, Duration), Failure>
where
    C: Future<Output = io::Result<T>>,
{
    let out_of_files = Instant::now() + FILES_WITHIN;
    loop {
        let began = Instant::now();
        match timeout(limit, connect()).await {
            Ok(Err(error)) if is_out_of_files(&error) => {
                static SAID: Once = Once::new();
                SAID.call_once(|| {
                    tracing::warn!(
                        "no connection can be opened at present, since too many files are open: raise the \
                         limit (ulimit -n), or lower limits.connections ({error})"
                    );
                });
                if Instant::now() >= out_of_files {
                    return Err(failure(&error, Phase::Connect));
                }
                sleep(OUT_OF_FILES).await;
            }
            Ok(Ok(stream)) => return Ok((stream, began.elapsed())),
            Ok(Err(error)) => return Err(failure(&error, Phase::Connect)),
            Err(_) => {
                let detail = format!("no answer within {limit:?}");
                return Err(Failure::new(Reason::ConnectTimeout, Phase::Connect, detail));
            }
        }
    }
}

fn is_out_of_files(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}

/// Connects from the address in `bind` that is of the same family as `to`, or from any where `bind` has
/// none at all.
async fn connect(bind: &[IpAddr], to: SocketAddr) -> io::Result<TcpStream> {
    if bind.is_empty() {
        return TcpStream::connect(to).await;
    }
    let Some(from) = bind.iter().find(|from| from.is_ipv4() == to.is_ipv4()) else {
        let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
        return Err(io::Error::new(
            ErrorKind::NetworkUnreachable,
            format!("network.bind names no {family} address to connect from"),
        ));
    };
    let socket = if to.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    let from = SocketAddr::new(*from, 0);
    let at =
        |error: io::Error| io::Error::new(error.kind(), format!("from {}: {error}", from.ip()));
    socket.bind(from).map_err(at)?;
    socket.connect(to).await
}

/// The failure that a socket error stands for.
pub(super) fn failure(error: &io::Error, phase: Phase) -> Failure {
    let reason = match error.kind() {
        ErrorKind::ConnectionRefused => Reason::Refused,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            Reason::Reset
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            Reason::Unreachable
        }
        // The kernel gave up before our own deadline.
        ErrorKind::TimedOut => match phase {
            Phase::Connect => Reason::ConnectTimeout,
            Phase::Transfer => Reason::TransferTimeout,
            _ => Reason::HandshakeTimeout,
        },
        ErrorKind::UnexpectedEof => Reason::Closed,
        // EINVAL and EACCES: an address that this host will not send to.
        ErrorKind::InvalidInput | ErrorKind::PermissionDenied | ErrorKind::AddrNotAvailable
            if phase == Phase::Connect =>
        {
            Reason::Unreachable
        }
        _ => Reason::Internal,
    };
    Failure::new(reason, phase, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn too_many_files_are_nobody_elses_fault() {
        let none_left = || async { Err::<(), _>(Errno::MFILE.into()) };
        let end = dial_by(Duration::from_secs(1), none_left).await;
        assert_eq!(end.unwrap_err().reason, Reason::Internal);
        let times = std::cell::Cell::new(0);
        let later = || async {
            times.set(times.get() + 1);
            if times.get() < 100 {
                return Err(Errno::NFILE.into());
            }
            Ok(())
        };
        // Longer than the limit: the peer loses nothing by it.
        let ((), took) = dial_by(Duration::from_secs(1), later).await.unwrap();
        assert_eq!(took, Duration::ZERO);
    }

    #[test]
    fn errors_of_the_socket_have_their_reason() {
        for (kind, reason) in [
            (ErrorKind::ConnectionRefused, Reason::Refused),
            (ErrorKind::ConnectionReset, Reason::Reset),
            (ErrorKind::BrokenPipe, Reason::Reset),
            (ErrorKind::NetworkUnreachable, Reason::Unreachable),
            (ErrorKind::HostUnreachable, Reason::Unreachable),
            (ErrorKind::TimedOut, Reason::ConnectTimeout),
            (ErrorKind::OutOfMemory, Reason::Internal),
        ] {
            assert_eq!(failure(&kind.into(), Phase::Connect).reason, reason);
        }
        assert_eq!(
            failure(&ErrorKind::TimedOut.into(), Phase::Transfer).reason,
            Reason::TransferTimeout
        );
    }
}
