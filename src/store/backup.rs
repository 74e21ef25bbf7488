//! A copy of a SQLite database, made while everybody goes on working with it. Servers have tools of their
//! own for that.

use std::fs::{File, Metadata};
use std::path::Path;
use std::time::Duration;

use super::connection::{Connection, Target};
use super::database::Database;
use super::{Store, StoreError, sqlite};

/// What the name of a copy begins with that is not whole.
const PART: &str = ".metafetch-backup-";
/// One that nobody has written to for so long is nobody's any more.
const PART_IS_OLD: Duration = Duration::from_secs(60 * 60);

impl Store {
    /// Copies the database, as it is at one moment, into a new file, which then has no free pages. Others go on
    /// reading and writing. The file appears when it is whole and on the disk; only its owner may read it.
    ///
    /// # Errors
    /// Where there is such a file, where it can't be written, and where the database is no SQLite file.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let (target, to) = (self.target.clone(), to.to_owned());
        tokio::task::spawn_blocking(move || copy(&target, &mut target.connect()?, &to))
            .await
            .unwrap_or(Err(StoreError::Closed))
    }
}

impl Database {
    /// [`Store::backup`]. Blocks.
    pub fn backup(&mut self, to: &Path) -> Result<(), StoreError> {
        copy(&self.target, &mut self.connection, to)
    }
}

/// Removes what copies have left that did not end. One that is being made is written to all the time.
fn remove_parts(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let is_part = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PART.as_bytes());
        let metadata = entry.metadata().ok().filter(Metadata::is_file);
        let modified = metadata.and_then(|metadata| metadata.modified().ok());
        let is_old = modified.is_some_and(|at| at.elapsed().is_ok_and(|age| age >= PART_IS_OLD));
        if is_part && is_old {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn copy(target: &Target, connection: &mut Connection, to: &Path) -> Result<(), StoreError> {
    let Connection::Sqlite(sqlite) = connection else {
        return Err(StoreError::Backup {
            file: to.display().to_string(),
            detail: format!(
                "`{}` is on a server, whose own tools copy it (`mariadb-dump`, `pg_dump`); `metafetch db \
                 export` writes what any store can import",
                target.database
            ),
        });
    };
    let failed = |detail: String| StoreError::Backup {
        file: to.display().to_string(),
        detail,
    };
    if to.exists() {
        let text = "there is such a file already: remove it, or name another one";
        return Err(failed(text.to_owned()));
    }
    let directory = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    remove_parts(directory);
    let partial = tempfile::Builder::new()
        .prefix(PART)
        .tempfile_in(directory)
        .map_err(|error| failed(error.to_string()))?;
    let path = partial.path().to_str().ok_or_else(|| {
        let text = "its path is no text that SQLite could take";
        failed(text.to_owned())
    })?;
    sqlite::copy(sqlite, path).map_err(|error| match target.error(&error) {
        // Of the copy, not of the database.
        StoreError::Full { .. } => failed("the disk is full".to_owned()),
        error => error,
    })?;
    let synced = File::open(partial.path()).and_then(|file| file.sync_all());
    synced.map_err(|error| failed(error.to_string()))?;
    partial
        .persist_noclobber(to)
        .map_err(|error| failed(error.to_string()))?;
    // The name is as durable as what it names.
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn old_parts_of_copies_go() {
        let directory = tempfile::tempdir().unwrap();
        let long_ago = SystemTime::now() - PART_IS_OLD * 2;
        for (name, at) in [
            (".metafetch-backup-old", long_ago),
            (".metafetch-backup-new", SystemTime::now()),
            ("other", long_ago),
        ] {
            let file = File::create(directory.path().join(name)).unwrap();
            file.set_modified(at).unwrap();
        }
        remove_parts(directory.path());
        let is_there = |name: &str| directory.path().join(name).exists();
        assert!(!is_there(".metafetch-backup-old"));
        assert!(is_there(".metafetch-backup-new") && is_there("other"));
    }
}
