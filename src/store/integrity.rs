//! Whether what is stored is what it should be: every dictionary has its hash, every row says what its
//! dictionary says, no row refers to a missing one. And repairs: what a dictionary has is made from it
//! again, and what is lost is fetched again.

use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use diesel::prelude::*;

use super::connection::Connection;
use super::database::{DataError, Database, Watch};
use super::exchange::{Keyed as _, PAGE, Row, Sound as _, Table, TorrentRow, with_row};
use super::schema::{torrent_file, torrent_metadata, torrent_search};
use super::torrent_metadata::{
    ARM_CHARS, PENDING, SOURCE_CHARS, Times, bounded_name, put_seen, stored_identity,
};
use super::value::bounded;
use super::{dictionary, search, take, torrent_file as files, upkeep};
use crate::torrent::Infohash;

/// What can be done about a damaged row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The dictionary is right: the rest is made from it again.
    Rebuild,
    /// The dictionary is lost: the torrent is pending again, and is fetched when it is asked for.
    Refetch,
    /// Nothing can be made of the row: it is deleted.
    Delete,
    /// Nothing, from here.
    None,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The table; empty where the database itself is damaged.
    pub table: &'static str,
    /// The row, by what names it.
    pub row: String,
    /// What is wrong.
    pub what: String,
    /// What can be done.
    pub remedy: Remedy,
    /// Whether it was done.
    pub repaired: bool,
}

/// What a check came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Torrents that were looked at.
    pub torrents: u64,
    /// Rows of other tables.
    pub rows: u64,
    /// What is damaged.
    pub damaged: u64,
    /// What of it was repaired.
    pub repaired: u64,
}

/// A torrent with the files that are stored of it.
type Stored = (TorrentRow, Vec<(String, u64)>);

/// A damaged torrent.
struct Finding {
    id: i64,
    row: String,
    fault: Fault,
}

/// What is wrong with a torrent, and what can be done.
type Fault = (String, Remedy);

impl Database {
    /// Looks at everything, and repairs what can be with `repair`; `found` is told of each damage.
    pub fn check(
        &mut self,
        repair: bool,
        found: &mut dyn FnMut(&Damage),
        watch: &mut Watch<'_>,
    ) -> Result<Checked, DataError> {
        let mut check = Check {
            database: self,
            repair,
            found,
            checked: Checked::default(),
        };
        check.torrents(watch)?;
        check.orphans()?;
        for table in Table::ALL {
            if !matches!(table, Table::TorrentMetadata | Table::TorrentFile) {
                check.rows(table, watch)?;
            }
        }
        check.unindexed(watch)?;
        // Last: what was repaired is well.
        watch.step("the database's own check", 0)?;
        for what in check.database.read(upkeep::own_check)? {
            check.report("", String::new(), (what, Remedy::None), false);
        }
        Ok(check.checked)
    }
}

struct Check<'a> {
    database: &'a mut Database,
    repair: bool,
    found: &'a mut dyn FnMut(&Damage),
    checked: Checked,
}

