//! The progress bar on a terminal, and plain lines elsewhere.

use std::io::IsTerminal as _;
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// How often a plain line tells how far it is.
const EVERY: Duration = Duration::from_secs(10);

/// The bar of this process. Only one command runs in it.
static BAR: OnceLock<ProgressBar> = OnceLock::new();

/// Runs `write`, which writes to the terminal, while the bar is out of the way.
pub(super) fn suspended<T>(write: impl FnOnce() -> T) -> T {
    match BAR.get() {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Shows how far a run is.
pub(super) struct Progress {
    bar: Option<&'static ProgressBar>,
    lines: Option<Interval>,
}

/// Lines on a terminal that are shown anew in place.
pub(super) struct Live {
    bar: &'static ProgressBar,
}

impl Live {
    pub(super) fn start() -> Self {
        let bar = BAR.get_or_init(|| {
            let style = ProgressStyle::with_template("{msg}");
            let bar = ProgressBar::new_spinner();
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        Self { bar }
    }

    /// Shows these lines.
    pub(super) fn show(&self, lines: String) {
        self.bar.set_message(lines);
        self.bar.tick();
    }

    /// Takes them away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Shows how far a long piece of work is, on a terminal only.
pub(super) struct Rows {
    bar: Option<&'static ProgressBar>,
}

impl Rows {
    /// A line where stderr is a terminal, nothing elsewhere and with `quiet`.
    pub(super) fn start(quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        let bar = shown.then(|| {
            BAR.get_or_init(|| {
                let style =
                    ProgressStyle::with_template("{spinner} {pos} {msg} {elapsed} {per_sec}");
                let bar = ProgressBar::new_spinner();
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
                bar
            })
        });
        Self { bar }
    }

    /// Shows what is done, and how many rows of it.
    pub(super) fn update(&self, what: &str, rows: u64) {
        if let Some(bar) = self.bar {
            bar.set_message(what.to_owned());
            bar.set_position(rows);
        }
    }

    /// Takes the line away.
    pub(super) fn finish(&self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The counts that are shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) wanted: u64,
    pub(super) resolved: u64,
    pub(super) failed: u64,
}

impl Progress {
    /// A bar where stderr is a terminal, plain lines elsewhere, nothing with `quiet`.
    pub(super) fn start(quiet: bool) -> Self {
        if quiet {
            return Self {
                bar: None,
                lines: None,
            };
        }
        if std::io::stderr().is_terminal() {
            let bar = BAR.get_or_init(|| {
                let style =
                    ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {elapsed} {per_sec}");
                let bar = ProgressBar::new(0);
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                bar
            });
            return Self {
                bar: Some(bar),
                lines: None,
            };
        }
        let mut lines = interval_at(Instant::now() + EVERY, EVERY);
        lines.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            bar: None,
            lines: Some(lines),
        }
    }

    /// Shows new counts.
    pub(super) fn update(&self, counts: Counts) {
        if let Some(bar) = self.bar {
            bar.set_length(counts.wanted);
            bar.set_position(counts.resolved + counts.failed);
            bar.set_message(format!(
                "resolved {}, failed {}",
                counts.resolved, counts.failed
            ));
        }
    }

    /// Waits until the next plain line is due; for ever where none is wanted.
    pub(super) async fn line_due(&mut self) {
        match &mut self.lines {
            Some(lines) => {
                lines.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
