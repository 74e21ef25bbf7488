//! Torznab and RSS: what is stored, for the tools that people have.

mod xml;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::problem::Problem;
use super::request::{Amount, Limit, Query};
use super::search::{FoundTorrent, Types};
use crate::store::{TorrentQuery, TorrentSort};
use crate::torrent::ContentType;

/// The most torrents that a reader may skip: it goes on by number, where we go on from a place.
const MOST_OFFSET: u32 = 1000;

/// Pages that are read at most until there are as many as were asked for.
const PAGES: usize = 10;

/// Whether readers of this path may show their token in the URL, since they send no headers.
pub(super) fn takes_apikey(path: &str) -> bool {
    path == "/rss" || path == "/torznab/api"
}

/// What a reader of Torznab asks for. Parameters that it does not know are ignored.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TorznabQuery {
    /// `caps` for what there is; `search`, `tvsearch`, `movie`, `music` or `book` for torrents.
    #[param(example = "search")]
    t: Option<String>,
    /// Words to look for.
    q: Option<String>,
    /// Categories, with a comma between them: 2000 and 5000 video, 3000 audio, 4000 software, 7000 documents, 8000 others.
    cat: Option<String>,
    /// Of a series: the number of the season.
    season: Option<String>,
    /// Of a season: the number of the episode.
    ep: Option<String>,
    /// How many to skip, at most 1000.
    #[param(value_type = Option<i64>, minimum = 0)]
    offset: Option<Amount>,
    /// How many to tell, at most 100.
    #[param(value_type = Option<i64>, minimum = 0)]
    limit: Option<Amount>,
}

/// Torznab: what is stored, as Sonarr, Radarr, Prowlarr and others search it. A token may stand in `apikey`.
#[utoipa::path(get, path = "/torznab/api", tag = "feeds", params(TorznabQuery),
    responses((status = 200, description = "What there is (`t=caps`), torrents, or an error of Torznab.", body = String, content_type = "application/xml")))]
pub(super) async fn torznab(
    State(api): State<Api>,
    Query(query): Query<TorznabQuery>,
) -> Result<Response, Problem> {
    let text = match query.t.as_deref() {
        Some("caps") => return Ok(xml(xml::caps())),
        None => return Ok(xml(xml::error(200, "Missing parameter (t)"))),
        Some("search" | "music" | "book" | "movie") => query.q.clone().unwrap_or_default(),
        Some("tvsearch") => episode(&query),
        Some(_) => return Ok(xml(xml::error(202, "No such function"))),
    };
    let Some(content_types) = types_of(query.cat.as_deref().unwrap_or_default()) else {
        return Ok(xml(xml::error(201, "Incorrect parameter (cat)")));
    };
    let number =
        |given: Option<Amount>| given.map(|it| u32::try_from(it.get()).unwrap_or(u32::MAX));
    let offset = number(query.offset).unwrap_or_default();
    if offset > MOST_OFFSET {
        return Ok(xml(xml::error(201, "Incorrect parameter (offset)")));
    }
    let limit = number(query.limit).unwrap_or(xml::PAGE).clamp(1, xml::PAGE);
    let sort = if text.is_empty() {
        TorrentSort::ResolvedAt
    } else {
        TorrentSort::Relevance
    };
    let wanted = TorrentQuery {
        text,
        content_types,
        sort,
        limit: offset.saturating_add(limit),
        ..TorrentQuery::default()
    };
    let (items, is_more) = found(&api, wanted).await?;
    let before = items.len().min(offset as usize);
    let items = items.get(before..).unwrap_or_default();
    // As many as were seen, and one where there are more: so readers ask for the next ones.
    let total = before
        .saturating_add(items.len())
        .saturating_add(usize::from(is_more));
    Ok(xml(xml::feed(items, Some((offset, total)))))
}

/// What is to be in a feed.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RssQuery {
    /// Words to look for; without, all that is stored.
    q: Option<String>,
    /// Only these types, with a comma between them.
    #[serde(rename = "type")]
    #[param(value_type = Option<String>, example = "video,audio")]
    types: Option<Types>,
    /// The most of them: 50, if not given.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1000)]
    limit: Limit<50>,
}

