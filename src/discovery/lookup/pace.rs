//! When a query counts as late: others are asked meanwhile, and its answer still counts.

use std::sync::Mutex;
use std::time::Duration;

use super::lock;

/// Before anything is known.
const FIRST: Duration = Duration::from_millis(500);
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(1500);
/// Answers that count.
const WINDOW: usize = 128;
/// Answers between two looks.
const BETWEEN: usize = 16;

/// How long answers take. A query is late when it took half as long again as nine of ten do.
#[derive(Debug)]
pub(super) struct Pace(Mutex<Times>);

#[derive(Debug)]
struct Times {
    took: Vec<Duration>,
    next: usize,
    late_after: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self(Mutex::new(Times {
            took: Vec::with_capacity(WINDOW),
            next: 0,
            late_after: FIRST,
        }))
    }
}

impl Pace {
    pub(super) fn late_after(&self) -> Duration {
        lock(&self.0).late_after
    }

    /// An answer came, in time or late. The time includes that before the query was sent: where
    /// queries wait for their turn, none is late for that.
    pub(super) fn took(&self, time: Duration) {
        let mut times = lock(&self.0);
        let next = times.next;
        match times.took.get_mut(next % WINDOW) {
            Some(oldest) => *oldest = time,
            None => times.took.push(time),
        }
        times.next += 1;
        if times.next.is_multiple_of(BETWEEN) {
            let mut sorted = times.took.clone();
            sorted.sort_unstable();
            if let Some(most) = sorted.get(sorted.len() * 9 / 10) {
                times.late_after = (*most + *most / 2).clamp(SHORTEST, LONGEST);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_answers() {
        let pace = Pace::default();
        let ms = Duration::from_millis;
        assert_eq!(pace.late_after(), FIRST);
        for time in 1..=160 {
            pace.took(ms(if time % 16 == 0 { 3000 } else { 200 }));
        }
        assert_eq!(pace.late_after(), ms(300), "few slow ones do not count");
        (0..128).for_each(|_| pace.took(ms(1)));
        assert_eq!(pace.late_after(), SHORTEST);
        (0..128).for_each(|_| pace.took(ms(4000)));
        assert_eq!(pace.late_after(), LONGEST);
    }
}
