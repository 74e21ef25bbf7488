//! Opens connections to any of the databases, brings their schema up to date, and refuses what is not
//! ours. What only one database has stands in the file of its name.

use std::time::{Duration, Instant};

use diesel::migration::{Migration as _, MigrationSource};
use diesel::prelude::*;
use diesel::r2d2::{ManageConnection, Pool, PooledConnection, R2D2Connection as _};
use diesel::sqlite::Sqlite;
use diesel_migrations::MigrationHarness as _;

pub(super) use self::multi::AnyConnection as Connection;
use super::schema::{__diesel_schema_migrations, TABLES};
use super::url::StoreUrl;
use super::{StoreError, StoreOptions, failed_torrent, mysql, postgres, sqlite};

/// The longest that a server may take to answer when we connect.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that a server may take to answer one query.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

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
    beside_others: bool,
}

#[derive(Clone, Debug)]
enum Server {
    Sqlite(sqlite::Target),
    Mysql(mysql::Target),
    Postgres(postgres::Target),
}

/// Why a connection could not be made.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is known already.
    Known(StoreError),
    /// What the database or its client's library said.
    Message(String),
    /// A statement failed.
    Statement(diesel::result::Error),
}

impl From<diesel::result::Error> for Fault {
    fn from(error: diesel::result::Error) -> Self {
        Self::Statement(error)
    }
}

