//! How busy the engine is.

use super::Engine;
use crate::libtorrent::Libtorrent;
use crate::torrent::Arm;

/// How busy the engine is at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Hashes that are being worked on.
    pub in_work: u64,
    /// The libtorrent arm; torrents that it has.
    pub libtorrent: ArmFigures,
    /// The direct arm; connections that it has open.
    pub direct: ArmFigures,
}

/// How busy an arm is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArmFigures {
    /// What it has open.
    pub open: u64,
    /// How much it may have open; 0 where it does not run.
    pub limit: u64,
    /// Whether it is left alone for a while, since it kept failing.
    pub paused: bool,
}

impl Figures {
    /// Those of one arm.
    #[must_use]
    pub fn of(&self, arm: Arm) -> ArmFigures {
        match arm {
            Arm::Libtorrent => self.libtorrent,
            Arm::Direct => self.direct,
        }
    }
}

impl Engine {
    /// How busy it is now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let stations = &self.stations;
        let arm = |arm: Arm, limit: usize, free: usize| ArmFigures {
            open: count(limit.saturating_sub(free)),
            limit: count(limit),
            paused: !stations.breakers.would_admit(arm),
        };
        let torrents = match &stations.libtorrent {
            Some(_) => stations.options.libtorrent.max_torrents,
            None => 0,
        };
        let free = (stations.libtorrent.as_ref()).map_or(0, Libtorrent::free_slots);
        let connections = stations.options.direct.limits.connections.max(1);
        Figures {
            in_work: count(self.in_flight.len()),
            libtorrent: arm(Arm::Libtorrent, torrents, free),
            direct: arm(Arm::Direct, connections, stations.direct.free_slots()),
        }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
