//! What a run tells: results on stdout and as files, counts and complaints on stderr.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use super::args::Args;
use crate::cli::input::Place;
use crate::cli::output::{Format, TorrentFiles};
use crate::cli::progress::{Counts, Progress};
use crate::cli::{Exit, say};
use crate::engine::{Origin, Resolution, Resolved};
use crate::libtorrent::{DhtHealth, Health};
use crate::torrent::{Infohash, Reason};

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, not a state"
)]
pub(super) struct Report {
    format: Format,
    files: Option<TorrentFiles>,
    strict: bool,
    quiet: bool,
    progress: Progress,
    started: Instant,
    counts: Counts,
    malformed: u64,
    reasons: BTreeMap<Reason, u64>,
    /// Results that are neither in the store nor in a file that was asked for.
    store_errors: u64,
    has_store: bool,
    file_errors: u64,
    rescued: Option<TorrentFiles>,
    output_gone: bool,
    dht_silent: bool,
}

impl Report {
    /// # Errors
    /// A sentence that says why `-o` can't be written to.
    pub(super) fn new(args: &Args) -> Result<Self, String> {
        let files = args.out.as_deref().map(|out| {
            TorrentFiles::create(out).map_err(|error| {
                format!(
                    "{} can't be written to: {error}; choose another -o",
                    out.display()
                )
            })
        });
        Ok(Self {
            format: args.format.unwrap_or_else(Format::for_stdout),
            files: files.transpose()?,
            strict: args.strict,
            quiet: args.quiet,
            progress: Progress::start(args.quiet),
            started: Instant::now(),
            counts: Counts::default(),
            malformed: 0,
            reasons: BTreeMap::new(),
            store_errors: 0,
            has_store: args.store.is_kept(),
            file_errors: 0,
            rescued: None,
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
        if let Ok(resolved) = &resolution.result {
            self.keep(
                resolution.infohash,
                resolved,
                resolution.store_error.as_deref(),
            );
        } else if let Some(error) = &resolution.store_error {
            self.store_error(error);
        }
        let line = self.format.line(resolution).into_boxed_str();
        self.format.print(&line)?;
        self.progress.update(self.counts);
        Ok(line)
    }

    fn count(&mut self, resolution: &Resolution) {
        match &resolution.result {
            Ok(_) => self.counts.resolved += 1,
            Err(unresolved) => {
                self.counts.failed += 1;
                *self.reasons.entry(unresolved.failure.reason).or_default() += 1;
            }
        }
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

    /// Sees to it that a result is kept somewhere: in the store, and in the file asked for; where
    /// both fail, in a directory of its own.
    fn keep(&mut self, infohash: Infohash, resolved: &Resolved, store_error: Option<&str>) {
        let mut kept = self.has_store && store_error.is_none();
        let mut unwritten = false;
        if let Some(files) = &self.files {
            match files.write(infohash, resolved) {
                Ok(_) => kept = true,
                Err(error) => {
                    unwritten = true;
                    self.file_errors += 1;
                    if self.file_errors == 1 {
                        say(format_args!("{infohash}.torrent can't be written: {error}"));
                    }
                }
            }
        }
        if let Some(error) = store_error {
            self.store_error(error);
        }
        // Without a store and without -o, nobody asked for it to be kept.
        let wanted = unwritten || store_error.is_some();
        if wanted && !kept && !matches!(resolved.origin, Origin::Store) {
            self.rescue(infohash, resolved);
        }
    }

    fn store_error(&mut self, error: &str) {
        self.store_errors += 1;
        if self.store_errors == 1 {
            say(format_args!("results can't be stored: {error}"));
        }
    }

    /// The last resort for what was fetched: a directory beside us, or for temporary files.
    fn rescue(&mut self, infohash: Infohash, resolved: &Resolved) {
        let name = format!("metafetch-rescued-{}", std::process::id());
        if self.rescued.is_none() {
            let places = [".".into(), std::env::temp_dir()];
            self.rescued = places.iter().find_map(|place: &std::path::PathBuf| {
                let files = TorrentFiles::create(&place.join(&name)).ok()?;
                say(format_args!(
                    "what can't be stored is kept in {}",
                    place.join(&name).display()
                ));
                Some(files)
            });
        }
        let written = self
            .rescued
            .as_ref()
            .map(|files| files.write(infohash, resolved));
        if !matches!(written, Some(Ok(_))) {
            say(format_args!(
                "{infohash} was resolved, and can be kept nowhere: free some disk space"
            ));
        }
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
        self.dht_silent = !matches!(health.dht, DhtHealth::Off | DhtHealth::Ready { .. });
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
        } else if self.output_gone || self.store_errors > 0 || self.file_errors > 0 || lost > 0 {
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
            (self.store_errors, "not stored"),
            (self.file_errors, "not written"),
        ];
        let further = further.iter().filter(|(count, _)| *count > 0);
        summary.extend(further.map(|(count, what)| format!("{count} {what}")));
        let seconds = self.started.elapsed().as_secs_f64();
        say(format_args!("{} in {seconds:.1}s", summary.join(", ")));
    }
}
