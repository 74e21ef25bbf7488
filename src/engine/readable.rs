//! Whether the store can be read, and when that is said.

use std::time::Duration;

use tokio::time::Instant;

/// It can be read again once it could for so long: some reads may fail and others not.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How often it is said at the most.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// What there is to say after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It can't be read.
    Fails,
    /// It can be read again.
    Works,
}

/// How reads went.
#[derive(Debug, Default)]
pub(super) struct Readable {
    failed_at: Option<Instant>,
    said_at: Option<Instant>,
    /// Whether what was said last is that it can't be read.
    fails: bool,
}

impl Readable {
    /// Takes in how a read went; what is to be said of it.
    pub(super) fn read(&mut self, works: bool, now: Instant) -> Option<News> {
        let since = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        if works {
            let again =
                self.fails && since(self.failed_at).is_none_or(|since| since >= AGAIN_AFTER);
            self.fails &= !again;
            return again.then_some(News::Works);
        }
        self.failed_at = Some(now);
        let says = !self.fails && since(self.said_at).is_none_or(|since| since >= SAY_EVERY);
        if says {
            self.fails = true;
            self.said_at = Some(now);
        }
        says.then_some(News::Fails)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_fails_now_and_then_fills_no_log() {
        let began = Instant::now();
        let mut readable = Readable::default();
        let mut said = Vec::new();
        for second in 0..120_u64 {
            let now = began + Duration::from_secs(second);
            // Every second read fails for a minute; then all go well.
            let failed = second < 60 && readable.read(false, now) == Some(News::Fails);
            let works = readable.read(true, now) == Some(News::Works);
            said.extend((failed || works).then_some((second, failed, works)));
        }
        assert_eq!(said, [(0, true, false), (64, false, true)]);
        // The next time it is said at once, but not more often than once a minute.
        let now = began + Duration::from_secs(120);
        assert_eq!(readable.read(false, now), Some(News::Fails));
        assert_eq!(readable.read(true, now + AGAIN_AFTER), Some(News::Works));
        assert_eq!(readable.read(false, now + AGAIN_AFTER), None);
        assert_eq!(readable.read(true, now + AGAIN_AFTER * 2), None);
        assert_eq!(readable.read(false, now + SAY_EVERY), Some(News::Fails));
    }
}
