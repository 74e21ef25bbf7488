//! Ports for programs that have to be told one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// An address of loopback that is free for TCP and UDP, as far as the socket that comes with it does not
/// hold it. Its port is below those that the system gives away by chance, so that it is free again once
/// that socket is dropped.
pub fn reserved_address() -> (SocketAddr, UdpSocket) {
    for _ in 0..1_000 {
        let port = rand::random_range(20_000..32_000);
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, port));
        if let (Ok(_), Ok(udp)) = (tcp, udp) {
            return (udp.local_addr().unwrap(), udp);
        }
    }
    panic!("no free port between 20000 and 32000 on 127.0.0.1");
}

/// An address of loopback that is free for TCP and UDP.
pub fn free_address() -> SocketAddr {
    reserved_address().0
}
