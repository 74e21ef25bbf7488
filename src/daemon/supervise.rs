//! Loops of the service that end by a fault: it is said, and they begin again.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::heartbeat;
use super::service::Condition;

/// The pause before a loop begins again.
const PAUSE: Duration = Duration::from_secs(5);

/// Runs a loop until the service stops. One that ends before that, by a panic or without one, begins again
/// after a pause; that is said once.
pub(super) async fn supervise<F: Future<Output = ()>>(
    stop: CancellationToken,
    name: &'static str,
    begin: impl Fn() -> F,
) {
    let said = Condition::default();
    loop {
        let ended = AssertUnwindSafe(begin()).catch_unwind().await;
        if stop.is_cancelled() {
            return;
        }
        if said.begins() {
            let how = if ended.is_err() { "panicked" } else { "ended" };
            tracing::error!(
                "the loop `{name}` has {how}, which is a fault of this program: please report it. It begins again"
            );
        }
        if stop.run_until_cancelled(sleep(PAUSE)).await.is_none() {
            return;
        }
    }
}

/// Runs a loop that can't begin again. Where it ends before the service stops, the process counts as stuck,
/// so that whoever watches it starts another.
pub(super) async fn essential(
    stop: CancellationToken,
    name: &'static str,
    work: impl Future<Output = ()>,
) {
    work.await;
    if !stop.is_cancelled() {
        heartbeat::has_died(name);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_ends_by_itself_or_panics_begins_again_until_the_service_stops() {
        let stop = CancellationToken::new();
        let rounds = AtomicU32::new(0);
        let begin = || async {
            let number = rounds.fetch_add(1, Ordering::Relaxed);
            assert!(number != 1, "on purpose");
            if number == 2 {
                stop.cancel();
            }
        };
        supervise(stop.clone(), "test", begin).await;
        assert_eq!(rounds.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn one_that_can_not_begin_again_is_stuck() {
        let stop = CancellationToken::new();
        essential(stop.clone(), "ends early", async {}).await;
        stop.cancel();
        essential(stop, "ends in time", async {}).await;
        let stuck = heartbeat::stuck();
        let is_stuck = |name| stuck.iter().any(|stuck| stuck.name == name);
        assert!(is_stuck("ends early") && !is_stuck("ends in time"));
    }
}
