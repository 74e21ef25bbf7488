//! Whose turn it is: each source gets time in work in proportion to its weight, while it has something to do.
//!
//! Stride scheduling over time instead of turns. A source pays for what begins by what its hashes usually
//! take, and the difference when they end: one whose hashes are dead and take a minute each does not crowd
//! out one whose hashes take a second. Who had nothing to do comes back with neither credit nor debt. No
//! place stays free while anybody may begin something.

use std::time::Duration;

/// How many sources there are.
pub(super) const SOURCES: usize = super::SourceName::ALL.len();

/// What a hash is taken to cost, in seconds, before one of its source has ended.
const COST: f64 = 1.0;
/// What one is taken to cost at the least and at the most.
const COSTS: (f64, f64) = (0.001, 600.0);
/// The share of the last cost in the usual one.
const NEWS: f64 = 0.125;

/// What a turn was paid with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Turn {
    source: usize,
    paid: f64,
}

#[derive(Clone, Copy, Debug)]
struct Share {
    weight: f64,
    /// Seconds in work that it has paid for, by its weight.
    paid: f64,
    /// What a hash of it usually takes, in seconds.
    cost: f64,
    /// Whether it could have begun something the last time.
    competes: bool,
}

/// The shares of all sources.
#[derive(Clone, Debug)]
pub(super) struct Fair {
    shares: [Share; SOURCES],
    /// What the source had paid whose turn was last.
    now: f64,
}

impl Fair {
    pub(super) fn new(weights: [u32; SOURCES]) -> Self {
        let share = |weight: u32| Share {
            weight: f64::from(weight.max(1)),
            paid: 0.0,
            cost: COST,
            competes: false,
        };
        Self {
            shares: weights.map(share),
            now: 0.0,
        }
    }

    /// Changes the weights from now on.
    pub(super) fn set_weights(&mut self, weights: [u32; SOURCES]) {
        for (share, weight) in self.shares.iter_mut().zip(weights) {
            share.weight = f64::from(weight.max(1));
        }
    }

    /// Whose turn it is among those that may begin something, and what it pays.
    pub(super) fn next(&mut self, may_begin: [bool; SOURCES]) -> Option<(usize, Turn)> {
        let now = self.now;
        let mut first: Option<(usize, f64)> = None;
        for (source, (share, may)) in self.shares.iter_mut().zip(may_begin).enumerate() {
            if may && !share.competes {
                share.paid = share.paid.clamp(now, now + share.cost / share.weight);
            }
            share.competes = may;
            if may && first.is_none_or(|(_, least)| share.paid < least) {
                first = Some((source, share.paid));
            }
        }
        let (source, paid) = first?;
        self.now = self.now.max(paid);
        let share = self.shares.get_mut(source)?;
        let turn = Turn {
            source,
            paid: share.cost,
        };
        share.paid += share.cost / share.weight;
        Some((source, turn))
    }

