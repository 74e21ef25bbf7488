//! How long an answer may take, learnt from how long answers took.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Before anything is known.
const FIRST: Duration = Duration::from_secs(2);
const SHORTEST: Duration = Duration::from_millis(300);
pub(super) const LONGEST: Duration = Duration::from_secs(4);
/// Answers before the first deadline is replaced, and between two looks at the quantile.
const ENOUGH: u32 = 32;
/// Answers after which each counts half as much: the network changes, and so does ours.
const HALVED_AFTER: u32 = 2048;
/// Of a hundred answers, how many must have come by the quantile.
const QUANTILE: u32 = 97;
/// The width of a step of the histogram, and how many steps there are: up to 5 s.
const STEP_MS: u128 = 20;
const STEPS: usize = 250;

#[derive(Debug)]
struct Histogram {
    steps: [u32; STEPS],
    since_halved: u32,
    since_looked: u32,
}

/// The deadline of queries: the quantile and a quarter, between a floor and a cap.
#[derive(Debug)]
pub(super) struct Deadline {
    millis: AtomicU32,
    took: Mutex<Histogram>,
}

impl Default for Deadline {
    fn default() -> Self {
        Self {
            millis: AtomicU32::new(millis(FIRST)),
            took: Mutex::new(Histogram {
                steps: [0; STEPS],
                since_halved: 0,
                since_looked: 0,
            }),
        }
    }
}

impl Deadline {
    pub(super) fn get(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::Relaxed).into())
    }

    /// Takes in how long an answer took, be it within the deadline or late.
    pub(super) fn took(&self, rtt: Duration) {
        let mut took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        let step = usize::try_from(rtt.as_millis() / STEP_MS)
            .unwrap_or(STEPS)
            .min(STEPS - 1);
        if let Some(count) = took.steps.get_mut(step) {
            *count = count.saturating_add(1);
        }
        took.since_looked += 1;
        took.since_halved += 1;
        if took.since_looked < ENOUGH {
            return;
        }
        took.since_looked = 0;
        if let Some(quantile) = quantile(&took.steps) {
            let deadline = (quantile + quantile / 4).clamp(SHORTEST, LONGEST);
            self.millis.store(millis(deadline), Ordering::Relaxed);
        }
        if took.since_halved >= HALVED_AFTER {
            took.since_halved = 0;
            for count in &mut took.steps {
                *count /= 2;
            }
        }
    }
}

/// By when the answers of [`QUANTILE`] have come.
fn quantile(steps: &[u32]) -> Option<Duration> {
    let all: u64 = steps.iter().copied().map(u64::from).sum();
    let wanted = (all * u64::from(QUANTILE)).div_ceil(100);
    let mut so_far = 0;
    let step = steps.iter().position(|count| {
        so_far += u64::from(*count);
        so_far >= wanted
    })?;
    let millis = (step as u128 + 1) * STEP_MS;
    Some(Duration::from_millis(u64::try_from(millis).ok()?))
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(times: impl IntoIterator<Item = u64>) -> Duration {
        let deadline = Deadline::default();
        for time in times {
            deadline.took(Duration::from_millis(time));
        }
        deadline.get()
    }

    #[test]
    fn it_follows_the_slow_answers_between_floor_and_cap() {
        assert_eq!(after([]), FIRST);
        assert_eq!(after([100; 31]), FIRST);
        assert_eq!(after([1; 32]), SHORTEST);
        assert_eq!(after([400; 32]), Duration::from_millis(525));
        assert_eq!(after([3900; 64]), LONGEST);
        assert_eq!(after([60_000; 64]), LONGEST);
        // Six of a hundred are slow: they are waited for. Two of a hundred are not.
        let slow =
            |of_hundred: u64| (0..1600).map(move |n| if n % 100 < of_hundred { 1000 } else { 50 });
        assert_eq!(after(slow(6)), Duration::from_millis(1275));
        assert_eq!(after(slow(2)), SHORTEST);
    }

    #[test]
    fn it_forgets() {
        let deadline = Deadline::default();
        for _ in 0..10_000 {
            deadline.took(Duration::from_secs(3));
        }
        assert!(deadline.get() > Duration::from_secs(3));
        for _ in 0..40_000 {
            deadline.took(Duration::from_millis(30));
        }
        assert_eq!(deadline.get(), SHORTEST);
    }
}
