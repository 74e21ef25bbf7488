//! `metafetch crawl`: hashes out of the DHT, and their metadata, until somebody or a limit ends it.
//!
//! | file | what lives there |
//! |---|---|
//! | `args` | the options |
//! | `funnel` | what was counted, as a screen, a line and JSON |
//! | `screen` | where that is shown |
//! | `retention` | what is deleted meanwhile |

mod args;
mod funnel;
mod retention;
mod screen;

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

pub(super) use args::Args;

use self::funnel::{Funnel, Now, Totals};
use self::screen::Screen;
use super::keep::Keep;
use super::output::Format;
use super::session::Session;
use super::signals::Signals;
use super::{Exit, Stop, say, store};
use crate::config::Config;
use crate::discovery::crawl::{Crawl, CrawlCounters, NodeRecord};
use crate::discovery::dht::{Dht, Purpose};
use crate::engine::crawling::{Acquaint, Again, FEW_NODES, Memory};
use crate::engine::{BacklogState, Engine, Options, Origin, Resolution};
use crate::libtorrent::DhtHealth;
use crate::store::{SessionStatus, Store};
use crate::torrent::Reason;
use crate::wire::krpc::NodeId;

/// Hashes that wait for each place of the engine: what waits is lost when the process ends.
const WAITING_PER_JOB: usize = 4;

/// Runs the command; the exit code tells how it went.
pub(super) async fn run(args: Args) -> Exit {
    match start(args).await {
        Ok((run, mut signals)) => run.work(&mut signals).await,
        Err(stop) => stop.say(),
    }
}

/// Everything that can be wrong before the first packet is found out here.
async fn start(args: Args) -> Result<(Run, Signals), Stop> {
    let mut config = args.store.config()?;
    let proxy = args.engine.apply(&mut config)?;
    args.crawl.apply(&mut config);
    let url = store::url(&config)?;
    let keep = Keep::new(args.out.as_deref(), url.is_some())
        .map_err(|error| Stop::new(Exit::Failed, error))?;
    let store = url.as_ref().map(Store::open).transpose()?;
    let state = args.state.as_deref();
    let known = config.crawl.nodes;
    let mut memory = Memory::open(store.clone(), url.as_ref(), state, known).map_err(|error| {
        Stop::new(
            Exit::Failed,
            format!("{error}; choose another --state, or none"),
        )
    })?;
    let session = Session::start("crawl", store.as_ref());
    let signals = Signals::new();
    let nodes = memory.nodes().await;
    let limits = Limits {
        time: args.time,
        resolved: args.limit,
        queries: args.queries,
    };
    let retention = args.retention;
    say_if_slower(&config);
    let crawl_options = config.crawl_options();
    let (format, quiet, every) = (args.format, args.quiet, args.every);
    let mut dht = config.dht_node(memory.dht_state());
    dht.silence_is_told_elsewhere = true;
    dht.remembered = nodes.iter().map(|node| node.addr).take(FEW_NODES).collect();
    let options = Options {
        waits_for_network: true,
        ..config.engine_options(Some(dht), proxy)
    };
    let waiting = options.jobs.saturating_mul(WAITING_PER_JOB);
    let started = Engine::start(options, store.clone());
    let engine = match started {
        Ok(engine) => engine,
        Err(error) => return Err(give_up(session, store, error.to_string()).await),
    };
    let Some(dht) = engine.dht() else {
        let why = "the DHT can't be used: libtorrent did not start".to_owned();
        return Err(give_up(session, store, why).await);
    };
    let cooldown = engine.options().cooldowns.longest();
    let prune =
        (store.clone()).map(|store| AbortOnDropHandle::new(retention.start(store, cooldown)));
    let (hungry, wanted) = watch::channel(1.0);
    let met_before = nodes.len();
    let (crawl, discovered) = Crawl::start(
        dht.with_purpose(Purpose::Crawl),
        nodes,
        crawl_options,
        wanted,
    );
    let (results, backlog) = engine.follow(discovered, waiting, hungry);
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let run = Run {
        engine,
        dht,
        crawl: Some(crawl),
        met_before,
        backlog,
        results,
        limits,
        format,
        keep,
        funnel: Funnel::start(),
        screen: Screen::start(format, quiet, every),
        session,
        memory: Some(memory),
        again: Again::default(),
        acquaint: Acquaint::default(),
        prune,
        nodes: Vec::new(),
        seconds,
        totals: Totals::default(),
        results_seen: 0,
        output_gone: false,
        dht_gone: false,
    };
    Ok((run, signals))
}

