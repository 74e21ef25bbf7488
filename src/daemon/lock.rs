//! One service works on a store at a time: each holds a file beside the store locked.
//!
//! The file says which process that is. It stays when the process ends; the lock does not. A store at a
//! server has its file in the user's directory for state: services of other hosts that share the database
//! are not kept away, and may both work on what one of them is asked for.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

use rustix::fs::FlockOperation;

use crate::store::StoreUrl;
use crate::store::journal::file_beside;

/// The lock, for as long as this lives.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "open is locked")] File);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error(
        "another service{process} works on this store: stop that one first, or name another store by store.url"
    )]
    Taken {
        /// ` (process 123)`, or empty.
        process: String,
    },
    /// The file can't be made.
    #[error("{} can't be written: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Lock {
    pub(super) fn take(url: &StoreUrl) -> Result<Self, LockError> {
        let path = file_beside(url, ".daemon");
        let io = |error: io::Error| LockError::Io {
            path: path.clone(),
            error,
        };
        if let Some(directory) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory).map_err(io)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(io)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let _ = file.take(20).read_to_string(&mut text);
                let pid = text.trim().parse::<u32>();
                let process = pid.map_or_else(|_| String::new(), |pid| format!(" (process {pid})"));
                return Err(LockError::Taken { process });
            }
            Err(error) => return Err(io(error.into())),
        }
        file.set_len(0).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_learns_who_was_first() {
        let directory = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(directory.path().join("new/a.db"));
        let lock = Lock::take(&url).unwrap();
        let error = Lock::take(&url).unwrap_err().to_string();
        let process = format!("(process {})", std::process::id());
        assert!(error.contains(&process), "{error}");
        drop(lock);
        Lock::take(&url).unwrap();
    }
}
