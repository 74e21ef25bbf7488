//! Search: torrents by words of their names and of the paths of their files, by what they are, and in
//! several orders, a page at a time.
//!
//! Table `torrent_search`, one row for each resolved torrent:
//!
//! | column | meaning |
//! |---|---|
//! | `torrent_id` | the torrent; the row is deleted with it |
//! | `content_type` | by the extensions of its files, see [`ContentType`] |
//! | `size`, `files_count`, `private`, `resolved_at` | as in `torrent_metadata`, in a row that is small enough to be read by the ten thousand |
//! | `name_key` | what it is sorted by: the first 60 characters of its name, folded |
//! | `terms` | its words, on MySQL and PostgreSQL; SQLite has them in `torrent_terms`, an FTS5 index |
//!
//! Words are made by [`words`] for all databases alike, so that each only has to say which torrents have
//! them: texts are folded and split in one place, and no text of a question reaches a database's own
//! language for searches.

mod cursor;
mod index;
mod select;
mod words;

use std::collections::HashMap;

use diesel::prelude::*;

use super::connection::Connection;
use super::schema::{torrent_metadata as table, torrent_search};
use super::torrent_metadata::stored_identity;
use super::value::{senseless, unsigned};
use super::{DataError, Database, Store, StoreError, Watch, torrent_file};
use crate::torrent::{ContentType, Infohash, PeerAddr};

pub use self::cursor::{CursorError, TorrentCursor};
pub use self::index::Indexing;
use self::index::indexing;
pub(super) use self::index::{Facts, delete, index_one, index_some, is_indexing, put, unindexed};
use self::words::Question;

/// The most torrents of a page.
const MOST: u32 = 1_000;
/// Torrents that are indexed in one transaction by who waits for them.
const INDEXED_AT_ONCE: i64 = 1_000;
/// The most files of a torrent that are looked through for those that have the words.
const FILES: i64 = 2_000;

/// By what torrents are sorted.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum TorrentSort {
    /// Those first that have all words in their names, then those that have them in the paths of files too;
    /// of both, those that were stored last. Without words: like `ResolvedAt`.
    #[default]
    Relevance,
    /// The last resolved first.
    ResolvedAt,
    /// The largest first.
    Size,
    /// By name, from A to Z.
    Name,
}

impl TorrentSort {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Relevance, Self::ResolvedAt, Self::Size, Self::Name];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Relevance => "relevance",
            Self::ResolvedAt => "resolved_at",
            Self::Size => "size",
            Self::Name => "name",
        }
    }
}

/// What is looked for. [`Default`] is everything, the last resolved first, 50 to a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TorrentQuery {
    /// Words that all have to be in the name or the paths of the files, in any order, form or case, with or
    /// without diacritics. A `*` behind a word of three characters or more finds what begins with it. What
    /// is no letter and no digit separates words, and has no other meaning.
    pub text: String,
    /// Only torrents of one of these types; of any, where it is empty.
    pub content_types: Vec<ContentType>,
    /// Only torrents of so many bytes or more.
    pub min_size: Option<u64>,
    /// Only torrents of so many bytes or fewer.
    pub max_size: Option<u64>,
    /// Only torrents of so many files or more.
    pub min_files: Option<u64>,
    /// Only torrents of so many files or fewer.
    pub max_files: Option<u64>,
    /// Only private torrents (BEP 27), or only others.
    pub private: Option<bool>,
    /// Only torrents that were resolved at this time or later: UTC, milliseconds since 1970.
    pub resolved_since_ms: Option<i64>,
    /// Only torrents that were resolved before this time: UTC, milliseconds since 1970.
    pub resolved_until_ms: Option<i64>,
    /// In which order.
    pub sort: TorrentSort,
    /// The other way round; says nothing for [`TorrentSort::Relevance`] with words.
    pub reverse: bool,
    /// Where the page before ended: [`TorrentPage::next`] of the same question.
    pub after: Option<TorrentCursor>,
    /// Torrents of a page: from 1 to 1,000.
    pub limit: u32,
    /// Of how many files of each torrent to tell at most: those that have one of the words, or the first
    /// ones where no words are asked for.
    pub files: u32,
}

