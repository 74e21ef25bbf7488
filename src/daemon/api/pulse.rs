//! How fast it goes: what the last minute and the whole run came to, counted from the events.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::broadcast::error::RecvError;

use crate::daemon::{Event, Service};
use crate::torrent::Reason;

/// Seconds that a rate is taken over.
const WINDOW: u64 = 60;
const SLOTS: usize = 60;

/// Counts of the service's run.
#[derive(Clone)]
pub(super) struct Pulse(Arc<Mutex<Counts>>);

/// What one moment, or all of them, came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) queued: u64,
    pub(super) started: u64,
    pub(super) resolved: u64,
    pub(super) failed: u64,
}

struct Counts {
    since: Instant,
    total: Tally,
    reasons: BTreeMap<Reason, u64>,
    /// Of each of the last seconds, with the number of the second.
    slots: [(u64, Tally); SLOTS],
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) total: Tally,
    pub(super) minute: Tally,
    pub(super) reasons: BTreeMap<Reason, u64>,
}

impl Pulse {
    /// Counts from now on, as long as the service is there.
    pub(super) fn start(service: &Service) -> Self {
        let pulse = Self(Arc::new(Mutex::new(Counts {
            since: Instant::now(),
            total: Tally::default(),
            reasons: BTreeMap::new(),
            slots: [(0, Tally::default()); SLOTS],
        })));
        let mut events = service.events();
        let counting = pulse.clone();
        tokio::spawn(async move {
            loop {
                match events.recv().await {
                    Ok(event) => counting.count(&event),
                    Err(RecvError::Lagged(missed)) => {
                        tracing::debug!("{missed} events are not in the rates");
                    }
                    Err(RecvError::Closed) => break,
                }
            }
        });
        pulse
    }

    fn count(&self, event: &Event) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let second = counts.since.elapsed().as_secs();
        counts.add(event, second);
    }

    /// What was counted so far.
    pub(super) fn counted(&self) -> Counted {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.counted(counts.since.elapsed().as_secs())
    }
}

impl Counts {
    fn add(&mut self, event: &Event, second: u64) {
        let one = match event {
            Event::Queued { .. } => Tally {
                queued: 1,
                ..Tally::default()
            },
            Event::Started { .. } => Tally {
                started: 1,
                ..Tally::default()
            },
            Event::Resolved { .. } => Tally {
                resolved: 1,
                ..Tally::default()
            },
            Event::Failed { reason, .. } => {
                *self.reasons.entry(*reason).or_default() += 1;
                Tally {
                    failed: 1,
                    ..Tally::default()
                }
            }
            _ => return,
        };
        self.total.add(&one);
        let slot = usize::try_from(second % WINDOW).unwrap_or_default();
        if let Some((of, tally)) = self.slots.get_mut(slot) {
            if *of != second {
                (*of, *tally) = (second, Tally::default());
            }
            tally.add(&one);
        }
    }

    fn counted(&self, second: u64) -> Counted {
        let mut minute = Tally::default();
        for (of, tally) in &self.slots {
            if second.saturating_sub(*of) < WINDOW {
                minute.add(tally);
            }
        }
        Counted {
            total: self.total,
            minute,
            reasons: self.reasons.clone(),
        }
    }
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.queued = self.queued.saturating_add(other.queued);
        self.started = self.started.saturating_add(other.started);
        self.resolved = self.resolved.saturating_add(other.resolved);
        self.failed = self.failed.saturating_add(other.failed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::SourceName;
    use crate::torrent::Phase;

    #[test]
    fn a_minute_is_the_last_sixty_seconds() {
        let mut counts = Counts {
            since: Instant::now(),
            total: Tally::default(),
            reasons: BTreeMap::new(),
            slots: [(0, Tally::default()); SLOTS],
        };
        let failed = Event::Failed {
            infohash: String::new(),
            source: SourceName::Api,
            reason: Reason::NoPeers,
            phase: Phase::Lookup,
            detail: String::new(),
            retry_at: None,
            elapsed_ms: 1,
        };
        for second in [0, 0, 1, 59] {
            counts.add(&failed, second);
        }
        assert_eq!(counts.counted(59).minute.failed, 4);
        assert_eq!(counts.counted(60).minute.failed, 2);
        counts.add(&failed, 60);
        assert_eq!(counts.counted(60).minute.failed, 3);
        assert_eq!(counts.counted(1000).minute.failed, 0);
        assert_eq!(counts.counted(1000).total.failed, 5);
        assert_eq!(counts.counted(1000).reasons[&Reason::NoPeers], 5);
    }
}
