//! Tables `blocked_infohash` and `blocked_salt`: hashes that are never fetched.
//!
//! | column | meaning |
//! |---|---|
//! | `value`, `salt` | what is blocked, and the key: see [`BlockEntry`] |
//! | `list` | the name of the list that it came with; at most 100 characters |
//! | `added_at` | when it was added |
//!
//! `blocked_salt` has every salt of `blocked_infohash` but the empty one. A v2 hash has two rows, one of
//! them for its first 20 bytes, so that each form of a hash is found by its key.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use diesel::prelude::*;

use super::connection::Connection;
use super::schema::{blocked_infohash as table, blocked_salt};
use super::upsert;
use super::value::{bounded, keys, senseless, unsigned, v2_range};
use crate::torrent::{Infohash, sha256};

/// The most salts there may be: each costs a lookup two or three digests.
pub const MAX_SALTS: u32 = 1_000;
/// The most bytes of a salt.
pub const MAX_SALT_BYTES: usize = 64;

const LIST_CHARS: usize = 100;
/// Values of one query, and rows of one statement: databases bound the parameters of both.
const CHUNK: usize = 500;
/// Values up to which a query names each: most hashes have two, where there are no salts.
const FEW: usize = 8;
/// For how long the salts are taken as they were read.
const SALTS_FOR: Duration = Duration::from_secs(2);

/// A thing to block: the bytes of a hash, or a digest that does not tell which hash it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockEntry {
    /// With an empty salt the hash itself (20 or 32 bytes), or SHA-256 of its bytes; with a salt
    /// SHA-256 of the salt and then its bytes.
    value: Vec<u8>,
    salt: Vec<u8>,
}

impl BlockEntry {
    /// What blocks this hash, under each form of it.
    #[must_use]
    pub fn of_hash(infohash: &Infohash) -> Vec<Self> {
        keys(infohash)
            .into_iter()
            .map(|value| Self {
                value,
                salt: Vec::new(),
            })
            .collect()
    }

    /// A digest. `None` where the salt is longer than [`MAX_SALT_BYTES`].
    #[must_use]
    pub fn of_digest(digest: [u8; 32], salt: &[u8]) -> Option<Self> {
        (salt.len() <= MAX_SALT_BYTES).then(|| Self {
            value: digest.to_vec(),
            salt: salt.to_vec(),
        })
    }
}

/// A row of the blocklist.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct Blocked {
    /// The hash, or a digest of it.
    pub value: Vec<u8>,
    /// The salt of the digest; empty where there is none.
    pub salt: Vec<u8>,
    /// The list that it came with.
    pub list: String,
    /// When it was added: UTC, milliseconds since 1970.
    pub added_at_ms: i64,
}

#[derive(Insertable)]
#[diesel(table_name = table)]
pub(super) struct BlockedRow<'a> {
    value: &'a [u8],
    salt: &'a [u8],
    list: &'a str,
    added_at: i64,
}

#[derive(Insertable)]
#[diesel(table_name = blocked_salt)]
pub(super) struct SaltRow<'a> {
    salt: &'a [u8],
}

/// What was last read of the blocklist as a whole. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Snapshot(Arc<Mutex<Option<Known>>>);

#[derive(Clone)]
struct Known {
    read: Instant,
    salts: Arc<[Vec<u8>]>,
    is_empty: bool,
}

impl Snapshot {
    fn known(&self) -> Option<Known> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether nothing was blocked when this was last read.
    pub(super) fn was_empty(&self) -> bool {
        self.known().is_some_and(|known| known.is_empty)
    }

    /// The salts, as they were a moment ago.
    fn salts(&self, connection: &mut Connection) -> QueryResult<Arc<[Vec<u8>]>> {
        if let Some(known) = self.known()
            && known.read.elapsed() < SALTS_FOR
        {
            return Ok(known.salts);
        }
        let known = Known {
            read: Instant::now(),
            salts: salts(connection)?.into(),
            is_empty: list(connection, None, 1)?.is_empty(),
        };
        let salts = known.salts.clone();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(salts)
    }

