//! PostgreSQL: how to connect, what its messages mean, and its locks.

use std::fmt::Write as _;
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection as _, TransactionManager as _};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use super::StoreError;
use super::connection::{CONNECT_TIMEOUT, Fault, STATEMENT_TIMEOUT};
use super::server_url::{Host, ServerUrl, Tls};

pub(super) const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// `server_version_num` of PostgreSQL 12.
const OLDEST: i32 = 120_000;

/// The advisory lock that a writer has until the end of its transaction: any number that no other
/// program is likely to take ("metafetc" in ASCII).
const WRITE_LOCK: i64 = 0x6d65_7461_6665_7463;

/// Where and how to connect.
#[derive(Clone)]
pub(super) struct Target {
    url: ServerUrl,
    /// As libpq takes it: it has the password.
    parameters: String,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.url.fmt(f)
    }
}

impl Target {
    /// Finds the password and the certificates.
    pub(super) fn prepare(url: &ServerUrl) -> Result<Self, StoreError> {
        let mut parameters = String::new();
        let mut add = |name: &str, value: &str| {
            let value = value.replace('\\', r"\\").replace('\'', r"\'");
            let _ = write!(parameters, "{name}='{value}' ");
        };
        add("dbname", &url.database);
        match &url.host {
            Host::Local => {}
            Host::Name(name) => add("host", name),
            Host::Socket(path) => add("host", &path.to_string_lossy()),
        }
        if let Some(port) = url.port {
            add("port", &port.to_string());
        }
        if let Some(user) = &url.user {
            add("user", user);
        }
        if let Some(password) = url.password()? {
            add("password", &password);
        }
        let mode = match url.tls {
            Tls::Disable => "disable",
            Tls::Prefer => "prefer",
            Tls::Require => "require",
            Tls::Verify => "verify-full",
        };
        add("sslmode", mode);
        let authorities = match url.tls {
            Tls::Verify => Some(url.authorities()?),
            Tls::Disable | Tls::Prefer | Tls::Require => url.tls_ca()?.map(ToOwned::to_owned),
        };
        if let Some(authorities) = authorities {
            add("sslrootcert", &authorities.to_string_lossy());
        }
        add("application_name", "metafetch");
        add("client_encoding", "UTF8");
        add("connect_timeout", &CONNECT_TIMEOUT.as_secs().to_string());
        // A server that has vanished is noticed within a minute, also in the middle of a statement.
        add("keepalives_idle", "20");
        add("keepalives_interval", "10");
        add("keepalives_count", "3");
        add("tcp_user_timeout", "40000");
        Ok(Self {
            url: url.clone(),
            parameters,
        })
    }

    /// A connection that may write.
    pub(super) fn connect(&self, lock_timeout: Duration) -> Result<PgConnection, Fault> {
        let mut connection = PgConnection::establish(&self.parameters)
            .map_err(|error| Fault::Message(error.to_string()))?;
        let version: String = diesel::select(diesel::dsl::sql::<Text>(
            "current_setting('server_version_num')",
        ))
        .get_result(&mut connection)?;
        if version.parse::<i32>().is_ok_and(|version| version < OLDEST) {
            return Err(Fault::Known(StoreError::Unsuitable {
                database: self.url.to_string(),
                detail: format!(
                    "its version number is {version}; PostgreSQL 12 is the oldest that can be used"
                ),
            }));
        }
        connection.batch_execute(&format!(
            "SET client_min_messages = warning; SET lock_timeout = {};",
            lock_timeout.as_millis().clamp(1, 3_600_000)
        ))?;
        Ok(connection)
    }

    /// A connection that can't write.
    pub(super) fn connect_to_read(&self, lock_timeout: Duration) -> Result<PgConnection, Fault> {
        let mut connection = self.connect(lock_timeout)?;
        connection.batch_execute(&format!(
            "SET default_transaction_read_only = on; SET statement_timeout = {};",
            STATEMENT_TIMEOUT.as_millis()
        ))?;
        Ok(connection)
    }
}

/// Takes what serializes all writers, until the end of the transaction.
pub(super) fn begin_write(connection: &mut PgConnection) -> QueryResult<()> {
    AnsiTransactionManager::begin_transaction(connection)?;
    let lock = connection.batch_execute(&format!("SELECT pg_advisory_xact_lock({WRITE_LOCK})"));
    if lock.is_err() {
        let _ = AnsiTransactionManager::rollback_transaction(connection);
    }
    lock
}

/// The names of all tables.
pub(super) fn table_names(connection: &mut PgConnection) -> QueryResult<Vec<String>> {
    diesel::dsl::sql::<Text>(
        "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()",
    )
    .load(connection)
}

/// The error for a message of the server or of libpq.
pub(super) fn error(database: String, message: &str) -> StoreError {
    let detail = message.trim().to_owned();
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    if says(&["database \""]) && says(&["does not exist"]) {
        StoreError::NoDatabase {
            command: "createdb -E UTF8 ...".to_owned(),
            database,
        }
    } else if says(&[
        "authentication failed",
        "no pg_hba.conf entry",
        "permission denied",
        "no password supplied",
        "is not permitted to log in",
    ]) || (says(&["role \""]) && says(&["does not exist"]))
    {
        StoreError::AccessDenied { database, detail }
    } else if says(&[
        "deadlock detected",
        "could not serialize access",
        "lock timeout",
        "could not obtain lock",
    ]) {
        StoreError::Locked { database }
    } else if says(&[
        "too many clients",
        "remaining connection slots",
        "too many connections",
    ]) || says(&["statement timeout"])
    {
        StoreError::Busy { database, detail }
    } else if says(&["No space left", "disk full", "Disk full"]) {
        StoreError::Full { database }
    } else if says(&["read-only transaction"]) {
        StoreError::ReadOnly { database }
    } else if says(&[
        "server closed the connection",
        "terminating connection",
        "connection has been closed",
        "no connection to the server",
        "could not receive data",
        "could not send data",
        "SSL SYSCALL",
    ]) {
        StoreError::ConnectionLost { database, detail }
    } else if says(&["SSL", "certificate"]) {
        StoreError::Tls { database, detail }
    } else if says(&[
        "could not connect",
        "connection to server",
        "could not translate host name",
        "timeout expired",
        "the database system is",
    ]) {
        StoreError::Unreachable { database, detail }
    } else {
        StoreError::Statement { database, detail }
    }
}
