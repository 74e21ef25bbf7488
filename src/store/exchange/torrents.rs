//! Torrents with their dictionaries: pages of bounded size, and the rest that [`Keyed`] and [`Aged`] ask
//! for.

use diesel::prelude::*;

use super::keyed::{Aged, Keyed, Portable};
use super::rows::TorrentRow;
use crate::store::connection::Connection;
use crate::store::schema::torrent_metadata as table;
use crate::store::torrent_metadata::inflate;

/// The most torrents of a page.
const ROWS: i64 = 256;
/// How many bytes of dictionaries a page has at most, where it has more than one.
const BYTES: i64 = 4 << 20;

/// The torrents after this row that were last seen before `before`, in the order of their ids: some MiB
/// at most, and at least one where there is one. A dictionary may have 10 MiB, so a count of rows alone
/// would bound nothing.
fn page(connection: &mut Connection, after: i64, before: i64) -> QueryResult<Vec<TorrentRow>> {
    let wanted = || {
        table::table
            .filter(table::id.gt(after))
            .filter(table::last_seen_at.lt(before))
            .order(table::id)
    };
    let sizes: Vec<(i64, i64)> = wanted()
        .limit(ROWS)
        .select((table::id, table::metadata_size))
        .load(connection)?;
    let mut bytes = 0_i64;
    let fitting = sizes.iter().take_while(|(_, size)| {
        let is_first = bytes == 0;
        bytes = bytes.saturating_add((*size).max(1));
        is_first || bytes <= BYTES
    });
    let Some((last, _)) = fitting.last() else {
        return Ok(Vec::new());
    };
    let rows = wanted()
        .filter(table::id.le(last))
        .select(TorrentRow::as_select())
        .load(connection)?;
    Ok(rows.into_iter().map(TorrentRow::inflated).collect())
}

impl TorrentRow {
    /// The row as it is read, with its dictionary as it came. One that can't be decompressed is left as
    /// it is: it has not the hash then, and that is found out wherever dictionaries are checked.
    pub(in crate::store) fn inflated(mut self) -> Self {
        if self.info_deflated
            && let Ok(info) = inflate(&self.info, self.metadata_size)
        {
            self.info = info;
        }
        self.info_deflated = false;
        self
    }

    /// The next page after the row with this id.
    pub(in crate::store) fn page_after(
        connection: &mut Connection,
        after: i64,
    ) -> QueryResult<Vec<Self>> {
        page(connection, after, i64::MAX)
    }
}

impl Keyed for TorrentRow {
    /// Pages are bounded by their bytes; `limit` is not needed.
    fn page(
        connection: &mut Connection,
        after: Option<&Self>,
        _limit: i64,
    ) -> QueryResult<Vec<Self>> {
        page(connection, after.map_or(i64::MIN, |row| row.id), i64::MAX)
    }

    /// Its files go with it.
    fn delete(&self, connection: &mut Connection) -> QueryResult<usize> {
        diesel::delete(table::table.find(self.id)).execute(connection)
    }
}

impl Portable for TorrentRow {
    fn stored(&self, connection: &mut Connection) -> QueryResult<Option<Self>> {
        let row: Option<Self> = table::table
            .filter(table::infohash.eq(&self.infohash))
            .select(Self::as_select())
            .first(connection)
            .optional()?;
        Ok(row.map(Self::inflated))
    }

    fn insert(&self, connection: &mut Connection) -> QueryResult<()> {
        diesel::insert_into(table::table)
            .values(self)
            .execute(connection)
            .map(drop)
    }
}

impl Aged for TorrentRow {
    /// Every torrent may be asked for again: none is useless.
    fn old_page(
        connection: &mut Connection,
        after: Option<&Self>,
        (before, _useless): (i64, bool),
        _limit: i64,
    ) -> QueryResult<Vec<Self>> {
        page(connection, after.map_or(i64::MIN, |row| row.id), before)
    }

    fn count_old(connection: &mut Connection, before: i64, _useless: bool) -> QueryResult<i64> {
        table::table
            .filter(table::last_seen_at.lt(before))
            .count()
            .get_result(connection)
    }

    fn time_of(
        connection: &mut Connection,
        skipped: i64,
        _useless: bool,
    ) -> QueryResult<Option<i64>> {
        table::table
            .select(table::last_seen_at)
            .order(table::last_seen_at)
            .offset(skipped)
            .limit(1)
            .first(connection)
            .optional()
    }

    fn time(&self) -> i64 {
        self.last_seen_at
    }
}
