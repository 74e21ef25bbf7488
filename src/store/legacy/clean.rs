//! What of the old crawler's rows is worth nothing: it stored the random targets of its own queries as
//! torrents. They are counted; and deleted, when told to, where it is proven that no such torrent is
//! known.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::session::Session;
use super::statement::{Statement, Value};
use super::table::{CLAIMS, FILES, PEERS, TORRENTS, Table};
use crate::store::database::{DataError, Watch};
use crate::store::legacy_import::LegacyUrl;
use crate::torrent::Infohash;

/// Rows that are read at a time.
const PAGE: i64 = 5_000;
/// Rows that are looked at for one transaction: their locks are held while they are written to the archive.
const BATCH: i64 = 1_000;
/// How often a transaction is tried that another process was in the way of.
const TRIES: u32 = 10;

/// The columns without which nothing can be proven.
const NEEDED: [&str; 8] = [
    "id",
    "source",
    "name",
    "num_files",
    "metadata_received",
    "timed_out",
    "last_seen_at",
    "updated_at",
];

/// What is known of the rows of `discovered_torrents`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegacyRows {
    /// All of them.
    pub rows: u64,
    /// With metadata: received, and with files.
    pub complete: u64,
    /// Not complete, and not marked as timed out: they wait.
    pub waiting: u64,
    /// Not complete, and marked as timed out.
    pub timed_out: u64,
    /// Not complete, and with the source `DHT_ITEM`: made up by the old crawler.
    pub made_up: u64,
    /// Said to have metadata, but without files.
    pub hollow: u64,
    /// Whose hash is none: neither 40 hex digits nor 32 base32 characters.
    pub invalid: u64,
    /// Whose hash stands in another form than 40 lower-case hex digits.
    pub other_forms: u64,
    /// Of those, rows whose hash another row has in its usual form.
    pub duplicates: u64,
    /// Provably dead: what is deleted when that is asked for.
    pub dead: u64,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    info_hash: String,
    #[diesel(sql_type = BigInt)]
    received: i64,
    #[diesel(sql_type = BigInt)]
    files: i64,
    #[diesel(sql_type = BigInt)]
    is_timed_out: i64,
    #[diesel(sql_type = Text)]
    source: String,
    #[diesel(sql_type = BigInt)]
    dead: i64,
}

#[derive(QueryableByName)]
struct Hash {
    #[diesel(sql_type = Text)]
    info_hash: String,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    line: String,
}

/// The old crawler's database, opened to look through it.
pub struct LegacyCleaner {
    session: Session,
    table: Table,
    name: String,
    dead: String,
}

impl std::fmt::Debug for LegacyCleaner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LegacyCleaner")
            .field("database", &self.name)
            .finish_non_exhaustive()
    }
}

impl LegacyCleaner {
    /// Connects. Blocks. An error where the database has no `discovered_torrents`, or not the columns that
    /// tell what its rows are.
    pub fn open(url: &LegacyUrl) -> Result<Self, DataError> {
        let session = Session::open(url.server())?;
        let name = url.server().to_string();
        let table = session.tables.get(TORRENTS).cloned().unwrap_or_default();
        let missing: Vec<&str> = NEEDED
            .into_iter()
            .filter(|column| !table.has(column))
            .collect();
        if !missing.is_empty() {
            return Err(DataError::Input(format!(
                "`{name}` is no database of the old crawler: its {TORRENTS} has no {}",
                missing.join(", ")
            )));
        }
        let dead = dead(&session);
        Ok(Self {
            session,
            table,
            name,
            dead,
        })
    }

