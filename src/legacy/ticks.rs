//! What normal mode does now and then.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tick {
    Limit,
    Second,
    Counter,
    Metadata,
    Progress,
}

pub(super) struct Ticks {
    limit: Interval,
    second: Interval,
    counter: Interval,
    /// In concurrent mode.
    metadata: Option<Interval>,
    progress: Interval,
}

impl Ticks {
    pub(super) fn start(concurrent: bool) -> Self {
        let every = |ms| {
            let period = Duration::from_millis(ms);
            let mut ticks = interval_at(Instant::now() + period, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        Self {
            limit: every(50),
            second: every(1_000),
            counter: every(if concurrent { 5_000 } else { 10_000 }),
            metadata: concurrent.then(|| every(2_500)),
            progress: every(if concurrent { 5_000 } else { 10_000 }),
        }
    }

    pub(super) async fn next(&mut self) -> Tick {
        let metadata = async {
            match &mut self.metadata {
                Some(ticks) => ticks.tick().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.limit.tick() => Tick::Limit,
            _ = self.second.tick() => Tick::Second,
            _ = self.counter.tick() => Tick::Counter,
            _ = metadata => Tick::Metadata,
            _ = self.progress.tick() => Tick::Progress,
        }
    }
}
