//! Table `failed_torrent`: hashes that could not be resolved, and when to try them again.
//!
//! | column | meaning |
//! |---|---|
//! | `infohash` | 20 bytes, or 32 of a v2-only torrent |
//! | `reason`, `phase`, `detail` | why and how far; names of `Reason` and `Phase`, and 500 characters |
//! | `failures` | how often in a row |
//! | `failed_at`, `retry_at` | the last time, and the time from which it is worth another try |
//!
//! The row goes when the hash is resolved.

use std::borrow::Cow;

use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use super::connection::Connection;
use super::schema::failed_torrent as table;
use super::upsert;
use super::value::{self, DETAIL_CHARS, keys, text, unsigned};
use crate::torrent::{Infohash, Phase, Reason};

/// Why a hash could not be resolved, and when to try again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedTorrent {
    /// Why.
    pub reason: Reason,
    /// How far it came.
    pub phase: Phase,
    /// The particulars, for a human reader; the first 500 characters are kept.
    pub detail: String,
    /// How often in a row it failed.
    pub failures: u32,
    /// When it failed last: UTC, milliseconds since 1970.
    pub failed_at_ms: i64,
    /// From when on it is worth another try: UTC, milliseconds since 1970; `i64::MAX` for never.
    pub retry_at_ms: i64,
}

#[derive(Insertable, AsChangeset)]
#[diesel(table_name = table, primary_key(infohash))]
pub(super) struct FailedRow<'a> {
    infohash: &'a [u8],
    reason: &'static str,
    phase: &'static str,
    detail: Cow<'a, str>,
    failures: i64,
    failed_at: i64,
    retry_at: i64,
}

/// Makes or replaces the row of this hash.
pub(super) fn put(
    connection: &mut Connection,
    infohash: &Infohash,
    failed: &FailedTorrent,
) -> QueryResult<()> {
    let row = FailedRow {
        infohash: infohash.as_bytes(),
        reason: failed.reason.as_str(),
        phase: failed.phase.as_str(),
        detail: text(&failed.detail, DETAIL_CHARS),
        failures: failed.failures.into(),
        failed_at: failed.failed_at_ms,
        retry_at: failed.retry_at_ms,
    };
    upsert::failed_torrent(connection, &row)
}

/// Deletes the rows under any of these hashes.
pub(super) fn delete(connection: &mut Connection, keys: &[Vec<u8>]) -> QueryResult<()> {
    for key in keys {
        diesel::delete(table::table.filter(table::infohash.eq(key))).execute(connection)?;
    }
    Ok(())
}

/// What is known of the last failure of this hash; the latest, where both hashes of a hybrid failed.
pub(super) fn find(
    connection: &mut Connection,
    infohash: &Infohash,
) -> QueryResult<Option<FailedTorrent>> {
    let row: Option<(String, String, String, i64, i64, i64)> = table::table
        .filter(table::infohash.eq_any(keys(infohash)))
        .order(table::failed_at.desc())
        .select((
            table::reason,
            table::phase,
            table::detail,
            table::failures,
            table::failed_at,
            table::retry_at,
        ))
        .first(connection)
        .optional()?;
    let Some((reason, phase, detail, failures, failed_at_ms, retry_at_ms)) = row else {
        return Ok(None);
    };
    Ok(Some(FailedTorrent {
        reason: value::reason(&reason)?,
        phase: value::phase(&phase)?,
        detail,
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
        failed_at_ms,
        retry_at_ms,
    }))
}

/// How many hashes have failed.
pub(super) fn count(connection: &mut Connection) -> QueryResult<u64> {
    unsigned(table::table.count().get_result(connection)?)
}
