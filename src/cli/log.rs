//! Logs on stderr, which do not tear the progress bar.

use std::io::{self, Write};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::progress;
use crate::telemetry::HASH;

/// The target of the lines that `--explain` shows.
const EXPLAIN: &str = "metafetch::explain";

/// Starts logging: warnings, with `explain` also why each peer and arm was chosen, and the rest as
/// `verbose` says.
pub(super) fn start(verbose: u8, explain: bool) {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let explained = if explain {
        LevelFilter::INFO
    } else {
        LevelFilter::OFF
    };
    let targets = Targets::new()
        .with_target("metafetch", level)
        .with_target(EXPLAIN, explained)
        // A command that works on few hashes names them in its lines where it matters.
        .with_target(HASH, if verbose > 1 { level } else { LevelFilter::OFF });
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Line)
        .with_target(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .without_time();
    // Only a second start in one process can fail, and that one keeps the first.
    let _ = tracing_subscriber::registry()
        .with(targets)
        .with(lines)
        .try_init();
}

/// Writes whole lines to stderr while the bar is hidden.
struct Line;

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A log that nobody can read must not stop the work.
        let _ = progress::suspended(|| io::stderr().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = io::stderr().flush();
        Ok(())
    }
}
