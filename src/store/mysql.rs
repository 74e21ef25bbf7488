//! MySQL and MariaDB: how to connect, what their messages mean, and their locks.

use std::fmt::Write as _;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::mysql::MysqlConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::StoreError;
use super::connection::{CONNECT_TIMEOUT, Fault, STATEMENT_TIMEOUT};
use super::schema::TABLES;
use super::server_url::{Host, ServerUrl, Tls};

pub(super) const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/mysql");

/// The largest dictionary that the wire takes is 10 MiB, and it is sent in one packet.
const PACKET: i64 = 12 << 20;

/// How the lock is called that one process has while it migrates, with a digest of the database's name:
/// those of a server don't wait for each other.
const MIGRATION_LOCK: &str = "metafetch migration ";

/// Where and how to connect.
#[derive(Clone)]
pub(super) struct Target {
    url: ServerUrl,
    /// As diesel takes it: it has the password.
    diesel_url: String,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.url.fmt(f)
    }
}

impl Target {
    /// Finds the password and the certificates.
    pub(super) fn prepare(url: &ServerUrl) -> Result<Self, StoreError> {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut diesel_url = "mysql://".to_owned();
        // Without a user, the library takes the name of the system's user.
        if let Some(user) = &url.user {
            diesel_url += &encoded(user);
        }
        if let Some(password) = url.password()? {
            let _ = write!(diesel_url, ":{}", encoded(&password));
        }
        diesel_url.push('@');
        let mut options = Vec::new();
        match &url.host {
            Host::Local => diesel_url += "localhost",
            Host::Socket(path) => {
                diesel_url += "localhost";
                options.push(("unix_socket", encoded(&path.to_string_lossy())));
            }
            // The library takes this name for the socket, whatever the port.
            Host::Name(name) if name == "localhost" => diesel_url += "127.0.0.1",
            Host::Name(name) if name.contains(':') => {
                let _ = write!(diesel_url, "[{name}]");
            }
            Host::Name(name) => diesel_url += name,
        }
        if let Some(port) = url.port {
            let _ = write!(diesel_url, ":{port}");
        }
        let _ = write!(diesel_url, "/{}", url.database);
        match url.tls {
            Tls::Disable | Tls::Prefer => {}
            // Diesel has no other way to ask MariaDB's client library for TLS than to name authorities,
            // which it then holds the certificate against.
            Tls::Require => {
                let authorities = url.authorities()?;
                options.push(("ssl_ca", encoded(&authorities.to_string_lossy())));
            }
            Tls::Verify => {
                return Err(StoreError::Tls {
                    database: url.to_string(),
                    detail: "the name in the certificate of a MySQL server cannot be checked; \
                             `tls=require` checks who signed it, and `tls_ca` says who may"
                        .to_owned(),
                });
            }
        }
        for (index, (name, value)) in options.iter().enumerate() {
            let separator = if index == 0 { '?' } else { '&' };
            let _ = write!(diesel_url, "{separator}{name}={value}");
        }
        Ok(Self {
            url: url.clone(),
            diesel_url,
        })
    }

    /// A connection that may write.
    pub(super) fn connect(&self, lock_timeout: Duration) -> Result<MysqlConnection, Fault> {
        let mut connection = self.establish()?;
        self.check(&mut connection)?;
        connection.batch_execute(
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', \
             SESSION lc_messages = 'en_US', SESSION foreign_key_checks = 1",
        )?;
        connection.batch_execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")?;
        // In whole seconds, at least one.
        let seconds = lock_timeout.as_secs().max(1);
        connection.batch_execute(&format!(
            "SET SESSION innodb_lock_wait_timeout = {seconds}, SESSION lock_wait_timeout = {seconds}"
        ))?;
        Ok(connection)
    }

    /// A connection as the server makes it, to whatever version of it and whatever database.
    pub(super) fn establish(&self) -> Result<MysqlConnection, Fault> {
        // The library waits for as long as the system does, which may be minutes.
        let url = self.diesel_url.clone();
        let (sender, connected) = std::sync::mpsc::sync_channel(1);
        let connecting = move || {
            let _ = sender.send(MysqlConnection::establish(&url));
        };
        std::thread::Builder::new()
            .name("connect".to_owned())
            .spawn(connecting)
            .map_err(|error| Fault::Message(error.to_string()))?;
        let mut connection = connected
            .recv_timeout(CONNECT_TIMEOUT)
            .map_err(|_| Fault::Message("Can't connect to server: it does not answer".to_owned()))?
            .map_err(|error| Fault::Message(error.to_string()))?;
        self.check_encryption(&mut connection)?;
        Ok(connection)
    }

