//! Lists that are read a page at a time, each page from where the one before ended: never by counting rows,
//! which would read all that come before.

use diesel::QueryResult;

use super::torrent_metadata::PendingTorrent;
use super::{
    CrawlSession, FailedFilter, FailedTorrent, Store, StoreError, crawl_session, failed_torrent,
    metadata_request, peer_state, torrent_metadata,
};
use crate::history::{Attempt, PeerState};
use crate::torrent::{Infohash, PeerAddr};

/// Where rows of an index with two columns are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum At<T> {
    /// From the beginning.
    Start,
    /// Behind a row, with the same first column.
    Among(T),
    /// With a first column that comes behind that of the row.
    Behind(T),
}

/// Up to `limit` rows after `after`: first those that begin like it, then the others. One condition for both
/// would have every database read all rows that come before.
pub(super) fn in_steps<T: Copy, R>(
    after: Option<T>,
    limit: u32,
    mut load: impl FnMut(At<T>, i64) -> QueryResult<Vec<R>>,
) -> QueryResult<Vec<R>> {
    let limit = i64::from(limit);
    let Some(after) = after else {
        return load(At::Start, limit);
    };
    let mut rows = load(At::Among(after), limit)?;
    let left = limit - i64::try_from(rows.len()).unwrap_or(limit);
    if left > 0 {
        rows.extend(load(At::Behind(after), left)?);
    }
    Ok(rows)
}

impl Store {
    /// Up to `limit` hashes that failed, the soonest to be tried again first.
    pub async fn failed_torrents(
        &self,
        filter: &FailedFilter,
        limit: u32,
    ) -> Result<Vec<(Infohash, FailedTorrent)>, StoreError> {
        self.failed_torrents_after(filter, None, limit).await
    }

    /// [`failed_torrents`](Self::failed_torrents) after the one whose [`FailedTorrent::retry_at_ms`] and
    /// whose hash these are.
    pub async fn failed_torrents_after(
        &self,
        filter: &FailedFilter,
        after: Option<(i64, Infohash)>,
        limit: u32,
    ) -> Result<Vec<(Infohash, FailedTorrent)>, StoreError> {
        let filter = filter.clone();
        self.read(move |connection| {
            let after = after.as_ref().map(|(at_ms, infohash)| (*at_ms, infohash));
            failed_torrent::list(connection, &filter, after, limit)
        })
        .await
    }

    /// Up to `limit` torrents that are known without their metadata, those that are known longest first, after
    /// the one whose [`PendingTorrent::discovered_at_ms`] and whose [`PendingTorrent::id`] these are. Reads an
    /// index.
    pub async fn pending(
        &self,
        after: Option<(i64, i64)>,
        limit: u32,
    ) -> Result<Vec<PendingTorrent>, StoreError> {
        self.read(move |connection| torrent_metadata::pending_page(connection, after, limit))
            .await
    }

    /// Up to `limit` peers, in the order of their addresses as texts, after this one.
    pub async fn peers_after(
        &self,
        after: Option<PeerAddr>,
        limit: u32,
    ) -> Result<Vec<(PeerAddr, PeerState)>, StoreError> {
        self.read(move |connection| peer_state::page(connection, after.as_ref(), limit))
            .await
    }

    /// Up to `limit` attempts at this hash, in any form of it, each with its number: the latest first, after
    /// the one whose [`Attempt::started_at_ms`] and whose number these are.
    pub async fn attempts_of(
        &self,
        infohash: &Infohash,
        after: Option<(i64, i64)>,
        limit: u32,
    ) -> Result<Vec<(i64, Attempt)>, StoreError> {
        let infohash = *infohash;
        self.read(move |connection| metadata_request::page(connection, &infohash, after, limit))
            .await
    }

    /// Up to `limit` runs, the latest first.
    pub async fn sessions(&self, limit: u32) -> Result<Vec<CrawlSession>, StoreError> {
        self.sessions_after(None, limit).await
    }

    /// [`sessions`](Self::sessions) after the one whose [`CrawlSession::started_at_ms`] and whose
    /// [`CrawlSession::id`] these are.
    pub async fn sessions_after(
        &self,
        after: Option<(i64, String)>,
        limit: u32,
    ) -> Result<Vec<CrawlSession>, StoreError> {
        self.read(move |connection| {
            let after = after.as_ref().map(|(at_ms, id)| (*at_ms, id.as_str()));
            crawl_session::latest(connection, after, limit)
        })
        .await
    }
}