/// A rate above what may be sent at all has no effect.
fn say_if_slower(config: &Config) {
    let rate = config.crawl.rate;
    let most = config.dht.limits().crawl_queries_per_second();
    if let Some(most) = most.filter(|most| *most < u32::from(rate)) {
        say(format_args!(
            "--rate {rate} has no effect beyond {most}: --dht-packets and --dht-bytes allow no more than that"
        ));
    }
}

/// Ends before it really began.
async fn give_up(session: Session, store: Option<Store>, why: String) -> Stop {
    session.fail(why.clone()).await;
    if let Some(store) = store {
        store.close().await;
    }
    Stop::new(Exit::Failed, why)
}

/// When a crawl ends by itself.
#[derive(Clone, Copy, Debug)]
struct Limits {
    time: Option<Duration>,
    resolved: Option<u64>,
    queries: Option<u64>,
}

impl Limits {
    fn are_reached(&self, elapsed: Duration, totals: &Totals) -> bool {
        self.time.is_some_and(|time| elapsed >= time)
            || self.resolved.is_some_and(|most| totals.resolved >= most)
            || self.queries.is_some_and(|most| totals.queries >= most)
    }
}

/// A crawl that runs.
struct Run {
    engine: Engine,
    dht: Dht,
    /// `None` once it was told to end.
    crawl: Option<Crawl>,
    /// Nodes that the last run has left.
    met_before: usize,
    backlog: watch::Receiver<BacklogState>,
    results: mpsc::Receiver<Resolution>,
    limits: Limits,
    format: Format,
    keep: Keep,
    funnel: Funnel,
    screen: Screen,
    session: Session,
    memory: Option<Memory>,
    again: Again,
    acquaint: Acquaint,
    /// Deletes what is too old.
    prune: Option<AbortOnDropHandle<()>>,
    /// The nodes to remember, of a crawl that has ended.
    nodes: Vec<NodeRecord>,
    seconds: Interval,
    totals: Totals,
    results_seen: u64,
    output_gone: bool,
    dht_gone: bool,
}

/// What a crawl waits for.
enum Next {
    Signal,
    /// `None`: all is done.
    Result(Option<Box<Resolution>>),
    Second,
    /// A line of progress is due.
    Line,
    /// The row of this run is due.
    Heartbeat,
    /// What is remembered is to be saved.
    Save,
}

impl Run {
    async fn work(mut self, signals: &mut Signals) -> Exit {
        let mut interrupted = false;
        loop {
            match self.next(signals).await {
                // Asked twice: what is durable is durable.
                Next::Signal if interrupted => super::end(Exit::Interrupted),
                Next::Signal => {
                    interrupted = true;
                    say(format_args!(
                        "stopping: what was fetched is being stored; again to quit at once"
                    ));
                    self.stop();
                }
                Next::Result(None) => {
                    if self.crawl.is_some() {
                        self.dht_gone = true;
                        say(format_args!(
                            "the crawl has ended by itself: the DHT node is gone"
                        ));
                    }
                    break;
                }
                Next::Result(Some(resolution)) => self.on_result(&resolution),
                Next::Second => self.on_second().await,
                Next::Line => {
                    self.count();
                    self.tell("running");
                }
                Next::Heartbeat => {
                    self.note_session();
                    self.session.beat();
                }
                Next::Save => self.save().await,
            }
        }
        let mut end = std::pin::pin!(self.finish(interrupted));
        loop {
            tokio::select! {
                exit = &mut end => return exit,
                () = signals.next() => {
                    if interrupted {
                        return Exit::Interrupted;
                    }
                    // It ends already.
                    interrupted = true;
                }
            }
        }
    }

