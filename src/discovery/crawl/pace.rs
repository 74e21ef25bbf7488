//! How many queries a second: more while nodes answer, less when those that should do not.

use super::options::CrawlOptions;

/// Answers and failures are judged over so long.
const WINDOW_MS: i64 = 2_000;
/// Fewer results of good nodes than this say nothing.
const MIN_RESULTS: u32 = 10;
/// The share of good nodes that may stay silent. One in ten goes away by itself.
const SILENT_SHARE: f32 = 0.3;
/// What is left of the rate after a bad window.
const DECREASE: f32 = 0.7;
/// A good window adds so much of the highest rate.
const INCREASE: f32 = 0.05;

/// Additive increase, multiplicative decrease over the queries a second.
#[derive(Debug)]
pub(super) struct Pace {
    rate: f32,
    highest: f32,
    lowest: f32,
    first: f32,
    window_ends_ms: i64,
    good_answered: u32,
    good_silent: u32,
    away: bool,
    /// Queries that may be sent now, in part.
    tokens: f32,
    counted_ms: i64,
}

impl Pace {
    pub(super) fn new(options: &CrawlOptions, now_ms: i64) -> Self {
        let lowest = options.min_rate.max(0.01);
        let highest = options.rate.max(lowest);
        let first = options.first_rate.clamp(lowest, highest);
        Self {
            rate: first,
            highest,
            lowest,
            first,
            window_ends_ms: now_ms.saturating_add(WINDOW_MS),
            good_answered: 0,
            good_silent: 0,
            away: false,
            tokens: 1.0,
            counted_ms: now_ms,
        }
    }

    /// Queries a second, as it is now, when hashes are wanted as much as `hungry` says (0 to 1).
    pub(super) fn rate(&self, hungry: f32) -> f32 {
        if self.away {
            return self.lowest;
        }
        (self.rate * hungry.clamp(0.0, 1.0)).max(self.lowest)
    }

    /// Whether the network seems to be away: then a silent node is not to blame.
    pub(super) fn is_away(&self) -> bool {
        self.away
    }

    /// Whether one more query may be sent now. It counts as sent.
    pub(super) fn take(&mut self, hungry: f32, now_ms: i64) -> bool {
        let rate = self.rate(hungry);
        let elapsed = now_ms.saturating_sub(self.counted_ms).clamp(0, 10_000);
        self.counted_ms = now_ms;
        // What may be sent at once after a pause: a tenth of a second's worth.
        let burst = (rate / 10.0).max(1.0);
        #[expect(clippy::cast_precision_loss, reason = "10,000 at the most")]
        let earned = rate * elapsed as f32 / 1000.0;
        self.tokens = (self.tokens + earned).min(burst);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    /// Whether the network seems to be away, as the DHT node has it. Says whether that is news.
    pub(super) fn network(&mut self, away: bool, now_ms: i64) -> bool {
        if away == self.away {
            return false;
        }
        self.away = away;
        if !away {
            self.rate = self.first;
            self.start_window(now_ms);
        }
        true
    }

    /// A node answered; `good`: one that answered the time before, too.
    pub(super) fn answered(&mut self, good: bool, now_ms: i64) {
        self.good_answered = self.good_answered.saturating_add(u32::from(good));
        self.end_window(now_ms);
    }

    /// A node did not answer.
    pub(super) fn silent(&mut self, good: bool, now_ms: i64) {
        self.good_silent = self.good_silent.saturating_add(u32::from(good));
        self.end_window(now_ms);
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of two seconds")]
    fn end_window(&mut self, now_ms: i64) {
        let results = self.good_answered.saturating_add(self.good_silent);
        if now_ms < self.window_ends_ms {
            return;
        }
        let silent = self.good_silent as f32 / results.max(1) as f32;
        if results >= MIN_RESULTS && silent > SILENT_SHARE {
            self.rate = (self.rate * DECREASE).max(self.lowest);
        } else {
            self.rate = (self.rate + self.highest * INCREASE).min(self.highest);
        }
        self.start_window(now_ms);
    }

    fn start_window(&mut self, now_ms: i64) {
        self.window_ends_ms = now_ms.saturating_add(WINDOW_MS);
        self.good_answered = 0;
        self.good_silent = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace::new(&CrawlOptions::default(), 0)
    }

    #[test]
    fn answers_raise_it_and_silence_of_good_nodes_lowers_it() {
        let mut pace = pace();
        for now in 0..120_000 {
            pace.answered(true, now);
        }
        assert!((pace.rate(1.0) - 100.0).abs() < 0.1);
        assert!((pace.rate(0.5) - 50.0).abs() < 0.1);
        for now in 120_000..140_000 {
            pace.answered(true, now);
            pace.silent(true, now);
        }
        assert!(pace.rate(1.0) < 10.0);
        assert!(!pace.is_away());
    }

    #[test]
    fn strangers_that_are_dead_do_not_lower_it() {
        let mut pace = pace();
        for now in 0..60_000 {
            pace.answered(false, now);
            pace.silent(false, now);
        }
        assert!((pace.rate(1.0) - 100.0).abs() < 0.1);
    }

    #[test]
    fn a_network_that_is_away_is_news_once_and_comes_back_slowly() {
        let mut pace = pace();
        for now in 0..60_000 {
            pace.answered(true, now);
        }
        assert!(pace.network(true, 60_000) && !pace.network(true, 60_001));
        pace.silent(true, 60_002);
        assert!((pace.rate(1.0) - 1.0).abs() < 0.01);
        assert!(pace.network(false, 62_000) && !pace.network(false, 62_001));
        assert!((pace.rate(1.0) - 20.0).abs() < 0.01);
    }

    #[test]
    fn queries_are_spread_over_the_second() {
        let mut pace = pace();
        let sent =
            |pace: &mut Pace, from, to| (from..to).filter(|now| pace.take(1.0, *now)).count();
        assert_eq!(sent(&mut pace, 0, 10_000), 200);
        // A pause is not made up for.
        let burst = (0..100).filter(|_| pace.take(1.0, 60_000)).count();
        assert_eq!(burst, 2);
    }
}
