//! Opening a TCP connection to a peer, and telling apart the ways in which that fails.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::proxy::Proxy;
use crate::torrent::{Failure, PeerAddr, Phase, Reason};

/// Connects to `peer` within `limit`, through the proxy where there is one.
///
/// The socket is never bound before it connects: a bound one occupies a local port for a minute
/// after it closes, which caps the whole host at some 470 connections a second.
pub(super) async fn dial(
    proxy: Option<&Proxy>,
    peer: PeerAddr,
    limit: Duration,
) -> Result<TcpStream, Failure> {
    if let Some(proxy) = proxy {
        return proxy.connect(peer, limit).await;
    }
    match timeout(limit, TcpStream::connect(peer.socket_addr())).await {
        Ok(Ok(stream)) => {
            // Requests are small and must not wait for Nagle; the loss of this is only latency.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(failure(&error, Phase::Connect)),
        Err(_) => Err(Failure::new(
            Reason::ConnectTimeout,
            Phase::Connect,
            format!("no answer within {limit:?}"),
        )),
    }
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
