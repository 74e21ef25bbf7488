//! Normal mode: hashes out of the DHT, stored as they are discovered, and their metadata.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::console::{Wanted, complain};
use super::discovered::{Sources, discover, finish};
use super::lines;
use super::run::{Run, Settled};
use super::ticks::{Tick, Ticks};
use crate::discovery::crawl::{Crawl, CrawlOptions, Discovered};
use crate::discovery::dht::{Dht, Purpose};
use crate::engine::crawling::Acquaint;

/// Hashes that wait for each place of the engine.
const WAITING_PER_JOB: usize = 4;
/// Results that are being stored at a time, for each place of the engine.
const FINISHED_PER_JOB: usize = 2;
/// DHT queries a second of each worker, and of sequential mode.
const PACE: f32 = 25.0;
const SEQUENTIAL_PACE: f32 = 10.0;
/// How normal mode works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// `None`: sequential.
    pub(super) workers: Option<i32>,
    /// Ask for samples (BEP 51).
    pub(super) samples: bool,
    /// DHT queries after which it ends.
    pub(super) queries: Option<u64>,
    /// Take loopback and private addresses.
    pub(super) allow_local: bool,
    /// Nodes of the frontier.
    pub(super) nodes: usize,
}

impl Pace {
    fn options(self) -> CrawlOptions {
        let rate = match self.workers {
            #[expect(clippy::cast_precision_loss, reason = "16 at the most")]
            Some(workers) => PACE * workers as f32,
            None => SEQUENTIAL_PACE,
        };
        CrawlOptions {
            rate,
            samples: self.samples,
            allow_local: self.allow_local,
            nodes: self.nodes,
            ..CrawlOptions::default()
        }
    }
}

/// A crawl, of which nothing is lost while the DHT is still being joined.
pub(super) struct Discovery {
    crawl: Crawl,
    dht: Dht,
    hungry: watch::Sender<f32>,
    discovered: mpsc::Receiver<Discovered>,
    pace: Pace,
}

impl Discovery {
    pub(super) fn start(dht: &Dht, pace: Pace) -> Self {
        let (hungry, wants) = watch::channel(1.0);
        let dht = dht.with_purpose(Purpose::Crawl);
        let (crawl, discovered) = Crawl::start(dht.clone(), Vec::new(), pace.options(), wants);
        Self {
            crawl,
            dht,
            hungry,
            discovered,
            pace,
        }
    }
}

/// Runs until the queries are sent, the run is stopped or the DHT node has gone.
pub(super) async fn work(run: &Arc<Run>, discovery: Discovery) {
    let Discovery {
        crawl,
        dht,
        hungry,
        discovered,
        pace,
    } = discovery;
    run.console
        .discovery(start_lines(pace, run.console.wanted()))
        .await;
    let (storing, found) = mpsc::channel(1);
    let waiting = run.jobs.saturating_mul(WAITING_PER_JOB);
    let (mut results, backlog) = run.engine.follow(found, waiting, hungry);
    let sources = Sources::default();
    let discovering = discover(
        Arc::clone(run),
        pace.workers.is_none(),
        discovered,
        storing,
        Arc::clone(&sources),
    );
    let discovering = AbortOnDropHandle::new(tokio::spawn(discovering));
    let mut finishing = JoinSet::new();
    let mut acquaint = Acquaint::default();
    let mut ticks = Ticks::start(pace.workers.is_some());
    loop {
        let next = tokio::select! {
            biased;
            () = run.stop.cancelled() => break,
            next = ticks.next() => next,
            Some(done) = finishing.join_next(), if !finishing.is_empty() => {
                if let Ok((infohash, Settled::TimedOut | Settled::Untried)) = done {
                    // Whoever announced it did not deliver; the next one may.
                    crawl.forget_announce(&infohash);
                }
                continue;
            }
            result = results.recv(), if finishing.len() < FINISHED_PER_JOB * run.jobs => {
                let Some(resolution) = result else {
                    complain(format_args!("Error: the DHT node has ended"));
                    break;
                };
                finishing.spawn(finish(Arc::clone(run), Arc::clone(&sources), resolution));
                continue;
            }
        };
        match next {
            Tick::Limit
                if pace
                    .queries
                    .is_some_and(|most| dht.counters().queries() >= most) =>
            {
                break;
            }
            Tick::Limit => {}
            Tick::Second => {
                let taken = backlog.borrow().taken;
                run.statistics.begun.raise_to(taken);
                run.statistics.requested.raise_to(taken);
                let known = crawl.counters().nodes;
                acquaint.each_second(&run.engine, &crawl, known).await;
            }
            Tick::Counter => {
                let line = lines::counter(run.statistics.found.get());
                run.console.counter(line).await;
            }
            Tick::Metadata => {
                let clock = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
                let lines = run.statistics.metadata_lines(&clock);
                run.console.discovery(lines).await;
            }
            Tick::Progress => {
                if run.console.wanted().verbose {
                    let (traffic, listen) = (run.traffic(), &run.listen);
                    let lines = run.statistics.progress(traffic, pace.workers, listen);
                    run.console.discovery(lines).await;
                }
            }
        }
    }
    drop((crawl, discovering));
    run.stop.cancel();
    run.engine.stop();
    // What has come already is stored.
    let drain = async {
        while let Some(resolution) = results.recv().await {
            finishing.spawn(finish(Arc::clone(run), Arc::clone(&sources), resolution));
        }
        while finishing.join_next().await.is_some() {}
    };
    run.given_up.run_until_cancelled(drain).await;
    let taken = backlog.borrow().taken;
    run.statistics.begun.raise_to(taken);
    run.statistics.requested.raise_to(taken);
    run.console.lines(end_lines(run, pace)).await;
}

