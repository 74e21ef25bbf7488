//! What was never tried of the torrents that are known without their metadata.

use std::collections::HashSet;

use diesel::prelude::*;

use super::connection::Connection;
use super::schema::failed_torrent as table;
use super::torrent_metadata::{self, PendingTorrent};
use super::value::keys;
use super::{Store, StoreError};

/// Torrents of one question: each may have failed under three keys.
const CHUNK: usize = 250;

impl Store {
    /// A page of [`pending`](Self::pending) without those that have failed, and where the next one begins:
    /// `None` behind the last.
    pub async fn untried(
        &self,
        after: Option<(i64, i64)>,
        limit: u32,
    ) -> Result<(Vec<PendingTorrent>, Option<(i64, i64)>), StoreError> {
        self.read(move |connection| {
            let mut torrents = torrent_metadata::pending_page(connection, after, limit)?;
            let is_whole = u32::try_from(torrents.len()).is_ok_and(|count| count >= limit);
            let next = torrents
                .last()
                .filter(|_| is_whole)
                .map(|last| (last.discovered_at_ms, last.id));
            let failed = failed(connection, &torrents)?;
            torrents.retain(|torrent| {
                let keys = keys(&torrent.infohash);
                !keys.iter().any(|key| failed.contains(key))
            });
            Ok((torrents, next))
        })
        .await
    }
}

/// The keys under which some of these have failed.
fn failed(
    connection: &mut Connection,
    torrents: &[PendingTorrent],
) -> QueryResult<HashSet<Vec<u8>>> {
    let mut failed = HashSet::new();
    for some in torrents.chunks(CHUNK) {
        let keys = some.iter().flat_map(|torrent| keys(&torrent.infohash));
        let found: Vec<Vec<u8>> = table::table
            .filter(table::infohash.eq_any(keys.collect::<Vec<_>>()))
            .select(table::infohash)
            .load(connection)?;
        failed.extend(found);
    }
    Ok(failed)
}
