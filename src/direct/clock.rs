//! How far an attempt is, for whoever looks at it from outside while it runs: no locks, and no more than a store for each
//! read of the socket.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::telemetry::{self, catalogue::PHASE_TIME};
use crate::torrent::{Arm, Phase};

/// What times are counted from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// How a peer is that is being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerState {
    /// For how long nothing has come from it; `None` where nothing has come yet.
    pub silent: Option<Duration>,
    /// Whether it chokes us, as everybody does at first.
    pub choking_us: bool,
    /// Whether it wants pieces of us.
    pub interested_in_us: bool,
    /// Blocks of the dictionary that are here, and all of them; 0 while it is not known how many they are.
    pub blocks: (u32, u32),
}

/// What is known of the peer of an attempt that runs.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// When its present phase began: microseconds, 0 for never.
    entered: AtomicU64,
    /// When something last came.
    heard: AtomicU64,
    unchoked: AtomicBool,
    interested: AtomicBool,
    blocks: AtomicU32,
    of: AtomicU32,
}

impl Clock {
    /// The attempt goes from one phase to a later one.
    pub(super) fn entered(&self, left: Phase) {
        if !telemetry::is_on() {
            return;
        }
        let now = now_us();
        let since = self.entered.swap(now, Ordering::Relaxed);
        if since > 0 {
            let took = Duration::from_micros(now.saturating_sub(since));
            PHASE_TIME.took([Arm::Direct.as_str(), left.as_str()], took);
        }
    }

    /// Something came.
    pub(super) fn heard(&self) {
        self.heard.store(now_us(), Ordering::Relaxed);
    }

    /// This message came.
    pub(super) fn saw(&self, name: &str) {
        match name {
            "choke" => self.unchoked.store(false, Ordering::Relaxed),
            "unchoke" => self.unchoked.store(true, Ordering::Relaxed),
            "interested" => self.interested.store(true, Ordering::Relaxed),
            "not_interested" => self.interested.store(false, Ordering::Relaxed),
            _ => {}
        }
    }

    /// So many blocks are here, of so many.
    pub(super) fn blocks(&self, here: usize, of: usize) {
        let count = |blocks| u32::try_from(blocks).unwrap_or(u32::MAX);
        self.blocks.store(count(here), Ordering::Relaxed);
        self.of.store(count(of), Ordering::Relaxed);
    }

    pub(super) fn state(&self) -> PeerState {
        let heard = self.heard.load(Ordering::Relaxed);
        let silent = Duration::from_micros(now_us().saturating_sub(heard));
        PeerState {
            silent: (heard > 0).then_some(silent),
            choking_us: !self.unchoked.load(Ordering::Relaxed),
            interested_in_us: self.interested.load(Ordering::Relaxed),
            blocks: (
                self.blocks.load(Ordering::Relaxed),
                self.of.load(Ordering::Relaxed),
            ),
        }
    }
}

fn now_us() -> u64 {
    u64::try_from(START.elapsed().as_micros())
        .unwrap_or(u64::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_said_is_seen_from_outside() {
        let clock = Clock::default();
        let state = clock.state();
        assert_eq!(state.silent, None);
        assert!(state.choking_us && !state.interested_in_us);
        for name in ["unchoke", "interested", "have"] {
            clock.saw(name);
        }
        clock.heard();
        clock.blocks(3, 7);
        let state = clock.state();
        assert!(state.silent.is_some_and(|it| it < Duration::from_secs(60)));
        assert!(!state.choking_us && state.interested_in_us);
        assert_eq!(state.blocks, (3, 7));
        clock.saw("choke");
        assert!(clock.state().choking_us);
    }
}
