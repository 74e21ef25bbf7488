//! Whether the addresses to listen on are free, for TCP and for UDP.

use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;

use super::Finding;
use crate::libtorrent::port;

/// A line for each address.
pub(super) fn check(addrs: &[SocketAddr]) -> Vec<Finding> {
    addrs.iter().map(|addr| one(*addr)).collect()
}

fn one(addr: SocketAddr) -> Finding {
    let tried = [("TCP", port::try_tcp(addr)), ("UDP", port::try_udp(addr))];
    let failed: Vec<(&str, Errno)> = tried
        .into_iter()
        .filter_map(|(name, bound)| Some((name, bound.err()?)))
        .collect();
    let Some((_, first)) = failed.first() else {
        return if addr.port() == 0 {
            Finding::ok(
                "ports",
                format!("{}: TCP and UDP take any free port", addr.ip()),
            )
        } else {
            Finding::ok("ports", format!("{addr}: TCP and UDP are free"))
        };
    };
    let port = addr.port();
    let seen: Vec<String> = failed
        .iter()
        .map(|(name, error)| match *error {
            Errno::ADDRINUSE => format!("{name} {addr} is taken"),
            error => format!("{name} {addr}: {}", io::Error::from(error)),
        })
        .collect();
    let seen = seen.join("; ");
    match *first {
        Errno::ADDRINUSE => Finding::fail(
            "ports",
            seen,
            format!(
                "choose another port with --listen, or end who has it: `ss -lntup 'sport = :{port}'` \
                 names it"
            ),
        ),
        Errno::ACCESS | Errno::PERM => Finding::fail(
            "ports",
            seen,
            "choose a port above 1023 with --listen, or give the process CAP_NET_BIND_SERVICE",
        ),
        // Everything goes by IPv4 then.
        Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL
            if addr.is_ipv6() && addr.ip().is_unspecified() =>
        {
            Finding::warn(
                "ports",
                seen,
                "this host has no IPv6: peers and DHT nodes that have nothing else are out of reach",
            )
        }
        Errno::ADDRNOTAVAIL => Finding::fail(
            "ports",
            seen,
            "this host does not have that address: `ip addr` lists those it has",
        ),
        _ => Finding::fail("ports", seen, "choose another address with --listen"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;

    #[test]
    fn a_taken_port_is_named_by_its_protocol() {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let taken = udp.local_addr().unwrap();
        let finding = one(taken);
        assert_eq!(finding.verdict, Verdict::Fail);
        assert_eq!(finding.seen, format!("UDP {taken} is taken"));
        drop(udp);
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = tcp.local_addr().unwrap();
        assert_eq!(one(taken).seen, format!("TCP {taken} is taken"));
        drop(tcp);
        assert_eq!(one("127.0.0.1:0".parse().unwrap()).verdict, Verdict::Ok);
    }

    #[test]
    fn an_address_of_another_host_is_no_address_of_ours() {
        let finding = one("192.0.2.1:0".parse().unwrap());
        assert_eq!(finding.verdict, Verdict::Fail);
        assert!(finding.advice.contains("ip addr"), "{finding:?}");
    }
}
