//! The command line: one file per subcommand. Results go to stdout, everything else to stderr.

mod block;
mod config;
mod crawl;
mod daemon;
mod db;
mod dht;
mod diagnose;
mod doctor;
mod engine;
mod failed;
mod given;
mod input;
mod keep;
mod listing;
mod log;
mod output;
mod peers;
mod privacy;
mod progress;
mod query;
mod rate;
mod resolve;
mod search;
mod session;
mod signals;
mod stats;
mod store;
mod time;
mod usage;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::store::StoreError;

/// How a command ended, as its exit code tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All that was asked for is done.
    Done = 0,
    /// The command could not do its work.
    Failed = 1,
    /// Wrong usage, configuration or input.
    Usage = 2,
    /// It ran to its end, but some hashes are unresolved, some things that were asked for are not
    /// there, or some data is damaged.
    Unresolved = 3,
    /// Interrupted: what was done is kept.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command stops before its end.
#[derive(Debug)]
pub(crate) struct Stop {
    exit: Exit,
    /// What stderr is told; `None` where nobody needs to be told.
    what: Option<String>,
}

impl Stop {
    /// With a sentence for stderr.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: Some(what.into()),
        }
    }

    /// Without a word.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self { exit, what: None }
    }

    /// Says why; gives back the exit code.
    fn say(self) -> Exit {
        if let Some(what) = self.what {
            say(format_args!("{what}"));
        }
        self.exit
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}

/// Turns BitTorrent infohashes into verified torrent metadata, and says why when it cannot.
#[derive(Debug, Parser)]
#[command(
    name = "metafetch",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say more on stderr: -v what happens, -vv every detail.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Resolve magnets and infohashes into metadata.
    Resolve(Box<resolve::Args>),
    /// Discover infohashes in the DHT, and resolve them.
    Crawl(Box<crawl::Args>),
    /// Do all of it as a service, with an HTTP API.
    Daemon(Box<daemon::Args>),
    /// Find out why a hash does not resolve: phase by phase, peer by peer.
    Diagnose(Box<diagnose::Args>),
    /// Ask one peer or one DHT node one thing.
    Query(query::Args),
    /// Check this host: ports, DHT, clock, limits, database.
    Doctor(doctor::Args),
    /// Show or forget hashes that cool down after a failure.
    Failed(failed::Args),
    /// Show or change the hashes that are never fetched.
    Block(block::Args),
    /// Find torrents that were resolved.
    Search(Box<search::Args>),
    /// Show what is known of peers.
    Peers(peers::Args),
    /// Show what all attempts add up to.
    Stats(stats::Args),
    /// Write, check and show the configuration.
    Config(config::Args),
    /// Care for the database: schema, checks, copies, retention, export and import.
    Db(db::Args),
}

/// Runs the command that the process arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let explain = match &cli.command {
        Command::Resolve(args) => args.engine.explain,
        Command::Crawl(args) => args.engine.explain,
        Command::Diagnose(args) => args.engine.explain,
        _ => false,
    };
    // The service has a log of its own.
    if !matches!(cli.command, Command::Daemon(_)) {
        log::start(cli.verbose, explain);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return fail(
                Exit::Failed,
                format_args!("the async runtime did not start: {error}"),
            );
        }
    };
    let exit = runtime.block_on(run(cli.command));
    end(exit)
}

async fn run(command: Command) -> Exit {
    let done = match command {
        Command::Resolve(args) => return resolve::run(*args).await,
        Command::Crawl(args) => return crawl::run(*args).await,
        Command::Daemon(args) => return daemon::run(*args).await,
        Command::Diagnose(args) => diagnose::run(*args).await,
        Command::Query(args) => query::run(args).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Config(args) => config::run(args),
        Command::Db(args) => return db::run(args).await,
        Command::Failed(args) => failed::run(args).await,
        Command::Block(args) => block::run(args).await,
        Command::Search(args) => search::run(*args).await,
        Command::Peers(args) => peers::run(args).await,
        Command::Stats(args) => stats::run(args).await,
    };
    done.unwrap_or_else(Stop::say)
}

/// Ends the process. Threads may still run: one that waits for stdin or a slow disk, libtorrent's
/// ones that wait for a slow resolver. They must neither hold the process, nor meet what exit
/// handlers leave behind.
fn end(exit: Exit) -> ! {
    let _ = std::io::stdout().flush();
    crate::libtorrent::exit_now(exit as i32)
}

/// Says on stderr what went wrong; gives back the exit code.
fn fail(exit: Exit, what: std::fmt::Arguments<'_>) -> ExitCode {
    say(what);
    exit.into()
}

/// One line on stderr, above the progress bar if there is one. That stderr can't be written to must
/// cost nobody his results.
fn say(what: std::fmt::Arguments<'_>) {
    progress::suspended(|| {
        let _ = writeln!(std::io::stderr(), "metafetch: {what}");
    });
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