impl Check<'_> {
    fn report(&mut self, table: &'static str, row: String, fault: Fault, repaired: bool) {
        self.checked.damaged += 1;
        self.checked.repaired += u64::from(repaired);
        let (what, remedy) = fault;
        (self.found)(&Damage {
            table,
            row,
            what,
            remedy,
            repaired,
        });
    }

    /// Reads pages, which the other threads check: hashing takes longer than reading.
    fn torrents(&mut self, watch: &mut Watch<'_>) -> Result<(), DataError> {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        std::thread::scope(|scope| {
            let (pages, waiting) = sync_channel::<Vec<Stored>>(workers);
            let waiting = Arc::new(Mutex::new(waiting));
            let (found, findings) = channel();
            for _ in 0..workers {
                let (found, waiting) = (found.clone(), Arc::clone(&waiting));
                scope.spawn(move || {
                    while let Some(page) = next(&waiting) {
                        for (row, files) in page {
                            if let Some(fault) = fault(&row, &files) {
                                let (id, row) = (row.id, hash_text(&row));
                                // Who takes them may have stopped.
                                let _ = found.send(Finding { id, row, fault });
                            }
                        }
                    }
                });
            }
            drop((found, waiting));
            let mut after = i64::MIN;
            loop {
                let page = match self
                    .database
                    .read(|connection| stored_after(connection, after))
                {
                    Ok(page) => page,
                    Err(error) if error.is_transient() => return Err(error.into()),
                    Err(error) => {
                        let what = format!("the rows after id {after} can't be read: {error}");
                        let fault = (what, Remedy::None);
                        self.report("torrent_metadata", String::new(), fault, false);
                        break;
                    }
                };
                let Some((last, _)) = page.last() else { break };
                after = last.id;
                self.checked.torrents += page.len() as u64;
                if pages.send(page).is_err() {
                    break;
                }
                for finding in findings.try_iter() {
                    self.torrent(finding)?;
                }
                watch.step("torrents", self.checked.torrents)?;
            }
            drop(pages);
            for finding in findings {
                self.torrent(finding)?;
            }
            Ok(())
        })
    }

    fn torrent(&mut self, finding: Finding) -> Result<(), DataError> {
        let repaired = self.repair
            && self
                .database
                .write_politely(|connection| mend(connection, finding.id))?;
        self.report("torrent_metadata", finding.row, finding.fault, repaired);
        Ok(())
    }

    /// Files, and rows to search by, whose torrent is gone.
    fn orphans(&mut self) -> Result<(), DataError> {
        let known = || torrent_metadata::table.select(torrent_metadata::id);
        let orphans: Vec<i64> = self.database.read(|connection| {
            torrent_file::table
                .filter(torrent_file::torrent_id.ne_all(known()))
                .select(torrent_file::torrent_id)
                .distinct()
                .load(connection)
        })?;
        for id in orphans {
            if self.repair {
                self.database
                    .write_politely(|connection| files::delete(connection, id))?;
            }
            let fault = ("its torrent is missing".to_owned(), Remedy::Delete);
            self.report("torrent_file", format!("torrent {id}"), fault, self.repair);
        }
        let orphans: Vec<i64> = self.database.read(|connection| {
            torrent_search::table
                .filter(torrent_search::torrent_id.ne_all(known()))
                .select(torrent_search::torrent_id)
                .load(connection)
        })?;
        for id in orphans {
            if self.repair {
                self.database
                    .write_politely(|connection| search::delete(connection, id))?;
            }
            let fault = ("its torrent is missing".to_owned(), Remedy::Delete);
            self.report(
                "torrent_search",
                format!("torrent {id}"),
                fault,
                self.repair,
            );
        }
        Ok(())
    }

    /// Torrents that no search finds, such as those that a program stored which knew no search.
    fn unindexed(&mut self, watch: &mut Watch<'_>) -> Result<(), DataError> {
        let (mut after, mut seen) = (i64::MIN, 0);
        loop {
            let page = self
                .database
                .read(|connection| search::unindexed(connection, after, PAGE))?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = *last;
            seen += page.len() as u64;
            for id in page {
                if self.repair {
                    self.database
                        .write_politely(|connection| search::index_one(connection, id))?;
                }
                let fault = (
                    "it has no row, and can't be searched".to_owned(),
                    Remedy::Rebuild,
                );
                self.report(
                    "torrent_search",
                    format!("torrent {id}"),
                    fault,
                    self.repair,
                );
            }
            watch.step("torrents without a row to search them by", seen)?;
        }
    }

    /// Rows that could not be read back.
    fn rows(&mut self, table: Table, watch: &mut Watch<'_>) -> Result<(), DataError> {
        with_row!(table, Rows => {
            let mut unsound: Vec<(Rows, String)> = Vec::new();
            let mut after: Option<Rows> = None;
            loop {
                let page = self
                    .database
                    .read(|connection| Rows::page(connection, after.as_ref(), PAGE));
                let page = match page {
                    Ok(page) => page,
                    Err(error) if error.is_transient() => return Err(error.into()),
                    Err(error) => {
                        let fault = (format!("not all rows can be read: {error}"), Remedy::None);
                        self.report(table.as_str(), String::new(), fault, false);
                        return Ok(());
                    }
                };
                let Some(last) = page.last() else { return Ok(()) };
                after = Some(last.clone());
                self.checked.rows += page.len() as u64;
                for row in page {
                    if let Err(what) = row.verdict() {
                        unsound.push((row, what));
                    }
                }
                for (row, what) in unsound.drain(..) {
                    if self.repair {
                        self.database
                            .write_politely(|connection| row.delete(connection))?;
                    }
                    let row = label(&Row::from(row));
                    self.report(table.as_str(), row, (what, Remedy::Delete), self.repair);
                }
                watch.step(table.as_str(), self.checked.rows)?;
            }
        })
    }
}

