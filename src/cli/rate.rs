//! How much of a count came in the last minute.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

/// The last minute of a count that only grows. Looked at about once a second, it takes 60 entries.
#[derive(Clone, Debug, Default)]
pub(super) struct Minute {
    /// The count at moments of the last minute, and the last one before.
    seen: VecDeque<(Instant, u64)>,
    peak: u64,
}

impl Minute {
    /// Notes the count. How much of it came in the minute before `now`; all of it within the first
    /// minute.
    pub(super) fn note(&mut self, now: Instant, total: u64) -> u64 {
        if self.seen.is_empty() {
            self.seen.push_back((now, 0));
        }
        self.seen.push_back((now, total));
        let is_past = |(at, _): &(Instant, u64)| now.saturating_duration_since(*at) >= MINUTE;
        while self.seen.len() > 2 && self.seen.get(1).is_some_and(is_past) {
            self.seen.pop_front();
        }
        let before = self.seen.front().map_or(0, |(_, total)| *total);
        let count = total.saturating_sub(before);
        self.peak = self.peak.max(count);
        count
    }

    /// The most of any minute so far.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_minute_counts_and_the_busiest_is_remembered() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut minute = Minute::default();
        assert_eq!(minute.note(at(0), 5), 5);
        for second in 1..=30 {
            minute.note(at(second), 5 + second);
        }
        assert_eq!(minute.note(at(60), 35), 30);
        assert_eq!(minute.note(at(80), 35), 10);
        assert_eq!(minute.note(at(300), 35), 0);
        assert_eq!(minute.peak(), 35);
        assert!(minute.seen.len() < 5, "{minute:?}");
    }
}