    /// What came of a turn, and how long that took.
    pub(super) fn ended(&mut self, turn: Turn, took: Duration) {
        let Some(share) = self.shares.get_mut(turn.source) else {
            return;
        };
        let took = took.as_secs_f64().clamp(COSTS.0, COSTS.1);
        share.paid += (took - turn.paid) / share.weight;
        share.cost += (took - share.cost) * NEWS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places that work by a clock of their own: how many seconds of work each source got, and how many
    /// hashes ended.
    struct Places {
        fair: Fair,
        jobs: usize,
        /// What a hash of each source takes, in milliseconds; 0 for a source that has nothing to do.
        takes: [u64; SOURCES],
        limits: [usize; SOURCES],
        in_work: Vec<(u64, usize, Turn, u64)>,
        now: u64,
        worked: [u64; SOURCES],
        ended: [u64; SOURCES],
    }

    impl Places {
        fn new(jobs: usize, weights: [u32; SOURCES], takes: [u64; SOURCES]) -> Self {
            Self {
                fair: Fair::new(weights),
                jobs,
                takes,
                limits: [usize::MAX; SOURCES],
                in_work: Vec::new(),
                now: 0,
                worked: [0; SOURCES],
                ended: [0; SOURCES],
            }
        }

        fn of(&self, source: usize) -> usize {
            self.in_work.iter().filter(|work| work.1 == source).count()
        }

        /// Until that time, in milliseconds.
        fn run(&mut self, until: u64) {
            while self.now < until {
                while self.in_work.len() < self.jobs {
                    let mut may = [false; SOURCES];
                    for (source, may) in may.iter_mut().enumerate() {
                        *may = self.takes[source] > 0 && self.of(source) < self.limits[source];
                    }
                    let Some((source, turn)) = self.fair.next(may) else {
                        assert_eq!(may, [false; SOURCES], "a place stays free");
                        break;
                    };
                    let takes = self.takes[source];
                    self.in_work.push((self.now + takes, source, turn, takes));
                }
                let next = (0..self.in_work.len()).min_by_key(|index| self.in_work[*index].0);
                let Some(next) = next else { return };
                let (at, source, turn, took) = self.in_work.swap_remove(next);
                self.now = at;
                self.fair.ended(turn, Duration::from_millis(took));
                self.worked[source] += took;
                self.ended[source] += 1;
            }
        }

        #[expect(clippy::cast_precision_loss, reason = "some millions")]
        fn share(&self, source: usize) -> f64 {
            self.worked[source] as f64 / self.worked.iter().sum::<u64>() as f64
        }
    }

    fn is_near(share: f64, expected: f64) {
        assert!((share - expected).abs() < 0.05, "{share} for {expected}");
    }

    #[test]
    fn time_in_work_is_shared_by_weight_whatever_a_hash_takes() {
        for (places, until) in [(1, 4_000_000), (4, 1_000_000), (40, 400_000)] {
            let mut work = Places::new(places, [3, 1, 1, 5], [200, 50, 0, 20_000]);
            work.run(until);
            is_near(work.share(0), 3.0 / 9.0);
            is_near(work.share(1), 1.0 / 9.0);
            is_near(work.share(3), 5.0 / 9.0);
        }
    }

    #[test]
    fn who_is_alone_gets_all_and_who_has_a_limit_leaves_the_rest_to_others() {
        let mut alone = Places::new(10, [1, 1, 1, 1], [0, 0, 0, 1_000]);
        alone.run(100_000);
        assert!(alone.ended[3] >= 990, "{:?}", alone.ended);
        let mut limited = Places::new(10, [100, 1, 1, 1], [1_000, 0, 0, 1_000]);
        limited.limits[0] = 2;
        limited.run(500_000);
        is_near(limited.share(0), 0.2);
        is_near(limited.share(3), 0.8);
    }

    #[test]
    fn who_was_idle_begins_at_once_but_gets_no_more_than_its_share_later() {
        let mut work = Places::new(4, [1, 1, 1, 1], [0, 0, 0, 1_000]);
        work.run(1_000_000);
        work.takes[0] = 1_000;
        let (source, _) = work.fair.next([true, false, false, true]).unwrap();
        assert_eq!(source, 0, "it had nothing to do for long");
        work.worked = [0; SOURCES];
        work.run(1_500_000);
        is_near(work.share(0), 0.5);
    }

    #[test]
    fn a_weight_that_changes_counts_from_then_on() {
        let mut work = Places::new(10, [1, 1, 1, 1], [100, 0, 0, 100]);
        work.run(100_000);
        is_near(work.share(0), 0.5);
        work.fair.set_weights([9, 1, 1, 1]);
        work.worked = [0; SOURCES];
        work.run(300_000);
        is_near(work.share(0), 0.9);
    }

    #[test]
    fn nobody_is_starved_by_one_with_all_the_weight() {
        let mut work = Places::new(1, [10_000, 1, 1, 1], [10, 0, 0, 10]);
        work.run(1_000_000);
        assert!(work.ended[3] >= 5, "{:?}", work.ended);
    }
}
