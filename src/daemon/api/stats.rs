//! How the service is: counts, rates, queue, sources, DHT, store.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::{Api, now_ms, pulse};
use crate::daemon::SourceState;
use crate::engine::timestamp;
use crate::libtorrent::DhtHealth;
use crate::store::Counts;

/// How long counts of the store are taken as they were: each looks at whole indexes.
const COUNTS_FOR: Duration = Duration::from_secs(30);

/// How the service is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Stats {
    /// Now.
    #[schema(format = DateTime)]
    at: Option<String>,
    /// The version of metafetch.
    version: &'static str,
    /// For how long it runs.
    uptime_seconds: u64,
    /// What became of hashes since the start.
    funnel: FunnelStats,
    /// What became of hashes in the last minute.
    last_minute: Tally,
    /// How many hashes failed for which reason, since the start.
    reasons: BTreeMap<String, u64>,
    /// Hashes that wait and are in work, of all sources.
    queue: QueueStats,
    /// Each source.
    sources: Vec<SourceState>,
    /// The DHT node; null where there is none.
    dht: Option<DhtStats>,
    /// The store.
    store: StoreStats,
    /// What of this API is in use.
    api: ApiStats,
}

/// What became of hashes since the start.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct FunnelStats {
    /// Hashes that were put into the queue.
    queued: u64,
    /// Hashes at which work began.
    started: u64,
    /// Tries that began to look for peers.
    lookups: u64,
    /// Peers that were found; one that has several hashes counts for each.
    peers: u64,
    /// Attempts at peers that have ended.
    attempts: u64,
    /// Hashes that were resolved.
    resolved: u64,
    /// Hashes that failed.
    failed: u64,
}

/// What became of hashes in a minute.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct Tally {
    /// Hashes that were put into the queue.
    queued: u64,
    /// Hashes at which work began.
    started: u64,
    /// Hashes that were resolved.
    resolved: u64,
    /// Hashes that failed.
    failed: u64,
}

/// Hashes of all sources.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct QueueStats {
    /// Hashes that wait.
    waiting: u64,
    /// Hashes in work.
    in_work: u64,
    /// The most hashes in work at a time.
    jobs: u64,
}

/// The DHT node.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct DhtStats {
    /// `off`, `starting`, `ready`, `degraded` or `failed`.
    state: &'static str,
    /// Nodes in its routing table.
    nodes: u64,
    /// What is wrong with it.
    problem: Option<String>,
    /// Endpoints that could not be listened at.
    listen_errors: Vec<String>,
}

/// The store.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct StoreStats {
    /// How many rows there are, at most half a minute ago; null where the store can't be asked.
    rows: Option<RowStats>,
    /// Records that wait in memory.
    queued: u64,
    /// Records that wait in journals, while the database is away.
    journal_records: u64,
    /// Bytes of the journals.
    journal_bytes: u64,
    /// Why the database can't be written to.
    problem: Option<String>,
}

/// How many rows there are.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct RowStats {
    /// Resolved torrents.
    torrents: u64,
    /// Torrents that are known without their metadata.
    pending: u64,
    /// Files of both.
    files: u64,
    /// Hashes that failed.
    failed_torrents: u64,
    /// Attempts at peers.
    attempts: u64,
    /// Peers.
    peers: u64,
    /// Rows of the blocklist.
    blocked: u64,
}

/// What of this API is in use.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct ApiStats {
    /// Listeners to events.
    listeners: u64,
    /// Batches that are streamed.
    batches: u64,
}

/// Counts of the store, and when they were taken.
#[derive(Default)]
pub(super) struct Counted(Mutex<Option<(Instant, Option<RowStats>)>>);

/// How the service is.
#[utoipa::path(get, path = "/api/v1/stats", tag = "service",
    responses((status = 200, description = "Counts, rates and states.", body = Stats)))]
pub(super) async fn stats(State(api): State<Api>) -> Json<Stats> {
    Json(api.stats().await)
}

impl Api {
    /// How the service is. Never waits for a store that is away for more than once in half a minute.
    pub(super) async fn stats(&self) -> Stats {
        let service = &self.service;
        let counted = self.pulse.counted();
        let engine = service.engine().counters();
        let sources = service.sources();
        let health = service.store().health();
        let sum = |of: fn(&SourceState) -> u64| sources.iter().map(of).fold(0, u64::saturating_add);
        let reasons = counted.reasons.iter();
        Stats {
            at: timestamp(now_ms()),
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.started.elapsed().as_secs(),
            funnel: FunnelStats {
                queued: counted.total.queued,
                started: counted.total.started,
                lookups: engine.lookups,
                peers: engine.peers,
                attempts: engine.attempts,
                resolved: counted.total.resolved,
                failed: counted.total.failed,
            },
            last_minute: counted.minute.into(),
            reasons: reasons
                .map(|(reason, count)| (reason.to_string(), *count))
                .collect(),
            queue: QueueStats {
                waiting: sum(|source| source.waiting),
                in_work: sum(|source| source.in_work),
                jobs: service.engine().options().jobs as u64,
            },
            dht: service.engine().health().map(|health| {
                let (state, nodes, problem) = match health.dht {
                    DhtHealth::Off => ("off", 0, None),
                    DhtHealth::Starting => ("starting", 0, None),
                    DhtHealth::Ready { nodes } => ("ready", nodes, None),
                    DhtHealth::Degraded { nodes, reason } => ("degraded", nodes, Some(reason)),
                    DhtHealth::Failed(reason) => ("failed", 0, Some(reason)),
                };
                DhtStats {
                    state,
                    nodes,
                    problem,
                    listen_errors: health.listen_errors,
                }
            }),
            store: StoreStats {
                rows: self.rows().await,
                queued: health.queued as u64,
                journal_records: health.journal_records,
                journal_bytes: health.journal_bytes,
                problem: health.last_error.map(|error| error.to_string()),
            },
            api: ApiStats {
                listeners: self.limits.listeners.taken() as u64,
                batches: self.limits.batches.taken() as u64,
            },
            sources,
        }
    }

    /// One at a time asks, and the others get what it got.
    async fn rows(&self) -> Option<RowStats> {
        let mut counted = self.counts.0.lock().await;
        if let Some((at, rows)) = *counted
            && at.elapsed() < COUNTS_FOR
        {
            return rows;
        }
        let rows = self
            .read_much(|store| async move { store.counts().await })
            .await;
        let rows = rows.ok().map(RowStats::from);
        *counted = Some((Instant::now(), rows));
        rows
    }
}

impl From<pulse::Tally> for Tally {
    fn from(tally: pulse::Tally) -> Self {
        Self {
            queued: tally.queued,
            started: tally.started,
            resolved: tally.resolved,
            failed: tally.failed,
        }
    }
}

impl From<Counts> for RowStats {
    fn from(counts: Counts) -> Self {
        Self {
            torrents: counts.torrents,
            pending: counts.pending,
            files: counts.files,
            failed_torrents: counts.failed_torrents,
            attempts: counts.attempts,
            peers: counts.peers,
            blocked: counts.blocked,
        }
    }
}