impl Default for TorrentQuery {
    fn default() -> Self {
        Self {
            text: String::new(),
            content_types: Vec::new(),
            min_size: None,
            max_size: None,
            min_files: None,
            max_files: None,
            private: None,
            resolved_since_ms: None,
            resolved_until_ms: None,
            sort: TorrentSort::default(),
            reverse: false,
            after: None,
            limit: 50,
            files: 0,
        }
    }
}

/// A torrent that was found. Times are UTC, in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TorrentSummary {
    /// Its hash, or both.
    pub infohash: Infohash,
    /// The name.
    pub name: String,
    /// Bytes of all files.
    pub size: u64,
    /// Bytes of a piece.
    pub piece_length: u64,
    /// How many pieces there are.
    pub pieces_count: u64,
    /// How many files there are.
    pub files_count: u64,
    /// Whether it is private (BEP 27).
    pub private: bool,
    /// By the extensions of its files.
    pub content_type: ContentType,
    /// Bytes of the info dictionary.
    pub metadata_size: u64,
    /// Tracker URLs of the magnet.
    pub trackers: Vec<String>,
    /// Which arm got it.
    pub arm: String,
    /// The peer that gave it, where it was one.
    pub peer: Option<PeerAddr>,
    /// When it was first heard of, as far as known.
    pub discovered_at_ms: i64,
    /// When it was last seen.
    pub last_seen_at_ms: i64,
    /// When it was resolved last.
    pub resolved_at_ms: i64,
    /// Path and length in bytes of the files that were asked for by [`TorrentQuery::files`].
    pub files: Vec<(String, u64)>,
}

/// A page of what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TorrentPage {
    /// The torrents, in order. They may be fewer than were asked for, or none, though others follow: a
    /// question whose filters leave out nearly all is answered in parts.
    pub torrents: Vec<TorrentSummary>,
    /// Where to go on; `None` at the end.
    pub next: Option<TorrentCursor>,
    /// Whether so many torrents have the words that only the 20,000 that were stored last were sorted.
    pub is_cut: bool,
    /// Whether torrents from before there was a search are still being indexed, and may be missing.
    pub is_indexing: bool,
}

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// The question can't be asked: what is wrong with it.
    #[error("{0}")]
    Query(String),
    /// It can't be answered.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// A page of the torrents that were resolved and are as `query` says.
    ///
    /// # Errors
    /// [`SearchError::Query`] where there is nothing to look for in a text, or too much of it, and where the
    /// cursor is of another question.
    pub async fn search(&self, query: &TorrentQuery) -> Result<TorrentPage, SearchError> {
        let question = Question::of(&query.text).map_err(SearchError::Query)?;
        if let Some(after) = &query.after
            && !after.is_of(query, &question)
        {
            let text = "the cursor is of another question: begin without one";
            return Err(SearchError::Query(text.to_owned()));
        }
        let query = query.clone();
        let page = self.read(move |connection| page_of(connection, &query, &question));
        Ok(page.await?)
    }

    /// How far the torrents from before there was a search are indexed; `None` where all are.
    pub async fn indexing(&self) -> Result<Option<Indexing>, StoreError> {
        self.read(indexing).await
    }
}

impl Database {
    /// Indexes all torrents from before there was a search that are not indexed yet. How many it looked at.
    pub fn index(&mut self, watch: &mut Watch<'_>) -> Result<u64, DataError> {
        let Some(Indexing { left, .. }) = self.read(indexing)? else {
            return Ok(0);
        };
        while self.write_politely(|connection| index_some(connection, INDEXED_AT_ONCE))? {
            let now = self.read(indexing)?;
            watch.step("torrents to be indexed", now.map_or(0, |now| now.left))?;
        }
        Ok(left)
    }
}