    /// The row that blocks this hash, where there is one.
    pub(super) fn find(
        &self,
        connection: &mut Connection,
        infohash: &Infohash,
    ) -> QueryResult<Option<Blocked>> {
        let salts = self.salts(connection)?;
        find(connection, infohash, &salts)
    }
}

/// Every salt but the empty one.
pub(super) fn salts(connection: &mut Connection) -> QueryResult<Vec<Vec<u8>>> {
    let salts: Vec<Vec<u8>> = blocked_salt::table
        .select(blocked_salt::salt)
        .limit(i64::from(MAX_SALTS) + 1)
        .load(connection)?;
    if salts.len() > MAX_SALTS as usize {
        return Err(too_many_salts(salts.len()));
    }
    Ok(salts)
}

fn too_many_salts(count: impl std::fmt::Display) -> diesel::result::Error {
    senseless(format!(
        "{count} salts of the blocklist, more than {MAX_SALTS},"
    ))
}

/// Refuses a salt that was just added, where there were enough.
pub(super) fn check_salts(connection: &mut Connection) -> QueryResult<()> {
    let count = unsigned(blocked_salt::table.count().get_result(connection)?)?;
    if count > u64::from(MAX_SALTS) {
        return Err(too_many_salts(count));
    }
    Ok(())
}

/// All that may stand in a row which blocks this hash.
fn candidates(infohash: &Infohash, salts: &[Vec<u8>]) -> Vec<BlockEntry> {
    let mut entries = BlockEntry::of_hash(infohash);
    for key in keys(infohash) {
        let salts = salts.iter().map(Vec::as_slice);
        entries.extend(salts.chain([[].as_slice()]).map(|salt| BlockEntry {
            value: sha256(&[salt, &key].concat()).to_vec(),
            salt: salt.to_vec(),
        }));
    }
    entries
}

