//! The rows that torrents are searched by, made with each torrent; and those of torrents from before there
//! was a search, some at a time, by the writer while it has nothing else to do.
//!
//! How far that came stands in `import_progress`, as of the source `torrent_metadata` into the table
//! `torrent_search`, until all is done.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};

use super::cursor::NAME_KEY_CHARS;
use super::words::{Words, folded};
use crate::store::connection::Connection;
use crate::store::schema::{import_progress, torrent_metadata, torrent_search};
use crate::store::torrent_file;
use crate::store::value::{bounded, unsigned};
use crate::torrent::ContentType;

const SOURCE: &str = "torrent_metadata";
const INDEX: &str = "torrent_search";
/// The most files of one torrent that are read again to index it.
const FILES: i64 = 100_000;

/// What a torrent is searched by, beside its words.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Facts {
    pub(in crate::store) size: i64,
    pub(in crate::store) files_count: i64,
    pub(in crate::store) private: bool,
    pub(in crate::store) resolved_at: i64,
}

/// How far the torrents from before there was a search are indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indexing {
    /// Torrents that were looked at.
    pub done: u64,
    /// Torrents that are still to be looked at, as far as they can be counted at once.
    pub left: u64,
}

diesel::table! {
    /// The words of torrents in SQLite. `terms` can be written, and not read.
    torrent_terms (rowid) {
        rowid -> BigInt,
        terms -> Text,
    }
}

/// A statement with the values that both servers get in the same order.
macro_rules! insert_facts {
    ($sql:expr, $id:expr, $content_type:expr, $facts:expr) => {
        diesel::sql_query($sql)
            .bind::<BigInt, _>($id)
            .bind::<Text, _>($content_type)
            .bind::<BigInt, _>($facts.size)
            .bind::<BigInt, _>($facts.files_count)
            .bind::<Bool, _>($facts.private)
            .bind::<BigInt, _>($facts.resolved_at)
    };
}

/// Makes the row of a torrent that has none.
pub(in crate::store) fn put<'a>(
    connection: &mut Connection,
    id: i64,
    name: &str,
    paths: impl Iterator<Item = &'a str> + Clone,
    facts: Facts,
) -> QueryResult<()> {
    let content_type = ContentType::of_paths(paths.clone()).as_str();
    let words = Words::of(name, paths);
    let name_key = bounded(&folded(name), NAME_KEY_CHARS).to_owned();
    match connection {
        Connection::Sqlite(connection) => {
            diesel::insert_into(torrent_search::table)
                .values((
                    torrent_search::torrent_id.eq(id),
                    torrent_search::content_type.eq(content_type),
                    torrent_search::size.eq(facts.size),
                    torrent_search::files_count.eq(facts.files_count),
                    torrent_search::private.eq(facts.private),
                    torrent_search::resolved_at.eq(facts.resolved_at),
                    torrent_search::name_key.eq(name_key),
                ))
                .execute(connection)?;
            diesel::insert_into(torrent_terms::table)
                .values((
                    torrent_terms::rowid.eq(id),
                    torrent_terms::terms.eq(words.plain()),
                ))
                .execute(connection)?;
        }
        Connection::Mysql(connection) => {
            let insert = "INSERT INTO torrent_search (torrent_id, content_type, size, files_count, private, \
                 resolved_at, name_key, terms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
            insert_facts!(insert, id, content_type, facts)
                .bind::<Text, _>(name_key)
                .bind::<Text, _>(words.mysql())
                .execute(connection)?;
        }
        Connection::Postgres(connection) => {
            let insert = "INSERT INTO torrent_search (torrent_id, content_type, size, files_count, private, \
                 resolved_at, name_key, terms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8::tsvector)";
            insert_facts!(insert, id, content_type, facts)
                .bind::<Text, _>(name_key)
                .bind::<Text, _>(words.plain())
                .execute(connection)?;
        }
    }
    Ok(())
}

/// Deletes the row of a torrent, if it has one.
pub(in crate::store) fn delete(connection: &mut Connection, id: i64) -> QueryResult<()> {
    diesel::delete(torrent_search::table.find(id))
        .execute(connection)
        .map(drop)
}

