//! The metadata modes: the hashes of a list, and the rows of the tables that lack their metadata.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::console::complain;
use super::hash::parse_hash;
use super::input::Entry;
use super::lines;
use super::run::{Job, Run, Settled, Urgency};
use crate::engine::Wanted;
use crate::store::{BacklogRow, Claimed, Holder, LegacyTables};
use crate::torrent::Infohash;

/// Fewer rows than this that wait are refilled.
const REFILL: usize = 50;
/// How long rows that others hold are waited for, before they are asked for again.
const HELD_BY_OTHERS: Duration = Duration::from_secs(2);
/// How often it is looked whether the network is back.
const LOOKS_FOR_NETWORK: Duration = Duration::from_millis(500);
/// How often a row that could not be tried is taken once more.
const TAKEN_AGAIN: u32 = 3;
/// How often it is told how far the rows are.
const PROGRESS: Duration = Duration::from_secs(10);
/// The source of rows that are most likely noise: the random targets of the old program's own queries.
const NOISE: &str = "DHT_ITEM";
/// What the requests of these modes are.
const MANUAL: Urgency = Urgency(4, "MANUAL");

/// What is to be fetched.
pub(super) struct Fetching {
    list: VecDeque<Entry>,
    rows: Option<Rows>,
    network: Network,
    /// What was asked for is settled, as far as this goes.
    is_whole: bool,
}

/// The rows of the tables.
struct Rows {
    tables: LegacyTables,
    holder: Holder,
    page: VecDeque<BacklogRow>,
    /// Rows that could not be tried, and how often.
    untried: HashMap<i64, u32>,
    supply: Supply,
    loaded: u64,
    total: u64,
    started: Instant,
}

/// The network, as far as hashes wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    There,
    /// It was there, and is away.
    Away,
    /// No DHT node has answered since the start.
    NotYet,
}

/// Whether there are more rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Supply {
    /// As far as is known.
    More,
    /// Others hold the last ones, which may come back: to be looked at again then.
    Held(Instant),
    /// None are left, but what is in work may change that.
    Drained,
    Over,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Hashes whose metadata came.
    pub(super) received: u64,
    /// Those that are settled, whichever way.
    pub(super) settled: u64,
    /// Nothing is left.
    pub(super) is_whole: bool,
}

impl Fetching {
    /// Of a list.
    pub(super) fn new(list: Vec<Entry>) -> Self {
        Self {
            list: list.into(),
            rows: None,
            network: Network::There,
            is_whole: true,
        }
    }

    /// And of these tables, in which so many rows lack their metadata.
    pub(super) fn with_rows(mut self, tables: LegacyTables, holder: Holder, total: u64) -> Self {
        let now = Instant::now();
        self.rows = Some(Rows {
            tables,
            holder,
            page: VecDeque::new(),
            untried: HashMap::new(),
            supply: Supply::More,
            loaded: 0,
            total,
            started: now,
        });
        self
    }

    /// Fetches until all is settled, the time is over, or the run is stopped.
    pub(super) async fn work(mut self, run: &Arc<Run>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut working = JoinSet::new();
        let mut progress = interval_at(Instant::now() + PROGRESS, PROGRESS);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Rows can wait; of a list somebody waits for the end.
        if self.rows.is_some() && run.waits_for_dht() {
            self.network = Network::NotYet;
            complain(format_args!(
                "No DHT node has answered yet: nothing is fetched until one does. `metafetch doctor` looks at \
                 this host"
            ));
        }
        loop {
            let is_ending = run.ending.is_cancelled();
            self.look_for_network(run);
            // Where it is away, the engine holds hashes back, and asks for it.
            let may_take = !is_ending && self.network != Network::NotYet;
            if is_ending {
                run.engine.stop();
            } else if may_take {
                self.refill(run, working.is_empty()).await;
                while working.len() < run.jobs {
                    let Some((job, wanted)) = self.next(run).await else {
                        break;
                    };
                    working.spawn(Arc::clone(run).settle(job, wanted));
                }
            }
            let supply = self.rows.as_ref().map_or(Supply::Over, |rows| rows.supply);
            let is_over = supply == Supply::Over && self.list.is_empty();
            if working.is_empty() {
                match supply {
                    _ if is_ending || is_over => {
                        outcome.is_whole = self.is_whole && !is_ending;
                        return outcome;
                    }
                    // To be looked at at once, since nothing else will happen.
                    Supply::More | Supply::Drained if may_take => continue,
                    _ => {}
                }
            }
            let look_at = match supply {
                _ if is_ending => None,
                Supply::Held(at) if may_take => Some(at),
                _ => Some(Instant::now() + LOOKS_FOR_NETWORK),
            };
            tokio::select! {
                biased;
                Some(settled) = working.join_next(), if !working.is_empty() => {
                    self.count(settled.unwrap_or(Settled::Untried), &mut outcome);
                }
                () = run.ending.cancelled(), if !is_ending => {}
                () = run.given_up.cancelled() => return outcome,
                _ = progress.tick(), if self.rows.is_some() => {
                    let line = self.rows.as_ref().map(|rows| rows.progress(outcome));
                    run.console.lines(line.into_iter().collect()).await;
                }
                () = at(look_at) => {}
            }
        }
    }

