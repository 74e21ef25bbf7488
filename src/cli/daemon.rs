//! `metafetch daemon`: all of it as a service, until a signal ends it.
//!
//! SIGTERM and SIGINT end it: what is in work may end meanwhile, and what has not ended is put back. A
//! second one ends it at once. SIGHUP reads the configuration again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::engine::EngineArgs;
use super::session::Session;
use super::signals::Signals;
use super::store::{self, StoreArgs};
use super::{Exit, Stop};
use crate::config::{Config, ConfigError};
use crate::daemon::api;
use crate::daemon::log::Log;
use crate::daemon::{Daemon, Done, Parts, Reloaded, Service, heartbeat, log, metrics, notify};
use crate::proxy::Proxy;
use crate::store::SessionStatus;

/// The configuration file that is taken where none is named and this one is there: `config init` writes it.
const USUAL: &str = "metafetch.toml";

/// Crawl, backlog, watched directories and an HTTP API as one service.
///
/// What it does stands in a TOML file: --config or `METAFETCH_CONFIG` names it, otherwise `metafetch.toml` is
/// taken where the working directory has one. SIGHUP reads it again, SIGTERM ends the service.
///
/// Exit codes: 0 ended by a signal, 1 failed to run, 2 wrong usage or configuration, 130 ended by a second
/// signal.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Have no DHT node
    #[arg(long, conflicts_with = "bootstrap")]
    no_dht: bool,
    /// Do not ask trackers for peers
    #[arg(long)]
    no_trackers: bool,
    #[command(flatten)]
    pub(in crate::cli) engine: EngineArgs,
    #[command(flatten)]
    store: StoreArgs,
}

impl Args {
    /// The configuration, with what the arguments say.
    fn config(&self) -> Result<(Config, Option<Proxy>), Stop> {
        let mut config = self.store.config_or(Path::new(USUAL))?;
        config.dht.enabled &= !self.no_dht;
        config.engine.trackers &= !self.no_trackers;
        let proxy = self.engine.apply(&mut config)?;
        api::check(&config.api, &config.api.listen)
            .map_err(|error| Stop::new(Exit::Usage, error))?;
        Ok((config, proxy))
    }

    /// The configuration, read again.
    fn again(&self) -> Result<Config, ConfigError> {
        let read = self.config();
        read.map(|(config, _)| config).map_err(|stop| {
            let what = stop.what.unwrap_or_else(|| "it can't be read".to_owned());
            ConfigError::together(what)
        })
    }
}

/// Runs the command; the exit code tells how it went.
pub(super) async fn run(args: Args) -> Exit {
    let started = start(args).await;
    match started {
        Ok((life, mut signals)) => life.live(&mut signals).await,
        Err(stop) => stop.say(),
    }
}

/// Everything that can be wrong is found out here.
async fn start(args: Args) -> Result<(Life, Signals), Stop> {
    let failed = |error: &dyn std::fmt::Display| Stop::new(Exit::Failed, error.to_string());
    let args = Arc::new(args);
    let (config, proxy) = args.config()?;
    let url = store::url(&config)?.ok_or_else(|| {
        let what = "the service needs a store: store.url must not be none";
        Stop::new(Exit::Usage, what)
    })?;
    let log = log::start(&config.log, &config.telemetry).map_err(|error| failed(&error))?;
    let log = Arc::new(log);
    if let Err(error) = metrics::install() {
        tracing::warn!("nothing is measured: {error}");
    }
    let signals = Signals::new();
    // From now on SIGHUP does not end the process.
    let hangup = signal(SignalKind::hangup()).ok();
    // Before anything begins that a second start would disturb.
    let listeners = api::bind(&config.api)
        .await
        .map_err(|error| failed(&error))?;
    let listening: Vec<String> = (listeners.iter())
        .filter_map(|listener| listener.local_addr().ok())
        .map(|addr| format!("http://{addr}/"))
        .collect();
    let parts = Parts {
        config,
        proxy,
        store: url,
        load: Box::new({
            let args = Arc::clone(&args);
            move || args.again()
        }),
        apply: Box::new({
            let log = Arc::clone(&log);
            move |config| log.set_filter(&config.log.filter)
        }),
    };
    let daemon = Daemon::start(parts).await.map_err(|error| failed(&error))?;
    let service = daemon.service().clone();
    let stop_api = CancellationToken::new();
    let api = tokio::spawn(api::serve(service.clone(), listeners, stop_api.clone()));
    let session = Session::start("daemon", Some(service.store()));
    for address in &listening {
        tracing::info!("the API is at {address}");
    }
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let life = Life {
        daemon,
        service,
        session,
        log,
        api: AbortOnDropHandle::new(api),
        stop_api,
        hangup,
        seconds,
        watchdog: notify::watchdog_interval(),
        was_stuck: false,
    };
    Ok((life, signals))
}

