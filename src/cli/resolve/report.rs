//! What a run tells: results on stdout and as files, counts and complaints on stderr.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use super::args::Args;
use crate::cli::input::Place;
use crate::cli::keep::Keep;
use crate::cli::output::Format;
use crate::cli::progress::{Counts, Progress};
use crate::cli::{Exit, say};
use crate::engine::{Counters, Origin, Resolution};
use crate::libtorrent::{DhtHealth, Health};
use crate::store::CrawlSession;
use crate::torrent::Reason;

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, not a state"
)]
pub(super) struct Report {
    format: Format,
    keep: Keep,
    strict: bool,
    quiet: bool,
    progress: Progress,
    started: Instant,
    counts: Counts,
    malformed: u64,
    reasons: BTreeMap<Reason, u64>,
    from_store: u64,
    output_gone: bool,
    dht_silent: bool,
}

impl Report {
    /// # Errors
    /// A sentence that says why `-o` can't be written to.
    pub(super) fn new(args: &Args, has_store: bool) -> Result<Self, String> {
        Ok(Self {
            format: args.format.unwrap_or_else(Format::for_stdout),
            keep: Keep::new(args.out.as_deref(), has_store)?,
            strict: args.strict,
            quiet: args.quiet,
            progress: Progress::start(args.quiet),
            started: Instant::now(),
            counts: Counts::default(),
            malformed: 0,
            reasons: BTreeMap::new(),
            from_store: 0,
            output_gone: false,
            dht_silent: false,
        })
    }

    pub(super) fn malformed(&mut self, place: &Place, error: &str) {
        self.malformed += 1;
        say(format_args!("{place}: {error}"));
    }

    pub(super) fn wanted(&mut self) {
        self.counts.wanted += 1;
        self.progress.update(self.counts);
    }

    /// Writes a result; gives back its line.
    pub(super) fn result(&mut self, resolution: &Resolution) -> io::Result<Box<str>> {
        self.count(resolution);
        self.keep.result(resolution);
        let line = self.format.line(resolution).into_boxed_str();
        self.format.print(&line)?;
        self.progress.update(self.counts);
        Ok(line)
    }

    fn count(&mut self, resolution: &Resolution) {
        match &resolution.result {
            Ok(resolved) => {
                self.counts.resolved += 1;
                self.from_store += u64::from(matches!(resolved.origin, Origin::Store));
            }
            Err(unresolved) => {
                self.counts.failed += 1;
                *self.reasons.entry(unresolved.failure.reason).or_default() += 1;
            }
        }
    }

    /// Notes in the row of this run how far it is.
    pub(super) fn note(&self, row: &mut CrawlSession, engine: Counters) {
        row.requested = self.counts.wanted;
        row.resolved = self.counts.resolved;
        row.failed = self.counts.failed;
        row.from_store = self.from_store;
        row.lookups = engine.lookups;
        row.peers = engine.peers;
        row.attempts = engine.attempts;
        row.errors = self.unkept();
        row.error_message.clone_from(&self.keep.last_error);
    }

    /// Results that are not kept where they should be.
    fn unkept(&self) -> u64 {
        self.keep.store_errors + self.keep.file_errors
    }

    /// The result of a hash that was asked for again.
    pub(super) fn repeat(&mut self, line: &str, resolved: bool) -> io::Result<()> {
        if resolved {
            self.counts.resolved += 1;
        } else {
            self.counts.failed += 1;
        }
        self.progress.update(self.counts);
        self.format.print(line)
    }

    pub(super) async fn line_due(&mut self) {
        self.progress.line_due().await;
    }

    pub(super) fn print_counts(&self) {
        let Counts {
            wanted,
            resolved,
            failed,
        } = self.counts;
        let open = wanted.saturating_sub(resolved + failed);
        say(format_args!(
            "{resolved} resolved, {failed} failed, {open} to go"
        ));
    }

    /// Stdout can't be written to any more. That its reader has gone needs no words.
    pub(super) fn output_is_gone(&mut self, error: &io::Error) {
        if !self.output_gone && error.kind() != io::ErrorKind::BrokenPipe {
            say(format_args!("results can't be written to stdout: {error}"));
        }
        self.output_gone = true;
    }

    /// Remembers that the DHT never answered: with that, `no_peers` says little.
    pub(super) fn note_health(&mut self, health: &Health) {
        self.dht_silent = matches!(health.dht, DhtHealth::Starting | DhtHealth::Failed(_));
    }

    /// The summary and the exit code.
    pub(super) fn finish(self, interrupted: bool) -> Exit {
        self.progress.finish();
        if !self.quiet {
            self.print_summary();
        }
        let no_peers = self.reasons.contains_key(&Reason::NoPeers);
        if no_peers && self.dht_silent {
            say(format_args!(
                "no DHT node has answered: is UDP blocked, or the network down? \
                 (--bootstrap HOST:PORT names other nodes, --no-dht goes without)"
            ));
        }
        // Each hash ends in a result; if not, the run is not to be trusted.
        let lost = self
            .counts
            .wanted
            .saturating_sub(self.counts.resolved + self.counts.failed);
        if lost > 0 && !interrupted && !self.output_gone {
            say(format_args!("{lost} hashes have ended without a result"));
        }
        if interrupted {
            say(format_args!(
                "interrupted: what was resolved is kept; the same command goes on"
            ));
            Exit::Interrupted
        } else if self.output_gone || self.unkept() > 0 || lost > 0 {
            Exit::Failed
        } else if self.malformed > 0 && (self.strict || self.counts.wanted == 0) {
            Exit::Usage
        } else if self.malformed > 0 || self.counts.failed > 0 {
            Exit::Unresolved
        } else {
            Exit::Done
        }
    }

    fn print_summary(&self) {
        let Counts {
            resolved, failed, ..
        } = self.counts;
        let mut summary = vec![format!("{resolved} resolved"), format!("{failed} failed")];
        if let Some(failed) = summary.last_mut()
            && !self.reasons.is_empty()
        {
            let reasons: Vec<_> = self
                .reasons
                .iter()
                .map(|(reason, count)| format!("{count} {reason}"))
                .collect();
            *failed = format!("{failed} ({})", reasons.join(", "));
        }
        let further = [
            (self.malformed, "malformed"),
            (self.keep.store_errors, "not stored"),
            (self.keep.file_errors, "not written"),
        ];
        let further = further.iter().filter(|(count, _)| *count > 0);
        summary.extend(further.map(|(count, what)| format!("{count} {what}")));
        let seconds = self.started.elapsed().as_secs_f64();
        say(format_args!("{} in {seconds:.1}s", summary.join(", ")));
    }
}
