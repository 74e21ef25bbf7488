//! `metafetch db`: care for the database. One file per subcommand.

mod backup;
mod check;
mod clean_legacy;
mod export;
mod import;
mod import_legacy;
mod migrate;
mod prune;

use std::fmt::Arguments;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::progress::{self, Rows};
use super::signals::Signals;
use super::store::StoreArgs;
use super::time::now_ms;
use super::{Exit, say};
use crate::store::{DataError, Database, StoreError, StoreUrl, Watch};

/// Care for the database: schema, checks, copies, retention, export and import.
///
/// Other commands may go on working with it meanwhile. Exit codes: 0 done, 1 failed, 2 wrong usage or
/// input, 3 damage was found, 130 interrupted.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    store: StoreArgs,
    /// Show no progress
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Migrate(migrate::Args),
    Check(check::Args),
    Prune(prune::Args),
    Backup(backup::Args),
    Export(export::Args),
    Import(import::Args),
    ImportLegacy(import_legacy::Args),
    CleanLegacy(clean_legacy::Args),
}

/// Why a command ended before its work was done.
#[derive(Debug)]
enum Failure {
    /// Wrong usage or input.
    Usage(String),
    /// It could not be done.
    Failed(String),
    /// The user wanted no more.
    Interrupted,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Stopped => Self::Interrupted,
            DataError::Input(text) => Self::Usage(text),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(format!("cannot write to stdout: {error}"))
    }
}

/// What every subcommand has to work with.
struct Work {
    url: StoreUrl,
    stop: Arc<AtomicBool>,
    rows: Rows,
}

impl Work {
    /// Opens the database; makes it where it is missing.
    fn open(&self) -> Result<Database, Failure> {
        Ok(Database::open(&self.url)?)
    }

    /// Runs a piece of work with a watch over it.
    fn watched<T>(&self, work: impl FnOnce(&mut Watch<'_>) -> T) -> T {
        let mut progress = |what: &str, rows| self.rows.update(what, rows);
        let done = work(&mut Watch {
            stop: &self.stop,
            progress: &mut progress,
        });
        self.rows.finish();
        done
    }
}

/// Runs the command; the exit code tells how it went.
pub(super) async fn run(args: Args) -> Exit {
    let url = match args.store.must_be_kept() {
        Ok(url) => url,
        Err(stop) => return stop.say(),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let work = Work {
        url,
        stop: Arc::clone(&stop),
        rows: Rows::start(args.quiet),
    };
    let mut signals = Signals::new();
    let mut running = tokio::task::spawn_blocking(move || execute(args.command, &work));
    loop {
        tokio::select! {
            done = &mut running => return done.unwrap_or(Exit::Failed),
            () = signals.next() => {
                if stop.swap(true, Ordering::Relaxed) {
                    // Asked again: what is committed is committed.
                    return Exit::Interrupted;
                }
                say(format_args!("interrupted: ending what is in work; again to quit at once"));
            }
        }
    }
}

fn execute(command: Command, work: &Work) -> Exit {
    let done = match command {
        Command::Migrate(args) => migrate::run(&args, work),
        Command::Check(args) => check::run(&args, work),
        Command::Prune(args) => prune::run(args, work),
        Command::Backup(args) => backup::run(&args, work),
        Command::Export(args) => export::run(args, work),
        Command::Import(args) => import::run(&args, work),
        Command::ImportLegacy(args) => import_legacy::run(&args, work),
        Command::CleanLegacy(args) => clean_legacy::run(&args, work),
    };
    match done {
        Ok(exit) => exit,
        Err(Failure::Usage(text)) => {
            say(format_args!("{text}"));
            Exit::Usage
        }
        Err(Failure::Failed(text)) => {
            say(format_args!("{text}"));
            Exit::Failed
        }
        Err(Failure::Interrupted) => {
            say(format_args!(
                "interrupted: what was done is kept, and the same command goes on"
            ));
            Exit::Interrupted
        }
    }
}

/// A line on stdout.
fn print(line: Arguments<'_>) -> std::io::Result<()> {
    progress::suspended(|| writeln!(std::io::stdout().lock(), "{line}"))
}

/// A text from outside, without what could steer a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}