/// The row that blocks this hash, under any of these salts or none.
pub(super) fn find(
    connection: &mut Connection,
    infohash: &Infohash,
    salts: &[Vec<u8>],
) -> QueryResult<Option<Blocked>> {
    for chunk in candidates(infohash, salts).chunks(CHUNK) {
        let values: Vec<&[u8]> = chunk.iter().map(|entry| entry.value.as_slice()).collect();
        let mut query = table::table
            .select((table::value, table::salt, table::list, table::added_at))
            .into_boxed();
        if values.len() <= FEW {
            // A statement with a list of any length would be compiled each time.
            for value in values {
                query = query.or_filter(table::value.eq(value));
            }
        } else {
            query = query.filter(table::value.eq_any(values));
        }
        let rows: Vec<Blocked> = query.load(connection)?;
        let is_meant = |row: &Blocked| {
            chunk
                .iter()
                .any(|entry| entry.value == row.value && entry.salt == row.salt)
        };
        if let Some(row) = rows.into_iter().find(is_meant) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// Adds the entries that are not there yet. How many they were.
pub(super) fn add(
    connection: &mut Connection,
    entries: &[BlockEntry],
    list: &str,
    added_at_ms: i64,
) -> QueryResult<u64> {
    let salts: BTreeSet<&[u8]> = entries
        .iter()
        .map(|entry| entry.salt.as_slice())
        .filter(|salt| !salt.is_empty())
        .collect();
    let salts: Vec<SaltRow<'_>> = salts.into_iter().map(|salt| SaltRow { salt }).collect();
    for chunk in salts.chunks(CHUNK) {
        upsert::blocked_salts(connection, chunk)?;
    }
    if !salts.is_empty() {
        check_salts(connection)?;
    }
    // In the order of the key: neighbours share their pages.
    let entries: BTreeSet<&BlockEntry> = entries.iter().collect();
    let rows: Vec<BlockedRow<'_>> = entries
        .into_iter()
        .map(|entry| BlockedRow {
            value: &entry.value,
            salt: &entry.salt,
            list: bounded(list, LIST_CHARS),
            added_at: added_at_ms,
        })
        .collect();
    let mut added = 0;
    for chunk in rows.chunks(CHUNK) {
        added += upsert::blocked_infohashes(connection, chunk)?;
    }
    Ok(u64::try_from(added).unwrap_or(u64::MAX))
}

/// Removes whatever blocks this hash. Whether there was anything.
pub(super) fn remove(connection: &mut Connection, infohash: &Infohash) -> QueryResult<bool> {
    let salts = salts(connection)?;
    let (mut removed, mut salted) = (0, 0);
    for entry in candidates(infohash, &salts) {
        let row = table::table
            .filter(table::value.eq(&entry.value))
            .filter(table::salt.eq(&entry.salt));
        let rows = diesel::delete(row).execute(connection)?;
        removed += rows;
        if !entry.salt.is_empty() {
            salted += rows;
        }
    }
    if salted > 0 {
        remove_unused_salts(connection)?;
    }
    if let Infohash::V1(id) = infohash {
        // The v2 hash that was cut to these 20 bytes.
        let (from, to) = v2_range(id);
        let rows = table::table
            .filter(table::value.between(from, to))
            .filter(table::salt.eq(Vec::<u8>::new()));
        removed += diesel::delete(rows).execute(connection)?;
    }
    Ok(removed > 0)
}

/// Removes all that came with this list. How many rows they were.
pub(super) fn remove_list(connection: &mut Connection, list: &str) -> QueryResult<u64> {
    let removed = diesel::delete(table::table.filter(table::list.eq(bounded(list, LIST_CHARS))))
        .execute(connection)?;
    if removed > 0 {
        remove_unused_salts(connection)?;
    }
    Ok(u64::try_from(removed).unwrap_or(u64::MAX))
}

/// Each salt costs every lookup a few digests, and there may be only so many.
fn remove_unused_salts(connection: &mut Connection) -> QueryResult<()> {
    let used: Vec<Vec<u8>> = table::table
        .filter(table::salt.ne(Vec::<u8>::new()))
        .select(table::salt)
        .distinct()
        .load(connection)?;
    let used: BTreeSet<Vec<u8>> = used.into_iter().collect();
    // All of them, even where they are too many: this is the way back.
    let salts: Vec<Vec<u8>> = blocked_salt::table
        .select(blocked_salt::salt)
        .load(connection)?;
    for salt in salts {
        if !used.contains(&salt) {
            diesel::delete(blocked_salt::table.find(salt)).execute(connection)?;
        }
    }
    Ok(())
}

/// Up to `limit` rows in the order of the key, all or those of a list.
pub(super) fn list(
    connection: &mut Connection,
    list: Option<&str>,
    limit: u32,
) -> QueryResult<Vec<Blocked>> {
    let mut query = table::table
        .select((table::value, table::salt, table::list, table::added_at))
        .order((table::value, table::salt))
        .limit(limit.into())
        .into_boxed();
    if let Some(list) = list {
        query = query.filter(table::list.eq(bounded(list, LIST_CHARS)));
    }
    query.load(connection)
}

/// How many rows there are.
pub(super) fn count(connection: &mut Connection) -> QueryResult<u64> {
    unsigned(table::table.count().get_result(connection)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_looked_for_in_each_form_and_under_each_salt() {
        let infohash = Infohash::Hybrid {
            v1: [1; 20],
            v2: [2; 32],
        };
        let entries = candidates(&infohash, &[b"salt".to_vec()]);
        // Three forms: as they are, their digests, their salted digests.
        assert_eq!(entries.len(), 9);
        for form in [&[1; 20][..], &[2; 32], &[2; 20]] {
            let digest = sha256(&[b"salt", form].concat());
            assert!(entries.contains(&BlockEntry::of_digest(digest, b"salt").unwrap()));
            assert!(entries.contains(&BlockEntry::of_digest(sha256(form), b"").unwrap()));
            assert!(entries.iter().any(|entry| entry.value == form));
        }
        assert_eq!(BlockEntry::of_digest([0; 32], &[0; 65]), None);
    }
}
