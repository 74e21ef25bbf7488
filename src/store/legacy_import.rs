//! The old crawler's database (MySQL), into this one. It is only read.
//!
//! Rows come in the order of their ids, some at a time; each batch is written together with how far it
//! came (`import_progress`), so that an import that was interrupted goes on where it ended, and takes no
//! row twice. `docs/store.md` says what becomes of each column.

mod rows;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use diesel::connection::SimpleConnection as _;
use diesel::mysql::MysqlConnection;
use diesel::prelude::*;

use self::rows::{Count, Legacy, LegacyFile, LegacyPeer, LegacyTorrent};
use super::connection::{Connection, Fault};
use super::database::{DataError, Database, Watch};
use super::schema::import_progress;
use super::server_url::ServerUrl;
use super::take::{Taken, Torrents, length};
use super::{StoreUrl, mysql};

/// Rows that are read and written at a time.
const BATCH: usize = 500;

/// The database of the old crawler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyUrl(ServerUrl);

impl LegacyUrl {
    /// Takes `mysql://USER@HOST:PORT/DATABASE` as it is written for a store; the password too may come
    /// from a file or the environment.
    pub fn new(url: &str) -> Result<Self, DataError> {
        match url.parse() {
            Ok(StoreUrl::Mysql(url)) => Ok(Self(url)),
            Ok(_) => Err(DataError::Input(
                "the old crawler's database is named as mysql://USER@HOST:PORT/DATABASE".to_owned(),
            )),
            Err(error) => Err(DataError::Input(error.to_string())),
        }
    }

    pub(super) fn server(&self) -> &ServerUrl {
        &self.0
    }

    /// Whether the password stands in it.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.0.has_password()
    }
}

/// What became of the rows of one old table, in all runs of this import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegacyTable {
    /// Its name.
    pub name: &'static str,
    /// Rows that it has.
    pub rows: u64,
    /// Rows that were read, in earlier runs too.
    pub read: u64,
    /// Of those of this run: rows that were added.
    pub added: u64,
    /// Of those of this run: rows that were known already, and may have told something more.
    pub merged: u64,
    /// Of those of this run: rows that could not be taken, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Rows that were read in earlier runs.
    pub before: u64,
}

impl LegacyTable {
    /// What does not add up, if anything.
    #[must_use]
    pub fn mismatch(&self) -> Option<String> {
        let rejected: u64 = self.rejected.values().sum();
        let accounted = self.before + self.added + self.merged + rejected;
        if self.read == self.rows && self.read == accounted {
            return None;
        }
        let mut text = String::new();
        let _ = write!(
            text,
            "{} has {} rows, and {} were read: {} before, {} added, {} merged, {rejected} rejected",
            self.name, self.rows, self.read, self.before, self.added, self.merged
        );
        Some(text)
    }
}

/// A row that can't be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The old table.
    pub table: &'static str,
    /// The id of the row.
    pub id: i64,
    /// Why.
    pub why: &'static str,
}

/// How an import is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegacyOptions {
    /// Read and judge everything, write nothing.
    pub dry_run: bool,
    /// Begin with the first row, whatever was imported before: what changed since is taken.
    pub restart: bool,
    /// Now: UTC, milliseconds since 1970.
    pub now_ms: i64,
}

impl Database {
    /// Takes the torrents, then their files, then the peers. `rejected` is told of each row that can't be
    /// taken.
    pub fn import_legacy(
        &mut self,
        url: &LegacyUrl,
        options: LegacyOptions,
        rejected: &mut dyn FnMut(Rejected),
        watch: &mut Watch<'_>,
    ) -> Result<Vec<LegacyTable>, DataError> {
        let source = url.0.to_string();
        let failed = |error: &dyn std::fmt::Display| DataError::Read {
            file: source.clone(),
            detail: error.to_string(),
        };
        let mut old = mysql::Target::prepare(&url.0)?
            .establish()
            .map_err(|fault| match fault {
                Fault::Known(error) => error,
                Fault::Message(message) => mysql::error(source.clone(), &message),
                Fault::Statement(error) => mysql::error(source.clone(), &error.to_string()),
            })?;
        // All tables as they are at one moment, and nothing of them can be written by accident.
        for statement in [
            "SET time_zone = '+00:00'",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ] {
            old.batch_execute(statement)
                .map_err(|error| failed(&error))?;
        }
        let mut import = Import {
            database: self,
            old,
            source: source.clone(),
            options,
            rejected,
        };
        if !import.has_table(LegacyTorrent::TABLE)? {
            return Err(DataError::Input(format!(
                "`{source}` is no database of the old crawler: it has no table {}",
                LegacyTorrent::TABLE
            )));
        }
        Ok(vec![
            import.table::<LegacyTorrent>(watch)?,
            import.table::<LegacyFile>(watch)?,
            import.table::<LegacyPeer>(watch)?,
        ])
    }
}

struct Import<'a> {
    database: &'a mut Database,
    old: MysqlConnection,
    source: String,
    options: LegacyOptions,
    rejected: &'a mut dyn FnMut(Rejected),
}

/// How far an import is with a table.
#[derive(Clone, Copy, Default)]
struct Position {
    last_id: i64,
    read: i64,
    taken: i64,
}

