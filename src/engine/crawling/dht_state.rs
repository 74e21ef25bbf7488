//! The file that keeps our DHT node's id and routing table from one run to the next.
//!
//! It is a file and no table: an id belongs to one node at one address, and processes that share a
//! database must not share it. Who comes second finds the file locked, and takes a new id. Its first
//! line has a checksum of the rest; what a killed process has left half written is passed over.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use sha2::{Digest as _, Sha256};

/// What the first line begins with.
const MAGIC: &str = "metafetch-dht-1 ";
/// A longer file is not ours: some hundred nodes of each id take some ten KiB.
const MOST_BYTES: u64 = 4 << 20;

/// The file, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct DhtState {
    path: PathBuf,
    file: File,
}

impl DhtState {
    /// Opens the file, and makes it where it is missing; `None` where another process has it.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        if let Some(directory) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        refuse_foreign(&file)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self {
                path: path.to_owned(),
                file,
            })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What was saved last; `None` where there is nothing that is whole.
    pub(crate) fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::new();
        (&mut self.file)
            .take(MOST_BYTES + 1)
            .read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST_BYTES) {
            return Ok(None);
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (first, rest) = bytes.split_at(end.unwrap_or(0));
        let state = rest.get(1..).unwrap_or_default();
        Ok((first == head(state).as_bytes()).then(|| state.to_vec()))
    }

    /// Replaces what the file has.
    pub(crate) fn write(&mut self, state: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.set_len(0)?;
        let whole = [head(state).as_bytes(), b"\n", state].concat();
        self.file.write_all(&whole)?;
        self.file.sync_data()
    }
}

/// Whatever else the file may be, it is not to be written over.
fn refuse_foreign(file: &File) -> io::Result<()> {
    let mut start = Vec::new();
    let length = u64::try_from(MAGIC.len()).unwrap_or(u64::MAX);
    file.take(length).read_to_end(&mut start)?;
    // A killed process may have left less than the whole.
    if MAGIC.as_bytes().starts_with(&start) {
        return Ok(());
    }
    let what = "it has something else in it than the state of a DHT node: name another file";
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

fn head(state: &[u8]) -> String {
    let checksum = data_encoding::HEXLOWER.encode(&Sha256::digest(state));
    format!("{MAGIC}{checksum}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_reads_back_and_only_one_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/a.dht");
        let mut state = DhtState::open(&path).unwrap().unwrap();
        assert_eq!(state.read().unwrap(), None);
        state.write(b"a long\nstate").unwrap();
        state.write(b"d1:a1:be").unwrap();
        assert_eq!(state.read().unwrap().as_deref(), Some(&b"d1:a1:be"[..]));
        assert!(DhtState::open(&path).unwrap().is_none());
        drop(state);
        let mut again = DhtState::open(&path).unwrap().unwrap();
        assert_eq!(again.read().unwrap().as_deref(), Some(&b"d1:a1:be"[..]));
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metafetch.db");
        for content in ["SQLite format 3", "\n"] {
            std::fs::write(&path, content).unwrap();
            assert!(DhtState::open(&path).is_err());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    fn what_is_not_whole_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.dht");
        let mut state = DhtState::open(&path).unwrap().unwrap();
        state.write(b"d1:a1:be").unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(state.read().unwrap(), None, "{length}");
        }
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(state.read().unwrap(), None);
    }
}
