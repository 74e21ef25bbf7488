//! A run from its first line to its last: database, engine, DHT, the mode, the statistics.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::args::Args;
use super::console::{Console, Wanted, complain};
use super::database::{connect, open_store, tell_outages};
use super::marks::Marks;
use super::mode::{bootstrap, crawl, fetch};
use super::normal::{self, Discovery, Pace};
use super::run::{Database, Run};
use super::settings::Settings;
use super::signals::Signals;
use super::statistics::Statistics;
use super::{lines, log};
use crate::engine::{Engine, Options};
use crate::store::{Holder, LegacyTables};

/// How long rows are waited for after the end has begun.
const LAST_ROWS: Duration = Duration::from_secs(5);
/// How long the last claims may take to be given back.
const LAST_MARKS: Duration = Duration::from_secs(2);
/// How long the engine and the tables may take to end.
const END: Duration = Duration::from_secs(8);

/// Runs the program; what it says on stderr where it can't.
pub(super) async fn run(args: Args) -> Result<(), String> {
    let settings = Settings::read(&args)?;
    let signals = Signals::new();
    let (console, writer) =
        Console::start(Wanted::from(&args)).map_err(|error| error.to_string())?;
    log::start(&console);
    let stop = CancellationToken::new();
    let watching = signals.watch(console.clone(), stop.clone());
    let _watching = AbortOnDropHandle::new(tokio::spawn(watching));
    let reader_gone = ends_with_reader(console.clone(), stop.clone());
    let _reader_gone = AbortOnDropHandle::new(tokio::spawn(reader_gone));
    let done = work(&args, settings, &console, &stop).await;
    let written = writer.finish(&console).await;
    done.and(written.map_err(|error| format!("stdout can't be written to: {error}")))
}

/// Stops the run when nobody reads what it says.
async fn ends_with_reader(console: Console, stop: CancellationToken) {
    console.gone().await;
    stop.cancel();
}

/// Gives rows up that are not stored a while after the end has begun.
async fn give_up(ending: CancellationToken, given_up: CancellationToken) {
    ending.cancelled().await;
    sleep(LAST_ROWS).await;
    given_up.cancel();
}

async fn work(
    args: &Args,
    settings: Settings,
    console: &Console,
    stop: &CancellationToken,
) -> Result<(), String> {
    console.lines(first_lines(args, &settings)).await;
    console
        .metadata_log(&[lines::POOL_STARTED.to_owned()])
        .await;
    console.line(lines::INITIALIZING).await;
    let holder = Holder::new();
    let tables = match &settings.login {
        Some(login) => connect(login, console, stop).await,
        None => None,
    };
    let (database, marking) = match tables.clone() {
        Some(tables) => {
            let (marks, marking) = Marks::start(tables.clone(), holder.clone());
            (Some(Database { tables, marks }), Some(marking))
        }
        None => (None, None),
    };
    let outages = tables.as_ref().map(|tables| {
        let health = tables.health();
        AbortOnDropHandle::new(tokio::spawn(tell_outages(health)))
    });
    let store = match settings.store(tables.is_some()) {
        Some(url) => open_store(url).await,
        None => None,
    };
    let listen = settings.listen();
    let queries = u64::try_from(args.queries).ok();
    let mut options: Options = settings.engine;
    let fetches = args.metadata.is_some() || args.metadata_database;
    options.waits_for_network = true;
    let sends_nothing = !fetches && queries == Some(0);
    if sends_nothing {
        options.dht = false;
        options.libtorrent.dht = None;
    }
    // Whoever asks for a hash wants it tried.
    options.cooldowns.off |= fetches;
    if fetches {
        options.jobs = settings.backlog_jobs;
        // Those that magnets name.
        options.trackers = true;
    }
    let (jobs, allow_local) = (options.jobs.max(1), options.allow_local_peers);
    let (ending, given_up) = (stop.child_token(), CancellationToken::new());
    let engine = Engine::start(options, store).map_err(|error| error.to_string())?;
    let run = Arc::new(Run {
        engine,
        database,
        console: console.clone(),
        statistics: Statistics::default(),
        stop: stop.clone(),
        ending: ending.clone(),
        given_up: given_up.clone(),
        jobs,
        listen,
        noise_timeout: settings.noise_timeout,
        marks: settings.marks,
        page: settings.page,
    });
    let _ending = AbortOnDropHandle::new(tokio::spawn(give_up(ending, given_up)));
    console
        .lines(vec![
            lines::CHECKING_PORT.to_owned(),
            format!("Configured to listen on: {}", run.listen),
        ])
        .await;
    let mode = if fetches {
        bootstrap(&run).await;
        fetch(args, &run, &holder, settings.limit).await
    } else {
        let pace = Pace {
            workers: (!args.sequential).then_some(args.workers),
            samples: args.bep51,
            queries,
            allow_local,
            nodes: settings.nodes,
        };
        let dht = run.engine.dht();
        let discovery = dht.map(|dht| Discovery::start(&dht, pace));
        bootstrap(&run).await;
        if sends_nothing {
            normal::nothing(&run, pace).await;
            Ok(())
        } else {
            crawl(&run, discovery).await
        }
    };
    drop(outages);
    finish(run, tables, marking).await;
    mode
}

fn first_lines(args: &Args, settings: &Settings) -> Vec<String> {
    let mut said = Vec::new();
    if settings.login.is_none() {
        said.push(lines::TEST_MODE.to_owned());
    }
    if !args.verbose {
        said.push(lines::STARTED.to_owned());
        return said;
    }
    said.push("=== DHT Torrent Discovery Tool ===".to_owned());
    if let Some(login) = &settings.login {
        said.push(format!("MySQL Server: {}:{}", login.host, login.port));
        said.push(format!("Database: {}", login.database));
        said.push(format!("User: {}", login.user));
    }
    said.push(if args.queries > 0 {
        format!("Max Queries: {}", args.queries)
    } else {
        "Running indefinitely (press Ctrl+C to stop)".to_owned()
    });
    said.push(String::new());
    said
}

/// The statistics, once, and the end.
async fn finish(run: Arc<Run>, tables: Option<LegacyTables>, marking: Option<JoinHandle<()>>) {
    let wanted = run.console.wanted();
    let prefix = if wanted.metadata_log {
        "[METADATA_LOG] "
    } else {
        "[DEBUG] "
    };
    let requests = wanted.request_statistics().then_some(prefix);
    let last = run.statistics.last(run.traffic(), requests);
    run.console.lines(last).await;
    let unstored = run.statistics.unstored.get();
    if unstored > 0 {
        complain(format_args!(
            "Error storing torrent: the database was away at the end: {unstored} torrents that were \
             fetched are not in it, and are fetched again"
        ));
    }
    let console = run.console.clone();
    let engine = run.engine.clone();
    drop(run);
    let close = async {
        // Otherwise the claims that it is about to give back would end by themselves.
        if let Some(marking) = marking {
            let _ = timeout(LAST_MARKS, marking).await;
        }
        if let Some(tables) = tables {
            tables.close().await;
        }
    };
    let ended = timeout(END, async { tokio::join!(engine.shutdown(), close) }).await;
    if ended.is_err() {
        tracing::warn!("not all of it ended in time");
    }
    console
        .metadata_log(&[lines::POOL_SHUT_DOWN.to_owned()])
        .await;
    console.line(lines::SHUTDOWN_COMPLETE).await;
}
