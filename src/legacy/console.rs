//! Stdout and stderr of `dht_crawler`: whole lines, each flushed, from one thread.
//!
//! Lines that belong together go in one piece, so that no other gets between. A reader that is slow holds
//! back whoever has something to say; one that has gone ends the program.

use std::io::{self, Write};
use std::thread::JoinHandle;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::args::Args;

/// Pieces that may wait for a slow reader.
const WAITING: usize = 256;
/// What stands before lines on metadata with `--metadata_log`.
const METADATA_LOG: &str = "[METADATA_LOG] ";
/// What stands before lines of `--debug`.
const DEBUG: &str = "[DEBUG] ";

/// Which lines are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) debug: bool,
    pub(super) verbose: bool,
    pub(super) metadata_log: bool,
}

impl From<&Args> for Wanted {
    fn from(args: &Args) -> Self {
        Self {
            debug: args.debug,
            verbose: args.verbose,
            metadata_log: args.metadata_log,
        }
    }
}

impl Wanted {
    /// Whether lines on the DHT and what is discovered there are: with `--metadata_log` only those on
    /// metadata are.
    pub(super) fn discoveries(self) -> bool {
        !self.metadata_log
    }

    /// Whether there is a counter line.
    pub(super) fn counter(self) -> bool {
        !self.verbose && !self.metadata_log
    }

    /// Whether the statistics of requests are shown at the end.
    pub(super) fn request_statistics(self) -> bool {
        self.debug || self.metadata_log
    }
}

enum Piece {
    /// Whole lines.
    Lines(Vec<String>),
    /// The counter line, over the one before.
    Counter(String),
    /// Nothing follows.
    End,
}

/// Where lines go. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Console {
    pieces: mpsc::Sender<Piece>,
    wanted: Wanted,
    gone: CancellationToken,
}

/// The thread that writes.
pub(super) struct Writer(JoinHandle<io::Result<()>>);

impl Console {
    /// Starts to write to stdout.
    pub(super) fn start(wanted: Wanted) -> io::Result<(Self, Writer)> {
        Self::over(wanted, io::stdout())
    }

    fn over(wanted: Wanted, out: impl Write + Send + 'static) -> io::Result<(Self, Writer)> {
        let (pieces, receiver) = mpsc::channel(WAITING);
        let gone = CancellationToken::new();
        let its_end = gone.clone();
        let thread = std::thread::Builder::new()
            .name("console".to_owned())
            .spawn(move || write(receiver, out, &its_end))?;
        let console = Self {
            pieces,
            wanted,
            gone,
        };
        Ok((console, Writer(thread)))
    }

    /// Which lines are wanted.
    pub(super) fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// Ends when nobody reads stdout any more.
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// One line.
    pub(super) async fn line(&self, line: impl Into<String>) {
        self.lines(vec![line.into()]).await;
    }

    /// Lines with none between.
    pub(super) async fn lines(&self, lines: Vec<String>) {
        if lines.is_empty() {
            return;
        }
        // Nobody reads it: what is done goes on to its end without.
        let _ = self.pieces.send(Piece::Lines(lines)).await;
    }

    /// Lines on what is discovered, where those are wanted.
    pub(super) async fn discovery(&self, lines: Vec<String>) {
        if self.wanted.discoveries() {
            self.lines(lines).await;
        }
    }

    /// Lines of the log on metadata, where that is wanted.
    pub(super) async fn metadata_log(&self, lines: &[String]) {
        let lines = self.in_metadata_log(lines);
        if !lines.is_empty() {
            self.lines(lines).await;
        }
    }

    /// Lines of the log on metadata with their prefix; none where they are not wanted.
    pub(super) fn in_metadata_log(&self, lines: &[String]) -> Vec<String> {
        let prefix = match self.wanted {
            wanted if wanted.metadata_log => METADATA_LOG,
            wanted if wanted.debug => DEBUG,
            _ => return Vec::new(),
        };
        let lines = lines.iter().map(|line| format!("{prefix}{line}"));
        lines.collect()
    }

    /// The counter line.
    pub(super) async fn counter(&self, line: String) {
        if self.wanted.counter() {
            let _ = self.pieces.send(Piece::Counter(line)).await;
        }
    }

    /// A line of `--debug`. It waits for nobody: where the reader is slow, it is left out.
    pub(super) fn debug(&self, line: std::fmt::Arguments<'_>) {
        if self.wanted.debug && !self.wanted.metadata_log {
            let _ = self
                .pieces
                .try_send(Piece::Lines(vec![format!("{DEBUG}{line}")]));
        }
    }
}

impl Writer {
    /// Waits until everything that was said before is written. What is said afterwards is not.
    ///
    /// # Errors
    /// Stdout could not be written to. That its reader has gone needs no words.
    pub(super) async fn finish(self, console: &Console) -> io::Result<()> {
        let _ = console.pieces.send(Piece::End).await;
        let joined = tokio::task::spawn_blocking(|| self.0.join()).await;
        match joined {
            Ok(Ok(Err(error))) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}

/// Lines on stderr: that it can't be written costs nobody his results.
pub(super) fn complain(line: std::fmt::Arguments<'_>) {
    let mut text = String::new();
    for line in line.to_string().lines() {
        text.push_str(&clean(line));
        text.push('\n');
    }
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn write(
    mut pieces: mpsc::Receiver<Piece>,
    mut out: impl Write,
    gone: &CancellationToken,
) -> io::Result<()> {
    let mut counter_is_open = false;
    while let Some(piece) = pieces.blocking_recv() {
        let mut text = String::new();
        match piece {
            Piece::End => break,
            Piece::Counter(line) => {
                text.push('\r');
                text.push_str(&clean(&line));
                counter_is_open = true;
            }
            Piece::Lines(lines) => {
                if std::mem::take(&mut counter_is_open) {
                    text.push('\n');
                }
                for line in lines {
                    text.push_str(&clean(&line));
                    text.push('\n');
                }
            }
        }
        if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            gone.cancel();
            return Err(error);
        }
    }
    if counter_is_open {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// The line without control characters: names come from strangers, and must neither end a line nor
/// command a terminal.
fn clean(line: &str) -> String {
    if !line.contains(char::is_control) {
        return line.to_owned();
    }
    line.chars()
        .map(|c| if c.is_control() { '_' } else { c })
        .collect()
}

#[cfg(test)]
mod tests;
