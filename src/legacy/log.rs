//! What the parts of metafetch log: warnings on stderr, with `--debug` the rest as `[DEBUG]` lines.

use std::io::{self, Write};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::console::{Console, complain};

/// Starts logging.
pub(super) fn start(console: &Console) {
    let ours = |level| Targets::new().with_target("metafetch", level);
    let warnings = tracing_subscriber::fmt::layer()
        .with_writer(|| Stderr)
        .with_target(false)
        .with_ansi(false)
        .without_time()
        .with_filter(ours(LevelFilter::WARN));
    let wanted = console.wanted();
    let level = if wanted.debug && !wanted.metadata_log {
        LevelFilter::DEBUG
    } else {
        LevelFilter::OFF
    };
    let console = console.clone();
    let debug = tracing_subscriber::fmt::layer()
        .with_writer(move || DebugLine(console.clone()))
        .with_target(false)
        .with_level(false)
        .with_ansi(false)
        .without_time()
        .with_filter(ours(level));
    // Only a second start in one process can fail, and that one keeps the first.
    let _ = tracing_subscriber::registry()
        .with(warnings)
        .with(debug)
        .try_init();
}

/// One event on stderr.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        complain(format_args!("{}", text.trim()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One event as a line of `--debug`.
struct DebugLine(Console);

impl Write for DebugLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.debug(format_args!("{}", text.trim()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
