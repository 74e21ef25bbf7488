//! Which trackers are asked: those that answer before those that do not, and others on a retry.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::breaker::Breaker;
use crate::history::TrackerState;

/// The most trackers that one try at a hash asks: each costs an announce, and most name the same
/// peers.
const AT_ONCE: usize = 8;
/// The most trackers that are remembered: a magnet can name any number of them.
const CAPACITY: usize = 10_000;

/// What is known of trackers in this process.
#[derive(Debug, Default)]
pub(super) struct Trackers(Mutex<HashMap<String, Known>>);

#[derive(Debug, Default)]
struct Known {
    failures_in_a_row: u32,
    breaker: Breaker,
}

/// What is known of this tracker. Where there are too many, any other one is forgotten: that costs an
/// announce or two.
fn entry<'a>(known: &'a mut HashMap<String, Known>, url: &str) -> &'a mut Known {
    if known.len() >= CAPACITY
        && !known.contains_key(url)
        && let Some(any) = known.keys().next().cloned()
    {
        known.remove(&any);
    }
    known.entry(url.to_owned()).or_default()
}

impl Trackers {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of these, the ones that nothing is known of: ask the store for them.
    pub(super) fn missing(&self, urls: &[String]) -> Vec<String> {
        let known = self.lock();
        let missing = urls.iter().filter(|url| !known.contains_key(*url));
        missing.cloned().collect()
    }

    /// Takes in what the store knows of these.
    pub(super) fn load(&self, asked: &[String], states: &HashMap<String, TrackerState>) {
        let mut known = self.lock();
        for url in asked {
            if let Some(state) = states.get(url) {
                entry(&mut known, url).failures_in_a_row = state.failures_in_a_row;
            } else {
                entry(&mut known, url);
            }
        }
    }

    /// Notes whether a tracker answered.
    pub(super) fn observe(&self, url: &str, answered: bool) {
        let mut known = self.lock();
        let Some(known) = known.get_mut(url) else {
            return;
        };
        if answered {
            known.failures_in_a_row = 0;
            known.breaker.succeeded();
        } else {
            known.failures_in_a_row = known.failures_in_a_row.saturating_add(1);
            if known.breaker.failed(Instant::now()) {
                tracing::debug!("tracker {url} keeps failing, and is left alone for a while");
            }
        }
    }

    /// The trackers to ask now: those that were not asked for this hash before first, then those that
    /// failed least. One that keeps failing is left out, but for a probe now and then; where all
    /// were asked before, all are asked again.
    pub(super) fn choose(&self, urls: &[String], asked: &HashSet<String>) -> Vec<String> {
        let mut known = self.lock();
        let now = Instant::now();
        let mut ranked: Vec<(bool, bool, u32, usize, &String)> = urls
            .iter()
            .enumerate()
            .map(|(position, url)| {
                let known = known.get(url);
                let shut = known.is_some_and(|known| !known.breaker.would_admit(now));
                let failures = known.map_or(0, |known| known.failures_in_a_row);
                (shut, asked.contains(url), failures, position, url)
            })
            .collect();
        ranked.sort();
        // Where all keep failing, the best of them is asked all the same: nobody else can be.
        let open = ranked.iter().filter(|(shut, ..)| !shut).count().max(1);
        ranked.truncate(open);
        let fresh = ranked.iter().any(|(_, was_asked, ..)| !was_asked);
        let chosen: Vec<String> = ranked
            .into_iter()
            .filter(|(_, was_asked, ..)| !(fresh && *was_asked))
            .take(AT_ONCE)
            .map(|(.., url)| url.clone())
            .collect();
        for url in &chosen {
            entry(&mut known, url).breaker.pass(now);
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(count: usize) -> Vec<String> {
        (0..count)
            .map(|n| format!("udp://tracker-{n}.example:1"))
            .collect()
    }

    #[test]
    fn a_retry_asks_others() {
        let (trackers, urls) = (Trackers::default(), urls(AT_ONCE + 3));
        let first = trackers.choose(&urls, &HashSet::new());
        assert_eq!(first, urls[..AT_ONCE]);
        let mut asked: HashSet<_> = first.into_iter().collect();
        let second = trackers.choose(&urls, &asked);
        assert_eq!(second, urls[AT_ONCE..]);
        asked.extend(second);
        assert_eq!(
            trackers.choose(&urls, &asked),
            urls[..AT_ONCE],
            "all were asked"
        );
    }

    #[test]
    fn one_that_keeps_failing_is_left_out_and_comes_back() {
        let (trackers, urls) = (Trackers::default(), urls(2));
        let asked = HashSet::new();
        trackers.choose(&urls, &asked);
        trackers.observe(&urls[0], false);
        assert_eq!(
            trackers.choose(&urls, &asked),
            [urls[1].clone(), urls[0].clone()]
        );
        for _ in 0..5 {
            trackers.observe(&urls[0], false);
        }
        assert_eq!(trackers.choose(&urls, &asked), [urls[1].clone()]);
        assert_eq!(
            trackers.choose(&urls[..1], &asked),
            urls[..1],
            "there is no other"
        );
        trackers.observe(&urls[0], true);
        assert_eq!(trackers.choose(&urls, &asked), urls);
    }

    #[test]
    fn what_the_store_knows_counts_and_memory_is_bounded() {
        let trackers = Trackers::default();
        let all = urls(CAPACITY + 10);
        assert_eq!(trackers.missing(&all[..2]).len(), 2);
        let failing = TrackerState {
            failures_in_a_row: 3,
            ..TrackerState::new(&crate::history::TrackerReply {
                url: all[0].clone(),
                at_ms: 1,
                elapsed: std::time::Duration::ZERO,
                result: Ok(0),
            })
        };
        trackers.load(&all[..2], &HashMap::from([(all[0].clone(), failing)]));
        assert_eq!(trackers.missing(&all[..2]), [] as [String; 0]);
        let chosen = trackers.choose(&all[..2], &HashSet::new());
        assert_eq!(chosen, [all[1].clone(), all[0].clone()]);
        trackers.load(&all, &HashMap::new());
        assert!(trackers.lock().len() <= CAPACITY);
    }
}
