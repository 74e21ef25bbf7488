//! Opens connections to SQLite: pragmas, migrations and the checks that give each failure its own
//! error. All that only SQLite has, beside [`upsert`](super::upsert), stands here.

use std::path::Path;
use std::time::{Duration, Instant};

use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, CustomizeConnection, Error as PoolError, Pool};
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};

use super::schema::__diesel_schema_migrations;
use super::url::StoreUrl;
use super::{StoreError, StoreOptions, failed_torrent};

/// The connection that all of the store's queries run on.
pub(super) type Connection = SqliteConnection;
/// A pool of connections to read with.
pub(super) type ReadPool = Pool<ConnectionManager<Connection>>;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Bytes of a page, SQLite's default.
const PAGE_SIZE: u64 = 4096;

/// KiB of the writer's page cache. Hashes and addresses fall anywhere into their indexes, so that with
/// SQLite's default of 2 MiB each would be read anew.
const WRITE_CACHE_KIB: u32 = 32 * 1024;

/// Where and how to connect.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The path for messages.
    pub(super) database: String,
    /// The absolute path, which SQLite takes neither for a URI nor for `:memory:`.
    path: String,
    busy_timeout: Duration,
    size_limit: Option<u64>,
}

impl Target {
    /// Checks the path of `url` and makes its directory.
    pub(super) fn prepare(url: &StoreUrl, options: &StoreOptions) -> Result<Self, StoreError> {
        let database = url.to_string();
        let not_a_file = || StoreError::NotAFile {
            database: url.to_string(),
        };
        let absolute = std::path::absolute(url.path()).map_err(|_| not_a_file())?;
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
            database,
            path,
            busy_timeout: options.busy_timeout,
            size_limit: options.size_limit,
        })
    }

    /// The same, with another time to wait for the write lock.
    pub(super) fn with_busy_timeout(&self, busy_timeout: Duration) -> Self {
        Self {
            busy_timeout,
            ..self.clone()
        }
    }

    /// The error for what diesel says.
    pub(super) fn error(&self, error: &diesel::result::Error) -> StoreError {
        StoreError::new(&self.database, error)
    }

    /// A connection that may write.
    ///
    /// `synchronous=NORMAL` with a write-ahead log: a commit survives the death of this process at
    /// any moment; a crash of the whole host may take back the last ones, but not tear one apart.
    pub(super) fn connect(&self) -> Result<Connection, StoreError> {
        let mut connection = Connection::establish(&self.path)
            .map_err(|error| StoreError::from_message(&self.database, &error.to_string()))?;
        let pages = self.size_limit.map(|limit| (limit / PAGE_SIZE).max(1));
        let pragmas = format!(
            "PRAGMA busy_timeout = {}; PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL; \
             PRAGMA cache_size = -{WRITE_CACHE_KIB}; {}",
            milliseconds(self.busy_timeout),
            pages.map_or_else(String::new, |pages| format!(
                "PRAGMA max_page_count = {pages};"
            )),
        );
        connection
            .batch_execute(&pragmas)
            .map_err(|error| self.error(&error))?;
        Ok(connection)
    }

    /// Connects, refuses what is not ours, switches to the write-ahead log and runs the migrations.
    /// That takes the write lock, and writes: afterwards it is known that writing works.
    pub(super) fn migrate(&self) -> Result<Connection, StoreError> {
        let mut connection = self.connect()?;
        self.check_ownership(&mut connection)?;
        // Unlike any other statement, this one does not wait while another process does the same.
        self.while_locked(|| {
            connection
                .batch_execute("PRAGMA journal_mode = WAL;")
                .map_err(|error| self.error(&error))
        })?;
        // In one transaction, so that of two processes on a new file only one runs them.
        let mut failure = None;
        connection
            .immediate_transaction(|connection| {
                if let Err(error) = connection.run_pending_migrations(MIGRATIONS) {
                    let message = error.to_string();
                    failure = Some(StoreError::from_message(&self.database, &message));
                    return Err(diesel::result::Error::RollbackTransaction);
                }
                // On a read-only file SQLite lets the transaction begin, and refuses only a write.
                failed_torrent::delete(connection, &[Vec::new()])
            })
            .map_err(|error| failure.unwrap_or_else(|| self.error(&error)))?;
        Ok(connection)
    }

    /// Refuses databases of other programs and of newer ones, before anything is changed in them.
    fn check_ownership(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let tables = table_names(connection).map_err(|error| self.error(&error))?;
        if tables.is_empty() {
            return Ok(());
        }
        if !tables
            .iter()
            .any(|name| name == "__diesel_schema_migrations")
        {
            return Err(StoreError::Foreign {
                database: self.database.clone(),
            });
        }
        let applied: Vec<String> = __diesel_schema_migrations::table
            .select(__diesel_schema_migrations::version)
            .order(__diesel_schema_migrations::version)
            .load(connection)
            .map_err(|error| self.error(&error))?;
        let known = known_versions();
        match applied.into_iter().find(|version| !known.contains(version)) {
            Some(version) => Err(StoreError::Newer {
                database: self.database.clone(),
                version,
            }),
            None => Ok(()),
        }
    }

    fn while_locked(
        &self,
        mut step: impl FnMut() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let deadline = Instant::now() + self.busy_timeout;
        loop {
            match step() {
                Err(StoreError::Locked { .. }) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                result => return result,
            }
        }
    }

    /// A pool of connections that can't write.
    pub(super) fn read_pool(&self, options: &StoreOptions) -> ReadPool {
        Pool::builder()
            .max_size(options.readers.max(1))
            .min_idle(Some(0))
            .connection_timeout(options.read_timeout)
            .test_on_check_out(false)
            .connection_customizer(Box::new(ReadOnly(self.busy_timeout)))
            .build_unchecked(ConnectionManager::new(&self.path))
    }
}

