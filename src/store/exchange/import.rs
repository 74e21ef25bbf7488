//! Rows of an export, and `.torrent` files, into a database.
//!
//! Whatever comes in is checked first, each dictionary against its hash. What the database has already
//! stays, unless the import knows something newer: so the same import twice changes nothing, and one
//! that was interrupted is simply made again.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use diesel::QueryResult;

use super::lines::{Line, LineReader};
use super::{Header, Row, Table, TorrentRow};
use crate::store::database::{DataError, Database, Watch};
use crate::store::dictionary;
use crate::store::take::{self, Taken, Torrent};
use crate::store::torrent_metadata::{Times, stored_identity};
use crate::torrent::{Info, Infohash, split};

/// How many rows are written in one transaction.
const BATCH: usize = 500;
/// How many bytes of dictionaries are written in one transaction.
const BATCH_BYTES: usize = 8 << 20;
/// What the `arm` of a torrent is that came as a file.
const IMPORTED: &str = "import";

/// What became of the rows of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taking {
    /// New ones.
    pub added: u64,
    /// Those that told more than what was there.
    pub updated: u64,
    /// Those that told nothing new.
    pub unchanged: u64,
}

/// What became of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// By table.
    pub tables: BTreeMap<Table, Taking>,
    /// Lines and files that were not taken.
    pub refused: u64,
}

/// A line or a file that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The file, and the line in it where it has lines.
    pub place: String,
    /// Why.
    pub why: String,
}

/// Something to be written, checked.
enum Item {
    Torrent(Box<Torrent>),
    Row(Row),
}

/// An import in progress.
pub struct Importer<'a> {
    database: &'a mut Database,
    refused: &'a mut dyn FnMut(Refused),
    now_ms: i64,
    batch: Vec<(String, Item)>,
    batch_bytes: usize,
    imported: Imported,
    read: u64,
}

impl std::fmt::Debug for Importer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Importer").finish_non_exhaustive()
    }
}

impl<'a> Importer<'a> {
    /// An import into `database`; `refused` is told of what is not taken.
    pub fn new(
        database: &'a mut Database,
        refused: &'a mut dyn FnMut(Refused),
        now_ms: i64,
    ) -> Self {
        Self {
            database,
            refused,
            now_ms,
            batch: Vec::new(),
            batch_bytes: 0,
            imported: Imported::default(),
            read: 0,
        }
    }

    /// Takes the lines of an export, compressed or not. An error where they are none; a malformed line is
    /// left out.
    pub fn lines(
        &mut self,
        name: &Path,
        input: impl BufRead,
        watch: &mut Watch<'_>,
    ) -> Result<(), DataError> {
        let failed = |error| DataError::read(name, error);
        let mut lines = LineReader::new(input).map_err(failed)?;
        let mut has_header = false;
        while let Some((number, line)) = lines.next().map_err(failed)? {
            let place = format!("{}:{number}", name.display());
            let line = match line {
                Line::Whole(line) if line.iter().all(u8::is_ascii_whitespace) => continue,
                Line::Whole(line) => line,
                Line::TooLong => Vec::new(),
            };
            // Exports may have been put one behind the other.
            if let Ok(header) = serde_json::from_slice::<Header>(&line) {
                if let Some(objection) = header.objection() {
                    let name = name.display();
                    return Err(DataError::Input(format!(
                        "`{name}` can't be imported: {objection}"
                    )));
                }
                has_header = true;
                continue;
            }
            if !has_header {
                return Err(DataError::Input(format!(
                    "`{}` is no export of metafetch: its first line is not the one that `db export` \
                     begins with",
                    name.display()
                )));
            }
            match row(&line) {
                Ok(item) => self.add(place, item)?,
                Err(why) => self.refuse(place, why),
            }
            self.read += 1;
            if self.read.is_multiple_of(100) {
                watch.step("lines", self.read)?;
            }
        }
        Ok(())
    }

    /// Takes a `.torrent` file.
    pub fn torrent_file(&mut self, name: &Path, bytes: &[u8]) -> Result<(), DataError> {
        let place = name.display().to_string();
        match file(bytes, self.now_ms) {
            Ok(torrent) => self.add(place, Item::Torrent(Box::new(torrent))),
            Err(why) => {
                self.refuse(place, why);
                Ok(())
            }
        }
    }

