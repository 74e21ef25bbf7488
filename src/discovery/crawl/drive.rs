//! The task of the crawl: sends queries at its pace, and hands results on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Discovered;
use super::state::State;
use crate::discovery::dht::{Dht, Observed};

/// How often it is looked whether a query may be sent, at the most and at the least.
const SHORTEST_NAP: Duration = Duration::from_millis(5);
const LONGEST_NAP: Duration = Duration::from_millis(200);

/// What the task and the handle share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) hungry: watch::Receiver<f32>,
    pub(super) stop: CancellationToken,
}

impl Shared {
    pub(super) fn new(state: State, hungry: watch::Receiver<f32>) -> Self {
        Self {
            state: Mutex::new(state),
            hungry,
            stop: CancellationToken::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// 0 to 1.
    pub(super) fn hungry(&self) -> f32 {
        let hungry = *self.hungry.borrow();
        if hungry.is_nan() {
            0.0
        } else {
            hungry.clamp(0.0, 1.0)
        }
    }
}

/// Runs until it is stopped, nobody takes hashes any more, or the DHT node has ended.
pub(super) async fn run(
    shared: Arc<Shared>,
    dht: Dht,
    mut observed: broadcast::Receiver<Observed>,
    hashes: mpsc::Sender<Discovered>,
) {
    let mut asked = FuturesUnordered::new();
    let mut wake_at = Instant::now();
    let mut listens = true;
    loop {
        let waits = !shared.state().pending.is_empty();
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = hashes.closed() => return,
            Some((ask, result)) = asked.next() => {
                let mut state = shared.state();
                state.network(dht.is_away());
                if !state.result(&ask, result) {
                    tracing::info!("the DHT node has stopped, and the crawl with it");
                    return;
                }
            }
            Ok(permit) = hashes.reserve(), if waits => {
                if let Some(discovered) = shared.state().pending.pop() {
                    permit.send(discovered);
                }
            }
            seen = observed.recv(), if listens => match seen {
                Ok(seen) => shared.state().observe(&seen),
                Err(RecvError::Lagged(lost)) => shared.state().counters.observed_lost += lost,
                Err(RecvError::Closed) => listens = false,
            },
            () = sleep_until(wake_at) => {
                let hungry = shared.hungry();
                let mut state = shared.state();
                state.network(dht.is_away());
                while let Some(ask) = state.next(asked.len(), hungry) {
                    let dht = dht.clone();
                    asked.push(async move {
                        let result = dht.ask(ask.addr, &ask.query()).await;
                        (ask, result)
                    });
                }
                let gap = Duration::from_secs_f32(1.0 / state.pace.rate(hungry));
                wake_at = Instant::now() + gap.clamp(SHORTEST_NAP, LONGEST_NAP);
            }
        }
    }
}
