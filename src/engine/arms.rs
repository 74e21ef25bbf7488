//! The two arms side by side: which may be used, and which goes first with a hash of whose peers
//! nothing is known.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::Breaker;
use crate::torrent::Arm;

/// What is known of one arm when it is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ArmState {
    /// Whether it runs and its circuit is closed.
    pub(super) usable: bool,
    /// The share of its slots that is taken, 0 to 1.
    pub(super) load: f64,
    /// The median time in which its attempts delivered lately; `None` while unknown.
    pub(super) latency: Option<Duration>,
}

impl ArmState {
    /// How long a delivery should take, with the wait that comes of its load.
    fn expected(&self) -> Option<f64> {
        let free = (1.0 - self.load).max(0.01);
        self.latency.map(|latency| latency.as_secs_f64() / free)
    }
}

/// How much slower the direct arm may be and still go first: each connection of libtorrent's occupies
/// a local port for a minute after it is closed, and takes more memory.
const WORTH_OF_A_PORT: f64 = 1.25;

/// Which arm goes first, and why. The direct arm does, unless it can't or libtorrent is measured to be
/// clearly faster: a host that does not answer occupies it for a fraction of the time, since it has one
/// way to try and libtorrent four. `explore` turns the choice around, so that the other one is measured
/// too.
pub(super) fn first(libtorrent: ArmState, direct: ArmState, explore: bool) -> (Arm, &'static str) {
    if !libtorrent.usable {
        return (Arm::Direct, "libtorrent has no free slot, or does not work");
    }
    if !direct.usable {
        return (Arm::Libtorrent, "the direct arm has no free slot");
    }
    let (faster, why) = match (libtorrent.expected(), direct.expected()) {
        (Some(libtorrent), Some(direct)) if libtorrent * WORTH_OF_A_PORT < direct => {
            (Arm::Libtorrent, "libtorrent delivers faster")
        }
        (Some(_), Some(_)) => (Arm::Direct, "the direct arm delivers as fast"),
        (Some(_), None) => (Arm::Direct, "the direct arm has not delivered yet"),
        (None, _) => (Arm::Direct, "libtorrent has not delivered yet"),
    };
    match (explore, faster) {
        (false, arm) => (arm, why),
        (true, Arm::Direct) => (Arm::Libtorrent, "a look at how libtorrent does"),
        (true, Arm::Libtorrent) => (Arm::Direct, "a look at how the direct arm does"),
    }
}

/// The circuit breakers of both arms.
#[derive(Debug, Default)]
pub(super) struct Breakers {
    libtorrent: Mutex<Breaker>,
    direct: Mutex<Breaker>,
}

impl Breakers {
    fn of(&self, arm: Arm) -> std::sync::MutexGuard<'_, Breaker> {
        let breaker = match arm {
            Arm::Libtorrent => &self.libtorrent,
            Arm::Direct => &self.direct,
        };
        breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a hash may be given to this arm now.
    pub(super) fn would_admit(&self, arm: Arm) -> bool {
        self.of(arm).would_admit(Instant::now())
    }

    /// A hash is given to this arm.
    pub(super) fn pass(&self, arm: Arm) {
        self.of(arm).pass(Instant::now());
    }

    /// The arm got through to a peer.
    pub(super) fn succeeded(&self, arm: Arm) {
        if self.of(arm).succeeded() {
            tracing::info!("the {arm} arm works again");
        }
    }

    /// The arm failed by itself, or at a peer that the other one got metadata from.
    pub(super) fn failed(&self, arm: Arm, detail: &str) {
        if self.of(arm).failed(Instant::now()) {
            tracing::warn!("the {arm} arm keeps failing, and is left alone for a while: {detail}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(latency_ms: Option<u64>) -> ArmState {
        ArmState {
            usable: true,
            load: 0.0,
            latency: latency_ms.map(Duration::from_millis),
        }
    }

    fn chosen(libtorrent: ArmState, direct: ArmState) -> Arm {
        first(libtorrent, direct, false).0
    }

    #[test]
    fn the_direct_arm_first_unless_libtorrent_is_measured_to_be_faster() {
        assert_eq!(chosen(state(None), state(None)), Arm::Direct);
        assert_eq!(chosen(state(Some(50)), state(Some(50))), Arm::Direct);
        assert_eq!(chosen(state(Some(45)), state(Some(50))), Arm::Direct);
        assert_eq!(chosen(state(Some(20)), state(Some(50))), Arm::Libtorrent);
        assert_eq!(chosen(state(Some(50)), state(None)), Arm::Direct);
        assert_eq!(chosen(state(None), state(Some(50))), Arm::Direct);
    }

    #[test]
    fn load_counts_as_time() {
        let busy = ArmState {
            load: 0.9,
            ..state(Some(20))
        };
        assert_eq!(chosen(state(Some(50)), busy), Arm::Libtorrent);
        assert_eq!(chosen(busy, state(Some(50))), Arm::Direct);
    }

    #[test]
    fn what_does_not_work_is_not_chosen_and_exploring_turns_round() {
        let broken = ArmState {
            usable: false,
            ..state(Some(1))
        };
        assert_eq!(chosen(broken, state(None)), Arm::Direct);
        assert_eq!(chosen(state(None), broken), Arm::Libtorrent);
        let (arm, _) = first(state(Some(50)), state(Some(20)), true);
        assert_eq!(arm, Arm::Libtorrent);
    }
}
