//! Hashes that failed and are left alone for a while.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Removed;
use crate::daemon::api::problem::Problem;
use crate::daemon::api::request::{self, HashInPath, Limit, Query, Wait, cursor, position};
use crate::daemon::api::{Api, Page, now_ms};
use crate::engine::timestamp;
use crate::store::{FailedFilter, FailedTorrent};
use crate::torrent::{Infohash, Reason};

/// Which failures.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FailedQuery {
    /// Those that failed for this reason, such as `no_peers`.
    #[param(value_type = Option<String>)]
    reason: Option<Reason>,
    /// Only those that cool down now: true, if not given. With false also those that may be tried again.
    cooling: Option<bool>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
    /// The most of them: 100, if not given.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1000)]
    limit: Limit<100>,
}

/// A hash that failed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct FailedHash {
    /// The hash, in hex.
    infohash: String,
    /// Why, the last time.
    #[schema(value_type = String, example = "no_peers")]
    reason: Reason,
    /// How far it came.
    phase: &'static str,
    /// The particulars.
    detail: String,
    /// How often in a row.
    failures: u32,
    /// When, the last time.
    #[schema(format = DateTime)]
    failed_at: Option<String>,
    /// When it is worth another try; null for never.
    #[schema(format = DateTime)]
    retry_at: Option<String>,
    /// The same in seconds from now; null for never.
    seconds_left: Option<u64>,
}

/// Hashes that failed, the soonest to be tried again first.
#[utoipa::path(get, path = "/admin/failed-torrents", tag = "admin", params(FailedQuery),
    responses((status = 200, description = "Hashes.", body = Page<FailedHash>)))]
pub(super) async fn list(
    State(api): State<Api>,
    Query(query): Query<FailedQuery>,
) -> Result<Json<Page<FailedHash>>, Problem> {
    let now_ms = now_ms();
    let filter = FailedFilter {
        reason: query.reason,
        cooling_at_ms: query.cooling.unwrap_or(true).then_some(now_ms),
        ..FailedFilter::default()
    };
    let after = query.cursor.as_deref().map(position).transpose()?;
    let limit = query.limit.0;
    let failed = api
        .read_much(
            move |store| async move { store.failed_torrents_after(&filter, after, limit).await },
        )
        .await?;
    let next = failed.last().filter(|_| failed.len() == limit as usize);
    Ok(Json(Page {
        next: next.map(|(infohash, failed)| cursor(failed.retry_at_ms, infohash)),
        items: failed
            .into_iter()
            .map(|(infohash, failed)| FailedHash::new(&infohash, failed, now_ms))
            .collect(),
    }))
}

impl FailedHash {
    fn new(infohash: &Infohash, failed: FailedTorrent, now_ms: i64) -> Self {
        let left = failed.retry_at_ms.saturating_sub(now_ms).max(0);
        let is_never = failed.retry_at_ms == i64::MAX;
        Self {
            infohash: infohash.to_string(),
            reason: failed.reason,
            phase: failed.phase.as_str(),
            detail: failed.detail,
            failures: failed.failures,
            failed_at: timestamp(failed.failed_at_ms),
            retry_at: timestamp(failed.retry_at_ms),
            seconds_left: (!is_never).then_some(left.unsigned_abs().div_ceil(1000)),
        }
    }
}

/// Forgets that a hash failed: it is tried again when it is asked for.
#[utoipa::path(delete, path = "/admin/failed-torrents/{infohash}", tag = "admin",
    params(("infohash" = inline(crate::daemon::api::openapi::AnyHash), Path, description = "The hash: hex, base32 or multihash.")),
    responses(
        (status = 204, description = "It is forgotten."),
        (status = 404, description = "`not_found`: it had not failed.", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn remove(
    State(api): State<Api>,
    HashInPath(infohash): HashInPath,
) -> Result<StatusCode, Problem> {
    let missing = api.service.store().remove_failed(&[infohash]).await?;
    if missing.is_empty() {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("it is not among the failed hashes").about(&infohash))
    }
}

/// Which failures are forgotten.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Clear {
    /// Those that failed for this reason, such as `no_peers`.
    #[schema(value_type = Option<String>, example = "no_peers")]
    reason: Option<Reason>,
    /// Those that failed so long ago, or longer.
    older_than: Option<Wait>,
    /// All of them; without it, one of the others is needed.
    #[serde(default)]
    all: bool,
}

/// Forgets failures: those that pass the filters, or all.
#[utoipa::path(post, path = "/admin/failed-torrents/clear", tag = "admin", request_body = Clear,
    responses((status = 200, description = "How many were forgotten.", body = Removed)))]
pub(super) async fn clear(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Removed>, Problem> {
    let clear: Clear = request::json(&api, &headers, body).await?;
    let is_filtered = clear.reason.is_some() || clear.older_than.is_some();
    if clear.all == is_filtered {
        let detail =
            "name a `reason`, an `older_than` or both; or say `\"all\": true`, and nothing else";
        return Err(Problem::invalid(detail));
    }
    let before = |age: Duration| {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        now_ms().saturating_sub(age)
    };
    let filter = FailedFilter {
        reason: clear.reason,
        failed_before_ms: clear.older_than.map(|age| before(age.0)),
        ..FailedFilter::default()
    };
    let removed = api.service.store().clear_failed(&filter).await?;
    tracing::info!("{removed} failures were forgotten, as somebody asked by the API");
    Ok(Json(Removed { removed }))
}
