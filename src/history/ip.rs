//! What is known of an IP address: many ports that fail, and none that delivers, are no peers.

use super::Fact;
use super::weights::fading;

/// How long until a port that failed counts half.
const HALF_LIFE_MS: i64 = 6 * 60 * 60_000;
/// For how long a delivery speaks for the address.
const DELIVERY_MS: i64 = 2 * 24 * 60 * 60_000;
/// Who misbehaves on one port does so on others: it counts as so many ports.
const MISBEHAVED_PORTS: f32 = 4.0;
/// Ports that are remembered, so that each counts once.
const PORTS: usize = 8;

/// What is known of an IP address. Many peers may share one: behind NAT or a VPN, say.
#[derive(Clone, Copy, Debug)]
pub(super) struct IpFacts {
    ports: [u16; PORTS],
    next: u8,
    failed: f32,
    at_ms: i64,
    delivered_at_ms: i64,
}

impl Default for IpFacts {
    fn default() -> Self {
        Self {
            ports: [0; PORTS],
            next: 0,
            failed: 0.0,
            at_ms: 0,
            delivered_at_ms: i64::MIN,
        }
    }
}

impl IpFacts {
    /// Adds what an attempt at a port said.
    pub(super) fn add(&mut self, port: u16, fact: Fact, at_ms: i64) {
        let ports = match fact {
            Fact::Delivered => {
                *self = Self {
                    delivered_at_ms: self.delivered_at_ms.max(at_ms),
                    ..Self::default()
                };
                return;
            }
            Fact::Unreachable | Fact::Silent => 1.0,
            Fact::Misbehaved => MISBEHAVED_PORTS,
            Fact::Incapable | Fact::NeedsEncryption | Fact::NotServed | Fact::Nothing => return,
        };
        if self.ports.contains(&port) {
            return;
        }
        if let Some(slot) = self.ports.get_mut(usize::from(self.next) % PORTS) {
            *slot = port;
        }
        self.next = self.next.wrapping_add(1);
        #[expect(clippy::cast_possible_truncation, reason = "a count of ports")]
        let failed = self.failed_ports(at_ms) as f32;
        self.failed = failed + ports;
        self.at_ms = self.at_ms.max(at_ms);
    }

    /// How many ports failed, faded; 0 where one delivered of late.
    pub(super) fn failed_ports(&self, now_ms: i64) -> f64 {
        if now_ms.saturating_sub(self.delivered_at_ms) < DELIVERY_MS {
            return 0.0;
        }
        f64::from(self.failed) * fading(now_ms.saturating_sub(self.at_ms), HALF_LIFE_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_counts_once_and_a_delivery_clears_them() {
        let mut ip = IpFacts::default();
        for port in [1, 1, 2, 3, 2] {
            ip.add(port, Fact::Unreachable, 1_000);
        }
        assert!((ip.failed_ports(1_000) - 3.0).abs() < 1e-6);
        assert!((ip.failed_ports(1_000 + HALF_LIFE_MS) - 1.5).abs() < 1e-6);
        ip.add(4, Fact::NotServed, 2_000);
        assert!((ip.failed_ports(1_000) - 3.0).abs() < 1e-6, "it is a peer");
        ip.add(5, Fact::Delivered, 3_000);
        ip.add(6, Fact::Unreachable, 4_000);
        assert!(ip.failed_ports(5_000) < 1e-6);
    }

    #[test]
    fn one_liar_speaks_for_its_whole_address() {
        let mut ip = IpFacts::default();
        ip.add(1, Fact::Misbehaved, 1_000);
        assert!(ip.failed_ports(1_000) >= super::super::prior::BARREN_PORTS);
    }
}
