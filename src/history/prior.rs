//! What is expected of a peer before it is known: how others of its source, its network, its client
//! and its IP address fared.

use super::{GroupState, Weights};
use crate::torrent::PeerSource;

/// How many observations of a group count as much as what is expected without the group.
const SOURCE_STRENGTH: f64 = 20.0;
const NETWORK_STRENGTH: f64 = 10.0;
const CLIENT_STRENGTH: f64 = 10.0;

/// By how much each further report raises the odds that there is a peer that delivers: the same
/// peer is in the answers of many DHT nodes, an address that never was a peer in few.
const REPORT_ODDS: f64 = 0.5;
/// And those of one that came up as a node of the DHT where it was named as a peer: peers whose node
/// happens to be near the hash are few, nodes that name their like as peers are not.
const GHOST_ODDS: f64 = 0.25;
/// Reports beyond these add nothing.
const REPORTS: u32 = 7;

/// Ports of an IP address that may fail before the address says anything of its other ports.
pub(super) const BARREN_PORTS: f64 = 4.0;

/// How attempts are expected to end: shares, which add up to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Prior {
    pub(super) delivered: f64,
    pub(super) unreachable: f64,
    pub(super) unserved: f64,
    pub(super) misbehaved: f64,
}

impl Prior {
    /// What is expected of a peer of this source before anything was tried. The shares are guesses;
    /// they are worth twenty attempts.
    fn of_source(source: PeerSource) -> Self {
        let (delivered, unreachable, unserved) = match source {
            // The asker says that it has it, or it had it before.
            PeerSource::Hint | PeerSource::Remembered => (0.50, 0.30, 0.19),
            // It is there now, but a call back may not reach it.
            PeerSource::Inbound => (0.40, 0.30, 0.29),
            PeerSource::Lsd => (0.40, 0.20, 0.39),
            PeerSource::Tracker | PeerSource::Pex => (0.18, 0.55, 0.26),
            PeerSource::Dht => (0.05, 0.78, 0.16),
        };
        Self {
            delivered,
            unreachable,
            unserved,
            misbehaved: 0.01,
        }
    }

    /// What is expected of a peer of this source, as its groups fared up to `now_ms`.
    pub(super) fn new(
        source: PeerSource,
        of_source: Option<&GroupState>,
        of_network: Option<&GroupState>,
        of_client: Option<&GroupState>,
        now_ms: i64,
    ) -> Self {
        Self::of_source(source)
            .shrunk(of_source, SOURCE_STRENGTH, now_ms)
            .shrunk(of_network, NETWORK_STRENGTH, now_ms)
            .shrunk(of_client, CLIENT_STRENGTH, now_ms)
    }

    /// Between this, which counts as `strength` observations, and those of the group.
    fn shrunk(self, group: Option<&GroupState>, strength: f64, now_ms: i64) -> Self {
        let Some(group) = group else {
            return self;
        };
        let seen = group.weights.faded(now_ms);
        let Weights {
            delivered,
            unreachable,
            unserved,
            misbehaved,
            ..
        } = seen;
        let total = strength + delivered + unreachable + unserved + misbehaved;
        let mix = |expected: f64, seen: f64| (expected * strength + seen) / total;
        Self {
            delivered: mix(self.delivered, delivered),
            unreachable: mix(self.unreachable, unreachable),
            unserved: mix(self.unserved, unserved),
            misbehaved: mix(self.misbehaved, misbehaved),
        }
    }

    /// The same for an address that was reported so often; 0: as a peer by nodes of the DHT, of which
    /// it is one.
    pub(super) fn reported(self, reports: u32) -> Self {
        if reports == 0 {
            return self.with_odds(GHOST_ODDS);
        }
        let further = f64::from(reports.clamp(1, REPORTS) - 1);
        self.with_odds(1.0 + REPORT_ODDS * further)
    }

    /// The same for an IP address on which that many ports failed and none delivered.
    pub(super) fn on_barren_ip(self, ports: f64) -> Self {
        if ports < BARREN_PORTS {
            return self;
        }
        self.with_odds(BARREN_PORTS / (BARREN_PORTS + ports))
    }

    /// The same, with the odds of a delivery times `factor`.
    fn with_odds(self, factor: f64) -> Self {
        let failing = 1.0 - self.delivered;
        let total = self.delivered * factor + failing;
        Self {
            delivered: self.delivered * factor / total,
            unreachable: self.unreachable / total,
            unserved: self.unserved / total,
            misbehaved: self.misbehaved / total,
        }
    }
}
