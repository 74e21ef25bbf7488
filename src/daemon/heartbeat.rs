//! Which loops of the service are alive: each says so now and then, and whoever asks learns which has not.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// What times are counted from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);
/// The loops of this process.
static LOOPS: LazyLock<Loops> = LazyLock::new(Loops::default);

/// A loop's own end: it says that it is alive with [`beat`](Self::beat), and is forgotten when this is dropped; unless a
/// panic drops it. Then the loop is stuck for ever.
#[derive(Debug)]
pub struct Heartbeat(Arc<Beat>);

#[derive(Debug)]
struct Beat {
    name: &'static str,
    within: Duration,
    last_ms: AtomicU64,
    state: AtomicU8,
}

/// It goes round.
const ALIVE: u8 = 0;
/// It has come to its end.
const ENDED: u8 = 1;
/// It has panicked.
const DEAD: u8 = 2;

/// A loop that has not been heard of for longer than it said, or that has panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Stuck {
    /// Its name.
    #[serde(rename = "loop")]
    pub name: &'static str,
    /// For how many seconds nothing was heard of it.
    pub silent_seconds: u64,
}

/// Begins to watch a loop of this process that says at least every `within` that it is alive. Leave room: a busy host makes
/// loops late.
#[must_use]
pub fn watch(name: &'static str, within: Duration) -> Heartbeat {
    LOOPS.watch(name, within)
}

/// The loops of this process that are stuck.
#[must_use]
pub fn stuck() -> Vec<Stuck> {
    LOOPS.stuck(now_ms())
}

/// A loop of this process has come to its end before its time: it is stuck for ever.
pub(super) fn has_died(name: &'static str) {
    let died = watch(name, Duration::MAX);
    died.0.state.store(DEAD, Ordering::Relaxed);
    // What is dropped has ended.
    std::mem::forget(died);
}

/// Every loop of this process, and for how long nothing was heard of it.
#[must_use]
pub fn silences() -> Vec<(&'static str, Duration)> {
    LOOPS.silences(now_ms())
}

impl Heartbeat {
    /// The loop is alive.
    pub fn beat(&self) {
        self.0.last_ms.store(now_ms(), Ordering::Relaxed);
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        let state = if std::thread::panicking() {
            DEAD
        } else {
            ENDED
        };
        self.0.state.store(state, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Loops(Mutex<Vec<Arc<Beat>>>);

impl Loops {
    fn watch(&self, name: &'static str, within: Duration) -> Heartbeat {
        let beat = Arc::new(Beat {
            name,
            within,
            last_ms: AtomicU64::new(now_ms()),
            state: AtomicU8::new(ALIVE),
        });
        let mut loops = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loops.retain(|beat| !beat.is(ENDED));
        loops.push(Arc::clone(&beat));
        Heartbeat(beat)
    }

    fn beats(&self) -> Vec<Arc<Beat>> {
        let loops = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = loops.iter().filter(|beat| !beat.is(ENDED));
        watched.cloned().collect()
    }

    fn silences(&self, now_ms: u64) -> Vec<(&'static str, Duration)> {
        let beats = self.beats();
        let silent = |beat: &Arc<Beat>| (beat.name, beat.silent(now_ms));
        beats.iter().map(silent).collect()
    }

    fn stuck(&self, now_ms: u64) -> Vec<Stuck> {
        let beats = self.beats();
        let stuck = beats
            .iter()
            .filter(|beat| beat.is(DEAD) || beat.silent(now_ms) > beat.within);
        stuck
            .map(|beat| Stuck {
                name: beat.name,
                silent_seconds: beat.silent(now_ms).as_secs(),
            })
            .collect()
    }
}

impl Beat {
    fn is(&self, state: u8) -> bool {
        self.state.load(Ordering::Relaxed) == state
    }

    fn silent(&self, now_ms: u64) -> Duration {
        Duration::from_millis(now_ms.saturating_sub(self.last_ms.load(Ordering::Relaxed)))
    }
}

fn now_ms() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_stuck_once_it_is_silent_for_longer_than_it_said_and_forgotten_when_it_ends() {
        let loops = Loops::default();
        let queue = loops.watch("queue", Duration::from_secs(10));
        let _other = loops.watch("other", Duration::from_secs(1000));
        let now = now_ms();
        assert_eq!(loops.stuck(now), []);
        assert_eq!(
            loops.stuck(now + 60_000),
            [Stuck {
                name: "queue",
                silent_seconds: 60
            }]
        );
        queue.0.last_ms.store(now + 60_000, Ordering::Relaxed);
        assert_eq!(loops.stuck(now + 60_000), []);
        drop(queue);
        assert_eq!(loops.silences(now).len(), 1);
    }

    #[tokio::test]
    async fn a_loop_that_panics_is_stuck_for_ever() {
        let loops = Loops::default();
        let alive = loops.watch("queue", Duration::from_secs(1000));
        let died = tokio::spawn(async move {
            alive.beat();
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(false), "on purpose");
            alive.beat();
        });
        assert!(died.await.is_err());
        let _another = loops.watch("other", Duration::from_secs(1000));
        let stuck = loops.stuck(now_ms());
        assert_eq!(
            stuck.iter().map(|it| it.name).collect::<Vec<_>>(),
            ["queue"]
        );
    }
}
