//! Search: torrents that are stored, by words, by what they are, in several orders.

use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::problem::Problem;
use super::request::{Amount, Limit, Query};
use super::torrents::{TorrentFile, magnet};
use crate::engine::timestamp;
use crate::store::{
    SearchError, TorrentCursor, TorrentPage, TorrentQuery, TorrentSort, TorrentSummary,
};
use crate::torrent::{ContentType, Infohash};

/// The most files that are told of each torrent.
const MOST_FILES: u32 = 100;

/// What is looked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchQuery {
    /// Words that all have to be in the name or in the paths of the files, in any order, form or case. A `*` behind
    /// a word of three characters or more finds what begins with it. Nothing else has a meaning of its own.
    #[param(max_length = 500)]
    q: Option<String>,
    /// Only these types, with a comma between them: `video`, `audio`, `software`, `document`, `image`, `archive`,
    /// `other`, `unknown`.
    #[serde(rename = "type")]
    #[param(value_type = Option<String>, example = "video,audio")]
    types: Option<Types>,
    /// Only torrents of so many bytes or more.
    #[param(value_type = Option<i64>, minimum = 0)]
    min_size: Option<Amount>,
    /// Only torrents of so many bytes or fewer.
    #[param(value_type = Option<i64>, minimum = 0)]
    max_size: Option<Amount>,
    /// Only torrents of so many files or more.
    #[param(value_type = Option<i64>, minimum = 0)]
    min_files: Option<Amount>,
    /// Only torrents of so many files or fewer.
    #[param(value_type = Option<i64>, minimum = 0)]
    max_files: Option<Amount>,
    /// Only private torrents, or only others.
    private: Option<bool>,
    /// Only torrents that were resolved at this time or later: RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Moment>,
    /// Only torrents that were resolved before this time: RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Moment>,
    /// In which order; `relevance`, if not given, which without words is `resolved_at`.
    #[param(inline)]
    sort: Option<Sort>,
    /// The other way round.
    reverse: Option<bool>,
    /// How many files of each torrent to tell at most, those first that have one of the words; none, if not given.
    #[param(maximum = 100)]
    files: Option<u32>,
    /// Where the page before ended: its `next`. It is of the same question, or refused.
    cursor: Option<String>,
    /// The most of them: 50, if not given.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1000)]
    limit: Limit<50>,
}

/// An order of torrents.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sort {
    /// Those first that have all words in their names.
    Relevance,
    /// The last resolved first.
    ResolvedAt,
    /// The largest first.
    Size,
    /// From A to Z.
    Name,
}

/// A torrent that was found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct FoundTorrent {
    /// The hash in hex: 40 digits of v1, or 64 of a torrent that has only v2.
    pub(super) infohash: String,
    /// The v2 hash in hex, where there is one.
    infohash_v2: Option<String>,
    /// The name, as its maker wrote it.
    pub(super) name: String,
    /// Bytes of all files.
    pub(super) size: u64,
    /// How many files there are.
    pub(super) files_count: u64,
    /// Whether it is private (BEP 27).
    pub(super) private: bool,
    /// What kind of content it has.
    #[schema(value_type = String, example = "video")]
    pub(super) content_type: ContentType,
    /// A magnet link to it.
    pub(super) magnet: String,
    /// Bytes of its dictionary.
    metadata_size: u64,
    /// When it was first heard of.
    #[schema(format = DateTime)]
    discovered_at: Option<String>,
    /// When it was resolved.
    #[schema(format = DateTime)]
    resolved_at: Option<String>,
    /// The files that were asked for by `files`.
    files: Vec<TorrentFile>,
    #[serde(skip)]
    pub(super) resolved_at_ms: i64,
}

/// A page of torrents.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct FoundPage {
    /// What was found. They may be fewer than were asked for, or none, though others follow: `next` says.
    pub(super) items: Vec<FoundTorrent>,
    /// The cursor of the next page; null where this is the last.
    pub(super) next: Option<String>,
    /// Whether so many torrents have the words that only those were sorted that were stored last.
    cut: bool,
    /// Whether older torrents are still being indexed, and may be missing.
    indexing: bool,
}

/// Searches what is stored.
#[utoipa::path(get, path = "/api/v1/torrents", tag = "torrents", params(SearchQuery),
    responses((status = 200, description = "Torrents.", body = FoundPage)))]
