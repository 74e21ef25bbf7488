//! Where journals are, and whose they are: a file for each process that needs one, which it holds
//! locked for as long as it lives.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use directories::ProjectDirs;
use rustix::fs::FlockOperation;
use sha2::{Digest as _, Sha256};

use crate::store::url::StoreUrl;

/// What follows the name of the database.
const INFIX: &str = ".spill-";

/// The directory of a store's journals, and how their names begin.
#[derive(Clone, Debug)]
pub(super) struct Place {
    directory: PathBuf,
    stem: String,
}

impl Place {
    /// Beside the file of a SQLite database, otherwise in the user's directory for state; or in the
    /// directory given. Outside of the database's own directory, the name has a hash of where that is.
    pub(super) fn of(url: &StoreUrl, directory: Option<&Path>) -> Self {
        let mut place = Self::named_after(url, directory);
        place.stem.push_str(INFIX);
        place
    }

    /// Where a file of this store is whose name ends with `suffix`.
    pub(super) fn file(url: &StoreUrl, suffix: &str) -> PathBuf {
        let place = Self::named_after(url, None);
        place.directory.join(format!("{}{suffix}", place.stem))
    }

    fn named_after(url: &StoreUrl, directory: Option<&Path>) -> Self {
        let path = match url {
            StoreUrl::Sqlite(path) => path,
            server => return Self::elsewhere(&server.to_string(), directory),
        };
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        // One database has one name, whatever links lead to it.
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match (directory, path.parent()) {
            (None, Some(beside)) => Self {
                directory: beside.to_owned(),
                stem: name.into_owned(),
            },
            _ => Self::elsewhere(&path.to_string_lossy(), directory),
        }
    }

    /// The place of a store that has no directory of its own. `database` names it without a password.
    fn elsewhere(database: &str, directory: Option<&Path>) -> Self {
        let of_user = || {
            let dirs = ProjectDirs::from("", "", "metafetch");
            dirs.map_or_else(
                || std::env::temp_dir().join("metafetch"),
                |dirs| {
                    let state = dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir());
                    state.to_owned()
                },
            )
        };
        let readable: String = database
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let readable = readable.trim_matches('-');
        let end = readable.len().saturating_sub(40);
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(database));
        Self {
            directory: directory.map_or_else(of_user, Path::to_owned),
            stem: format!(
                "{}-{}",
                readable.get(end..).unwrap_or_default(),
                hash.get(..12).unwrap_or_default()
            ),
        }
    }

    /// Makes a new file, locked.
    pub(super) fn create(&self) -> io::Result<(PathBuf, File)> {
        std::fs::create_dir_all(&self.directory)?;
        loop {
            let name = format!(
                "{}{}-{:08x}",
                self.stem,
                std::process::id(),
                rand::random::<u32>()
            );
            let path = self.directory.join(name);
            let mut options = OpenOptions::new();
            let file = options.read(true).append(true).create_new(true).open(&path);
            match file {
                Ok(file) if lock(&file, &path)? => return Ok((path, file)),
                // A process that looked for orphans was faster, and has removed it.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The files that no living process holds, locked, the oldest first.
    pub(super) fn orphans(&self) -> Vec<(PathBuf, File)> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    left(&self.directory, &error);
                }
                return Vec::new();
            }
        };
        let mut orphans = Vec::new();
        for entry in entries.flatten() {
            let is_ours = entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.strip_prefix(&self.stem).is_some_and(is_of_process));
            if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            let path = entry.path();
            let opened = OpenOptions::new().read(true).append(true).open(&path);
            match opened.and_then(|file| Ok(lock(&file, &path)?.then_some(file))) {
                Ok(Some(file)) => orphans.push((path, file)),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => left(&path, &error),
            }
        }
        orphans.sort_by_key(|(path, file)| {
            let changed = file.metadata().and_then(|metadata| metadata.modified());
            (changed.unwrap_or(SystemTime::UNIX_EPOCH), path.clone())
        });
        orphans
    }

    /// Makes new and removed names durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

/// Says that a journal could not be taken over.
pub(super) fn left(path: &Path, error: &io::Error) {
    tracing::warn!(
        "what the journal {} holds is not stored yet, since it can't be read: {error}",
        path.display()
    );
}

/// What follows the stem: `PID-RANDOM`, and not the name of what was set aside.
fn is_of_process(rest: &str) -> bool {
    rest.split_once('-').is_some_and(|(pid, random)| {
        let is = |text: &str, digit: fn(&u8) -> bool| {
            !text.is_empty() && text.as_bytes().iter().all(digit)
        };
        is(pid, u8::is_ascii_digit) && is(random, u8::is_ascii_hexdigit)
    })
}

/// Locks the file; `false` where another process has it, or has removed it meanwhile.
fn lock(file: &File, path: &Path) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    let locked = file.metadata()?;
    Ok(std::fs::metadata(path)
        .is_ok_and(|named| (named.dev(), named.ino()) == (locked.dev(), locked.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(directory: &tempfile::TempDir) -> Place {
        Place::of(&StoreUrl::Sqlite(directory.path().join("a.db")), None)
    }

    #[test]
    fn only_what_nobody_holds_is_an_orphan() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(&directory);
        let (path, file) = place.create().unwrap();
        assert!(place.orphans().is_empty(), "it is held");
        drop(file);
        let orphans = place.orphans();
        assert_eq!(orphans[0].0, path);
        assert!(place.orphans().is_empty(), "it was adopted");
        drop(orphans);
        let aside = format!("{}.damaged", path.display());
        std::fs::rename(&path, aside).unwrap();
        assert!(place.orphans().is_empty(), "it was set aside");
    }

    #[test]
    fn stores_do_not_share_journals() {
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = |name: &str| Place::elsewhere(name, Some(directory.path()));
        let one = elsewhere("mysql://me@db.example/one");
        let _journal = one.create().unwrap();
        drop(one.create().unwrap());
        assert_eq!(one.orphans().len(), 1);
        for other in ["mysql://me@db.example/two", "mysql://me@db-example/one"] {
            assert!(elsewhere(other).orphans().is_empty(), "{other}");
        }
        assert!(place(&directory).orphans().is_empty());
    }
}