/// How far the torrents from before there was a search are indexed; `None` where all are.
pub(in crate::store) fn indexing(connection: &mut Connection) -> QueryResult<Option<Indexing>> {
    let Some((last, done)) = progress(connection)? else {
        return Ok(None);
    };
    let left = torrent_metadata::table
        .filter(torrent_metadata::id.gt(last))
        .count()
        .get_result(connection)?;
    Ok(Some(Indexing {
        done: unsigned(done)?,
        left: unsigned(left)?,
    }))
}

/// Whether some of them are not.
pub(in crate::store) fn is_indexing(connection: &mut Connection) -> QueryResult<bool> {
    Ok(progress(connection)?.is_some())
}

/// Resolved torrents after this number that have no row, though they should: up to `limit`.
pub(in crate::store) fn unindexed(
    connection: &mut Connection,
    after: i64,
    limit: i64,
) -> QueryResult<Vec<i64>> {
    use torrent_metadata as table;
    if is_indexing(connection)? {
        return Ok(Vec::new());
    }
    table::table
        .left_join(torrent_search::table.on(torrent_search::torrent_id.eq(table::id)))
        .filter(torrent_search::torrent_id.is_null())
        .filter(table::id.gt(after))
        .filter(table::metadata_size.gt(0))
        .order(table::id)
        .limit(limit)
        .select(table::id)
        .load(connection)
}

/// Makes the row of a torrent that should have one.
pub(in crate::store) fn index_one(connection: &mut Connection, id: i64) -> QueryResult<()> {
    delete(connection, id)?;
    let torrent: Option<Unindexed> = torrent_metadata::table
        .find(id)
        .filter(torrent_metadata::metadata_size.gt(0))
        .select(Unindexed::as_select())
        .first(connection)
        .optional()?;
    torrent.map_or(Ok(()), |torrent| torrent.index(connection))
}

/// The last torrent that was looked at, and how many were.
fn progress(connection: &mut Connection) -> QueryResult<Option<(i64, i64)>> {
    import_progress::table
        .find((SOURCE, INDEX))
        .select((import_progress::last_id, import_progress::rows_read))
        .first(connection)
        .optional()
}

/// Indexes up to `most` torrents that have no row yet. Whether others are left.
pub(in crate::store) fn index_some(connection: &mut Connection, most: i64) -> QueryResult<bool> {
    use torrent_metadata as table;
    let Some((last, done)) = progress(connection)? else {
        return Ok(false);
    };
    let row = import_progress::table.find((SOURCE, INDEX));
    let page: Vec<Unindexed> = table::table
        .filter(table::id.gt(last))
        .order(table::id)
        .limit(most)
        .select(Unindexed::as_select())
        .load(connection)?;
    let Some(end) = page.last().map(|torrent| torrent.id) else {
        diesel::delete(row).execute(connection)?;
        return Ok(false);
    };
    let ids: Vec<i64> = page.iter().map(|torrent| torrent.id).collect();
    let indexed: Vec<i64> = torrent_search::table
        .filter(torrent_search::torrent_id.eq_any(ids))
        .select(torrent_search::torrent_id)
        .load(connection)?;
    for torrent in &page {
        if torrent.metadata_size > 0 && !indexed.contains(&torrent.id) {
            torrent.index(connection)?;
        }
    }
    diesel::update(row)
        .set((
            import_progress::last_id.eq(end),
            import_progress::rows_read
                .eq(done.saturating_add(i64::try_from(page.len()).unwrap_or(i64::MAX))),
        ))
        .execute(connection)?;
    Ok(true)
}

/// A torrent that may have no row.
#[derive(Queryable, Selectable)]
#[diesel(table_name = torrent_metadata)]
struct Unindexed {
    id: i64,
    name: String,
    size: i64,
    files_count: i64,
    private: bool,
    /// 0 while it is pending.
    metadata_size: i64,
    resolved_at: i64,
}

impl Unindexed {
    fn index(&self, connection: &mut Connection) -> QueryResult<()> {
        let files = torrent_file::first_of_torrent(connection, self.id, FILES)?;
        let facts = Facts {
            size: self.size,
            files_count: self.files_count,
            private: self.private,
            resolved_at: self.resolved_at,
        };
        let paths = files.iter().map(|(path, _)| path.as_str());
        put(connection, self.id, &self.name, paths, facts)
    }
}