    /// Counts the rows. Reads all of them, some at a time, and changes nothing.
    pub fn count(&mut self, watch: &mut Watch<'_>) -> Result<LegacyRows, DataError> {
        let mut counts = LegacyRows::default();
        let mut after = i64::MIN;
        loop {
            let query = format!(
                "SELECT CAST(t.id AS SIGNED) AS id, t.info_hash AS info_hash, \
                     CAST(COALESCE(t.metadata_received, 0) AS SIGNED) AS received, \
                     CAST(COALESCE(t.num_files, 0) AS SIGNED) AS files, \
                     CAST(COALESCE(t.timed_out, 0) AS SIGNED) AS is_timed_out, \
                     COALESCE(t.source, '') AS source, \
                     CAST(COALESCE({}, 0) AS SIGNED) AS dead \
                 FROM discovered_torrents t WHERE t.id > {after} ORDER BY t.id LIMIT {PAGE}",
                self.dead
            );
            let rows = self.again(|session, _| session.load::<Row>(Statement::new(&query)))?;
            let Some(last) = rows.last() else {
                return Ok(counts);
            };
            after = last.id;
            let mut others = Vec::new();
            for row in &rows {
                counts.add(row, &mut others);
            }
            counts.duplicates += self.known(others)?;
            watch.step(TORRENTS, counts.rows)?;
        }
    }

    /// How many of these hashes have a row.
    fn known(&mut self, hex: Vec<String>) -> Result<u64, DataError> {
        if hex.is_empty() {
            return Ok(0);
        }
        let query = Statement::new("SELECT info_hash FROM discovered_torrents WHERE info_hash IN ")
            .list(hex.into_iter().map(Value::Text));
        let rows = self.again(|session, _| session.load::<Hash>(query.clone()))?;
        let rows = rows.iter().filter(|row| is_usual(&row.info_hash)).count();
        Ok(u64::try_from(rows).unwrap_or(u64::MAX))
    }

    /// Deletes what is provably dead, in short transactions, and appends it to `archive` before, as one
    /// JSON object with all columns to a line. Where it is interrupted, what was deleted is deleted, and
    /// the next time the rest goes. How many rows.
    pub fn delete_dead(
        &mut self,
        archive: Option<&Path>,
        watch: &mut Watch<'_>,
    ) -> Result<u64, DataError> {
        let mut archive = match archive {
            Some(path) => Some((open_archive(path)?, path)),
            None => None,
        };
        let line = match archive {
            Some(_) => self.line(),
            None => "''".to_owned(),
        };
        let (mut after, mut deleted) = (i64::MIN, 0);
        while let Some(until) = self.page_end(after)? {
            let rows = self.delete_between(after, until, &line, archive.as_mut())?;
            deleted += rows;
            after = until;
            watch.step("deleted rows of discovered_torrents", deleted)?;
        }
        Ok(deleted)
    }

    /// A row with all its columns.
    fn line(&self) -> String {
        let columns = self.table.columns().map(|column| {
            let (name, quoted) = (column.replace('\'', "''"), column.replace('`', "``"));
            format!("'{name}', t.`{quoted}`")
        });
        let columns: Vec<String> = columns.collect();
        format!("CAST(JSON_OBJECT({}) AS CHAR)", columns.join(", "))
    }

    /// The last id of the next rows.
    fn page_end(&mut self, after: i64) -> Result<Option<i64>, DataError> {
        let query = Statement::new(&format!(
            "SELECT CAST(t.id AS SIGNED) AS id, '' AS line FROM discovered_torrents t \
             WHERE t.id > {after} ORDER BY t.id LIMIT {BATCH}"
        ));
        let rows = self.again(|session, _| session.load::<Line>(query.clone()))?;
        Ok(rows.last().map(|row| row.id))
    }

