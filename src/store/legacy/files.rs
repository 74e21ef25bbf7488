//! `torrent_files`: all files of a torrent, in order, however many.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::session::Session;
use super::statement::{Statement, Value};
use super::table::{FILES, insert};
use crate::store::value::clamped;

/// Rows of a statement.
const CHUNK: usize = 500;
/// Bytes of the paths of a statement, which goes in one packet.
const CHUNK_BYTES: usize = 256 << 10;

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = BigInt, column_name = "file_index")]
    index: i64,
    #[diesel(sql_type = Text, column_name = "file_path")]
    path: String,
    #[diesel(sql_type = BigInt, column_name = "file_size")]
    size: i64,
}

/// Makes the rows of this torrent these files: what is so already is left, since each new row takes an id
/// out of 2^31.
pub(super) fn replace(
    session: &mut Session,
    torrent_hash: &str,
    files: &[(String, u64)],
) -> QueryResult<()> {
    let Some(table) = session.tables.get(FILES).cloned() else {
        return Ok(());
    };
    if !["torrent_hash", "file_index", "file_path", "file_size"]
        .into_iter()
        .all(|column| table.has(column))
    {
        return Ok(());
    }
    let query = Statement::new(
        "SELECT CAST(file_index AS SIGNED) AS file_index, COALESCE(file_path, '') AS file_path, \
             CAST(COALESCE(file_size, 0) AS SIGNED) AS file_size \
         FROM torrent_files WHERE torrent_hash = ",
    );
    let stored: HashMap<i64, (String, i64)> = session
        .load::<Stored>(query.text(torrent_hash))?
        .into_iter()
        .map(|row| (row.index, (row.path, row.size)))
        .collect();
    let (mut new, mut bytes) = (Vec::new(), 0);
    for (index, (path, size)) in (0_i64..).zip(files) {
        let (path, size) = (table.fit("file_path", path), clamped(*size));
        match stored.get(&index) {
            Some((stored_path, stored_size)) if *stored_path == path && *stored_size == size => {}
            Some(_) => {
                let update = Statement::new("UPDATE torrent_files SET file_path = ")
                    .text(&path)
                    .sql(", file_size = ")
                    .number(size)
                    .sql(" WHERE torrent_hash = ")
                    .text(torrent_hash)
                    .sql(" AND file_index = ")
                    .number(index);
                session.execute(update)?;
            }
            None => {
                bytes += path.len();
                new.push(table.row(vec![
                    ("torrent_hash", Value::text(torrent_hash)),
                    ("file_index", Value::Number(index)),
                    ("file_path", Value::Text(path)),
                    ("file_size", Value::Number(size)),
                    ("created_at", Value::Now),
                ]));
            }
        }
        if new.len() == CHUNK || bytes >= CHUNK_BYTES {
            add(session, std::mem::take(&mut new))?;
            bytes = 0;
        }
    }
    add(session, new)?;
    let count = i64::try_from(files.len()).unwrap_or(i64::MAX);
    if stored.keys().any(|index| !(0..count).contains(index)) {
        let delete = Statement::new("DELETE FROM torrent_files WHERE torrent_hash = ")
            .text(torrent_hash)
            .sql(" AND (file_index < 0 OR file_index >= ")
            .number(count)
            .sql(")");
        session.execute(delete)?;
    }
    Ok(())
}

fn add(session: &mut Session, rows: Vec<Vec<(&str, Value)>>) -> QueryResult<()> {
    let Some(statement) = insert(FILES, rows) else {
        return Ok(());
    };
    // Another process may have been quicker, with the same files of the same torrent.
    let statement = statement.sql(
        " ON DUPLICATE KEY UPDATE file_path = VALUES(file_path), file_size = VALUES(file_size)",
    );
    session.execute(statement).map(drop)
}
