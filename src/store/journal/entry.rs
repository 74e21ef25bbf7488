//! The text of a journal: a line that names the format, then a line for each batch.
//!
//! ```text
//! metafetch-spill 1
//! 1c2d3e4f {"batch_id":[...],"records":[...]}
//! ```
//!
//! A line of a batch begins with the CRC-32 of its JSON, in hexadecimal. JSON has no line breaks, so a
//! damaged line takes no other one with it; and it names its fields, so that a newer program reads
//! what an older one has left (a new field needs a `serde` default). The last line lacks its end
//! where the process was killed while it wrote.

use std::io::{self, BufRead, Read as _};

use serde::{Deserialize, Serialize};

use crate::store::Record;
use crate::store::applied_batch::BatchId;

/// The first line.
pub const HEADER: &str = "metafetch-spill 1\n";
/// How the first line begins in every version.
const MAGIC: &str = "metafetch-spill ";
/// The longest line in bytes: above what the writer takes into memory at a time, written as JSON.
pub(super) const LINE_LIMIT: u64 = 512 << 20;
/// The checksum and the space after it.
const HEAD: usize = 9;

/// A batch of records that waits for the database.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Entry {
    /// By which the database knows whether it has the batch.
    pub batch_id: BatchId,
    /// What is to be stored, in this order.
    pub records: Vec<Record>,
}

/// [`Entry`], borrowed.
#[derive(Serialize)]
struct EntryRef<'a> {
    batch_id: BatchId,
    records: &'a [&'a Record],
}

/// The line of a batch, with its end.
pub fn line(batch_id: BatchId, records: &[&Record]) -> io::Result<Vec<u8>> {
    let mut line = vec![b' '; HEAD];
    serde_json::to_writer(&mut line, &EntryRef { batch_id, records })?;
    if let Some((head, json)) = line.split_at_mut_checked(HEAD) {
        head.copy_from_slice(checksum(json).as_bytes());
    }
    line.push(b'\n');
    Ok(line)
}

/// As it stands before the JSON.
fn checksum(json: &[u8]) -> String {
    format!("{:08x} ", crc32fast::hash(json))
}

/// What a line turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// A batch.
    Entry(Entry),
    /// A whole line that is not what was written.
    Damaged,
    /// The last line, without its end: nobody was told that it is stored.
    Torn,
    /// The first line of a journal of another version, which is not to be touched.
    OtherVersion,
}

/// Reads the lines of a journal.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    /// Bytes read so far.
    at: u64,
}

impl<R: BufRead> Lines<R> {
    /// Reads on from the byte `at` of the file, where a line begins.
    pub fn new(reader: R, at: u64) -> Self {
        Self { reader, at }
    }

    /// How many bytes of the file were read.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The next line; `None` at the end.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        if self.at == 0 {
            let line = self.next_bytes()?;
            let ends = line.ends_with(b"\n");
            if line == HEADER.as_bytes() {
                // As it should be.
            } else if ends && line.starts_with(MAGIC.as_bytes()) {
                return Ok(Some(Line::OtherVersion));
            } else if ends {
                return Ok(Some(Line::Damaged));
            } else {
                return Ok((!line.is_empty()).then_some(Line::Torn));
            }
        }
        let line = self.next_bytes()?;
        if line.is_empty() {
            return Ok(None);
        }
        let whole = line.strip_suffix(b"\n");
        // Whole but for its end, or with another byte in the place of its end.
        let cut = line.split_last().map_or(line.as_slice(), |(_, rest)| rest);
        let read = match whole {
            Some(whole) => entry(whole),
            None => entry(&line).or_else(|| entry(cut)),
        };
        Ok(Some(match read {
            Some(entry) => Line::Entry(entry),
            None if whole.is_some() => Line::Damaged,
            None => Line::Torn,
        }))
    }

    /// The next line with its end; empty at the end of the file. A line that is too long is cut, and
    /// its rest is taken for a line of its own.
    fn next_bytes(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let mut reader = self.reader.by_ref().take(LINE_LIMIT);
        reader.read_until(b'\n', &mut line)?;
        let is_cut = reader.limit() == 0;
        self.at += LINE_LIMIT - reader.limit();
        if is_cut && !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        Ok(line)
    }
}

/// What the line, without its end, holds.
fn entry(line: &[u8]) -> Option<Entry> {
    let (head, json) = line.split_at_checked(HEAD)?;
    if head != checksum(json).as_bytes() {
        return None;
    }
    serde_json::from_slice(json).ok()
}
