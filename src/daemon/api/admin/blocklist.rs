//! Hashes that are never fetched or shown.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Removed;
use crate::daemon::api::problem::Problem;
use crate::daemon::api::request::{self, HashInPath, Limit, Query};
use crate::daemon::api::{Api, Page, now_ms};
use crate::engine::timestamp;
use crate::store::{BlockEntry, Blocked};
use crate::torrent::Infohash;

/// The list of what is blocked without naming one.
const LIST: &str = "api";
/// The longest name of a list, in characters.
const MAX_LIST: usize = 100;

/// Which rows.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BlocklistQuery {
    /// Those of this list.
    list: Option<String>,
    /// The most of them: 100, if not given.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1000)]
    limit: Limit<100>,
}

/// A row of the blocklist.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct BlockedHash {
    /// The v1 hash, in hex; null for what may be a digest.
    infohash: Option<String>,
    /// SHA-256 of the salt and a hash, or a v2 hash, in hex; null for a v1 hash.
    digest: Option<String>,
    /// The salt of the digest, in hex; empty where there is none.
    salt: String,
    /// The list that it came with.
    list: String,
    /// When it was added.
    #[schema(format = DateTime)]
    blocked_at: Option<String>,
}

/// What is blocked.
#[utoipa::path(get, path = "/admin/blocklist", tag = "admin", params(BlocklistQuery),
    responses((status = 200, description = "Rows.", body = Page<BlockedHash>)))]
pub(super) async fn list(
    State(api): State<Api>,
    Query(query): Query<BlocklistQuery>,
) -> Result<Json<Page<BlockedHash>>, Problem> {
    let rows = api
        .read_much(
            move |store| async move { store.blocked(query.list.as_deref(), query.limit.0).await },
        )
        .await?;
    Ok(Json(Page {
        items: rows.into_iter().map(BlockedHash::from).collect(),
        next: None,
    }))
}

impl From<Blocked> for BlockedHash {
    fn from(row: Blocked) -> Self {
        let value = HEXLOWER.encode(&row.value);
        let (infohash, digest) = if row.value.len() == 20 && row.salt.is_empty() {
            (Some(value), None)
        } else {
            (None, Some(value))
        };
        Self {
            infohash,
            digest,
            salt: HEXLOWER.encode(&row.salt),
            list: row.list,
            blocked_at: timestamp(row.added_at_ms),
        }
    }
}

/// What to block.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Block {
    /// Hashes in any form.
    #[schema(min_items = 1, value_type = Vec<super::super::openapi::AnyHash>)]
    hashes: Vec<String>,
    /// The list that they are on; `api`, if not given.
    #[schema(min_length = 1, max_length = 100)]
    list: Option<String>,
}

/// How many rows were added.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct Added {
    /// A hash takes up to three rows, one for each form of it; those that were there are not counted.
    added: u64,
}

/// Blocks hashes: nothing of them is fetched or shown from now on.
#[utoipa::path(post, path = "/admin/blocklist", tag = "admin", request_body = Block,
    responses((status = 200, description = "How many rows were added.", body = Added)))]
pub(super) async fn add(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Added>, Problem> {
    let block: Block = request::json(&api, &headers, body).await?;
    if block.hashes.is_empty() {
        return Err(Problem::invalid("`hashes` is empty: name one at least"));
    }
    let list = block.list.as_deref().unwrap_or(LIST);
    let is_name =
        !list.is_empty() && list.chars().count() <= MAX_LIST && !list.chars().any(char::is_control);
    if !is_name {
        let detail = format!(
            "`list` is not right: expected 1 to {MAX_LIST} characters, none of them a control character"
        );
        return Err(Problem::invalid(detail));
    }
    let mut entries = Vec::new();
    for hash in &block.hashes {
        let hash = hash.parse::<Infohash>();
        let hash = hash.map_err(|error| Problem::invalid(error.to_string()))?;
        entries.extend(BlockEntry::of_hash(&hash));
    }
    let added = api.service.store().block(entries, list, now_ms()).await?;
    tracing::info!(
        "{added} rows were added to the blocklist `{list}`, as somebody asked by the API"
    );
    Ok(Json(Added { added }))
}

/// Takes a hash off all lists.
#[utoipa::path(delete, path = "/admin/blocklist/{infohash}", tag = "admin",
    params(("infohash" = inline(crate::daemon::api::openapi::AnyHash), Path, description = "The hash: hex, base32 or multihash.")),
    responses(
        (status = 204, description = "It is off all lists."),
        (status = 404, description = "`not_found`: it was not blocked.", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn remove(
    State(api): State<Api>,
    HashInPath(infohash): HashInPath,
) -> Result<StatusCode, Problem> {
    let missing = api.service.store().unblock(&[infohash]).await?;
    if missing.is_empty() {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("it was not blocked").about(&infohash))
    }
}

/// Which list.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Its name.
    list: String,
}

/// Takes all off the blocklist that came with a list.
#[utoipa::path(delete, path = "/admin/blocklist", tag = "admin", params(ListQuery),
    responses((status = 200, description = "How many rows were removed.", body = Removed)))]
pub(super) async fn remove_list(
    State(api): State<Api>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Removed>, Problem> {
    let removed = api.service.store().unblock_list(&query.list).await?;
    Ok(Json(Removed { removed }))
}
