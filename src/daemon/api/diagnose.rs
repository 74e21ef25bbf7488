//! Why a hash does not resolve: step by step and peer by peer.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Api;
use super::problem::Problem;
use super::request::{self, HashInPath};
use crate::engine::{Verdict, Wanted};
use crate::torrent::{PeerHint, is_tracker};

/// Diagnoses at a time: each dials as many peers as it is told.
const AT_ONCE: u32 = 4;
/// Peers and trackers that may be named.
const NAMED: usize = 100;
/// Peers whose steps are told, if it is not said.
const MOST: u16 = 12;

/// How to go about it.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Diagnose {
    /// Peers to ask, as `IP:PORT` or `HOST:PORT`.
    #[serde(default)]
    #[schema(max_items = 100)]
    peers: Vec<String>,
    /// Trackers to ask.
    #[serde(default)]
    #[schema(max_items = 100)]
    trackers: Vec<String>,
    /// Peers whose steps are told, at the most; 12, if not given.
    #[schema(minimum = 1, maximum = 200)]
    most: Option<u16>,
}

/// Finds out why a hash does not resolve: asks the DHT, then peers over TCP, each step of them told with its time, then
/// resolves it by every way there is. The answer is that of `metafetch diagnose --json`: `store`, `dht`, `peers` with
/// their `steps`, `resolution`, `resolves`, `reason`, `verdict` and `advice`.
#[utoipa::path(post, path = "/api/v1/torrents/{infohash}/diagnose", tag = "torrents",
    params(("infohash" = inline(super::openapi::AnyHash), Path, description = "The hash: hex, base32 or multihash.")),
    request_body(content = Option<Diagnose>, description = "How to go about it; nothing is needed."),
    responses((status = 200, description = "What was found out.", body = Value)))]
pub(super) async fn diagnose(
    State(api): State<Api>,
    HashInPath(infohash): HashInPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let _place = api.limits.diagnoses.take(AT_ONCE)?;
    let how: Option<Diagnose> = request::json(&api, &headers, body).await?;
    let how = how.unwrap_or_default();
    if how.peers.len() > NAMED || how.trackers.len() > NAMED {
        let detail = format!("at most {NAMED} peers and {NAMED} trackers may be named");
        return Err(Problem::invalid(detail));
    }
    let most = how.most.unwrap_or(MOST);
    if !(1..=200).contains(&most) {
        return Err(Problem::invalid(
            "`most` is not right: expected a number from 1 to 200",
        ));
    }
    let mut wanted = Wanted::from(infohash);
    for peer in &how.peers {
        let peer = peer.parse::<PeerHint>();
        wanted
            .peers
            .push(peer.map_err(|error| Problem::invalid(error.to_string()))?);
    }
    if let Some(url) = how.trackers.iter().find(|url| !is_tracker(url)) {
        let url: String = url.chars().take(100).collect();
        let detail = format!("`{url}` is no tracker: expected the URL of an HTTP or UDP tracker");
        return Err(Problem::invalid(detail));
    }
    wanted.trackers = how.trackers;
    let diagnosis = api.service.engine().diagnose(wanted, most.into()).await?;
    let verdict = Verdict::of(&diagnosis);
    Ok(Json(diagnosis.json(&verdict)))
}
