//! Which files of a directory are ready to be taken in.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::{KNOWN, Known};

/// Files of one directory that are taken in before it is looked through again.
const MOST: usize = 1_000;
/// A file that nobody has written to for so long is as it shall be, though it may look like a part; and how
/// long one waits that could not be read.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// By which a file is known to be as it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// When it was first seen so.
    pub(super) seen: Instant,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            seen: Instant::now(),
        }
    }

    /// Whether the same file has changed since.
    pub(super) fn has_changed(&self, before: &Self) -> bool {
        (self.device, self.inode) == (before.device, before.inode) && !self.is_same(before)
    }

    /// As if it were first seen so now.
    pub(super) fn seen_now(self) -> Self {
        Self {
            seen: Instant::now(),
            ..self
        }
    }

    /// Of the same file as it never was, so that it has changed since.
    pub(super) fn none(of: &Self) -> Self {
        Self {
            size: u64::MAX,
            ..*of
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        let facts = |stamp: &Self| (stamp.device, stamp.inode, stamp.size, stamp.modified);
        facts(self) == facts(other)
    }
}

/// What a file has by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A magnet or an infohash in each line.
    Lines,
    Torrent,
}

impl Kind {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let is_hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            _ if is_hidden => None,
            "magnet" | "txt" => Some(Self::Lines),
            "torrent" => Some(Self::Torrent),
            _ => None,
        }
    }
}

/// A file that is ready.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) stamp: Stamp,
    /// Whether nobody writes to it any more: its writer has closed it, or has been silent for long.
    pub(super) is_closed: bool,
}

/// What is in a directory.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) ready: Vec<Found>,
    /// Whether others will be ready soon.
    pub(super) is_soon: bool,
    /// What is wrong with one that waits.
    pub(super) problem: Option<String>,
}

/// Looks through a directory. A file is ready that has been as it is for so long; one that ends within a
/// line only once its writer has closed it, or is silent for long.
pub(super) fn look(
    directory: &Path,
    mut known: Known,
    settled: Duration,
) -> (io::Result<Files>, Known) {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => return (Err(error), known),
    };
    let mut files = Files::default();
    let mut growing = std::collections::HashMap::new();
    for entry in entries {
        let Ok(entry) = entry else { continue };
        let path = entry.path();
        let Some(kind) = Kind::of(&path) else {
            continue;
        };
        // Of a link, the link itself.
        let Ok(metadata) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        let stamp = Stamp::of(&metadata);
        if known
            .done
            .get(&path)
            .is_some_and(|done| done.is_same(&stamp))
        {
            continue;
        }
        if !metadata.is_file() {
            tracing::warn!(
                "{} is no regular file, and is left alone: links and pipes are not followed",
                path.display()
            );
            if known.done.len() < KNOWN {
                known.done.insert(path, stamp);
            }
            continue;
        }
        if files.ready.len() >= MOST || growing.len() >= KNOWN {
            files.is_soon = true;
            break;
        }
        let before = known.growing.get(&path).filter(|seen| seen.is_same(&stamp));
        let is_silent = |long: Duration| {
            before.is_some_and(|seen| seen.seen.elapsed() >= long) || is_older(&metadata, long * 2)
        };
        let put_off = known.put_off.get(&path);
        let put_off = put_off.filter(|(seen, _)| seen.is_same(&stamp));
        let is_closed = known.closed.has(&path)
            || is_silent(PATIENCE)
            || put_off.is_some_and(|(seen, _)| seen.seen.elapsed() >= PATIENCE);
        if let Some((_, why)) = put_off.filter(|_| !is_closed) {
            files.is_soon |= why.is_none();
            let why = why.as_ref();
            let why = why.map(|why| format!("{} waits: {why}", path.display()));
            files.problem = files.problem.take().or(why);
            continue;
        }
        let is_ready = is_silent(settled)
            && (is_closed || kind == Kind::Torrent || !ends_within_a_line(&path));
        if is_ready {
            files.ready.push(Found {
                path,
                kind,
                stamp,
                is_closed,
            });
        } else {
            files.is_soon = true;
            let seen = before.copied().unwrap_or(stamp);
            growing.insert(path, seen);
        }
    }
    // Those of other directories are forgotten with them: at worst they wait once more.
    known
        .growing
        .retain(|path, _| path.parent() != Some(directory) && path.exists());
    known.growing.extend(growing);
    (known.put_off).retain(|path, _| path.parent() != Some(directory) || path.exists());
    (Ok(files), known)
}

/// Whether the last line of a file has no end. One that can't be read has a better error later.
fn ends_within_a_line(path: &Path) -> bool {
    let last = || -> io::Result<u8> {
        let mut file = open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        Ok(u8::from_be_bytes(last))
    };
    last().is_ok_and(|last| last != b'\n')
}

/// Opens a file. Never follows a link, and never waits for a pipe.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(path)
}

/// Whether nobody has written to it for so long, by the wall clock.
pub(super) fn is_older(metadata: &Metadata, than: Duration) -> bool {
    let modified = metadata.modified().ok();
    let age = modified.and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_some_and(|age| age >= than)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_ends_within_a_line_waits_until_it_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("whole.txt", "a\n"),
            ("part.txt", "a\nb"),
            ("empty.txt", ""),
        ] {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let ready = |known: Known| {
            // What was seen once has settled.
            let (_, known) = look(directory.path(), known, Duration::ZERO);
            let (files, known) = look(directory.path(), known, Duration::ZERO);
            let mut ready: Vec<_> = files
                .unwrap()
                .ready
                .into_iter()
                .map(|found| found.path)
                .collect();
            ready.sort();
            let ready: Vec<_> = ready
                .iter()
                .filter_map(|path| path.file_name()?.to_str())
                .map(str::to_owned)
                .collect();
            (ready, known)
        };
        let (files, known) = ready(Known::default());
        assert_eq!(files, ["empty.txt", "whole.txt"]);
        let part = std::path::absolute(directory.path().join("part.txt")).unwrap();
        known.closed.paths().insert(part);
        assert_eq!(ready(known).0, ["empty.txt", "part.txt", "whole.txt"]);
    }

    #[test]
    fn what_was_put_off_does_not_take_the_place_of_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        std::fs::write(&path, "a\n").unwrap();
        let stamp = Stamp::of(&path.symlink_metadata().unwrap());
        let mut known = Known::default();
        known
            .put_off
            .insert(path.clone(), (stamp, Some("it can't be read".to_owned())));
        let (files, known) = look(directory.path(), known, Duration::ZERO);
        let files = files.unwrap();
        assert!(files.ready.is_empty() && files.problem.unwrap().contains("can't be read"));
        // It has changed.
        std::fs::write(&path, "other\n").unwrap();
        let (_, known) = look(directory.path(), known, Duration::ZERO);
        let (files, _) = look(directory.path(), known, Duration::ZERO);
        assert_eq!(files.unwrap().ready.len(), 1);
    }
}