/// A run that is to send nothing: its first and its last lines.
pub(super) async fn nothing(run: &Run, pace: Pace) {
    run.console
        .discovery(start_lines(pace, run.console.wanted()))
        .await;
    run.console.lines(end_lines(run, pace)).await;
}

fn start_lines(pace: Pace, wanted: Wanted) -> Vec<String> {
    let mut lines = Vec::new();
    if wanted.verbose {
        lines.push(String::new());
        lines.push("=== Starting DHT Torrent Discovery ===".to_owned());
        lines.push(match pace.queries {
            Some(queries) => format!("Max queries: {queries}"),
            None => "Running indefinitely (press Ctrl+C to stop)".to_owned(),
        });
    }
    let Some(workers) = pace.workers else {
        return lines;
    };
    if wanted.verbose {
        lines.push(format!(
            "Using concurrent DHT worker pool ({workers} workers)"
        ));
    }
    lines.push(format!("Starting {workers} DHT worker threads..."));
    lines.extend((0..workers).map(|worker| format!("DHT Worker {worker} started")));
    lines.push("DHT worker pool started successfully".to_owned());
    lines
}

fn end_lines(run: &Run, pace: Pace) -> Vec<String> {
    let wanted = run.console.wanted();
    let mut lines = Vec::new();
    if let Some(workers) = pace.workers.filter(|_| wanted.discoveries()) {
        lines.push("Stopping DHT worker pool...".to_owned());
        lines.extend((0..workers).map(|worker| format!("DHT Worker {worker} stopped")));
        lines.push("DHT worker pool stopped".to_owned());
    }
    if wanted.counter() {
        lines.push(String::new());
        lines.push(lines::counter(run.statistics.found.get()));
    }
    if wanted.verbose && wanted.discoveries() {
        lines.extend(run.statistics.complete(run.traffic(), pace.workers));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE_OF_TESTS: Pace = Pace {
        workers: Some(2),
        samples: true,
        queries: None,
        allow_local: true,
        nodes: 1_000,
    };

    #[test]
    fn workers_scale_the_pace() {
        let rate = |workers| {
            let pace = Pace {
                workers,
                ..PACE_OF_TESTS
            };
            pace.options().rate
        };
        let rates = [None, Some(1), Some(4), Some(16)].map(rate);
        for (rate, expected) in rates.into_iter().zip([10.0, 25.0, 100.0, 400.0]) {
            assert!((rate - expected).abs() < 0.1, "{rates:?}");
        }
    }

    #[test]
    fn the_workers_are_told_one_by_one() {
        let lines = start_lines(PACE_OF_TESTS, Wanted::default());
        assert_eq!(
            lines,
            [
                "Starting 2 DHT worker threads...",
                "DHT Worker 0 started",
                "DHT Worker 1 started",
                "DHT worker pool started successfully",
            ]
        );
        let sequential = Pace {
            workers: None,
            ..PACE_OF_TESTS
        };
        assert_eq!(start_lines(sequential, Wanted::default()), [""; 0]);
    }
}
