//! What is known of peers.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::request::{Limit, Query};
use super::{Api, Page};
use crate::engine::timestamp;
use crate::history::PeerState;
use crate::torrent::PeerAddr;

/// Which peers.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PeersQuery {
    /// `delivered`: those that delivered, the last first. `failing`: those that failed three times in a row or more,
    /// the most first. `address`: all of them, page by page. Has no meaning with `ip`.
    #[serde(default)]
    #[param(inline)]
    sort: PeersSort,
    /// Those at this IP address only.
    #[param(value_type = Option<String>, example = "192.0.2.1")]
    ip: Option<IpAddr>,
    /// The one at this port of it.
    #[param(minimum = 1, maximum = 65535)]
    port: Option<u16>,
    /// With `sort=address`: where the page before ended, its `next`.
    cursor: Option<String>,
    /// The most of them: 100, if not given.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1000)]
    limit: Limit<100>,
}

/// An order of peers.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PeersSort {
    /// Those that delivered, the last first.
    #[default]
    Delivered,
    /// Those that fail, the most often first.
    Failing,
    /// All of them, by their addresses.
    Address,
}

/// What is known of a peer.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "they are called so in the JSON")]
pub(super) struct Peer {
    /// `IP:PORT`.
    peer: String,
    /// The name of its software, as last heard.
    client: Option<String>,
    /// When it was first tried.
    #[schema(format = DateTime)]
    first_seen_at: Option<String>,
    /// When it was last tried.
    #[schema(format = DateTime)]
    last_seen_at: Option<String>,
    /// When it last delivered.
    #[schema(format = DateTime)]
    last_delivered_at: Option<String>,
    /// How many attempts were made.
    attempts: u64,
    /// How many of them were connected.
    connections: u64,
    /// How many of them delivered.
    deliveries: u64,
    /// How many of them failed by its doing.
    failures: u64,
    /// How often it failed since it last delivered.
    failures_in_a_row: u32,
    /// Why the last attempt failed; null where it delivered.
    last_outcome: Option<String>,
    /// The arm of the last attempt.
    last_arm: &'static str,
    /// The way of the last attempt that delivered, such as `direct:tcp`.
    delivered_way: Option<&'static str>,
    /// Mean duration of the attempts that delivered, in milliseconds.
    avg_latency_ms: Option<f64>,
    /// Whether it speaks the extension protocol (BEP 10), as far as known.
    bep10_support: Option<bool>,
    /// Whether it speaks `ut_metadata` (BEP 9), as far as known.
    bep9_support: Option<bool>,
    /// Whether it talks only over encrypted connections, as far as known.
    needs_encryption: Option<bool>,
}

/// What is known of peers.
#[utoipa::path(get, path = "/api/v1/peers", tag = "service", params(PeersQuery),
    responses((status = 200, description = "Peers.", body = Page<Peer>)))]
pub(super) async fn peers(
    State(api): State<Api>,
    Query(query): Query<PeersQuery>,
) -> Result<Json<Page<Peer>>, Problem> {
    if query.port.is_some() && query.ip.is_none() {
        return Err(Problem::invalid("`port` goes with `ip`: name both"));
    }
    let limit = query.limit.0;
    let is_paged = query.ip.is_none() && matches!(query.sort, PeersSort::Address);
    let after = query
        .cursor
        .as_deref()
        .filter(|_| is_paged)
        .map(str::parse::<PeerAddr>);
    let after = after
        .transpose()
        .map_err(|_| Problem::invalid("the cursor is none: take `next` of the page before"))?;
    let (ip, port, sort) = (query.ip, query.port, query.sort);
    let peers = api.read_much(move |store| async move {
        match (ip, sort) {
            (Some(ip), _) => store.peers_at(ip, port, limit).await,
            (None, PeersSort::Delivered) => store.latest_deliverers(limit).await,
            (None, PeersSort::Address) => store.peers_after(after, limit).await,
            (None, PeersSort::Failing) => store.most_failures(limit).await,
        }
    });
    let peers = peers.await?;
    let next = peers
        .last()
        .filter(|_| is_paged && peers.len() == limit as usize);
    Ok(Json(Page {
        next: next.map(|(peer, _)| peer.to_string()),
        items: peers.into_iter().map(Peer::from).collect(),
    }))
}

impl From<(PeerAddr, PeerState)> for Peer {
    fn from((peer, state): (PeerAddr, PeerState)) -> Self {
        Self {
            peer: peer.to_string(),
            client: state.client,
            first_seen_at: timestamp(state.first_seen_at_ms),
            last_seen_at: timestamp(state.last_seen_at_ms),
            last_delivered_at: state.last_delivered_at_ms.and_then(timestamp),
            attempts: state.attempts,
            connections: state.connections,
            deliveries: state.deliveries,
            failures: state.failures,
            failures_in_a_row: state.failures_in_a_row,
            last_outcome: state.last_outcome.map(|reason| reason.to_string()),
            last_arm: state.last_arm.as_str(),
            delivered_way: state.delivered_way.map(crate::torrent::Way::as_str),
            avg_latency_ms: state.avg_latency_ms.filter(|ms| ms.is_finite()),
            bep10_support: state.bep10_support,
            bep9_support: state.bep9_support,
            needs_encryption: state.needs_encryption,
        }
    }
}
