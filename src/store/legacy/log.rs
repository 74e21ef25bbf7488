//! `log`: what went wrong.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use diesel::prelude::*;

use super::row::LogRow;
use super::session::Session;
use super::statement::Value;
use super::table::{self, LOG};

/// Adds a row.
pub(super) fn insert(session: &mut Session, row: &LogRow) -> QueryResult<()> {
    let Some(table) = session.tables.get(LOG) else {
        return Ok(());
    };
    let mut thread = DefaultHasher::new();
    std::thread::current().id().hash(&mut thread);
    let about = row
        .infohash
        .as_ref()
        .map(|infohash| format!("info_hash={infohash}"));
    let values = vec![
        ("timestamp", Value::Now),
        ("function_name", Value::text(row.function_name)),
        ("caller_function", Value::text("")),
        ("error_code", Value::Number(row.error_code.into())),
        ("error_message", Value::text(&row.error_message)),
        ("stack_trace", Value::text("")),
        ("severity", Value::text(row.severity.as_str())),
        ("thread_id", Value::Text(thread.finish().to_string())),
        ("process_id", Value::Number(std::process::id().into())),
        ("additional_data", Value::Text(about.unwrap_or_default())),
        ("created_at", Value::Now),
    ];
    match table::insert(LOG, vec![table.row(values)]) {
        Some(statement) => session.execute(statement).map(drop),
        None => Ok(()),
    }
}
