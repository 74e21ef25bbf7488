//! SQLite: the path of the file, pragmas and locks.

use std::path::Path;
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection as _};
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use super::connection::Fault;
use super::{StoreError, StoreOptions};

pub(super) const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Bytes of a page, SQLite's default.
const PAGE_SIZE: u64 = 4096;

/// KiB of the writer's page cache. Hashes and addresses fall anywhere into their indexes, so that with
/// SQLite's default of 2 MiB each would be read anew.
const WRITE_CACHE_KIB: u32 = 128 * 1024;

/// Pages of the write-ahead log before the writer moves them into the file: 128 MiB. A page that is
/// changed more than once meanwhile is moved once. SQLite's default of 1,000 is less than one batch.
const LOG_PAGES: u64 = 32_000;
/// What a log that once was longer, since a reader held it up, is cut back to.
const LOG_BYTES: u64 = LOG_PAGES * PAGE_SIZE;

/// Where and how to connect.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The absolute path, which SQLite takes neither for a URI nor for `:memory:`.
    path: String,
    size_limit: Option<u64>,
}

impl Target {
    /// Checks the path and makes its directory.
    pub(super) fn prepare(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        let not_a_file = || StoreError::NotAFile {
            database: path.display().to_string(),
        };
        let absolute = std::path::absolute(path).map_err(|_| not_a_file())?;
        let is_other = |path: &Path| path.exists() && !path.is_file();
        if absolute.file_name().is_none() || is_other(&absolute) {
            return Err(not_a_file());
        }
        let path = absolute.to_str().ok_or_else(not_a_file)?.to_owned();
        if path.contains('\0') || path.ends_with(std::path::is_separator) {
            return Err(not_a_file());
        }
        if let Some(directory) = absolute.parent() {
            std::fs::create_dir_all(directory).map_err(|error| StoreError::CreateDirectory {
                directory: directory.display().to_string(),
                detail: error.to_string(),
            })?;
        }
        Ok(Self {
            path,
            size_limit: options.size_limit,
        })
    }

    fn establish(&self) -> Result<SqliteConnection, Fault> {
        SqliteConnection::establish(&self.path).map_err(|error| Fault::Message(error.to_string()))
    }

    /// A connection that may write.
    ///
    /// `synchronous=NORMAL` with a write-ahead log: a commit survives the death of this process at
    /// any moment; a crash of the whole host may take back the last ones, but not tear one apart.
    pub(super) fn connect(&self, busy_timeout: Duration) -> Result<SqliteConnection, Fault> {
        let mut connection = self.establish()?;
        let pages = self.size_limit.map(|limit| (limit / PAGE_SIZE).max(1));
        let pragmas = format!(
            "PRAGMA busy_timeout = {}; PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL; \
             PRAGMA cache_size = -{WRITE_CACHE_KIB}; PRAGMA wal_autocheckpoint = {LOG_PAGES}; \
             PRAGMA journal_size_limit = {LOG_BYTES}; {}",
            milliseconds(busy_timeout),
            pages.map_or_else(String::new, |pages| format!(
                "PRAGMA max_page_count = {pages};"
            )),
        );
        connection.batch_execute(&pragmas)?;
        Ok(connection)
    }

    /// A connection that can't write.
    pub(super) fn connect_to_read(
        &self,
        busy_timeout: Duration,
    ) -> Result<SqliteConnection, Fault> {
        let mut connection = self.establish()?;
        let pragmas = format!(
            "PRAGMA busy_timeout = {}; PRAGMA query_only = ON;",
            milliseconds(busy_timeout)
        );
        connection.batch_execute(&pragmas)?;
        Ok(connection)
    }
}

/// As SQLite takes it: 32 bits with a sign.
fn milliseconds(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

/// Switches to the write-ahead log. Unlike any other statement, this one does not wait while another
/// process does the same.
pub(super) fn use_log(connection: &mut SqliteConnection) -> QueryResult<()> {
    connection.batch_execute("PRAGMA journal_mode = WAL;")
}

/// Begins a transaction that has the write lock.
pub(super) fn begin_immediate(connection: &mut SqliteConnection) -> QueryResult<()> {
    AnsiTransactionManager::begin_transaction_sql(connection, "BEGIN IMMEDIATE")
}

/// Writes the database, as it is now, without its free pages, into an empty file.
pub(super) fn copy(connection: &mut SqliteConnection, path: &str) -> QueryResult<()> {
    diesel::sql_query("VACUUM INTO ?")
        .bind::<diesel::sql_types::Text, _>(path)
        .execute(connection)
        .map(drop)
}

/// Moves the log into the database file and empties it, as far as no reader is in the way.
pub(super) fn checkpoint(connection: &mut SqliteConnection) -> QueryResult<()> {
    connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE);")
}

diesel::table! {
    /// SQLite's list of tables and indexes.
    sqlite_master (name) {
        name -> Text,
        #[sql_name = "type"]
        kind -> Text,
    }
}

/// The names of all tables.
pub(super) fn table_names(connection: &mut SqliteConnection) -> QueryResult<Vec<String>> {
    sqlite_master::table
        .filter(sqlite_master::kind.eq("table"))
        .select(sqlite_master::name)
        .load(connection)
}

/// The error for a message of SQLite. Diesel does not pass its result codes on, but the texts of
/// `sqlite3_errstr` are as stable as the codes.
pub(super) fn error(database: String, message: &str) -> StoreError {
    let detail = message.to_owned();
    let says = |text: &str| message.contains(text);
    if says("is locked") {
        StoreError::Locked { database }
    } else if says("readonly database") {
        StoreError::ReadOnly { database }
    } else if says("file is not a database") {
        StoreError::NotADatabase { database }
    } else if says("malformed") {
        StoreError::Corrupt { database, detail }
    } else if says("disk is full") {
        StoreError::Full { database }
    } else if says("unable to open database") {
        StoreError::CannotOpen { database, detail }
    } else if says("disk I/O error") {
        StoreError::Io { database, detail }
    } else {
        StoreError::Statement { database, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreUrl;
    use crate::store::connection::{Connection, Target};

    fn target(directory: &tempfile::TempDir) -> Target {
        let url = StoreUrl::Sqlite(directory.path().join("a.db"));
        Target::prepare(&url, &StoreOptions::default()).unwrap()
    }

    #[test]
    fn a_connection_that_may_not_write_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let target = target(&directory);
        drop(target.migrate().unwrap());
        let pool = target.read_pool(&StoreOptions::default());
        let error = pool
            .get()
            .unwrap()
            .batch_execute("CREATE TABLE a (b)")
            .unwrap_err();
        assert!(
            matches!(target.error(&error), StoreError::ReadOnly { .. }),
            "{error}"
        );
    }

    #[test]
    fn the_pragmas_hold() {
        #[derive(diesel::QueryableByName)]
        struct Pragma {
            #[diesel(sql_type = diesel::sql_types::Text)]
            value: String,
        }
        let directory = tempfile::tempdir().unwrap();
        let Connection::Sqlite(mut connection) = target(&directory).migrate().unwrap() else {
            panic!("not SQLite");
        };
        for (pragma, column, expected) in [
            ("journal_mode", "journal_mode", "wal"),
            ("synchronous", "synchronous", "1"),
            ("foreign_keys", "foreign_keys", "1"),
            ("busy_timeout", "timeout", "5000"),
        ] {
            let sql = format!("SELECT CAST({column} AS TEXT) AS value FROM pragma_{pragma}");
            let row: Pragma = diesel::sql_query(sql).get_result(&mut connection).unwrap();
            assert_eq!(row.value, expected, "{pragma}");
        }
    }
}