    /// Counts something that can't be read at all.
    pub fn refuse(&mut self, place: String, why: String) {
        self.imported.refused += 1;
        (self.refused)(Refused { place, why });
    }

    /// Writes what is left, and says what became of all.
    pub fn finish(mut self) -> Result<Imported, DataError> {
        self.flush()?;
        Ok(self.imported)
    }

    fn add(&mut self, place: String, item: Item) -> Result<(), DataError> {
        if let Item::Torrent(torrent) = &item {
            self.batch_bytes = self.batch_bytes.saturating_add(torrent.resolved.info.len());
        }
        self.batch.push((place, item));
        if self.batch_bytes >= BATCH_BYTES || self.batch.len() >= BATCH {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DataError> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let items: Vec<&Item> = batch.iter().map(|(_, item)| item).collect();
        match self.write(&items) {
            Ok(taken) => self.count(&batch, taken),
            Err(error) if error.is_transient() => return Err(error.into()),
            // One row must not cost the others their place.
            Err(_) => {
                for (place, item) in batch {
                    match self.write(&[&item]) {
                        Ok(taken) => self.count(&[(place, item)], taken),
                        Err(error) if error.is_transient() => return Err(error.into()),
                        Err(error) => self.refuse(place, error.to_string()),
                    }
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, items: &[&Item]) -> Result<Vec<Option<Taken>>, crate::store::StoreError> {
        self.database.write(|connection| {
            let mut torrents = take::Torrents::default();
            let taken = items.iter().map(|item| match item {
                Item::Torrent(torrent) => take::torrent(connection, torrent).map(Some),
                Item::Row(row) => take::row(connection, row, &mut torrents),
            });
            taken.collect::<QueryResult<_>>()
        })
    }

    fn count(&mut self, batch: &[(String, Item)], taken: Vec<Option<Taken>>) {
        for ((place, item), taken) in batch.iter().zip(taken) {
            let table = match item {
                Item::Torrent(_) => Table::TorrentMetadata,
                Item::Row(row) => row.table(),
            };
            let counts = self.imported.tables.entry(table).or_default();
            match taken {
                Some(Taken::Added) => counts.added += 1,
                Some(Taken::Updated) => counts.updated += 1,
                Some(Taken::Unchanged) => counts.unchanged += 1,
                None => self.refuse(place.clone(), "there is no torrent of this hash".to_owned()),
            }
        }
    }
}

/// What a line holds, or what is wrong with it.
fn row(line: &[u8]) -> Result<Item, String> {
    if line.is_empty() {
        return Err("the line is too long".to_owned());
    }
    let row: Row = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    row.verdict()?;
    match row {
        Row::TorrentMetadata(row) if !row.info.is_empty() => {
            Ok(Item::Torrent(Box::new(torrent(*row)?)))
        }
        row => Ok(Item::Row(row)),
    }
}

/// A torrent from its row. What the dictionary says is taken from the dictionary.
fn torrent(row: TorrentRow) -> Result<Torrent, String> {
    let infohash = stored_identity(&row.infohash, row.infohash_v2.as_deref())
        .map_err(|error| error.to_string())?;
    let info = dictionary::checked(&infohash, &row.info)?;
    let trackers = serde_json::from_str(&row.trackers).map_err(|error| error.to_string())?;
    let peer = row.peer.as_deref().and_then(|peer| peer.parse().ok());
    Ok(Torrent {
        resolved: dictionary::resolved(infohash, &info, row.info, trackers, (&row.arm, peer)),
        times: Times {
            discovered: row.discovered_at,
            last_seen: row.last_seen_at,
            resolved: row.resolved_at,
        },
        comment: row.comment,
        created_by: row.created_by,
        encoding: row.encoding,
    })
}

/// A torrent from a `.torrent` file.
fn file(bytes: &[u8], now_ms: i64) -> Result<Torrent, String> {
    let (raw, trackers) = split(bytes).map_err(|error| error.to_string())?;
    let info = Info::parse(raw).map_err(|error| error.to_string())?;
    let infohash = Infohash::of(raw, info.version);
    Ok(Torrent {
        resolved: dictionary::resolved(infohash, &info, raw.to_vec(), trackers, (IMPORTED, None)),
        times: Times {
            discovered: now_ms,
            last_seen: now_ms,
            resolved: now_ms,
        },
        comment: String::new(),
        created_by: String::new(),
        encoding: String::new(),
    })
}