    /// Looks whether the network is there, and says once that it is away, and that it is back.
    fn look_for_network(&mut self, run: &Run) {
        let is_away = match self.network {
            Network::NotYet => run.waits_for_dht(),
            Network::There | Network::Away => run.network_is_away(),
        };
        match (self.network, is_away) {
            (Network::There, true) => {
                self.network = Network::Away;
                complain(format_args!(
                    "The network seems to be away: no DHT node answers. What is in work waits, and \
                     nothing is marked"
                ));
            }
            (Network::Away | Network::NotYet, false) => {
                self.network = Network::There;
                complain(format_args!("DHT nodes answer: it goes on"));
            }
            _ => {}
        }
    }

    fn count(&mut self, settled: Settled, outcome: &mut Outcome) {
        match settled {
            Settled::Received => outcome.received += 1,
            Settled::TimedOut | Settled::Blocked => {}
            Settled::Refused | Settled::Untried => self.is_whole = false,
            Settled::Again(id) => {
                if let Some(rows) = &mut self.rows {
                    *rows.untried.entry(id).or_default() += 1;
                }
                return;
            }
        }
        outcome.settled += 1;
    }

    /// The next hash to fetch: those of the list first.
    async fn next(&mut self, run: &Run) -> Option<(Job, Wanted)> {
        if let Some(Entry { text, torrent }) = self.list.pop_front() {
            let job = Job {
                text,
                row: None,
                source: "METADATA_ONLY",
                again: false,
            };
            begin(run, &job, torrent.infohash).await;
            return Some((job, torrent.into()));
        }
        let rows = self.rows.as_mut()?;
        while let Some(row) = rows.page.pop_front() {
            match parse_hash(row.info_hash.as_bytes()) {
                Ok(torrent) => {
                    let mut wanted = Wanted::from(torrent);
                    if row.source == NOISE {
                        wanted.timeout = Some(run.noise_timeout);
                        wanted.retries = Some(0);
                    }
                    let untried = rows.untried.get(&row.id).copied().unwrap_or_default();
                    let job = Job {
                        text: row.info_hash,
                        row: Some(row.id),
                        source: "DHT",
                        again: untried < TAKEN_AGAIN,
                    };
                    begin(run, &job, wanted.infohash).await;
                    return Some((job, wanted));
                }
                Err(error) => {
                    let line = format!("Skipped invalid hash: {} ({error})", row.info_hash);
                    run.console.line(line).await;
                    run.statistics.failed.add(1);
                    run.statistics.requested.add(1);
                    run.statistics.begun.add(1);
                    run.release(row.id, false).await;
                }
            }
        }
        None
    }

    /// Claims the next rows, where few wait. `is_idle`: nothing is in work.
    async fn refill(&mut self, run: &Run, is_idle: bool) {
        let Some(rows) = &mut self.rows else {
            return;
        };
        let is_idle = is_idle && rows.page.is_empty();
        let is_due = match rows.supply {
            Supply::More => rows.page.len() < REFILL,
            Supply::Held(at) => at <= Instant::now(),
            Supply::Drained => is_idle,
            Supply::Over => false,
        };
        if !is_due {
            return;
        }
        let claim = rows.tables.claim(&rows.holder, run.page);
        let claimed = tokio::select! {
            biased;
            () = run.ending.cancelled() => return,
            claimed = claim => claimed,
        };
        let Claimed {
            rows: page,
            held_by_others,
        } = match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                complain(format_args!("Error loading records: {error}"));
                let function = "MySQLConnection::getTorrentsWithMissingMetadata";
                run.log(function, error.to_string(), None).await;
                rows.supply = Supply::Over;
                self.is_whole = false;
                return;
            }
        };
        if page.is_empty() {
            rows.supply = match held_by_others {
                0 if is_idle => Supply::Over,
                0 => Supply::Drained,
                _ => Supply::Held(Instant::now() + HELD_BY_OTHERS),
            };
            if rows.supply == Supply::Over {
                run.console.line(lines::NO_MORE_RECORDS).await;
            }
            return;
        }
        rows.supply = Supply::More;
        let line = format!(
            "Loaded batch of {} records (offset: {})",
            page.len(),
            rows.loaded
        );
        rows.loaded += u64::try_from(page.len()).unwrap_or(u64::MAX);
        rows.page.extend(page);
        run.console.line(line).await;
    }
}

impl Rows {
    #[expect(clippy::cast_precision_loss, reason = "for the eye")]
    fn progress(&self, outcome: Outcome) -> String {
        let minutes = self.started.elapsed().as_secs_f64() / 60.0;
        let pace = outcome.settled as f64 / minutes.max(f64::EPSILON);
        format!(
            "Progress: {} of {} records processed, {} received, {pace:.0} per minute",
            outcome.settled,
            self.total.max(outcome.settled),
            outcome.received,
        )
    }
}

async fn begin(run: &Run, job: &Job, infohash: Infohash) {
    run.queued(&infohash, MANUAL).await;
    run.begun(&infohash, MANUAL).await;
    let line = format!("Requesting metadata for hash: {}", job.text);
    run.console.line(line).await;
}

/// That point in time; never where there is none.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
