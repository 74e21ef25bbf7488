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
use super::pages::{At, in_steps};
use super::schema::failed_torrent as table;
use super::upsert;
use super::value::{self, DETAIL_CHARS, keys, senseless, text, unsigned, v2_range};
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

/// All columns but the key.
const FACTS: (
    table::reason,
    table::phase,
    table::detail,
    table::failures,
    table::failed_at,
    table::retry_at,
) = (
    table::reason,
    table::phase,
    table::detail,
    table::failures,
    table::failed_at,
    table::retry_at,
);

type Facts = (String, String, String, i64, i64, i64);

fn from_facts(facts: Facts) -> QueryResult<FailedTorrent> {
    let (reason, phase, detail, failures, failed_at_ms, retry_at_ms) = facts;
    Ok(FailedTorrent {
        reason: value::reason(&reason)?,
        phase: value::phase(&phase)?,
        detail,
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
        failed_at_ms,
        retry_at_ms,
    })
}

/// What is known of the last failure of this hash; the latest, where both hashes of a hybrid failed.
pub(super) fn find(
    connection: &mut Connection,
    infohash: &Infohash,
) -> QueryResult<Option<FailedTorrent>> {
    // Neither a list of any length nor a limit: SQLite would compile the statement each time.
    let latest = table::table.order(table::failed_at.desc()).select(FACTS);
    let mut query = latest.into_boxed();
    for key in keys(infohash) {
        query = query.or_filter(table::infohash.eq(key));
    }
    let facts: Option<Facts> = query.load(connection)?.into_iter().next();
    let facts = match (facts, infohash) {
        (None, Infohash::V1(id)) => {
            // A hash from the DHT may be a v2 hash cut to 20 bytes.
            let (from, to) = v2_range(id);
            let query = latest.filter(table::infohash.between(from, to));
            query.load(connection)?.into_iter().next()
        }
        (facts, _) => facts,
    };
    facts.map(from_facts).transpose()
}

/// Which hashes to list or forget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailedFilter {
    /// Only those that failed for this reason the last time.
    pub reason: Option<Reason>,
    /// Only those that cool down beyond this time: UTC, milliseconds since 1970.
    pub cooling_at_ms: Option<i64>,
    /// Only those that are worth another try at this time: UTC, milliseconds since 1970.
    pub due_at_ms: Option<i64>,
    /// Only those that failed last before this time: UTC, milliseconds since 1970.
    pub failed_before_ms: Option<i64>,
}

/// Up to `limit` hashes that failed, the soonest to be tried again first: from the beginning, or those after
/// the one that was to be tried again at a time.
pub(super) fn list(
    connection: &mut Connection,
    filter: &FailedFilter,
    after: Option<(i64, &Infohash)>,
    limit: u32,
) -> QueryResult<Vec<(Infohash, FailedTorrent)>> {
    let rows: Vec<(Vec<u8>, Facts)> = in_steps(after, limit, |at, left| {
        let mut query = table::table
            .select((table::infohash, FACTS))
            .order((table::retry_at, table::infohash))
            .limit(left)
            .into_boxed();
        match at {
            At::Start => {}
            At::Among((time, infohash)) => {
                query = query
                    .filter(table::retry_at.eq(time))
                    .filter(table::infohash.gt(infohash.as_bytes()));
            }
            At::Behind((time, _)) => query = query.filter(table::retry_at.gt(time)),
        }
        if let Some(reason) = filter.reason {
            query = query.filter(table::reason.eq(reason.as_str()));
        }
        if let Some(at) = filter.cooling_at_ms {
            query = query.filter(table::retry_at.gt(at));
        }
        if let Some(at) = filter.due_at_ms {
            query = query.filter(table::retry_at.le(at));
        }
        if let Some(at) = filter.failed_before_ms {
            query = query.filter(table::failed_at.lt(at));
        }
        query.load(connection)
    })?;
    rows.into_iter()
        .map(|(key, facts)| {
            let infohash = Infohash::from_bytes(&key)
                .ok_or_else(|| senseless("an infohash of another length than 20 or 32 bytes"))?;
            Ok((infohash, from_facts(facts)?))
        })
        .collect()
}

/// Forgets that this hash failed, under any form of it. Whether there was anything to forget.
pub(super) fn remove(connection: &mut Connection, infohash: &Infohash) -> QueryResult<bool> {
    let mut removed = diesel::delete(table::table.filter(table::infohash.eq_any(keys(infohash))))
        .execute(connection)?;
    if let Infohash::V1(id) = infohash {
        let (from, to) = v2_range(id);
        removed += diesel::delete(table::table.filter(table::infohash.between(from, to)))
            .execute(connection)?;
    }
    Ok(removed > 0)
}

/// Forgets all failures that pass the filter. How many they were.
pub(super) fn clear(connection: &mut Connection, filter: &FailedFilter) -> QueryResult<u64> {
    let mut query = diesel::delete(table::table).into_boxed();
    if let Some(reason) = filter.reason {
        query = query.filter(table::reason.eq(reason.as_str()));
    }
    if let Some(at) = filter.cooling_at_ms {
        query = query.filter(table::retry_at.gt(at));
    }
    if let Some(at) = filter.due_at_ms {
        query = query.filter(table::retry_at.le(at));
    }
    if let Some(at) = filter.failed_before_ms {
        query = query.filter(table::failed_at.lt(at));
    }
    let removed = query.execute(connection)?;
    Ok(u64::try_from(removed).unwrap_or(u64::MAX))
}

/// Deletes failures that were worth another try before a time (UTC, milliseconds since 1970), the oldest
/// first, `most` at most. How many that were.
pub(super) fn prune(connection: &mut Connection, before: i64, most: i64) -> QueryResult<usize> {
    let oldest: Vec<Vec<u8>> = table::table
        .filter(table::retry_at.lt(before))
        .order(table::retry_at)
        .limit(most)
        .select(table::infohash)
        .load(connection)?;
    if oldest.is_empty() {
        return Ok(0);
    }
    diesel::delete(table::table.filter(table::infohash.eq_any(oldest))).execute(connection)
}

/// How many failures were worth another try before a time.
pub(super) fn count_before(connection: &mut Connection, before: i64) -> QueryResult<u64> {
    let old = table::table.filter(table::retry_at.lt(before));
    unsigned(old.count().get_result(connection)?)
}

/// How many hashes have failed.
pub(super) fn count(connection: &mut Connection) -> QueryResult<u64> {
    unsigned(table::table.count().get_result(connection)?)
}
