//! Whether an address to listen on is free.

use std::net::SocketAddr;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};

/// Whether TCP could be listened for at this address just now.
///
/// # Errors
/// What the system says.
pub(crate) fn try_tcp(addr: SocketAddr) -> Result<(), Errno> {
    try_bind(addr, SocketType::STREAM)
}

/// Whether UDP could be received at this address just now.
///
/// # Errors
/// What the system says.
pub(crate) fn try_udp(addr: SocketAddr) -> Result<(), Errno> {
    try_bind(addr, SocketType::DGRAM)
}

/// As libtorrent listens: IPv6 apart from IPv4, and TCP also where old connections linger.
fn try_bind(addr: SocketAddr, kind: SocketType) -> Result<(), Errno> {
    let family = if addr.is_ipv6() {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let socket = socket(family, kind, None)?;
    if addr.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if kind == SocketType::STREAM {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &addr)?;
    if kind == SocketType::STREAM {
        listen(&socket, 1)?;
    }
    Ok(())
}
