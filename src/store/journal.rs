//! Journals: what waits for the database in files while that is away.
//!
//! A batch is durable once `Spill::append` has returned. Journals are read in the order they were
//! written, and a file is removed once the database has all of it.

pub mod base64;
mod entry;
mod place;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

pub use self::entry::{Entry, HEADER, Line, Lines, line};

use self::entry::LINE_LIMIT;
use self::place::Place;
use super::applied_batch::BatchId;
use super::url::StoreUrl;
use super::{Record, StoreOptions};

/// How many bytes of a journal are read at a time, or one entry where that is larger.
const READ_BYTES: u64 = 16 << 20;

/// Why a batch can't be kept in a journal.
#[derive(Debug)]
pub(super) enum SpillError {
    /// The journals have reached their limit.
    Full,
    /// The journal can't be written.
    Io(io::Error),
}

impl From<io::Error> for SpillError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The journals of this process: those that it found, and one of its own.
pub(super) struct Spill {
    place: Place,
    limit: u64,
    journals: VecDeque<Journal>,
}

/// Where a file of this store is whose name ends with `suffix`: beside a SQLite file, and for a server in
/// the user's directory for state.
#[must_use]
pub fn file_beside(url: &StoreUrl, suffix: &str) -> PathBuf {
    Place::file(url, suffix)
}

/// Batches from the start of the first journal.
pub(super) struct Group {
    /// In order.
    pub(super) entries: Vec<Entry>,
    /// Where the one that follows them begins.
    end: u64,
}

impl Spill {
    /// Takes over what processes that ended have left.
    pub(super) fn open(url: &StoreUrl, options: &StoreOptions) -> Self {
        let place = Place::of(url, options.journal_dir.as_deref());
        let mut journals = VecDeque::new();
        for (path, file) in place.orphans() {
            match Journal::adopt(path.clone(), file) {
                Ok(Some(journal)) => journals.push_back(journal),
                Ok(None) => tracing::warn!(
                    "the journal {} is of another version of this program, and is left to that",
                    path.display()
                ),
                Err(error) => place::left(&path, &error),
            }
        }
        Self {
            place,
            limit: options.journal_limit,
            journals,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.journals.is_empty()
    }

    /// Bytes of all journals.
    pub(super) fn bytes(&self) -> u64 {
        self.journals.iter().map(|journal| journal.length).sum()
    }

    /// How many records wait.
    pub(super) fn records(&self) -> u64 {
        self.journals.iter().map(|journal| journal.waiting).sum()
    }

    /// The file that is written to, or read first.
    pub(super) fn path(&self) -> Option<&Path> {
        self.journals.back().map(|journal| journal.path.as_path())
    }

    /// Keeps a batch, behind those that are there. On return it is durable; after an error there is
    /// nothing of it.
    pub(super) fn append(
        &mut self,
        batch_id: BatchId,
        records: &[&Record],
    ) -> Result<(), SpillError> {
        let line = line(batch_id, records)?;
        let bytes = length(&line);
        if bytes > LINE_LIMIT || self.bytes().saturating_add(bytes) > self.limit {
            return Err(SpillError::Full);
        }
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        if let Some(journal) = self.journals.back_mut().filter(|journal| journal.is_own) {
            return Ok(journal.append(&line, count)?);
        }
        let mut journal = Journal::create(&self.place)?;
        let kept = journal
            .append(&line, count)
            .and_then(|()| self.place.sync());
        if let Err(error) = kept {
            journal.remove()?;
            return Err(error.into());
        }
        self.journals.push_back(journal);
        Ok(())
    }

    /// The batches that come first: up to this many records, but at least one batch. `None` where
    /// all journals were read, and are gone.
    pub(super) fn read(&mut self, records: usize) -> io::Result<Option<Group>> {
        while let Some(journal) = self.journals.front_mut() {
            let group = journal.read(records)?;
            if !group.entries.is_empty() {
                return Ok(Some(group));
            }
            journal.end()?;
            self.journals.pop_front();
            self.place.sync()?;
        }
        Ok(None)
    }

    /// Goes on behind a group that the database has.
    pub(super) fn advance(&mut self, group: &Group) {
        if let Some(journal) = self.journals.front_mut() {
            journal.read_to = group.end;
            let records: usize = group.entries.iter().map(|entry| entry.records.len()).sum();
            let records = u64::try_from(records).unwrap_or(u64::MAX);
            journal.waiting = journal.waiting.saturating_sub(records);
        }
    }

    /// Whether all batches of the first journal are in the database.
    pub(super) fn is_at_end(&self) -> bool {
        self.journals
            .front()
            .is_some_and(|journal| journal.read_to >= journal.length)
    }

    /// Sees to it that the first journal is kept: the database refused some of it.
    pub(super) fn keep(&mut self, why: &str) {
        if let Some(journal) = self.journals.front_mut() {
            journal.keep(why);
        }
    }
}

/// One file, locked while this lives.
struct Journal {
    path: PathBuf,
    file: File,
    /// Whether this process made it; only then it is written to.
    is_own: bool,
    /// Bytes of whole lines.
    length: u64,
    /// Where the first batch begins that the database may lack.
    read_to: u64,
    /// Records that the database may lack.
    waiting: u64,
    /// Whether there is something in it that is in no database.
    is_kept: bool,
}

impl Journal {
    fn create(place: &Place) -> io::Result<Self> {
        let (path, file) = place.create()?;
        let mut journal = Self {
            path,
            file,
            is_own: true,
            length: 0,
            read_to: 0,
            waiting: 0,
            is_kept: false,
        };
        match journal.append(HEADER.as_bytes(), 0) {
            Ok(()) => Ok(journal),
            Err(error) => {
                journal.remove()?;
                Err(error)
            }
        }
    }