impl Target {
    /// Checks what `url` names; makes the directory of a file.
    pub(super) fn prepare(url: &StoreUrl, options: &StoreOptions) -> Result<Self, StoreError> {
        let server = match url {
            StoreUrl::Sqlite(path) => Server::Sqlite(sqlite::Target::prepare(path, options)?),
            StoreUrl::Mysql(url) => Server::Mysql(mysql::Target::prepare(url)?),
            StoreUrl::Postgres(url) => Server::Postgres(postgres::Target::prepare(url)?),
        };
        Ok(Self {
            database: url.to_string(),
            server,
            busy_timeout: options.busy_timeout,
            beside_others: options.beside_others,
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
        StoreError::new(&self.database, error, |message| self.message(message))
    }

    /// The error for what the database says.
    pub(super) fn message(&self, message: &str) -> StoreError {
        let database = self.database.clone();
        match &self.server {
            Server::Sqlite(_) => sqlite::error(database, message),
            Server::Mysql(_) => mysql::error(database, message),
            Server::Postgres(_) => postgres::error(database, message),
        }
    }

    fn fault(&self, fault: Fault) -> StoreError {
        match fault {
            Fault::Known(error) => error,
            Fault::Message(message) => self.message(&message),
            Fault::Statement(error) => self.error(&error),
        }
    }

    /// A connection that may write.
    pub(super) fn connect(&self) -> Result<Connection, StoreError> {
        let timeout = self.busy_timeout;
        match &self.server {
            Server::Sqlite(target) => target.connect(timeout).map(Connection::Sqlite),
            Server::Mysql(target) => target.connect(timeout).map(Connection::Mysql),
            Server::Postgres(target) => target.connect(timeout).map(Connection::Postgres),
        }
        .map_err(|fault| self.fault(fault))
    }

    /// A connection that can't write.
    fn connect_to_read(&self) -> Result<Connection, StoreError> {
        let timeout = self.busy_timeout;
        match &self.server {
            Server::Sqlite(target) => target.connect_to_read(timeout).map(Connection::Sqlite),
            Server::Mysql(target) => target.connect_to_read(timeout).map(Connection::Mysql),
            Server::Postgres(target) => target.connect_to_read(timeout).map(Connection::Postgres),
        }
        .map_err(|fault| self.fault(fault))
    }

    /// Connects, refuses what is not ours, and runs the migrations. Afterwards it is known that writing
    /// works.
    pub(super) fn migrate(&self) -> Result<Connection, StoreError> {
        let mut connection = self.connect()?;
        self.check_ownership(&mut connection)?;
        if let Connection::Sqlite(sqlite) = &mut connection {
            self.while_locked(|| sqlite::use_log(sqlite).map_err(|error| self.error(&error)))?;
        }
        self.run_migrations(&mut connection)?;
        Ok(connection)
    }

    fn run_migrations(&self, connection: &mut Connection) -> Result<(), StoreError> {
        if let Connection::Mysql(mysql) = connection {
            mysql::migrate(mysql, self.busy_timeout).map_err(|fault| self.fault(fault))?;
        }
        // In one transaction, so that of two processes on a new file only one runs them.
        let mut failure = None;
        write_transaction(connection, |connection| {
            let run = match connection {
                Connection::Sqlite(sqlite) => sqlite.run_pending_migrations(sqlite::MIGRATIONS),
                Connection::Postgres(postgres) => {
                    postgres.run_pending_migrations(postgres::MIGRATIONS)
                }
                Connection::Mysql(_) => Ok(Vec::new()),
            };
            if let Err(error) = run {
                failure = Some(self.message(&error.to_string()));
                return Err(diesel::result::Error::RollbackTransaction);
            }
            // On a read-only file SQLite lets the transaction begin, and refuses only a write.
            failed_torrent::delete(connection, &[Vec::new()])
        })
        .map_err(|error| failure.unwrap_or_else(|| self.error(&error)))
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
        let has = |table: &str| tables.iter().any(|name| name.eq_ignore_ascii_case(table));
        if !has("__diesel_schema_migrations") {
            if self.beside_others && !TABLES.into_iter().any(has) {
                return Ok(Vec::new());
            }
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
        let known: Vec<&String> = known.iter().map(|(version, _)| version).collect();
        if applied
            .first()
            .is_some_and(|first| known.first() != Some(&first))
        {
            return Err(StoreError::Foreign {
                database: self.database.clone(),
            });
        }
        match applied.iter().find(|version| !known.contains(version)) {
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

    /// A connection to read with, as soon as one is free and works.
    pub(super) fn checkout(
        &self,
        readers: &ReadPool,
    ) -> Result<PooledConnection<Readers>, StoreError> {
        readers.get().map_err(|error| match error.to_string() {
            // Where the pool could not connect, it tells that too, after this.
            said if said.contains(": ") => match self.message(&said) {
                StoreError::Statement { detail, .. } => StoreError::Unreachable {
                    database: self.database.clone(),
                    detail,
                },
                error => error,
            },
            detail => StoreError::Busy {
                database: self.database.clone(),
                detail,
            },
        })
    }

    /// A pool of connections that can't write.
    pub(super) fn read_pool(&self, options: &StoreOptions) -> ReadPool {
        Pool::builder()
            .max_size(options.readers.max(1))
            .min_idle(Some(0))
            .connection_timeout(options.read_timeout)
            // A server may have closed a connection since it was used last; a file has not.
            .test_on_check_out(!matches!(self.server, Server::Sqlite(_)))
            // The error comes back from `get`.
            .error_handler(Box::new(diesel::r2d2::NopErrorHandler))
            .build_unchecked(Readers(self.clone()))
    }
}

/// Makes the connections of a [`ReadPool`].
#[derive(Debug)]
pub(super) struct Readers(Target);

impl ManageConnection for Readers {
    type Connection = Connection;
    type Error = StoreError;

    fn connect(&self) -> Result<Connection, StoreError> {
        self.0.connect_to_read()
    }

    fn is_valid(&self, connection: &mut Connection) -> Result<(), StoreError> {
        connection.ping().map_err(|error| self.0.error(&error))
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
        Connection::Mysql(mysql) => mysql::begin_write(mysql)?,
        Connection::Postgres(postgres) => postgres::begin_write(postgres)?,
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

fn table_names(connection: &mut Connection) -> QueryResult<Vec<String>> {
    match connection {
        Connection::Sqlite(sqlite) => sqlite::table_names(sqlite),
        Connection::Mysql(mysql) => mysql::table_names(mysql),
        Connection::Postgres(postgres) => postgres::table_names(postgres),
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