    /// The client's library goes on in the clear where the server has no TLS.
    fn check_encryption(&self, connection: &mut MysqlConnection) -> Result<(), Fault> {
        if self.url.tls != Tls::Require {
            return Ok(());
        }
        let status: Option<String> = diesel::sql_query("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
            .get_result::<Status>(connection)
            .optional()?
            .map(|status| status.value);
        if status.unwrap_or_default().is_empty() {
            return Err(Fault::Known(StoreError::Tls {
                database: self.url.to_string(),
                detail: "the server did not encrypt the connection".to_owned(),
            }));
        }
        Ok(())
    }

    /// A connection that can't write.
    pub(super) fn connect_to_read(&self, lock_timeout: Duration) -> Result<MysqlConnection, Fault> {
        let mut connection = self.connect(lock_timeout)?;
        connection.batch_execute("SET SESSION TRANSACTION READ ONLY")?;
        let limit = STATEMENT_TIMEOUT.as_secs();
        // The servers call it differently, and neither knows the other's name.
        if is_mariadb(&version(&mut connection)?) {
            connection.batch_execute(&format!("SET SESSION max_statement_time = {limit}"))?;
        } else {
            connection.batch_execute(&format!("SET SESSION max_execution_time = {limit}000"))?;
        }
        Ok(connection)
    }

    fn check(&self, connection: &mut MysqlConnection) -> Result<(), Fault> {
        let database = self.url.to_string();
        let version = version(connection)?;
        if is_too_old(&version) {
            return Err(Fault::Known(StoreError::Unsuitable {
                database,
                detail: format!(
                    "its version is {version}; MariaDB 10.6 or MySQL 8.0.19 is the oldest that can be used"
                ),
            }));
        }
        let packet: i64 = diesel::select(diesel::dsl::sql::<BigInt>("@@max_allowed_packet"))
            .get_result(connection)?;
        if packet < PACKET {
            return Err(Fault::Known(StoreError::Unsuitable {
                database,
                detail: format!(
                    "its `max_allowed_packet` is {packet} bytes, too few for the largest torrents; \
                     set it to 16M or more in the server's configuration"
                ),
            }));
        }
        Ok(())
    }
}

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = Text, column_name = "Value")]
    value: String,
}

fn version(connection: &mut MysqlConnection) -> QueryResult<String> {
    diesel::select(diesel::dsl::sql::<Text>("VERSION()")).get_result(connection)
}

fn is_mariadb(version: &str) -> bool {
    version.contains("MariaDB")
}

fn is_too_old(version: &str) -> bool {
    let mut numbers = version
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse::<u32>().ok());
    let mut next = || numbers.next().unwrap_or(0);
    let version_number = (next(), next(), next());
    let oldest = if is_mariadb(version) {
        (10, 6, 0)
    } else {
        (8, 0, 19)
    };
    version_number < oldest
}

/// Takes what serializes all writers, until the end of the transaction.
pub(super) fn begin_write(connection: &mut MysqlConnection) -> QueryResult<()> {
    use super::schema::__diesel_schema_migrations as migrations;
    use diesel::connection::{AnsiTransactionManager, TransactionManager as _};
    AnsiTransactionManager::begin_transaction(connection)?;
    let lock = migrations::table
        .select(migrations::version)
        .order(migrations::version)
        .limit(1)
        .for_update()
        .load::<String>(connection);
    if let Err(error) = lock {
        let _ = AnsiTransactionManager::rollback_transaction(connection);
        return Err(error);
    }
    Ok(())
}

