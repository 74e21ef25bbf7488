//! A connection to the old tables, and what is known of them.

use diesel::connection::{AnsiTransactionManager, SimpleConnection as _, TransactionManager as _};
use diesel::deserialize::QueryableByName;
use diesel::mysql::{Mysql, MysqlConnection};
use diesel::prelude::*;

use super::statement::Statement;
use super::table::Tables;
use crate::store::connection::Fault;
use crate::store::server_url::ServerUrl;
use crate::store::{StoreError, mysql};

/// For how many seconds a lock of another process is waited for.
const LOCK_SECONDS: u32 = 10;

pub(super) struct Session {
    connection: MysqlConnection,
    database: String,
    pub(super) tables: Tables,
    is_broken: bool,
}

impl Session {
    /// Connects to a server of whatever version.
    pub(super) fn open(url: &ServerUrl) -> Result<Self, StoreError> {
        let database = url.to_string();
        let mut connection = mysql::Target::prepare(url)?
            .establish()
            .map_err(|fault| fault_error(&database, fault))?;
        // Not strict: where a column takes less than it should, a row with a value cut short is better than
        // none, and columns that others have added get their defaults. Times are those of the server.
        let set = connection.batch_execute(&format!(
            "SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION', SESSION foreign_key_checks = 1, \
             SESSION innodb_lock_wait_timeout = {LOCK_SECONDS}, \
             SESSION lock_wait_timeout = {LOCK_SECONDS}"
        ));
        set.and_then(|()| {
            connection.batch_execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        })
        .map_err(|error| said(&database, &error))?;
        let mut session = Self {
            connection,
            database,
            tables: Tables::default(),
            is_broken: false,
        };
        session.refresh()?;
        Ok(session)
    }

    /// Reads again which tables there are, and what they take.
    pub(super) fn refresh(&mut self) -> Result<(), StoreError> {
        let tables = Tables::read(self).map_err(|error| self.error(&error))?;
        self.tables = tables;
        Ok(())
    }

    pub(super) fn error(&self, error: &diesel::result::Error) -> StoreError {
        said(&self.database, error)
    }

    /// Whether a transaction may have been left open.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Rows that were found, whether or not they had to be changed.
    pub(super) fn execute(&mut self, statement: Statement) -> QueryResult<u64> {
        let rows = statement.into_query().execute(&mut self.connection)?;
        Ok(u64::try_from(rows).unwrap_or(u64::MAX))
    }

    pub(super) fn load<R: QueryableByName<Mysql> + 'static>(
        &mut self,
        statement: Statement,
    ) -> QueryResult<Vec<R>> {
        statement.into_query().load(&mut self.connection)
    }

    /// Runs a statement without values, such as one that changes the schema.
    pub(super) fn run(&mut self, sql: &str) -> QueryResult<()> {
        self.connection.batch_execute(sql)
    }

    /// Runs `work` in a transaction. The error is the one of `work`, whatever comes of the rollback.
    pub(super) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> QueryResult<T>,
    ) -> QueryResult<T> {
        AnsiTransactionManager::begin_transaction(&mut self.connection)?;
        let done = work(self);
        match done {
            Ok(done) => {
                let committed = AnsiTransactionManager::commit_transaction(&mut self.connection);
                self.is_broken = committed.is_err();
                committed.map(|()| done)
            }
            Err(error) => {
                let rolled_back =
                    AnsiTransactionManager::rollback_transaction(&mut self.connection);
                self.is_broken = rolled_back.is_err();
                Err(error)
            }
        }
    }
}

fn said(database: &str, error: &diesel::result::Error) -> StoreError {
    StoreError::new(database, error, |message| {
        mysql::error(database.to_owned(), message)
    })
}

/// The error for a connection that could not be made.
fn fault_error(database: &str, fault: Fault) -> StoreError {
    match fault {
        Fault::Known(error) => error,
        Fault::Message(message) => mysql::error(database.to_owned(), &message),
        Fault::Statement(error) => said(database, &error),
    }
}
