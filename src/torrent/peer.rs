//! Addresses of peers, and where we heard of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The TCP (and uTP) endpoint of a peer. IPv4 addresses mapped into IPv6 are unmapped, so that one
/// peer has one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerAddr(SocketAddr);

/// Text that is no `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no peer address: expected IPV4:PORT, [IPV6]:PORT or HOST:PORT")]
pub struct PeerAddrError(pub String);

impl PeerAddr {
    /// The endpoint `ip:port`.
    #[must_use]
    pub fn new(ip: IpAddr, port: u16) -> Self {
        Self(SocketAddr::new(ip.to_canonical(), port))
    }

    /// The IP address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.0.ip()
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// The endpoint as the standard library has it.
    #[must_use]
    pub fn socket_addr(&self) -> SocketAddr {
        self.0
    }

    /// Whether this is an address that a peer on the public Internet can have: unicast, neither
    /// private nor reserved, with a port above 0. Peer lists of the DHT hold many that are not.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.port() != 0
            && match self.ip() {
                IpAddr::V4(ip) => is_public_v4(ip),
                IpAddr::V6(ip) => is_public_v6(ip),
            }
    }

    /// Whether this is a loopback, private or link-local address with a port above 0: one that
    /// `--allow-local-peers` opens. Not of IPv6's link-local ones: without an interface's name
    /// nobody can connect to them.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.port() != 0
            && match self.ip() {
                IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
                IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
            }
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(a == 0
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || (a == 100 && (64..128).contains(&b)) // RFC 6598, carrier-grade NAT
        || (a == 192 && b == 0 && c == 0) // RFC 6890
        || (a == 198 && (b & 0xfe) == 18) // RFC 2544, benchmarks
        || a >= 224) // multicast and reserved
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    // 2000::/3 is all that is allocated for unicast (RFC 4291). Of it 2001:db8::/32 is documentation;
    // 2001::/32 (Teredo, RFC 4380) and 2002::/16 (6to4, RFC 3056) are tunnels to any address of IPv4, also
    // to those that are not public.
    (first & 0xe000) == 0x2000
        && !(first == 0x2001 && matches!(second, 0x0db8 | 0))
        && first != 0x2002
}

impl From<SocketAddr> for PeerAddr {
    fn from(addr: SocketAddr) -> Self {
        Self::new(addr.ip(), addr.port())
    }
}

impl FromStr for PeerAddr {
    type Err = PeerAddrError;

    fn from_str(text: &str) -> Result<Self, PeerAddrError> {
        text.parse::<SocketAddr>()
            .map(Self::from)
            .map_err(|_| PeerAddrError(text.to_owned()))
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for PeerAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PeerAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A peer as a user or a magnet names it (`x.pe`, BEP 9): an address, or a host name that the
/// lookup resolves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PeerHint {
    /// An IP address and a port.
    Addr(PeerAddr),
    /// A host name and a port.
    Host(String, u16),
}

impl FromStr for PeerHint {
    type Err = PeerAddrError;

    fn from_str(text: &str) -> Result<Self, PeerAddrError> {
        if let Ok(addr) = text.parse() {
            return Ok(Self::Addr(addr));
        }
        let refused = || PeerAddrError(text.chars().take(80).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
        let port = port.parse().map_err(|_| refused())?;
        let is_name = !host.is_empty()
            && host.len() <= 253
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        // All digits and dots is a mistyped IPv4 address, not a name to ask a resolver for.
        let is_number = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if !is_name || is_number {
            return Err(refused());
        }
        Ok(Self::Host(host.to_owned(), port))
    }
}

impl fmt::Display for PeerHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addr(addr) => addr.fmt(f),
            Self::Host(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// Where we heard of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerSource {
    /// `--peer`, or `x.pe` of the magnet.
    Hint,
    /// The store: it delivered before.
    Remembered,
    /// A tracker.
    Tracker,
    /// `get_peers` in the DHT.
    Dht,
    /// Another peer (BEP 11).
    Pex,
    /// The local network (BEP 14).
    Lsd,
    /// It connected to us.
    Inbound,
}

impl PeerSource {
    /// Every source that there is.
    pub const ALL: [Self; 7] = [
        Self::Hint,
        Self::Remembered,
        Self::Tracker,
        Self::Dht,
        Self::Pex,
        Self::Lsd,
        Self::Inbound,
    ];

    /// The name used in logs, in JSON and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Remembered => "remembered",
            Self::Tracker => "tracker",
            Self::Dht => "dht",
            Self::Pex => "pex",
            Self::Lsd => "lsd",
            Self::Inbound => "inbound",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> PeerAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_mapped_address_is_the_same_peer() {
        assert_eq!(addr("[::ffff:1.2.3.4]:6881"), addr("1.2.3.4:6881"));
    }

    #[test]
    fn only_unicast_addresses_of_the_internet_are_public() {
        for public in [
            "8.8.8.8:1",
            "3.1.2.3:6881",
            "[2a00::1]:6881",
            "[2001:470::1]:6881",
            "172.32.0.1:5",
        ] {
            assert!(addr(public).is_public(), "{public}");
        }
        for other in [
            "8.8.8.8:0",
            "0.1.2.3:1",
            "127.0.0.1:1",
            "10.0.0.1:1",
            "172.16.0.1:1",
            "192.168.1.1:1",
            "169.254.1.1:1",
            "100.64.0.1:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "192.0.2.1:1",
            "198.18.0.1:1",
            "[::1]:1",
            "[fe80::1]:1",
            "[fc00::1]:1",
            "[ff02::1]:1",
            "[2001:db8::1]:1",
            "[2001:0:102:304::1]:1",
            "[2002:7f00:1::1]:1",
            "[::]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(!addr(other).is_public(), "{other}");
        }
        assert!(addr("127.0.0.1:1").is_local() && !addr("127.0.0.1:0").is_local());
        assert!(!addr("224.0.0.1:1").is_local() && !addr("0.0.0.0:1").is_local());
    }

    #[test]
    fn hints_are_addresses_or_names() {
        assert_eq!("1.2.3.4:5".parse(), Ok(PeerHint::Addr(addr("1.2.3.4:5"))));
        assert_eq!(
            "a.example:5".parse(),
            Ok(PeerHint::Host("a.example".into(), 5))
        );
        for bad in [
            "",
            "a.example",
            ":5",
            "1.2.3:5",
            "a b:5",
            "a:70000",
            "::1:80",
            "1.2.3.4:",
        ] {
            assert!(bad.parse::<PeerHint>().is_err(), "{bad}");
        }
    }
}