/// RSS: the torrents that were resolved last. A token may stand in `apikey`.
#[utoipa::path(get, path = "/rss", tag = "feeds", params(RssQuery),
    responses((status = 200, description = "A feed.", body = String, content_type = "application/rss+xml")))]
pub(super) async fn rss(
    State(api): State<Api>,
    Query(query): Query<RssQuery>,
) -> Result<Response, Problem> {
    let wanted = TorrentQuery {
        text: query.q.unwrap_or_default(),
        content_types: query.types.map(|types| types.0).unwrap_or_default(),
        sort: TorrentSort::ResolvedAt,
        limit: query.limit.0,
        ..TorrentQuery::default()
    };
    let (items, _) = found(&api, wanted).await?;
    let media = [(header::CONTENT_TYPE, "application/rss+xml; charset=utf-8")];
    Ok((media, xml::feed(&items, None)).into_response())
}

/// The first torrents, or those words that can't be looked for find nothing: readers take errors for an outage.
/// Whether there are more, too.
async fn found(api: &Api, mut wanted: TorrentQuery) -> Result<(Vec<FoundTorrent>, bool), Problem> {
    let most = wanted.limit as usize;
    let mut found = Vec::new();
    let mut is_more = false;
    // A page may be short, or empty, though others follow.
    for _ in 0..PAGES {
        let page = match api.search(wanted.clone()).await {
            Ok(page) => page,
            Err(problem) if problem.reason() == "invalid_request" => break,
            Err(problem) => return Err(problem),
        };
        found.extend(page.items);
        wanted.after = page.next.and_then(|next| next.parse().ok());
        is_more = wanted.after.is_some() || found.len() > most;
        if wanted.after.is_none() || found.len() >= most {
            break;
        }
    }
    found.truncate(most);
    Ok((found, is_more))
}

fn xml(text: String) -> Response {
    let media = [(header::CONTENT_TYPE, "application/xml; charset=utf-8")];
    (media, text).into_response()
}

/// Words for a season and an episode, as names have them.
fn episode(query: &TorznabQuery) -> String {
    let text = query.q.as_deref().unwrap_or_default();
    let number = |given: &Option<String>| given.as_deref()?.trim().parse::<u16>().ok();
    match (number(&query.season), number(&query.ep)) {
        (Some(season), Some(episode)) => format!("{text} S{season:02}E{episode:02}"),
        (Some(season), None) => format!("{text} S{season:02}*"),
        (None, _) => text.to_owned(),
    }
}

/// The types of these categories; all, where none is named. `None` where one is no number.
fn types_of(categories: &str) -> Option<Vec<ContentType>> {
    let mut types = Vec::new();
    let numbers = categories.split(',').map(str::trim);
    for number in numbers.filter(|number| !number.is_empty()) {
        let number: u32 = number.parse().ok()?;
        let of_category: &[ContentType] = match number / 1000 {
            2 | 5 => &[ContentType::Video],
            3 => &[ContentType::Audio],
            4 => &[ContentType::Software],
            7 => &[ContentType::Document],
            8 => &[
                ContentType::Image,
                ContentType::Archive,
                ContentType::Other,
                ContentType::Unknown,
            ],
            _ => &[],
        };
        for kind in of_category {
            if !types.contains(kind) {
                types.push(*kind);
            }
        }
    }
    Some(types)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_are_types() {
        assert_eq!(types_of(""), Some(Vec::new()));
        assert_eq!(
            types_of("2000,5040,,3000"),
            Some(vec![ContentType::Video, ContentType::Audio])
        );
        assert_eq!(types_of("99999999999"), None);
        assert_eq!(types_of("x"), None);
    }

    #[test]
    fn episodes_are_words_of_names() {
        let query = |season: &str, ep: &str| TorznabQuery {
            q: Some("a show".to_owned()),
            season: Some(season.to_owned()),
            ep: Some(ep.to_owned()),
            ..TorznabQuery::default()
        };
        assert_eq!(episode(&query("1", "2")), "a show S01E02");
        assert_eq!(episode(&query("12", "")), "a show S12*");
        assert_eq!(episode(&query("", "2")), "a show");
    }
}
