//! What is in a file: hashes for the queue, or a torrent for the store.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;

use super::found::{self, Found, Kind, Stamp};
use crate::daemon::service::{Service, WantError, now_ms};
use crate::daemon::source::SourceName;
use crate::engine::Wanted;
use crate::engine::lines::{Lines, parse};
use crate::store::{Record, RecordResult, ResolvedTorrent};
use crate::torrent::{Info, Infohash, split};

/// Hashes that are made durable at a time.
const CHUNK: usize = 500;
/// The largest torrent file.
const MAX_TORRENT: u64 = 64 << 20;
/// The pause while the queue has no room.
const PAUSE: Duration = Duration::from_secs(1);

/// What came of a file.
#[derive(Debug)]
pub(super) enum Taken {
    /// All of it is durable: so many hashes. So many lines are wrong.
    All { hashes: u64, wrong: u64 },
    /// There is nothing in it, for this reason.
    Nothing(String),
    /// It is to be tried again: for this reason, or since it has changed.
    Later(Option<String>),
    /// It can't be read, for this reason.
    Unreadable(String),
}

/// Takes a file in. On return what it has is durable.
pub(super) async fn take_in(service: &Service, found: &Found) -> Taken {
    let opened = open(found);
    let file = match opened {
        Ok(Some(file)) => file,
        Ok(None) => return Taken::Later(None),
        Err(error) => return Taken::Unreadable(format!("it can't be read: {error}")),
    };
    match found.kind {
        Kind::Lines => lines(service, file, &found.path).await,
        Kind::Torrent => torrent(service, file).await,
    }
}

/// Opens the file that was looked at; `None` where there is another one by now.
fn open(found: &Found) -> io::Result<Option<File>> {
    let file = found::open(&found.path)?;
    let is_same = Stamp::of(&file.metadata()?).is_same(&found.stamp);
    Ok(is_same.then_some(file))
}

/// A part of a file, or its end.
enum Part {
    Hashes(Vec<Wanted>),
    End { wrong: u64, first_wrong: String },
    Unreadable(io::Error),
}

async fn lines(service: &Service, file: File, path: &Path) -> Taken {
    let (parts, mut read) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || read_lines(file, &parts));
    let mut hashes = 0_u64;
    while let Some(part) = read.recv().await {
        match part {
            Part::Hashes(wanted) => {
                let count = u64::try_from(wanted.len()).unwrap_or(u64::MAX);
                if let Some(later) = want(service, wanted, path).await {
                    return later;
                }
                hashes = hashes.saturating_add(count);
            }
            Part::End { wrong, first_wrong } if hashes == 0 && wrong > 0 => {
                return Taken::Nothing(first_wrong);
            }
            Part::End { wrong, .. } => return Taken::All { hashes, wrong },
            Part::Unreadable(error) => {
                return Taken::Unreadable(format!("it can't be read on: {error}"));
            }
        }
    }
    Taken::Later(Some("its reader has ended".to_owned()))
}

/// Puts hashes into the queue, and waits while that is full: what was read of the file is not read again.
async fn want(service: &Service, mut wanted: Vec<Wanted>, path: &Path) -> Option<Taken> {
    while !wanted.is_empty() {
        // No more than the queue may have at all.
        let most = usize::try_from(service.config().sources.waiting).unwrap_or(CHUNK);
        let part: Vec<Wanted> = wanted.iter().take(most.max(1)).cloned().collect();
        let count = part.len();
        match service.want_all(part, SourceName::Directory, 0).await {
            Ok(_) => {
                wanted.drain(..count);
            }
            Err(error @ WantError::Full(_)) => {
                let why = format!("{} waits: {error}", path.display());
                (service.queue())
                    .change(|state| state.set_problem(SourceName::Directory, Some(why)));
                let stop = &service.inner().stop;
                let waits = stop.run_until_cancelled(tokio::time::sleep(PAUSE));
                if waits.await.is_none() {
                    return Some(Taken::Later(None));
                }
            }
            Err(WantError::Stopping) => return Some(Taken::Later(None)),
            Err(WantError::Store(error)) => return Some(Taken::Later(Some(error.to_string()))),
        }
    }
    None
}

fn read_lines(file: File, parts: &mpsc::Sender<Part>) {
    let mut lines = Lines::new(BufReader::new(file));
    let mut hashes = Vec::new();
    let (mut wrong, mut first_wrong) = (0_u64, String::new());
    loop {
        let line = match lines.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                let _ = parts.blocking_send(Part::Unreadable(error));
                return;
            }
        };
        match line.text.map_err(str::to_owned).and_then(parse) {
            Ok(None) => {}
            Ok(Some(wanted)) => hashes.push(wanted),
            Err(error) => {
                if wrong == 0 {
                    first_wrong = format!("line {}: {error}", line.number);
                }
                wrong = wrong.saturating_add(1);
            }
        }
        if hashes.len() >= CHUNK {
            let part = Part::Hashes(std::mem::take(&mut hashes));
            if parts.blocking_send(part).is_err() {
                return;
            }
        }
    }
    if !hashes.is_empty() && parts.blocking_send(Part::Hashes(hashes)).is_err() {
        return;
    }
    let _ = parts.blocking_send(Part::End { wrong, first_wrong });
}

async fn torrent(service: &Service, file: File) -> Taken {
    let read = tokio::task::spawn_blocking(move || read_torrent(file)).await;
    let (infohash, torrent) = match read {
        Ok(Ok(Ok(read))) => read,
        Ok(Ok(Err(why))) => return Taken::Nothing(why),
        Ok(Err(error)) => return Taken::Unreadable(format!("it can't be read: {error}")),
        Err(_) => return Taken::Nothing("it can't be taken apart".to_owned()),
    };
    match service.store().is_blocked(&infohash).await {
        Ok(false) => {}
        Ok(true) => return Taken::Nothing(format!("{infohash} is on the blocklist")),
        Err(error) => return Taken::Later(Some(error.to_string())),
    }
    let record = Record {
        infohash,
        result: RecordResult::Resolved(Box::new(torrent)),
        attempts: Vec::new(),
        tracker_replies: Vec::new(),
        at_ms: now_ms(),
    };
    match service.store().record(record).await {
        Ok(()) => Taken::All {
            hashes: 1,
            wrong: 0,
        },
        Err(error) => Taken::Later(Some(error.to_string())),
    }
}

/// The torrent of a file, or why it is none.
fn read_torrent(file: File) -> io::Result<Result<(Infohash, ResolvedTorrent), String>> {
    let mut bytes = Vec::new();
    file.take(MAX_TORRENT + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_TORRENT {
        return Ok(Err("it is larger than 64 MiB".to_owned()));
    }
    let (raw, trackers) = match split(&bytes) {
        Ok(parts) => parts,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let info = match Info::parse(raw) {
        Ok(info) => info,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let infohash = Infohash::of(raw, info.version);
    let raw = raw.to_vec();
    Ok(Ok((
        infohash,
        ResolvedTorrent::of(infohash, &info, raw, trackers),
    )))
}