fn page_of(
    connection: &mut Connection,
    query: &TorrentQuery,
    question: &Question,
) -> QueryResult<TorrentPage> {
    let found = select::ids(connection, query, question)?;
    let mut torrents = summaries(connection, &found.ids)?;
    if query.files > 0 {
        for (id, torrent) in &mut torrents {
            torrent.files = files(connection, *id, query, question)?;
        }
    }
    Ok(TorrentPage {
        torrents: torrents.into_iter().map(|(_, torrent)| torrent).collect(),
        next: found.next,
        is_cut: found.is_cut,
        is_indexing: is_indexing(connection)?,
    })
}

/// A page of a question that can be asked.
#[cfg(test)]
pub(super) fn page(connection: &mut Connection, query: &TorrentQuery) -> QueryResult<TorrentPage> {
    let question = Question::of(&query.text).unwrap_or_default();
    page_of(connection, query, &question)
}

/// The files that are told of a torrent.
fn files(
    connection: &mut Connection,
    id: i64,
    query: &TorrentQuery,
    question: &Question,
) -> QueryResult<Vec<(String, u64)>> {
    let most = usize::try_from(query.files).unwrap_or(usize::MAX);
    let files = torrent_file::first_of_torrent(connection, id, FILES)?;
    let files = files.into_iter();
    Ok(files
        .filter(|(path, _)| question.is_empty() || question.touches(path))
        .take(most)
        .collect())
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = table)]
struct SummaryRow {
    id: i64,
    infohash: Vec<u8>,
    infohash_v2: Option<Vec<u8>>,
    name: String,
    size: i64,
    piece_length: i64,
    pieces_count: i64,
    files_count: i64,
    private: bool,
    metadata_size: i64,
    trackers: String,
    arm: String,
    peer: Option<String>,
    discovered_at: i64,
    last_seen_at: i64,
    resolved_at: i64,
}

/// What is told of these torrents, in their order.
fn summaries(connection: &mut Connection, ids: &[i64]) -> QueryResult<Vec<(i64, TorrentSummary)>> {
    let rows: Vec<SummaryRow> = table::table
        .filter(table::id.eq_any(ids))
        .select(SummaryRow::as_select())
        .load(connection)?;
    let types: Vec<(i64, String)> = torrent_search::table
        .filter(torrent_search::torrent_id.eq_any(ids))
        .select((torrent_search::torrent_id, torrent_search::content_type))
        .load(connection)?;
    let types: HashMap<i64, String> = types.into_iter().collect();
    let mut rows: HashMap<i64, SummaryRow> = rows.into_iter().map(|row| (row.id, row)).collect();
    // A torrent may have gone since its number was read.
    let rows = ids.iter().filter_map(|id| rows.remove(id));
    rows.map(|row| {
        let id = row.id;
        let named = types.get(&id).map_or("unknown", String::as_str);
        Ok((id, row.into_summary(named)?))
    })
    .collect()
}

impl SummaryRow {
    fn into_summary(self, content_type: &str) -> QueryResult<TorrentSummary> {
        Ok(TorrentSummary {
            infohash: stored_identity(&self.infohash, self.infohash_v2.as_deref())?,
            name: self.name,
            size: unsigned(self.size)?,
            piece_length: unsigned(self.piece_length)?,
            pieces_count: unsigned(self.pieces_count)?,
            files_count: unsigned(self.files_count)?,
            private: self.private,
            content_type: ContentType::ALL
                .into_iter()
                .find(|one| one.as_str() == content_type)
                .unwrap_or(ContentType::Unknown),
            metadata_size: unsigned(self.metadata_size)?,
            trackers: serde_json::from_str(&self.trackers).map_err(senseless)?,
            arm: self.arm,
            peer: self.peer.and_then(|peer| peer.parse().ok()),
            discovered_at_ms: self.discovered_at,
            last_seen_at_ms: self.last_seen_at,
            resolved_at_ms: self.resolved_at,
            files: Vec::new(),
        })
    }
}