pub(super) async fn search(
    State(api): State<Api>,
    Query(query): Query<SearchQuery>,
) -> Result<Json<FoundPage>, Problem> {
    let files = query.files.unwrap_or_default();
    if files > MOST_FILES {
        let detail = format!("`files` is {files}: expected a whole number from 0 to {MOST_FILES}");
        return Err(Problem::invalid(detail));
    }
    let after = query.cursor.as_deref().map(str::parse::<TorrentCursor>);
    let after = after
        .transpose()
        .map_err(|_| Problem::invalid("the cursor is none: take `next` of the page before"))?;
    let page = api.search(TorrentQuery {
        text: query.q.unwrap_or_default(),
        content_types: query.types.map(|types| types.0).unwrap_or_default(),
        min_size: query.min_size.map(Amount::get),
        max_size: query.max_size.map(Amount::get),
        min_files: query.min_files.map(Amount::get),
        max_files: query.max_files.map(Amount::get),
        private: query.private,
        resolved_since_ms: query.since.map(|at| at.0),
        resolved_until_ms: query.until.map(|at| at.0),
        sort: query.sort.map_or_else(TorrentSort::default, Sort::of_store),
        reverse: query.reverse.unwrap_or_default(),
        after,
        limit: query.limit.0,
        files,
    });
    Ok(Json(page.await?))
}

impl Api {
    /// A page of torrents, without those that are blocked.
    pub(super) async fn search(&self, query: TorrentQuery) -> Result<FoundPage, Problem> {
        let page = self
            .read_much(move |store| async move { Ok(store.search(&query).await) })
            .await?;
        let TorrentPage {
            torrents,
            next,
            is_cut,
            is_indexing,
        } = page.map_err(|error| match error {
            SearchError::Query(detail) => Problem::invalid(detail),
            SearchError::Store(error) => error.into(),
        })?;
        let found: Vec<Infohash> = torrents.iter().map(|torrent| torrent.infohash).collect();
        let blocked = self.read(move |store| async move { store.blocked_among(&found).await });
        let blocked = blocked.await?;
        let shown = torrents
            .into_iter()
            .filter(|torrent| !blocked.contains(&torrent.infohash));
        let items = shown.map(FoundTorrent::from).collect();
        Ok(FoundPage {
            items,
            next: next.map(|next| next.to_string()),
            cut: is_cut,
            indexing: is_indexing,
        })
    }
}

impl Sort {
    fn of_store(self) -> TorrentSort {
        match self {
            Self::Relevance => TorrentSort::Relevance,
            Self::ResolvedAt => TorrentSort::ResolvedAt,
            Self::Size => TorrentSort::Size,
            Self::Name => TorrentSort::Name,
        }
    }
}

impl From<TorrentSummary> for FoundTorrent {
    fn from(torrent: TorrentSummary) -> Self {
        let v2 = torrent.infohash.v2();
        let files = torrent.files.into_iter();
        Self {
            infohash: torrent.infohash.to_string(),
            infohash_v2: v2.map(|v2| data_encoding::HEXLOWER.encode(v2)),
            magnet: magnet(&torrent.infohash, &torrent.name, &torrent.trackers),
            name: torrent.name,
            size: torrent.size,
            files_count: torrent.files_count,
            private: torrent.private,
            content_type: torrent.content_type,
            metadata_size: torrent.metadata_size,
            discovered_at: timestamp(torrent.discovered_at_ms),
            resolved_at: timestamp(torrent.resolved_at_ms),
            resolved_at_ms: torrent.resolved_at_ms,
            files: files
                .map(|(path, length)| TorrentFile { path, length })
                .collect(),
        }
    }
}

/// Types with commas between them.
#[derive(Clone, Debug)]
pub(super) struct Types(pub(super) Vec<ContentType>);

impl FromStr for Types {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let types = names.map(|name| {
            let known = ContentType::ALL
                .into_iter()
                .find(|kind| kind.as_str() == name);
            known.ok_or_else(|| {
                let name: String = name.chars().take(40).collect();
                let all = ContentType::ALL.map(ContentType::as_str).join(", ");
                format!("there is no type `{name}`: expected some of {all}")
            })
        });
        types.take(100).collect::<Result<_, _>>().map(Self)
    }
}

/// A time: UTC, milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(i64);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = text.parse::<jiff::Timestamp>();
        time.map(|time| Self(time.as_millisecond()))
            .map_err(|_| "expected a time such as 2026-01-31T12:00:00Z".to_owned())
    }
}

macro_rules! read_from_text {
    ($($type:ty),+) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )+};
}

read_from_text!(Types, Moment);