/// A service that works.
struct Life {
    daemon: Daemon,
    service: Service,
    session: Session,
    log: Arc<Log>,
    api: AbortOnDropHandle<()>,
    stop_api: CancellationToken,
    hangup: Option<Signal>,
    seconds: Interval,
    watchdog: Option<Duration>,
    was_stuck: bool,
}

impl Life {
    async fn live(mut self, signals: &mut Signals) -> Exit {
        notify::ready();
        tracing::info!("the service works");
        let mut ticks = 0_u64;
        loop {
            tokio::select! {
                biased;
                () = signals.next() => break,
                () = self.service.stopped() => break,
                () = hung_up(&mut self.hangup) => self.reload().await,
                _ = self.seconds.tick() => {
                    self.note();
                    self.session.note_rates();
                    self.watch();
                    if ticks.is_multiple_of(10) {
                        notify::status(&self.status());
                    }
                    ticks = ticks.wrapping_add(1);
                }
                () = self.session.due() => {
                    self.note();
                    self.session.beat();
                }
            }
        }
        let within = self.service.config().daemon.stop_within;
        // Before whatever else may end this.
        self.service.stop();
        notify::stopping(within + Duration::from_secs(5));
        tracing::info!(
            "stopping: what is in work has {} to end; again to quit at once",
            humantime::format_duration(within / 2)
        );
        let log = Arc::clone(&self.log);
        let ended = tokio::select! {
            ended = timeout(within, self.end(within)) => ended.is_ok(),
            // What is durable is durable.
            () = signals.next() => return Exit::Interrupted,
        };
        if !ended {
            tracing::error!("the end took longer than daemon.stop_within: quitting");
        }
        let _ = tokio::task::spawn_blocking(move || log.end()).await;
        if ended { Exit::Done } else { Exit::Failed }
    }

    /// What has not ended is put back, what has is stored.
    async fn end(mut self, within: Duration) {
        self.stop_api.cancel();
        let put_back = self.daemon.drain(within).await;
        if put_back > 0 {
            tracing::info!("{put_back} hashes in work were put back");
        }
        let _ = timeout(within / 8, &mut self.api).await;
        self.note();
        self.session.end(SessionStatus::Stopped).await;
        self.daemon.close().await;
        tracing::info!("stopped");
    }

    async fn reload(&self) {
        notify::reloading();
        match self.service.reload().await {
            Ok(reloaded) => tell(&reloaded),
            Err(error) => {
                tracing::error!("the configuration is wrong, and nothing changes: {error}");
            }
        }
        notify::ready();
    }

    /// Tells the watchdog that all is alive, unless a loop is stuck.
    fn watch(&mut self) {
        let stuck = heartbeat::stuck();
        let is_stuck = !stuck.is_empty();
        if is_stuck && !self.was_stuck {
            let names: Vec<_> = stuck.iter().map(|stuck| stuck.name).collect();
            tracing::error!("nothing was heard of: {}", names.join(", "));
        }
        self.was_stuck = is_stuck;
        if self.watchdog.is_some() && !is_stuck {
            notify::watchdog();
        }
    }

    fn status(&self) -> String {
        let done = self.daemon.done();
        let sources = self.service.sources();
        let waiting: u64 = sources.iter().map(|source| source.waiting).sum();
        let in_work: u64 = sources.iter().map(|source| source.in_work).sum();
        format!(
            "{} resolved, {} failed, {in_work} in work, {waiting} waiting",
            done.resolved, done.failed
        )
    }

    fn note(&mut self) {
        let Done {
            begun,
            resolved,
            from_store,
            failed,
            store_errors,
            last_error,
            crawl,
        } = self.daemon.done();
        let row = &mut self.session.row;
        (row.requested, row.failed) = (begun, failed);
        (row.resolved, row.from_store) = (resolved.saturating_add(from_store), from_store);
        (row.errors, row.error_message) = (store_errors, last_error);
        if let Some(crawl) = crawl {
            row.nodes = crawl.named.new;
            row.samples = crawl.samples;
            row.discovered = crawl.new_hashes();
        }
        let engine = self.service.engine();
        let counters = engine.counters();
        (row.lookups, row.peers, row.attempts) =
            (counters.lookups, counters.peers, counters.attempts);
        if let Some(dht) = engine.dht().map(|dht| dht.counters()) {
            (row.queries, row.answers) = (dht.queries(), dht.answers);
        }
    }
}

fn tell(reloaded: &Reloaded) {
    let Reloaded {
        applied,
        needs_restart,
    } = reloaded;
    let list = |keys: &[String]| match keys {
        [] => "nothing".to_owned(),
        keys => keys.join(", "),
    };
    tracing::info!(
        "the configuration was read again; changed: {}",
        list(applied)
    );
    if !needs_restart.is_empty() {
        tracing::warn!("only a restart changes: {}", list(needs_restart));
    }
}

async fn hung_up(signal: &mut Option<Signal>) {
    let came = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if came.is_none() {
        std::future::pending::<()>().await;
    }
}
