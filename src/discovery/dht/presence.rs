//! Whether the network is there: what was heard last, and how much has had no answer since.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The network is away once nothing at all has come in for so long,
const SILENCE: Duration = Duration::from_secs(5);
/// and so many queries that were sent meanwhile had no answer: who asks nobody hears nothing.
const UNANSWERED: u32 = 20;

/// Times are microseconds since `began`, and one more: 0 is never.
#[derive(Debug)]
pub(super) struct Presence {
    began: Instant,
    /// When something came in last: whatever, and from whomever.
    heard: AtomicU64,
    /// Queries sent after that, without an answer.
    unanswered: AtomicU32,
    /// When the last query was sent that was answered.
    answered: AtomicU64,
    /// When the network was last away.
    away: AtomicU64,
    /// A query was answered.
    news: Notify,
}

impl Presence {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            heard: AtomicU64::new(0),
            unanswered: AtomicU32::new(0),
            answered: AtomicU64::new(0),
            away: AtomicU64::new(0),
            news: Notify::new(),
        }
    }

    fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.began);
        u64::try_from(since.as_micros())
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }

    /// Something has come in. Nobody but the network itself can keep that from happening: nodes that are
    /// dead, or that are named in bad faith, only add to the queries without an answer.
    pub(super) fn heard(&self) {
        self.heard
            .fetch_max(self.micros(Instant::now()), Ordering::Relaxed);
        self.unanswered.store(0, Ordering::Relaxed);
    }

    /// A query that was sent then was answered.
    pub(super) fn answered(&self, asked_at: Instant) {
        self.heard();
        (self.answered).fetch_max(self.micros(asked_at), Ordering::Relaxed);
        self.news.notify_waiters();
    }

    /// A query that was sent then had no answer in time.
    pub(super) fn unanswered(&self, asked_at: Instant) {
        if self.micros(asked_at) >= self.heard.load(Ordering::Relaxed) {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
            self.is_away();
        }
    }

    /// Whether the network seems to be away.
    pub(super) fn is_away(&self) -> bool {
        let now = self.micros(Instant::now());
        let silence = now.saturating_sub(self.heard.load(Ordering::Relaxed));
        let away = self.unanswered.load(Ordering::Relaxed) >= UNANSWERED
            && Duration::from_micros(silence) >= SILENCE;
        if away {
            self.away.fetch_max(now, Ordering::Relaxed);
        }
        away
    }

    /// Whether it has been seen to be away at this time or later.
    pub(super) fn was_away_since(&self, at: Instant) -> bool {
        self.is_away() || self.away.load(Ordering::Relaxed) >= self.micros(at)
    }

    /// Waits until a query is answered that was sent at this time or later.
    pub(super) async fn answered_since(&self, at: Instant) {
        let mut news = std::pin::pin!(self.news.notified());
        loop {
            // From here on it is told of answers.
            news.as_mut().enable();
            if self.was_answered_since(at) {
                return;
            }
            news.as_mut().await;
            news.set(self.news.notified());
        }
    }

    fn was_answered_since(&self, at: Instant) -> bool {
        self.answered.load(Ordering::Relaxed) >= self.micros(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn unanswered(presence: &Presence, queries: u32) {
        for _ in 0..queries {
            presence.unanswered(Instant::now());
        }
        tokio::time::advance(Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_takes_both_time_and_queries() {
        let presence = Presence::new();
        unanswered(&presence, 1_000).await;
        assert!(!presence.is_away(), "a burst is no silence");
        tokio::time::advance(SILENCE).await;
        assert!(presence.is_away());

        presence.heard();
        assert!(!presence.is_away());
        tokio::time::advance(SILENCE * 100).await;
        unanswered(&presence, UNANSWERED - 1).await;
        assert!(!presence.is_away(), "hardly anybody was asked");
        unanswered(&presence, 1).await;
        assert!(presence.is_away());
    }

    #[tokio::test(start_paused = true)]
    async fn dead_nodes_by_the_thousand_are_no_outage_while_anything_comes_in() {
        let presence = Presence::new();
        for _ in 0..100 {
            unanswered(&presence, 1_000).await;
            tokio::time::advance(SILENCE / 2).await;
            presence.heard();
            assert!(!presence.is_away());
        }
        // Those that were sent before something came in say nothing of what came after.
        let before = Instant::now();
        tokio::time::advance(Duration::from_millis(1)).await;
        presence.heard();
        for _ in 0..1_000 {
            presence.unanswered(before);
        }
        tokio::time::advance(SILENCE * 2).await;
        assert!(!presence.is_away());
        assert!(!presence.was_away_since(before));
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_known_of_afterwards() {
        let presence = Presence::new();
        let before = Instant::now();
        tokio::time::advance(SILENCE).await;
        unanswered(&presence, UNANSWERED).await;
        let meanwhile = Instant::now();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(presence.is_away());
        tokio::time::advance(Duration::from_millis(1)).await;
        let back = Instant::now();
        presence.answered(back);
        assert!(!presence.is_away());
        assert!(presence.was_away_since(before) && presence.was_away_since(meanwhile));
        assert!(!presence.was_away_since(back));
        assert!(presence.was_answered_since(meanwhile) && presence.was_answered_since(back));
        tokio::time::advance(Duration::from_millis(1)).await;
        presence.heard();
        assert!(!presence.was_answered_since(Instant::now()));
    }
}
