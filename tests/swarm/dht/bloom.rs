//! The Bloom filters of DHT scrapes (BEP 33): 2,048 bits, two of them for each IP address.

use std::net::IpAddr;

use sha1::{Digest as _, Sha1};

/// The 256 bytes of a filter that holds these addresses.
pub(super) fn filter(ips: impl Iterator<Item = IpAddr>) -> Vec<u8> {
    let mut bits = vec![0; 256];
    for ip in ips {
        let hash = match ip {
            IpAddr::V4(ip) => Sha1::digest(ip.octets()),
            IpAddr::V6(ip) => Sha1::digest(ip.octets()),
        };
        for at in [0, 2] {
            let bit = usize::from(u16::from_le_bytes([hash[at], hash[at + 1]])) % 2048;
            bits[bit / 8] |= 1 << (bit % 8);
        }
    }
    bits
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn the_test_vector_of_the_bep() {
        let v4 = (0..=255).map(|host| IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)));
        let v6 =
            (0..=0x3e7).map(|host| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host)));
        let filter = filter(v4.chain(v6));
        assert_eq!(
            filter[..8],
            [0xf6, 0xc3, 0xf5, 0xea, 0xa0, 0x7f, 0xfd, 0x91]
        );
        assert_eq!(filter[252..], [0xfd, 0x8f, 0x72, 0xef]);
    }
}
