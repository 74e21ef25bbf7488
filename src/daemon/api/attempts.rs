//! The attempts at a hash that the store still has.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::request::{HashInPath, Limit, Query, cursor, position};
use super::{Api, Page};
use crate::engine::timestamp;
use crate::history::Attempt;

/// Which attempts.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AttemptsQuery {
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
    /// The most of them: 100, if not given.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1000)]
    limit: Limit<100>,
}

/// An attempt to get the metadata of a hash from a peer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct AttemptAtPeer {
    /// When it began.
    #[schema(format = DateTime)]
    started_at: Option<String>,
    /// Whom it asked: `IP:PORT`.
    peer: String,
    /// Where we heard of the peer.
    source: &'static str,
    /// The arm that made it.
    arm: &'static str,
    /// The way it took, such as `direct:tcp`.
    way: &'static str,
    /// How far it came.
    phase: &'static str,
    /// Why it failed; null where the peer delivered.
    reason: Option<String>,
    /// The particulars.
    detail: String,
    /// Why this peer and this way were chosen.
    why: String,
    /// How long it took.
    elapsed_ms: u64,
    /// How long the connection took; null where there was none.
    connect_ms: Option<u64>,
    /// Bytes of metadata, as the peer claimed them.
    metadata_size: Option<u64>,
    /// The name of the peer's software.
    client: Option<String>,
}

/// Attempts at a hash, the latest first. They are kept for a while only.
#[utoipa::path(get, path = "/api/v1/torrents/{infohash}/attempts", tag = "torrents",
    params(("infohash" = inline(super::openapi::AnyHash), Path, description = "The hash: hex, base32 or multihash."), AttemptsQuery),
    responses((status = 200, description = "Attempts; none, where none is stored.", body = Page<AttemptAtPeer>)))]
pub(super) async fn attempts(
    State(api): State<Api>,
    HashInPath(infohash): HashInPath,
    Query(query): Query<AttemptsQuery>,
) -> Result<Json<Page<AttemptAtPeer>>, Problem> {
    let after = query.cursor.as_deref().map(position::<i64>).transpose()?;
    let limit = query.limit.0;
    let attempts = api
        .read_much(move |store| async move { store.attempts_of(&infohash, after, limit).await })
        .await?;
    let next = attempts.last().filter(|_| attempts.len() == limit as usize);
    Ok(Json(Page {
        next: next.map(|(number, attempt)| cursor(attempt.started_at_ms, number)),
        items: attempts
            .into_iter()
            .map(|(_, attempt)| AttemptAtPeer::from(attempt))
            .collect(),
    }))
}

impl From<Attempt> for AttemptAtPeer {
    fn from(attempt: Attempt) -> Self {
        let milliseconds =
            |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            started_at: timestamp(attempt.started_at_ms),
            peer: attempt.peer.to_string(),
            source: attempt.source.as_str(),
            arm: attempt.way.arm.as_str(),
            way: attempt.way.as_str(),
            phase: attempt.phase.as_str(),
            reason: attempt.outcome.map(|reason| reason.to_string()),
            detail: attempt.detail,
            why: attempt.why,
            elapsed_ms: milliseconds(attempt.duration),
            connect_ms: attempt.connect_time.map(milliseconds),
            metadata_size: attempt.metadata_size,
            client: attempt.client,
        }
    }
}
