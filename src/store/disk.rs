//! How much room there is where the store writes: the directory of a SQLite file, or that of the journals of a
//! database on a server.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use super::journal::file_beside;
use super::url::StoreUrl;

/// Less than this is soon full: some 300,000 torrents.
pub const LITTLE: u64 = 1 << 30;
/// Less than this does not hold a journal of an outage.
pub const TOO_LITTLE: u64 = 256 << 20;

/// The directory that the store writes to, or the one above it that is there.
#[must_use]
pub fn directory(url: &StoreUrl) -> PathBuf {
    let file = file_beside(url, "");
    let directory = file.ancestors().skip(1).find(|it| it.is_dir());
    directory.unwrap_or(Path::new(".")).to_owned()
}

/// Bytes that are free there for us; `None` where the file system does not say its size.
pub fn free(directory: &Path) -> io::Result<Option<u64>> {
    let disk = statvfs(directory)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    Ok((disk.f_blocks > 0).then_some(free))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_that_of_the_store() {
        let there = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(there.path().join("not/there/a.db"));
        let found = std::fs::canonicalize(directory(&url)).unwrap();
        assert_eq!(found, std::fs::canonicalize(there.path()).unwrap());
        assert!(free(&found).is_ok());
    }
}
