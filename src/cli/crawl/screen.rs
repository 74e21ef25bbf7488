//! Where a crawl shows how far it is: a screen on a terminal, lines elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::funnel::Funnel;
use crate::cli::output::Format;
use crate::cli::{progress, say};

/// The width of a terminal that does not say how wide it is.
const WIDTH: u16 = 80;

pub(super) struct Screen {
    live: Option<progress::Live>,
    lines: Option<Interval>,
    json: bool,
}

impl Screen {
    /// A screen where stderr is a terminal, a line now and then elsewhere; JSON lines in any case where
    /// they were asked for.
    pub(super) fn start(format: Format, quiet: bool, every: Duration) -> Self {
        let json = format == Format::Jsonl;
        let live = (!quiet && std::io::stderr().is_terminal()).then(progress::Live::start);
        let has_lines = json || !quiet && live.is_none();
        let lines = has_lines.then(|| {
            let mut lines = interval_at(Instant::now() + every, every);
            lines.set_missed_tick_behavior(MissedTickBehavior::Delay);
            lines
        });
        Self { live, lines, json }
    }

    /// Waits until a line is due; for ever where none is wanted.
    pub(super) async fn line_due(&mut self) {
        match &mut self.lines {
            Some(lines) => {
                lines.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    /// Shows the screen anew.
    pub(super) fn draw(&self, funnel: &Funnel) {
        if let Some(live) = &self.live {
            let width = terminal_size::terminal_size_of(std::io::stderr())
                .map_or(WIDTH, |(width, _)| width.0);
            live.show(funnel.screen(width.into()));
        }
    }

    /// Writes a line.
    ///
    /// # Errors
    /// Stdout can't be written to.
    pub(super) fn line(&self, funnel: &Funnel, status: &str) -> std::io::Result<()> {
        if self.json {
            return Format::Jsonl.print(&funnel.json(status));
        }
        say(format_args!("{}", funnel.line()));
        Ok(())
    }

    /// Takes the screen away, and says how far it came.
    ///
    /// # Errors
    /// Stdout can't be written to.
    pub(super) fn finish(&self, funnel: &Funnel, status: &str) -> std::io::Result<()> {
        if let Some(live) = &self.live {
            live.finish();
        }
        if self.live.is_some() || self.lines.is_some() {
            self.line(funnel, status)
        } else {
            Ok(())
        }
    }
}