/// The next page, when there is one; `None` at the end.
fn next(waiting: &Mutex<Receiver<Vec<Stored>>>) -> Option<Vec<Stored>> {
    let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.recv().ok()
}

/// The next page of torrents, each with its files.
fn stored_after(connection: &mut Connection, after: i64) -> QueryResult<Vec<Stored>> {
    let page = TorrentRow::page_after(connection, after)?;
    page.into_iter()
        .map(|row| {
            let files = files::of_torrent(connection, row.id)?;
            Ok((row, files))
        })
        .collect()
}

/// What is wrong with a torrent, if anything.
fn fault(row: &TorrentRow, stored: &[(String, u64)]) -> Option<Fault> {
    let Ok(infohash) = stored_identity(&row.infohash, row.infohash_v2.as_deref()) else {
        return Some(("its hashes are none".to_owned(), Remedy::Delete));
    };
    if row.info.is_empty() {
        let what = row.verdict().err()?;
        return Some((what, Remedy::Refetch));
    }
    let info = match dictionary::checked(&infohash, &row.info) {
        Ok(info) => info,
        Err(what) => return Some((what, Remedy::Refetch)),
    };
    if let Err(what) = row.verdict() {
        return Some((what, Remedy::Rebuild));
    }
    let files = dictionary::files(&info);
    let same = |column: i64, value: u64| u64::try_from(column) == Ok(value);
    let wrong = if bounded_name(&info.name) != row.name {
        "name"
    } else if !same(row.size, info.size) {
        "size"
    } else if !same(row.piece_length, info.piece_length) {
        "piece length"
    } else if !same(row.pieces_count, info.pieces) {
        "count of pieces"
    } else if !same(row.files_count, files.len() as u64) {
        "count of files"
    } else if row.private != info.private {
        "private flag"
    } else if row.metadata_size != take::length(row.info.len()) {
        "size of the dictionary"
    } else if stored.len() != files.len() {
        let what = format!(
            "{} files are stored, and the dictionary has {}",
            stored.len(),
            files.len()
        );
        return Some((what, Remedy::Rebuild));
    } else if stored
        .iter()
        .zip(&files)
        .any(|(stored, file)| stored.1 != file.1 || stored.0 != files::bounded_path(&file.0))
    {
        "list of files"
    } else {
        return None;
    };
    let what = format!("its {wrong} is not that of its dictionary");
    Some((what, Remedy::Rebuild))
}