    /// `None` where it is of another version.
    fn adopt(path: PathBuf, file: File) -> io::Result<Option<Self>> {
        let mut journal = Self {
            length: file.metadata()?.len(),
            path,
            file,
            is_own: false,
            read_to: 0,
            waiting: 0,
            is_kept: false,
        };
        let mut lines = journal.lines()?;
        let mut waiting = 0_usize;
        while let Some(line) = lines.next_line()? {
            match line {
                Line::OtherVersion => return Ok(None),
                Line::Entry(entry) => waiting += entry.records.len(),
                Line::Damaged | Line::Torn => {}
            }
        }
        journal.waiting = u64::try_from(waiting).unwrap_or(u64::MAX);
        Ok(Some(journal))
    }

    fn lines(&self) -> io::Result<Lines<BufReader<&File>>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.read_to))?;
        Ok(Lines::new(
            BufReader::with_capacity(1 << 16, file),
            self.read_to,
        ))
    }

    fn append(&mut self, bytes: &[u8], records: u64) -> io::Result<()> {
        let written = self
            .file
            .write_all(bytes)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a line must not stand before the next one: if it has to stay, it is the last.
            self.is_own = self.file.set_len(self.length).is_ok();
            return Err(error);
        }
        self.length = self.length.saturating_add(length(bytes));
        self.waiting = self.waiting.saturating_add(records);
        Ok(())
    }

    fn read(&mut self, records: usize) -> io::Result<Group> {
        let mut lines = self.lines()?;
        let mut group = Group {
            entries: Vec::new(),
            end: self.read_to,
        };
        let mut count = 0;
        let mut damaged = 0_u64;
        while let Some(line) = lines.next_line()? {
            match line {
                Line::Entry(entry) => {
                    count += entry.records.len();
                    // One more than was asked for is left to the next time.
                    if count > records && !group.entries.is_empty() {
                        break;
                    }
                    group.entries.push(entry);
                }
                Line::Damaged | Line::OtherVersion => damaged += 1,
                Line::Torn => tracing::debug!(
                    journal = %self.path.display(),
                    "the last entry was not written to its end, and is dropped"
                ),
            }
            group.end = lines.at();
            if count >= records || group.end.saturating_sub(self.read_to) >= READ_BYTES {
                break;
            }
        }
        if damaged > 0 {
            self.keep(&format!("{damaged} of its entries are damaged"));
        }
        if group.entries.is_empty() {
            self.read_to = group.end;
        }
        Ok(group)
    }

    fn keep(&mut self, why: &str) {
        if !self.is_kept {
            tracing::warn!(
                "the journal {} will be kept as {}: {why}",
                self.path.display(),
                self.path_aside().display()
            );
        }
        self.is_kept = true;
    }

    fn path_aside(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".damaged");
        path.into()
    }

    /// The database has all of it.
    fn end(&self) -> io::Result<()> {
        if self.is_kept {
            std::fs::rename(&self.path, self.path_aside())
        } else {
            self.remove()
        }
    }

    fn remove(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