/// Runs the migrations. `MySQL` commits each statement that changes a schema, so that a lock of the
/// session, instead of a transaction, keeps two processes from doing so at the same time.
pub(super) fn migrate(connection: &mut MysqlConnection, timeout: Duration) -> Result<(), Fault> {
    let seconds = i32::try_from(timeout.as_secs().max(1)).unwrap_or(i32::MAX);
    let got: Option<i32> = diesel::select(
        diesel::dsl::sql::<Nullable<Integer>>("GET_LOCK(CONCAT(")
            .bind::<Text, _>(MIGRATION_LOCK)
            .sql(", MD5(DATABASE())), ")
            .bind::<Integer, _>(seconds)
            .sql(")"),
    )
    .get_result(connection)?;
    if got != Some(1) {
        return Err(Fault::Message("Lock wait timeout exceeded".to_owned()));
    }
    let run = connection
        .run_pending_migrations(MIGRATIONS)
        .map(drop)
        .map_err(|error| Fault::Message(error.to_string()));
    diesel::sql_query("DO RELEASE_LOCK(CONCAT(?, MD5(DATABASE())))")
        .bind::<Text, _>(MIGRATION_LOCK)
        .execute(connection)?;
    run
}

/// The names of all tables.
pub(super) fn table_names(connection: &mut MysqlConnection) -> QueryResult<Vec<String>> {
    diesel::dsl::sql::<Text>(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
    )
    .load(connection)
}

/// Bytes of our own tables, as the server estimates them: those of other programs may stand beside.
pub(super) fn size(connection: &mut MysqlConnection) -> QueryResult<i64> {
    let names: Vec<String> = TABLES.iter().map(|name| format!("'{name}'")).collect();
    diesel::dsl::sql::<BigInt>(&format!(
        "SELECT CAST(COALESCE(SUM(data_length + index_length), 0) AS SIGNED) \
         FROM information_schema.tables \
         WHERE table_schema = DATABASE() AND table_name IN ({})",
        names.join(", ")
    ))
    .get_result(connection)
}

/// The error for a message of the server or of the client's library. Diesel does not pass their numbers
/// on.
pub(super) fn error(database: String, message: &str) -> StoreError {
    let detail = message.trim().to_owned();
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    if says(&[
        "Access denied",
        "is not allowed to connect",
        "command denied to user",
    ]) {
        StoreError::AccessDenied { database, detail }
    } else if says(&["Unknown database"]) {
        StoreError::NoDatabase {
            command: "CREATE DATABASE ... CHARACTER SET utf8mb4 (in `mariadb` or `mysql`)"
                .to_owned(),
            database,
        }
    } else if says(&[
        "Lock wait timeout exceeded",
        "Deadlock found",
        "Record has changed since",
    ]) {
        StoreError::Locked { database }
    } else if says(&[
        "Can't connect to",
        "Unknown server host",
        "Unknown MySQL server host",
    ]) {
        StoreError::Unreachable { database, detail }
    } else if says(&["SSL", "TLS"]) {
        StoreError::Tls { database, detail }
    } else if says(&["Too many connections", "Host '"]) {
        StoreError::Busy { database, detail }
    } else if says(&[
        "gone away",
        "Lost connection",
        "Server shutdown in progress",
        "Connection was killed",
        "Malformed communication packet",
    ]) {
        StoreError::ConnectionLost { database, detail }
    } else if says(&["max_statement_time", "maximum statement execution time"]) {
        StoreError::Busy { database, detail }
    } else if says(&["Query execution was interrupted"]) {
        // By an administrator, or since the server ends.
        StoreError::ConnectionLost { database, detail }
    } else if says(&["read-only", "READ ONLY", "read only"]) {
        StoreError::ReadOnly { database }
    } else if says(&["No space left", "Disk full", "is full", "Got error 28"]) {
        StoreError::Full { database }
    } else if says(&["max_allowed_packet"]) {
        StoreError::Unsuitable { database, detail }
    } else {
        StoreError::Statement { database, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart() {
        for version in [
            "10.5.29-MariaDB-0+deb11u1",
            "5.5.5-MariaDB",
            "8.0.18",
            "5.7.44-log",
            "",
        ] {
            assert!(is_too_old(version), "{version}");
        }
        for version in [
            "10.6.0-MariaDB",
            "10.11.19-MariaDB-0+deb12u1",
            "11.4.2-MariaDB",
            "8.0.19",
            "8.4.3",
            "9.1.0",
        ] {
            assert!(!is_too_old(version), "{version}");
        }
    }
}
