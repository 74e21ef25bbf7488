//! How many nodes of the frontier live behind one IP address and in one network.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::options::CrawlOptions;
use crate::torrent::PeerAddr;

/// Counts nodes by IP address, and by IPv4 /24 or IPv6 /64. One host may claim as many ids as it has
/// ports; a frontier full of them is a frontier of one host.
#[derive(Debug)]
pub(super) struct Crowd {
    per_ip: usize,
    per_network: usize,
    allow_local: bool,
    ips: HashMap<IpAddr, usize>,
    networks: HashMap<IpAddr, usize>,
}

impl Crowd {
    pub(super) fn new(options: &CrawlOptions) -> Self {
        Self {
            per_ip: options.nodes_per_ip,
            per_network: options.nodes_per_network,
            allow_local: options.allow_local,
            ips: HashMap::new(),
            networks: HashMap::new(),
        }
    }

    /// Whether a node may live at this address at all.
    pub(super) fn allows(&self, addr: &PeerAddr) -> bool {
        addr.is_public() || self.allow_local && addr.is_local()
    }

    /// Whether one more node fits behind this address.
    pub(super) fn has_room(&self, addr: &PeerAddr) -> bool {
        let count = |counts: &HashMap<_, _>, key| counts.get(&key).copied().unwrap_or(0);
        addr.is_local()
            || count(&self.ips, addr.ip()) < self.per_ip
                && count(&self.networks, network(addr.ip())) < self.per_network
    }

    /// A node came in.
    pub(super) fn add(&mut self, addr: &PeerAddr) {
        if !addr.is_local() {
            *self.ips.entry(addr.ip()).or_default() += 1;
            *self.networks.entry(network(addr.ip())).or_default() += 1;
        }
    }

    /// A node went.
    pub(super) fn remove(&mut self, addr: &PeerAddr) {
        if !addr.is_local() {
            decrease(&mut self.ips, addr.ip());
            decrease(&mut self.networks, network(addr.ip()));
        }
    }
}

fn decrease(counts: &mut HashMap<IpAddr, usize>, key: IpAddr) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// The /24 of an IPv4 address, the /64 of an IPv6 address.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & !0xff).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> PeerAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ips_and_networks_have_a_limit_that_local_ones_have_not() {
        let options = CrawlOptions {
            nodes_per_ip: 2,
            nodes_per_network: 3,
            allow_local: true,
            ..CrawlOptions::default()
        };
        let mut crowd = Crowd::new(&options);
        let mut add = |text: &str| {
            let addr = addr(text);
            let fits = crowd.has_room(&addr);
            if fits {
                crowd.add(&addr);
            }
            fits
        };
        assert!(add("8.8.8.8:1") && add("8.8.8.8:2") && !add("8.8.8.8:3"));
        assert!(add("8.8.8.9:1") && !add("8.8.8.10:1") && add("8.8.9.8:1"));
        assert!(add("[2600::1:0:0:0:1]:1") && add("[2600::1:0:0:0:2]:1"));
        assert!(add("[2600::1:0:0:0:3]:1") && !add("[2600::1:0:0:0:4]:1"));
        assert!((1..100).all(|port| add(&format!("127.0.0.1:{port}"))));
        crowd.remove(&addr("8.8.8.8:1"));
        assert!(crowd.has_room(&addr("8.8.8.8:3")) && crowd.has_room(&addr("8.8.8.10:3")));
    }

    #[test]
    fn local_addresses_need_leave() {
        let crowd = Crowd::new(&CrawlOptions::default());
        assert!(crowd.allows(&addr("8.8.8.8:1")));
        for text in ["127.0.0.1:1", "10.0.0.1:1", "8.8.8.8:0", "224.0.0.1:1"] {
            assert!(!crowd.allows(&addr(text)), "{text}");
        }
    }
}
