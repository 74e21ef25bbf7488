//! Runs of the commands that fetch.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::request::{Limit, Query, cursor, position};
use super::{Api, Page};
use crate::engine::timestamp;
use crate::store::CrawlSession;

/// How many.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SessionsQuery {
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
    /// The most of them: 20, if not given.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1000)]
    limit: Limit<20>,
}

/// A run of `resolve`, `crawl` or the daemon.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Session {
    /// What it is known by.
    id: String,
    /// The command: `resolve`, `crawl` or `daemon`.
    command: String,
    /// `running`, `completed`, `stopped` or `failed`.
    status: &'static str,
    /// When it began.
    #[schema(format = DateTime)]
    started_at: Option<String>,
    /// When it ended; null while it runs.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// When it was last known to live.
    #[schema(format = DateTime)]
    heartbeat_at: Option<String>,
    /// Hashes that were worked on.
    requested: u64,
    /// Those that were resolved, also by the store.
    resolved: u64,
    /// Those that were not.
    failed: u64,
    /// Those that the store answered.
    from_store: u64,
    /// Attempts at peers.
    attempts: u64,
    /// Peers that were found.
    peers: u64,
    /// Hashes for which peers were looked for.
    lookups: u64,
    /// DHT nodes that were met.
    nodes: u64,
    /// DHT queries that were sent.
    queries: u64,
    /// DHT queries that were answered.
    answers: u64,
    /// Infohashes in samples.
    samples: u64,
    /// Distinct infohashes that were discovered.
    discovered: u64,
    /// The most queries of a minute.
    peak_queries_per_minute: u64,
    /// The most hashes that were resolved in a minute.
    peak_resolved_per_minute: u64,
    /// The most memory that the process had, in KiB.
    peak_memory_kib: Option<u64>,
    /// CPU time of the process, in milliseconds.
    cpu_ms: Option<u64>,
    /// Results that could not be stored or written.
    errors: u64,
    /// Why, the last time.
    error_message: Option<String>,
}

/// The latest runs, the last one first.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "service", params(SessionsQuery),
    responses((status = 200, description = "Runs.", body = Page<Session>)))]
pub(super) async fn sessions(
    State(api): State<Api>,
    Query(query): Query<SessionsQuery>,
) -> Result<Json<Page<Session>>, Problem> {
    let after = query.cursor.as_deref().map(position).transpose()?;
    let limit = query.limit.0;
    let sessions = api
        .read_much(move |store| async move { store.sessions_after(after, limit).await })
        .await?;
    let next = sessions.last().filter(|_| sessions.len() == limit as usize);
    Ok(Json(Page {
        next: next.map(|last| cursor(last.started_at_ms, &last.id)),
        items: sessions.into_iter().map(Session::from).collect(),
    }))
}

impl From<CrawlSession> for Session {
    fn from(session: CrawlSession) -> Self {
        Self {
            status: session.status.as_str(),
            started_at: timestamp(session.started_at_ms),
            ended_at: session.ended_at_ms.and_then(timestamp),
            heartbeat_at: timestamp(session.heartbeat_at_ms),
            id: session.id,
            command: session.command,
            requested: session.requested,
            resolved: session.resolved,
            failed: session.failed,
            from_store: session.from_store,
            attempts: session.attempts,
            peers: session.peers,
            lookups: session.lookups,
            nodes: session.nodes,
            queries: session.queries,
            answers: session.answers,
            samples: session.samples,
            discovered: session.discovered,
            peak_queries_per_minute: session.peak_queries_per_minute,
            peak_resolved_per_minute: session.peak_resolved_per_minute,
            peak_memory_kib: session.peak_memory_kib,
            cpu_ms: session.cpu_ms,
            errors: session.errors,
            error_message: Some(session.error_message).filter(|why| !why.is_empty()),
        }
    }
}
