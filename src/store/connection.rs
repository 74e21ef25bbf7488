//! Opens connections to any of the databases, brings their schema up to date, and refuses what is not
//! ours. What only one database has stands in the file of its name.

use std::time::{Duration, Instant};

use diesel::migration::{Migration as _, MigrationSource};
use diesel::prelude::*;
use diesel::r2d2::{ManageConnection, Pool, R2D2Connection as _};
use diesel::sqlite::Sqlite;
use diesel_migrations::MigrationHarness as _;

pub(super) use self::multi::AnyConnection as Connection;
use super::schema::__diesel_schema_migrations;
use super::url::StoreUrl;
use super::{StoreError, StoreOptions, failed_torrent, sqlite};

/// A pool of connections to read with.
pub(super) type ReadPool = Pool<Readers>;

// What the derive makes is public by its own rules.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::pedantic)]
mod multi {
    use diesel::mysql::MysqlConnection;
    use diesel::pg::PgConnection;
    use diesel::sqlite::SqliteConnection;

    /// The connection that all of the store's queries run on.
    #[derive(diesel::MultiConnection)]
    pub enum AnyConnection {
        Sqlite(SqliteConnection),
        Mysql(MysqlConnection),
        Postgres(PgConnection),
    }
}

/// Where and how to connect.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The database for messages, without a password.
    pub(super) database: String,
    server: Server,
    busy_timeout: Duration,
}

#[derive(Clone, Debug)]
enum Server {
    Sqlite(sqlite::Target),
}

impl Target {
    /// Checks what `url` names; makes the directory of a file.
    pub(super) fn prepare(url: &StoreUrl, options: &StoreOptions) -> Result<Self, StoreError> {
        let server = match url {
            StoreUrl::Sqlite(path) => Server::Sqlite(sqlite::Target::prepare(path, options)?),
        };
        Ok(Self {
            database: url.to_string(),
            server,
            busy_timeout: options.busy_timeout,
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
    pub(super) fn connect(&self) -> Result<Connection, StoreError> {
        let connected = match &self.server {
            Server::Sqlite(target) => target.connect(self.busy_timeout).map(Connection::Sqlite),
        };
        connected.map_err(|error| StoreError::from_connecting(&self.database, &error))
    }

    /// A connection that can't write.
    fn connect_to_read(&self) -> Result<Connection, ConnectionError> {
        match &self.server {
            Server::Sqlite(target) => target
                .connect_to_read(self.busy_timeout)
                .map(Connection::Sqlite),
        }
    }

    /// Connects, refuses what is not ours, and runs the migrations. Afterwards it is known that writing
    /// works.
    pub(super) fn migrate(&self) -> Result<Connection, StoreError> {
        let mut connection = self.connect()?;
        self.check_ownership(&mut connection)?;
        if let Connection::Sqlite(sqlite) = &mut connection {
            self.while_locked(|| sqlite::use_log(sqlite).map_err(|error| self.error(&error)))?;
        }
        // In one transaction, so that of two processes on a new file only one runs them.
        let mut failure = None;
        write_transaction(&mut connection, |connection| {
            if let Err(error) = run_migrations(connection) {
                failure = Some(StoreError::from_message(&self.database, &error));
                return Err(diesel::result::Error::RollbackTransaction);
            }
            // On a read-only file SQLite lets the transaction begin, and refuses only a write.
            failed_torrent::delete(connection, &[Vec::new()])
        })
        .map_err(|error| failure.unwrap_or_else(|| self.error(&error)))?;
        Ok(connection)
    }

    /// Refuses databases of other programs and of newer ones, before anything is changed in them. Gives
    /// back the versions of the migrations that were run.
    pub(super) fn check_ownership(
        &self,
        connection: &mut Connection,
    ) -> Result<Vec<String>, StoreError> {
        let tables = table_names(connection).map_err(|error| self.error(&error))?;
        if tables.is_empty() {
            return Ok(Vec::new());
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
        let known = known_steps();
        let is_known = |version: &String| known.iter().any(|(known, _)| known == version);
        match applied.iter().find(|version| !is_known(version)) {
            Some(version) => Err(StoreError::Newer {
                database: self.database.clone(),
                version: version.clone(),
            }),
            None => Ok(applied),
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
            .build_unchecked(Readers(self.clone()))
    }
}

/// Makes the connections of a [`ReadPool`].
#[derive(Debug)]
pub(super) struct Readers(Target);

impl ManageConnection for Readers {
    type Connection = Connection;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<Connection, Self::Error> {
        self.0
            .connect_to_read()
            .map_err(diesel::r2d2::Error::ConnectionError)
    }

    fn is_valid(&self, connection: &mut Connection) -> Result<(), Self::Error> {
        connection.ping().map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        std::thread::panicking() || connection.is_broken()
    }
}

/// Runs `work` in a transaction that may write from its start.
pub(super) fn write_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&mut Connection) -> QueryResult<T>,
) -> QueryResult<T> {
    use diesel::connection::TransactionManager as _;
    match connection {
        Connection::Sqlite(sqlite) => sqlite::begin_immediate(sqlite)?,
        Connection::Mysql(_) | Connection::Postgres(_) => {
            Connection::begin_transaction(connection)?;
        }
    }
    match work(connection) {
        Ok(done) => {
            Connection::commit_transaction(connection)?;
            Ok(done)
        }
        Err(error) => match Connection::rollback_transaction(connection) {
            Ok(()) | Err(diesel::result::Error::BrokenTransactionManager) => Err(error),
            Err(rollback) => Err(rollback),
        },
    }
}

/// Moves the log into the database file and empties it, where the database has such a log.
pub(super) fn checkpoint(connection: &mut Connection) -> QueryResult<()> {
    match connection {
        Connection::Sqlite(sqlite) => sqlite::checkpoint(sqlite),
        Connection::Mysql(_) | Connection::Postgres(_) => Ok(()),
    }
}

fn run_migrations(connection: &mut Connection) -> Result<(), String> {
    let run = match connection {
        Connection::Sqlite(sqlite) => sqlite.run_pending_migrations(sqlite::MIGRATIONS).map(drop),
        Connection::Mysql(_) | Connection::Postgres(_) => Ok(()),
    };
    run.map_err(|error| error.to_string())
}

fn table_names(connection: &mut Connection) -> QueryResult<Vec<String>> {
    match connection {
        Connection::Sqlite(sqlite) => sqlite::table_names(sqlite),
        Connection::Mysql(_) | Connection::Postgres(_) => Ok(Vec::new()),
    }
}

/// The version and the name of every migration in this program, in order. They are the same for each
/// database.
pub(super) fn known_steps() -> Vec<(String, String)> {
    let migrations = MigrationSource::<Sqlite>::migrations(&sqlite::MIGRATIONS).unwrap_or_default();
    let mut steps: Vec<(String, String)> = migrations
        .iter()
        .map(|migration| {
            let name = migration.name();
            (name.version().to_string(), name.to_string())
        })
        .collect();
    steps.sort();
    steps
}
