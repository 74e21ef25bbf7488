//! What each database has of its own for the care of its data: checks, snapshots, sizes, room.

use diesel::connection::{AnsiTransactionManager, SimpleConnection as _};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::connection::{Connection, checkpoint};
use super::mysql;
use super::schema::TABLES;

#[derive(QueryableByName)]
struct Said {
    #[diesel(sql_type = Text)]
    said: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// `CHECK TABLE` has four columns; two of them tell.
#[derive(QueryableByName)]
struct TableCheck {
    #[diesel(sql_type = Text, column_name = "Table")]
    table: String,
    #[diesel(sql_type = Text, column_name = "Msg_text")]
    text: String,
}

/// Begins a transaction that sees all tables as they are at one moment, and writes nothing.
pub(super) fn begin_snapshot(connection: &mut Connection) -> QueryResult<()> {
    match connection {
        Connection::Sqlite(sqlite) => {
            AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN DEFERRED")
        }
        Connection::Mysql(mysql) => AnsiTransactionManager::begin_transaction_sql(
            mysql,
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ),
        Connection::Postgres(postgres) => AnsiTransactionManager::begin_transaction_sql(
            postgres,
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        ),
    }
}

/// What the database's own check found wrong; nothing where all is well, or where there is no such check
/// (PostgreSQL).
pub(super) fn own_check(connection: &mut Connection) -> QueryResult<Vec<String>> {
    match connection {
        Connection::Sqlite(sqlite) => {
            let integrity: Vec<Said> =
                diesel::sql_query("SELECT integrity_check AS said FROM pragma_integrity_check")
                    .load(sqlite)?;
            let keys: Vec<Said> = diesel::sql_query(
                "SELECT 'a row of ' || \"table\" || ' refers to a missing row of ' || parent AS said \
                 FROM pragma_foreign_key_check GROUP BY \"table\", parent",
            )
            .load(sqlite)?;
            let said = integrity.into_iter().chain(keys).map(|row| row.said);
            Ok(said.filter(|said| said != "ok").collect())
        }
        Connection::Mysql(mysql) => {
            let checks: Vec<TableCheck> =
                diesel::sql_query(format!("CHECK TABLE {}", TABLES.join(", "))).load(mysql)?;
            Ok(checks
                .into_iter()
                .filter(|check| check.text != "OK")
                .map(|check| format!("{}: {}", check.table, check.text))
                .collect())
        }
        Connection::Postgres(_) => Ok(Vec::new()),
    }
}

/// What a check found wrong that reads all pages once, and no more; `None` where there is none.
pub(super) fn quick_check(connection: &mut Connection) -> QueryResult<Option<Vec<String>>> {
    let Connection::Sqlite(sqlite) = connection else {
        return Ok(None);
    };
    let said: Vec<Said> =
        diesel::sql_query("SELECT quick_check AS said FROM pragma_quick_check LIMIT 5")
            .load(sqlite)?;
    let said = said.into_iter().map(|row| row.said);
    Ok(Some(said.filter(|said| said != "ok").collect()))
}

/// How many bytes the data takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) bytes: u64,
    /// Whether deletions show in it at once.
    pub(super) is_exact: bool,
}

/// How much room the data takes: of SQLite the pages in use; of the others what they say themselves, which
/// follows deletions only after a while.
pub(super) fn room(connection: &mut Connection) -> QueryResult<Room> {
    let row: Number = match connection {
        Connection::Sqlite(sqlite) => diesel::sql_query(
            "SELECT (page_count - freelist_count) * page_size AS number \
             FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        )
        .get_result(sqlite)?,
        Connection::Mysql(mysql) => Number {
            number: mysql::size(mysql)?,
        },
        Connection::Postgres(postgres) => {
            diesel::sql_query("SELECT pg_database_size(current_database()) AS number")
                .get_result(postgres)?
        }
    };
    Ok(Room {
        bytes: u64::try_from(row.number).unwrap_or(0),
        is_exact: matches!(connection, Connection::Sqlite(_)),
    })
}

/// Gives free room back to the file system: with `whole` by writing everything anew, which takes as much
/// room again while it lasts and locks others out (SQLite, MySQL) or reads everything (PostgreSQL);
/// without it only what costs little.
pub(super) fn give_back(connection: &mut Connection, whole: bool) -> QueryResult<()> {
    match connection {
        Connection::Sqlite(sqlite) => {
            // Free pages are found without writing everything anew only from the first time on.
            sqlite.batch_execute(if whole {
                "PRAGMA auto_vacuum = INCREMENTAL; VACUUM;"
            } else {
                "PRAGMA incremental_vacuum;"
            })?;
        }
        Connection::Mysql(mysql) => {
            if whole {
                let sql = format!("OPTIMIZE TABLE {}", TABLES.join(", "));
                diesel::sql_query(sql).load::<TableCheck>(mysql)?;
            }
        }
        Connection::Postgres(postgres) => {
            if whole {
                postgres.batch_execute("VACUUM")?;
            }
        }
    }
    checkpoint(connection)
}