    async fn next(&mut self, signals: &mut Signals) -> Next {
        let memory = &mut self.memory;
        let save = async {
            match memory {
                Some(memory) => memory.due().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = signals.next() => Next::Signal,
            _ = self.seconds.tick() => Next::Second,
            () = self.screen.line_due() => Next::Line,
            () = self.session.due() => Next::Heartbeat,
            () = save => Next::Save,
            result = self.results.recv() => Next::Result(result.map(Box::new)),
        }
    }

    /// Takes nothing in any more, and ends what is in work.
    fn stop(&mut self) {
        if let Some(crawl) = self.crawl.take() {
            self.count_crawl(&crawl.counters());
            self.nodes = crawl.nodes_to_save();
        }
        self.engine.stop();
    }

    fn on_result(&mut self, resolution: &Resolution) {
        self.results_seen += 1;
        self.keep.result(resolution);
        match &resolution.result {
            Ok(resolved) if matches!(resolved.origin, Origin::Store) => self.totals.from_store += 1,
            Ok(_) => {
                self.totals.resolved += 1;
                if let Err(error) = self.format.print(&self.format.line(resolution)) {
                    self.output_is_gone(&error);
                }
            }
            // Cut short by the end: it is no failure of the hash.
            Err(unresolved) if unresolved.failure.reason == Reason::Cancelled => {}
            Err(unresolved) => {
                self.totals.failed += 1;
                self.funnel.failed(unresolved.failure.reason);
                let infohash = NodeId(resolution.infohash.wire_id());
                self.again.failed(infohash, unresolved.retry_at_ms);
                if let Some(crawl) = &self.crawl {
                    crawl.forget_announce(&infohash);
                }
            }
        }
        self.end_at_limits();
    }

    fn end_at_limits(&mut self) {
        let elapsed = self.funnel.elapsed();
        if self.crawl.is_some() && self.limits.are_reached(elapsed, &self.totals) {
            self.stop();
        }
    }

    async fn on_second(&mut self) {
        let known_nodes = self.count();
        self.screen.draw(&self.funnel);
        self.end_at_limits();
        if self.crawl.is_some() && self.dht.is_closed() {
            self.dht_gone = true;
            say(format_args!("the DHT node has ended"));
            self.stop();
        }
        if let Some(crawl) = &self.crawl {
            crawl.forget(self.again.due());
            self.acquaint
                .each_second(&self.engine, crawl, known_nodes)
                .await;
        }
    }

    fn count_crawl(&mut self, counters: &CrawlCounters) {
        let met = u64::try_from(self.met_before).unwrap_or(u64::MAX);
        self.totals.nodes = counters.named.new.saturating_add(met);
        self.totals.samples = counters.samples;
        self.totals.hashes = counters.new_hashes();
    }

    /// Brings the counts up to date. Returns how many nodes the crawl knows.
    fn count(&mut self) -> usize {
        let dht = self.dht.counters();
        self.totals.queries = dht.queries();
        self.totals.answers = dht.answers;
        let engine = self.engine.counters();
        self.totals.lookups = engine.lookups;
        self.totals.peers = engine.peers;
        self.totals.attempts = engine.attempts;
        let backlog = *self.backlog.borrow();
        let mut now = Now {
            dht: self
                .engine
                .health()
                .map_or_else(|| "off".to_owned(), |health| dht_in_words(&health.dht)),
            waiting: backlog.waiting,
            in_work: backlog.taken.saturating_sub(self.results_seen),
            ..Now::default()
        };
        // Once: this goes through all nodes that the crawl knows.
        if let Some(counters) = self.crawl.as_ref().map(Crawl::counters) {
            self.count_crawl(&counters);
            now.known_nodes = counters.nodes;
            now.good_nodes = counters.good;
            now.pace = counters.rate;
            now.waiting = now.waiting.saturating_add(counters.pending);
        }
        let known_nodes = now.known_nodes;
        self.funnel.note(self.totals, now);
        self.note_session();
        self.session.note_rates();
        known_nodes
    }

    fn note_session(&mut self) {
        let Totals {
            nodes,
            queries,
            answers,
            samples,
            hashes,
            lookups,
            peers,
            attempts,
            resolved,
            from_store,
            failed,
        } = self.totals;
        let row = &mut self.session.row;
        (row.nodes, row.queries, row.answers) = (nodes, queries, answers);
        (row.samples, row.discovered) = (samples, hashes);
        (row.lookups, row.peers, row.attempts) = (lookups, peers, attempts);
        (row.resolved, row.from_store) = (resolved.saturating_add(from_store), from_store);
        row.failed = failed;
        row.requested = self.backlog.borrow().taken;
        row.errors = self.keep.store_errors + self.keep.file_errors;
        row.error_message.clone_from(&self.keep.last_error);
    }

    async fn save(&mut self) {
        if let (Some(memory), Some(crawl)) = (&mut self.memory, &self.crawl) {
            memory.save(crawl.nodes_to_save(), &self.engine).await;
        }
    }

    fn tell(&mut self, status: &str) {
        if let Err(error) = self.screen.line(&self.funnel, status) {
            self.output_is_gone(&error);
        }
    }

    /// Stdout can't be written to any more. That its reader has gone needs no words.
    fn output_is_gone(&mut self, error: &std::io::Error) {
        if !self.output_gone && error.kind() != std::io::ErrorKind::BrokenPipe {
            say(format_args!("stdout can't be written to: {error}"));
        }
        self.output_gone = true;
        self.stop();
    }

    /// Stores what is left, and ends.
    async fn finish(mut self, interrupted: bool) -> Exit {
        self.stop();
        self.count();
        let failed =
            self.output_gone || self.dht_gone || self.keep.store_errors + self.keep.file_errors > 0;
        let (status, exit) = match (interrupted, failed) {
            (true, _) => (SessionStatus::Stopped, Exit::Interrupted),
            (false, true) => (SessionStatus::Failed, Exit::Failed),
            (false, false) => (SessionStatus::Completed, Exit::Done),
        };
        // Whoever reads stdout is told already, or has gone.
        let _ = self.screen.finish(&self.funnel, status.as_str());
        if let Some(mut memory) = self.memory.take() {
            memory
                .finish(std::mem::take(&mut self.nodes), &self.engine)
                .await;
        }
        drop(self.prune.take());
        self.session.end(status).await;
        self.engine.shutdown().await;
        exit
    }
}

fn dht_in_words(health: &DhtHealth) -> String {
    match health {
        DhtHealth::Off => "off".to_owned(),
        DhtHealth::Starting => "no node has answered yet".to_owned(),
        DhtHealth::Ready { nodes } => format!("{nodes} nodes"),
        DhtHealth::Degraded { nodes, reason } => format!("{nodes} nodes; {reason}"),
        DhtHealth::Failed(error) => format!("does not work: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_ends_the_crawl_and_none_does_not() {
        let none = Limits {
            time: None,
            resolved: None,
            queries: None,
        };
        let totals = Totals {
            resolved: 5,
            queries: 100,
            ..Totals::default()
        };
        let minute = Duration::from_secs(60);
        assert!(!none.are_reached(minute, &totals));
        for (limits, reached) in [
            (
                Limits {
                    time: Some(minute),
                    ..none
                },
                true,
            ),
            (
                Limits {
                    time: Some(minute * 2),
                    ..none
                },
                false,
            ),
            (
                Limits {
                    resolved: Some(5),
                    ..none
                },
                true,
            ),
            (
                Limits {
                    resolved: Some(6),
                    ..none
                },
                false,
            ),
            (
                Limits {
                    queries: Some(99),
                    ..none
                },
                true,
            ),
            (
                Limits {
                    queries: Some(101),
                    ..none
                },
                false,
            ),
        ] {
            assert_eq!(limits.are_reached(minute, &totals), reached, "{limits:?}");
        }
    }
}