impl Import<'_> {
    fn failed(&self, error: &diesel::result::Error) -> DataError {
        DataError::Read {
            file: self.source.clone(),
            detail: error.to_string(),
        }
    }

    fn count(&mut self, sql: &str) -> Result<i64, DataError> {
        let row: QueryResult<Count> = diesel::sql_query(sql).get_result(&mut self.old);
        row.map(|row| row.number)
            .map_err(|error| self.failed(&error))
    }

    fn has_table(&mut self, name: &str) -> Result<bool, DataError> {
        let sql = format!(
            "SELECT CAST(COUNT(*) AS SIGNED) AS number FROM information_schema.tables \
             WHERE table_schema = DATABASE() AND table_name = '{name}'"
        );
        Ok(self.count(&sql)? > 0)
    }

    fn table<L: Legacy>(&mut self, watch: &mut Watch<'_>) -> Result<LegacyTable, DataError> {
        let mut table = LegacyTable {
            name: L::TABLE,
            ..LegacyTable::default()
        };
        if !self.has_table(L::TABLE)? {
            return Ok(table);
        }
        let sql = format!(
            "SELECT CAST(COUNT(*) AS SIGNED) AS number FROM {}",
            L::TABLE
        );
        table.rows = self.count(&sql)?.unsigned_abs();
        let mut position = self.position(L::TABLE)?;
        table.before = position.read.unsigned_abs();
        loop {
            let sql = format!(
                "SELECT {} FROM {} WHERE id > {} ORDER BY id LIMIT {BATCH}",
                L::COLUMNS,
                L::TABLE,
                position.last_id
            );
            let rows: QueryResult<Vec<L>> = diesel::sql_query(sql).load(&mut self.old);
            let rows = rows.map_err(|error| self.failed(&error))?;
            let Some(last) = rows.last() else { break };
            position.last_id = last.id();
            position.read += length(rows.len());
            self.batch(&rows, &mut position, &mut table)?;
            table.read = position.read.unsigned_abs();
            watch.step(L::TABLE, table.read)?;
        }
        table.read = position.read.unsigned_abs();
        Ok(table)
    }

    /// Writes a batch, and with it how far the import is.
    fn batch<L: Legacy>(
        &mut self,
        rows: &[L],
        position: &mut Position,
        table: &mut LegacyTable,
    ) -> Result<(), DataError> {
        let judged: Vec<Result<L::Row, &'static str>> = rows.iter().map(Legacy::judge).collect();
        let taken = if self.options.dry_run {
            let taken = judged
                .iter()
                .map(|row| row.as_ref().map(|_| Taken::Added).map_err(|why| *why));
            taken.collect()
        } else {
            let (source, now_ms, before) = (&self.source, self.options.now_ms, *position);
            let (taken, after) = self.database.write_politely(|connection| {
                let mut torrents = Torrents::default();
                let mut after = before;
                let taken: Vec<Result<Taken, &'static str>> = judged
                    .iter()
                    .map(|row| match row {
                        Ok(row) => L::take(connection, row, &mut torrents),
                        Err(why) => Ok(Err(*why)),
                    })
                    .collect::<QueryResult<_>>()?;
                after.taken += length(taken.iter().filter(|taken| taken.is_ok()).count());
                put_position(connection, source, L::TABLE, after, now_ms)?;
                Ok((taken, after))
            })?;
            *position = after;
            taken
        };
        for (row, taken) in rows.iter().zip(taken) {
            match taken {
                Ok(Taken::Added) => table.added += 1,
                Ok(Taken::Updated | Taken::Unchanged) => table.merged += 1,
                Err(why) => {
                    *table.rejected.entry(why).or_default() += 1;
                    let (table, id) = (L::TABLE, row.id());
                    (self.rejected)(Rejected { table, id, why });
                }
            }
        }
        Ok(())
    }

    /// How far earlier runs came.
    fn position(&mut self, table: &str) -> Result<Position, DataError> {
        if self.options.restart || self.options.dry_run {
            return Ok(Position {
                last_id: i64::MIN,
                ..Position::default()
            });
        }
        let source = &self.source;
        let stored: Option<(i64, i64, i64)> = self.database.read(|connection| {
            import_progress::table
                .find((source, table))
                .select((
                    import_progress::last_id,
                    import_progress::rows_read,
                    import_progress::rows_taken,
                ))
                .first(connection)
                .optional()
        })?;
        let (last_id, read, taken) = stored.unwrap_or((i64::MIN, 0, 0));
        Ok(Position {
            last_id,
            read,
            taken,
        })
    }
}

fn put_position(
    connection: &mut Connection,
    source: &str,
    table: &str,
    position: Position,
    now_ms: i64,
) -> QueryResult<()> {
    diesel::delete(import_progress::table.find((source, table))).execute(connection)?;
    diesel::insert_into(import_progress::table)
        .values((
            import_progress::source.eq(source),
            import_progress::table_name.eq(table),
            import_progress::last_id.eq(position.last_id),
            import_progress::rows_read.eq(position.read),
            import_progress::rows_taken.eq(position.taken),
            import_progress::updated_at.eq(now_ms),
        ))
        .execute(connection)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_named_without_its_password() {
        let url = LegacyUrl::new("mysql://me:p%40ss@db:3306/old").unwrap();
        assert_eq!(url.0.to_string(), "mysql://me@db:3306/old");
        assert!(!format!("{url:?}").contains("p@ss") && url.has_password());
        for url in ["", "postgres://a/b", "mysql://nothing", "/var/a.db"] {
            assert!(LegacyUrl::new(url).is_err(), "{url}");
        }
    }
}
