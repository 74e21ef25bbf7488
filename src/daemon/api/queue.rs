//! The hashes that wait, of those sources whose hashes survive a restart.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::request::{Limit, Query};
use super::{Api, Page};
use crate::daemon::{SourceName, Standing};
use crate::engine::timestamp;
use crate::store::WantedTorrent;
use crate::torrent::Infohash;

/// Which hashes.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct QueueQuery {
    /// Whose; `api`, if not given. What the backlog and the crawl want is not in the queue until its turn comes.
    #[param(inline, value_type = Option<SourceName>)]
    source: Option<SourceName>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
    /// The most of them: 100, if not given.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1000)]
    limit: Limit<100>,
}

/// A hash that is wanted.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct QueuedHash {
    /// The hash, in hex.
    infohash: String,
    /// Who asked for it first.
    source: String,
    /// Those with a higher one go first.
    priority: i16,
    /// When it was asked for.
    #[schema(format = DateTime)]
    requested_at: Option<String>,
    /// Where it is.
    standing: Option<Standing>,
}

/// The hashes that are wanted, in the order in which they are worked on.
#[utoipa::path(get, path = "/api/v1/queue", tag = "service", params(QueueQuery),
    responses((status = 200, description = "Hashes.", body = Page<QueuedHash>)))]
pub(super) async fn queue(
    State(api): State<Api>,
    Query(query): Query<QueueQuery>,
) -> Result<Json<Page<QueuedHash>>, Problem> {
    let source = query.source.unwrap_or(SourceName::Api).as_str();
    let after = query.cursor.as_deref().map(|cursor| behind(cursor, source));
    let after = after.transpose()?;
    let limit = query.limit.0;
    let page = api
        .read_much(move |store| async move { store.wanted(source, after.as_ref(), limit).await })
        .await?;
    let next = page
        .last()
        .filter(|_| page.len() == limit as usize)
        .map(cursor);
    let items = page.into_iter().map(|wanted| QueuedHash {
        standing: standing(&api, &wanted),
        infohash: wanted.infohash.to_string(),
        source: wanted.source,
        priority: wanted.priority,
        requested_at: timestamp(wanted.requested_at_ms),
    });
    Ok(Json(Page {
        items: items.collect(),
        next,
    }))
}

/// Where a hash is that the store has a row of: what is not in memory yet waits.
pub(super) fn standing(api: &Api, wanted: &WantedTorrent) -> Option<Standing> {
    let waiting = || {
        let source = SourceName::of(&wanted.source)?;
        Some(Standing::Queued { source })
    };
    api.service.standing(&wanted.infohash).or_else(waiting)
}

fn cursor(last: &WantedTorrent) -> String {
    format!(
        "{}.{}.{}",
        last.priority, last.requested_at_ms, last.infohash
    )
}

/// The hash after which a page begins. Whatever somebody makes up is a place in the queue, or none.
fn behind(cursor: &str, source: &str) -> Result<WantedTorrent, Problem> {
    let read = || {
        let mut parts = cursor.splitn(3, '.');
        Some(WantedTorrent {
            priority: parts.next()?.parse().ok()?,
            requested_at_ms: parts.next()?.parse().ok()?,
            infohash: parts.next()?.parse::<Infohash>().ok()?,
            source: source.to_owned(),
            trackers: Vec::new(),
            peers: Vec::new(),
        })
    };
    read().ok_or_else(|| Problem::invalid("the cursor is none: take `next` of the page before"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back_and_what_is_made_up_is_refused() {
        let wanted = WantedTorrent {
            infohash: Infohash::V1([7; 20]),
            source: "api".to_owned(),
            priority: -3,
            trackers: Vec::new(),
            peers: Vec::new(),
            requested_at_ms: 1_700_000_000_000,
        };
        assert_eq!(behind(&cursor(&wanted), "api").unwrap(), wanted);
        for made_up in [
            "",
            ".",
            "..",
            "1.2",
            "1.2.x",
            "99999.0.00",
            "1.2.0707.4",
            "é.1.2",
        ] {
            assert!(behind(made_up, "api").is_err(), "{made_up}");
        }
    }
}
