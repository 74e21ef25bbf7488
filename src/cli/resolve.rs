//! `metafetch resolve`: a batch of hashes, once.

mod args;
mod report;

use std::collections::HashMap;

use tokio::sync::mpsc;

pub(super) use args::Args;

use self::report::Report;
use super::session::Session;
use super::signals::Signals;
use super::{Exit, Stop, input, say, store};
use crate::engine::{Engine, Resolution, Wanted};
use crate::store::{SessionStatus, Store};
use crate::torrent::Infohash;

/// Hashes that wait between the reader and the engine.
const INTAKE: usize = 64;

/// Runs the command; the exit code tells how it went.
pub(super) async fn run(args: Args) -> Exit {
    let (run, report, store) = match prepare(args) {
        Ok(prepared) => prepared,
        Err(stop) => return stop.say(),
    };
    let session = Session::start("resolve", store.as_ref());
    let engine = match Engine::start(run.options, store) {
        Ok(engine) => engine,
        Err(error) => {
            say(format_args!("{error}"));
            session.fail(error.to_string()).await;
            return Exit::Failed;
        }
    };
    let items = input::read(run.inputs);
    let batch = Batch {
        peers: run.peers,
        trackers: run.trackers,
        seen: HashMap::new(),
        report,
        session,
    };
    let mut signals = Signals::new();
    let exit = batch.run(&engine, items, &mut signals).await;
    tokio::select! {
        () = engine.shutdown() => exit,
        // Asked again: what is durable is durable.
        () = signals.next() => Exit::Interrupted,
    }
}

/// Everything that can be wrong before the first packet is found out here.
fn prepare(args: Args) -> Result<(args::Run, Report, Option<Store>), Stop> {
    let mut config = args.store.config()?;
    let proxy = args.engine.apply(&mut config)?;
    let url = store::url(&config)?;
    let report =
        Report::new(&args, url.is_some()).map_err(|error| Stop::new(Exit::Failed, error))?;
    let store = url.as_ref().map(Store::open).transpose()?;
    Ok((args.into_run(&config, proxy), report, store))
}

/// What is known of a hash that was read before.
enum Seen {
    /// In work, and asked for this many times.
    Pending(u32),
    /// Its line of output, to be repeated.
    Done { line: Box<str>, resolved: bool },
}

struct Batch {
    /// `--peer`: for every hash.
    peers: Vec<crate::torrent::PeerHint>,
    /// `--tracker`: for every hash.
    trackers: Vec<String>,
    seen: HashMap<Infohash, Seen>,
    report: Report,
    session: Session,
}

impl Batch {
    async fn run(
        mut self,
        engine: &Engine,
        mut items: mpsc::Receiver<input::Item>,
        signals: &mut Signals,
    ) -> Exit {
        let (intake, wanted) = mpsc::channel(INTAKE);
        let mut intake = Some(intake);
        let mut results = engine.run(wanted);
        let mut waiting: Option<Wanted> = None;
        let mut interrupted = false;
        loop {
            let next = tokio::select! {
                biased;
                () = signals.next() => Next::Signal,
                result = results.recv() => Next::Result(result),
                permit = reserve(intake.clone()), if waiting.is_some() => Next::Room(permit),
                item = items.recv(), if intake.is_some() && waiting.is_none() => Next::Item(item),
                () = self.report.line_due() => Next::Line,
                () = self.session.due() => Next::Heartbeat,
            };
            match next {
                Next::Signal if interrupted => {
                    // Asked twice: what is durable is durable.
                    super::end(Exit::Interrupted);
                }
                Next::Signal => {
                    interrupted = true;
                    (intake, waiting) = (None, None);
                    say(format_args!(
                        "interrupted: ending what is in work; again to quit at once"
                    ));
                    engine.stop();
                }
                Next::Result(None) => break,
                Next::Result(Some(resolution)) => {
                    if let Err(error) = self.on_result(&resolution) {
                        (intake, waiting) = (None, None);
                        self.report.output_is_gone(&error);
                        engine.stop();
                    }
                }
                Next::Room(permit) => {
                    if let (Some(permit), Some(wanted)) = (permit, waiting.take()) {
                        permit.send(wanted);
                    }
                }
                Next::Item(None) => intake = None,
                Next::Item(Some(item)) => waiting = self.on_item(item),
                Next::Line => self.report.print_counts(),
                Next::Heartbeat => {
                    self.report.note(&mut self.session.row, engine.counters());
                    self.session.beat();
                }
            }
        }
        if let Some(health) = engine.health() {
            self.report.note_health(&health);
        }
        self.report.note(&mut self.session.row, engine.counters());
        let exit = self.report.finish(interrupted);
        let status = match exit {
            Exit::Interrupted => SessionStatus::Stopped,
            Exit::Failed => SessionStatus::Failed,
            Exit::Done | Exit::Usage | Exit::Unresolved => SessionStatus::Completed,
        };
        self.session.end(status).await;
        exit
    }

    /// A hash to be resolved, unless it is malformed or was read before.
    fn on_item(&mut self, item: input::Item) -> Option<Wanted> {
        let mut wanted = match item.wanted {
            Ok(wanted) => wanted,
            Err(error) => {
                self.report.malformed(&item.place, &error);
                return None;
            }
        };
        self.report.wanted();
        match self.seen.get_mut(&wanted.infohash) {
            Some(Seen::Pending(times)) => {
                *times = times.saturating_add(1);
                None
            }
            Some(Seen::Done { line, resolved }) => {
                // If stdout is gone, the next result will find out.
                let _ = self.report.repeat(line, *resolved);
                None
            }
            None => {
                self.seen.insert(wanted.infohash, Seen::Pending(1));
                wanted.peers.extend(self.peers.iter().cloned());
                wanted.trackers.extend(self.trackers.iter().cloned());
                Some(wanted)
            }
        }
    }

    fn on_result(&mut self, resolution: &Resolution) -> std::io::Result<()> {
        let resolved = resolution.result.is_ok();
        let line = self.report.result(resolution)?;
        let times = match self.seen.get(&resolution.infohash) {
            Some(Seen::Pending(times)) => *times,
            _ => 1,
        };
        for _ in 1..times {
            self.report.repeat(&line, resolved)?;
        }
        self.seen
            .insert(resolution.infohash, Seen::Done { line, resolved });
        Ok(())
    }
}

/// What a batch waits for.
enum Next {
    Signal,
    /// `None`: all is done.
    Result(Option<Resolution>),
    /// Room in the intake; `None` where it is closed.
    Room(Option<mpsc::OwnedPermit<Wanted>>),
    /// `None`: the input has ended.
    Item(Option<input::Item>),
    /// A plain line of progress is due.
    Line,
    /// The row of this run is due.
    Heartbeat,
}

/// Room for one more hash in the intake.
async fn reserve(intake: Option<mpsc::Sender<Wanted>>) -> Option<mpsc::OwnedPermit<Wanted>> {
    intake?.reserve_owned().await.ok()
}
