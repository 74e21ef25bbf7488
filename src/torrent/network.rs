//! Networks: neighbours of a peer tend to fare as it does.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::PeerAddr;

/// A network: a /24 of IPv4, which is one provider's, or a /64 of IPv6, which is one subscriber's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Network {
    /// The first three bytes of an IPv4 address.
    V4([u8; 3]),
    /// The first 64 bits of an IPv6 address.
    V6(u64),
}

impl Network {
    /// The network of a peer.
    #[must_use]
    pub fn of(peer: &PeerAddr) -> Self {
        match peer.ip() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(ip) => Self::V6(u64::try_from(ip.to_bits() >> 64).unwrap_or_default()),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4([a, b, c]) => write!(f, "{a}.{b}.{c}.0/24"),
            Self::V6(bits) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(bits) << 64)),
        }
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (ip, length) = text.split_once('/').ok_or(())?;
        let network = match length {
            "24" => IpAddr::V4(ip.parse::<Ipv4Addr>().map_err(|_| ())?),
            "64" => IpAddr::V6(ip.parse::<Ipv6Addr>().map_err(|_| ())?),
            _ => return Err(()),
        };
        Ok(Self::of(&PeerAddr::new(network, 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_back() {
        for (peer, name) in [
            ("1.2.3.4:5", "1.2.3.0/24"),
            ("[2a00:1:2:3:4::5]:6", "2a00:1:2:3::/64"),
            ("[::1]:6", "::/64"),
            ("[::ffff:1.2.3.4]:5", "1.2.3.0/24"),
        ] {
            let network = Network::of(&peer.parse().unwrap());
            assert_eq!(network.to_string(), name);
            assert_eq!(name.parse(), Ok(network));
        }
        for bad in ["", "1.2.3.0", "1.2.3.0/16", "::/24", "a/64"] {
            assert_eq!(bad.parse::<Network>(), Err(()), "{bad}");
        }
    }
}