/// Repairs a torrent, if it still is damaged; says whether it is well now.
fn mend(connection: &mut Connection, id: i64) -> QueryResult<bool> {
    use torrent_metadata as table;
    let Some((mut row, files)) = stored(connection, id)? else {
        return Ok(true);
    };
    let Some((_, remedy)) = fault(&row, &files) else {
        return Ok(true);
    };
    match remedy {
        Remedy::None => return Ok(false),
        Remedy::Delete => {
            row.delete(connection)?;
        }
        Remedy::Rebuild => {
            let infohash = stored_identity(&row.infohash, row.infohash_v2.as_deref())?;
            let raw = std::mem::take(&mut row.info);
            // It was read a moment ago.
            let Ok(info) = dictionary::checked(&infohash, &raw) else {
                return Ok(false);
            };
            let trackers = serde_json::from_str(&row.trackers).unwrap_or_default();
            let peer = row.peer.as_deref().and_then(|peer| peer.parse().ok());
            let arm = take::cleaned(&row.arm, ARM_CHARS);
            let torrent = dictionary::resolved(infohash, &info, raw, trackers, (&arm, peer));
            let times = Times {
                discovered: row.discovered_at,
                last_seen: row.last_seen_at,
                resolved: row.resolved_at,
            };
            let identity = put_seen(connection, &torrent, times)?;
            diesel::update(table::table.filter(table::infohash.eq(identity.as_bytes())))
                .set((
                    table::comment.eq(take::cleaned(&row.comment, 1_000)),
                    table::created_by.eq(take::cleaned(&row.created_by, 1_000)),
                    table::encoding.eq(take::cleaned(&row.encoding, 1_000)),
                ))
                .execute(connection)?;
        }
        Remedy::Refetch => {
            let is_list = serde_json::from_str::<Vec<String>>(&row.trackers).is_ok();
            let trackers = if is_list { row.trackers.as_str() } else { "[]" };
            diesel::update(table::table.find(id))
                .set((
                    table::info.eq(Vec::<u8>::new()),
                    table::info_deflated.eq(false),
                    table::metadata_size.eq(0),
                    table::resolved_at.eq(0),
                    table::validation_status.eq(PENDING),
                    table::trackers.eq(trackers),
                    table::peer.eq(None::<String>),
                    table::source.eq(take::cleaned(&row.source, SOURCE_CHARS)),
                    table::arm.eq(take::cleaned(&row.arm, ARM_CHARS)),
                    table::name.eq(take::cleaned(&row.name, 1_000)),
                    table::comment.eq(take::cleaned(&row.comment, 1_000)),
                    table::created_by.eq(take::cleaned(&row.created_by, 1_000)),
                    table::encoding.eq(take::cleaned(&row.encoding, 1_000)),
                ))
                .execute(connection)?;
            search::delete(connection, id)?;
        }
    }
    // Gone is well, too: it was deleted, or became one with the row of its other hash.
    let Some((row, stored)) = stored(connection, id)? else {
        return Ok(true);
    };
    Ok(fault(&row, &stored).is_none())
}

/// A torrent, with its files.
fn stored(connection: &mut Connection, id: i64) -> QueryResult<Option<Stored>> {
    let row: Option<TorrentRow> = torrent_metadata::table
        .find(id)
        .select(TorrentRow::as_select())
        .first(connection)
        .optional()?;
    let Some(row) = row.map(TorrentRow::inflated) else {
        return Ok(None);
    };
    let files = files::of_torrent(connection, id).unwrap_or_default();
    Ok(Some((row, files)))
}

fn hash_text(row: &TorrentRow) -> String {
    Infohash::from_bytes(&row.infohash)
        .map_or_else(|| format!("id {}", row.id), |infohash| infohash.to_string())
}

/// What names a row for a human reader.
fn label(row: &Row) -> String {
    let hash = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let text = match row {
        Row::TorrentMetadata(row) => hash(&row.infohash),
        Row::TorrentFile(row) => format!("{} file {}", hash(&row.infohash), row.position),
        Row::MetadataRequest(row) => format!("id {}", row.id),
        Row::PeerState(row) => format!("{} port {}", row.peer_ip, row.peer_port),
        Row::PeerGroup(row) => format!("{} {}", row.kind, row.name),
        Row::FailedTorrent(row) => hash(&row.infohash),
        Row::TrackerState(row) => row.tracker_url.clone(),
        Row::DhtNodeState(row) => format!("{} port {}", row.node_ip, row.node_port),
        Row::CrawlSession(row) => row.session_id.clone(),
        Row::BlockedSalt(row) => hash(&row.salt),
        Row::BlockedInfohash(row) => hash(&row.value),
        Row::WantedTorrent(row) => hash(&row.infohash),
    };
    bounded(&text, 100).to_owned()
}