#[derive(Debug)]
struct ReadOnly(Duration);

impl CustomizeConnection<Connection, PoolError> for ReadOnly {
    fn on_acquire(&self, connection: &mut Connection) -> Result<(), PoolError> {
        connection
            .batch_execute(&format!(
                "PRAGMA busy_timeout = {}; PRAGMA query_only = ON;",
                milliseconds(self.0)
            ))
            .map_err(PoolError::QueryError)
    }
}

/// As SQLite takes it: 32 bits with a sign.
fn milliseconds(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

/// Moves the log into the database file and empties it, as far as no reader is in the way.
pub(super) fn checkpoint(connection: &mut Connection) -> QueryResult<()> {
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

fn table_names(connection: &mut Connection) -> QueryResult<Vec<String>> {
    sqlite_master::table
        .filter(sqlite_master::kind.eq("table"))
        .select(sqlite_master::name)
        .load(connection)
}

/// The versions of all migrations in this program.
fn known_versions() -> Vec<String> {
    use diesel::migration::{Migration, MigrationSource as _};
    let migrations: Vec<Box<dyn Migration<Sqlite>>> = MIGRATIONS.migrations().unwrap_or_default();
    migrations
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(directory: &tempfile::TempDir) -> Target {
        let url = StoreUrl::Sqlite(directory.path().join("a.db"));
        Target::prepare(&url, &StoreOptions::default()).unwrap()
    }

    #[test]
    fn migrations_go_up_again_and_down() {
        let directory = tempfile::tempdir().unwrap();
        let target = target(&directory);
        drop(target.migrate().unwrap());
        let mut connection = target.migrate().unwrap();
        let mut tables = table_names(&mut connection).unwrap();
        tables.sort();
        assert_eq!(
            tables,
            [
                "__diesel_schema_migrations",
                "failed_torrent",
                "metadata_request",
                "peer_state",
                "torrent_file",
                "torrent_metadata",
            ]
        );
        connection.revert_all_migrations(MIGRATIONS).unwrap();
        assert_eq!(
            table_names(&mut connection).unwrap(),
            ["__diesel_schema_migrations"]
        );
        drop(connection);
        drop(target.migrate().unwrap());
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
        let mut connection = target(&directory).migrate().unwrap();
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