    fn delete_between(
        &mut self,
        after: i64,
        until: i64,
        line: &str,
        mut archive: Option<&mut (File, &Path)>,
    ) -> Result<u64, DataError> {
        let mut failure = None;
        let deleted = self.again(|session, dead| {
            session.transaction(|session| {
                let select = Statement::new(&format!(
                    "SELECT CAST(t.id AS SIGNED) AS id, {line} AS line FROM discovered_torrents t \
                     WHERE t.id > {after} AND t.id <= {until} AND {dead} ORDER BY t.id FOR UPDATE"
                ));
                let rows = session.load::<Line>(select)?;
                if rows.is_empty() {
                    return Ok(0);
                }
                if let Some((file, path)) = archive.as_deref_mut()
                    && let Err(error) = append(file, &rows)
                {
                    failure = Some(DataError::write(path, error));
                    return Err(diesel::result::Error::RollbackTransaction);
                }
                let ids = rows.iter().map(|row| Value::Number(row.id));
                let delete = Statement::new("DELETE FROM discovered_torrents WHERE id IN ");
                session.execute(delete.list(ids))
            })
        });
        match failure {
            Some(failure) => Err(failure),
            None => deleted,
        }
    }

    /// Runs `work`; again where another process was in the way.
    fn again<T>(
        &mut self,
        mut work: impl FnMut(&mut Session, &str) -> QueryResult<T>,
    ) -> Result<T, DataError> {
        let mut tries = 1;
        loop {
            let error = match work(&mut self.session, &self.dead) {
                Ok(done) => return Ok(done),
                Err(error) => self.session.error(&error),
            };
            let is_collision = matches!(error, crate::store::StoreError::Locked { .. });
            if !is_collision || tries == TRIES || self.session.is_broken() {
                return Err(error.into());
            }
            tries += 1;
        }
    }
}

impl LegacyRows {
    /// Counts a row; its hash in the usual form where it stands in another.
    fn add(&mut self, row: &Row, others: &mut Vec<String>) {
        self.rows += 1;
        let is_complete = row.received != 0 && row.files > 0;
        match (is_complete, row.is_timed_out != 0) {
            (true, _) => self.complete += 1,
            (false, true) => self.timed_out += 1,
            (false, false) => self.waiting += 1,
        }
        if !is_complete && row.source.trim_end().eq_ignore_ascii_case("DHT_ITEM") {
            self.made_up += 1;
        }
        self.hollow += u64::from(row.received != 0 && row.files < 1);
        self.dead += u64::from(row.dead != 0);
        match Infohash::from_btih(&row.info_hash) {
            Err(_) => self.invalid += 1,
            Ok(infohash) if !is_usual(&row.info_hash) => {
                self.other_forms += 1;
                // Under the collation of the table, case makes no difference, and no second row.
                if row.info_hash.len() != 40 {
                    others.push(super::torrents::hex(&infohash));
                }
            }
            Ok(_) => {}
        }
    }
}

fn is_usual(info_hash: &str) -> bool {
    info_hash.len() == 40
        && info_hash
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The condition of a row of `t` that is provably dead.
fn dead(session: &Session) -> String {
    let mut dead = "(t.source = 'DHT_ITEM' AND t.timed_out = 1 \
         AND COALESCE(t.metadata_received, 0) = 0 AND COALESCE(t.num_files, 0) < 1 \
         AND COALESCE(t.name, '') IN ('', 'DHT Item') \
         AND COALESCE(t.last_seen_at < t.updated_at, FALSE)"
        .to_owned();
    let others = [
        (PEERS, "x.torrent_hash = t.info_hash"),
        (FILES, "x.torrent_hash = t.info_hash"),
        (CLAIMS, "x.id = t.id AND x.expires_at > CURRENT_TIMESTAMP"),
    ];
    for (table, condition) in others {
        if session.tables.get(table).is_some() {
            let none = format!(" AND NOT EXISTS (SELECT 1 FROM {table} x WHERE {condition})");
            dead.push_str(&none);
        }
    }
    dead + ")"
}

fn open_archive(path: &Path) -> Result<File, DataError> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|error| DataError::write(path, error))
}

/// Brings these rows to the disk.
fn append(file: &mut File, rows: &[Line]) -> std::io::Result<()> {
    let mut lines = String::new();
    for row in rows {
        lines.push_str(&row.line);
        lines.push('\n');
    }
    file.write_all(lines.as_bytes())?;
    file.sync_data()
}
