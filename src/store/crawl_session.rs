//! Table `crawl_session`: runs of the commands that fetch.
//!
//! | column | meaning |
//! |---|---|
//! | `session_id` | 32 hex digits, and the key |
//! | `command` | `resolve` or `crawl` |
//! | `started_at`, `ended_at` | when; `ended_at` is null while it runs |
//! | `heartbeat_at` | when its process last wrote this row |
//! | `status` | `running`, `completed` (all was done), `stopped` (by a signal), `failed` |
//! | `requested`, `resolved`, `failed`, `from_store` | hashes that were worked on, and what became of them |
//! | `attempts`, `peers` | attempts at peers; peers that were found for a hash, those of each hash counted |
//! | `lookups` | hashes for which peers were looked for |
//! | `nodes`, `queries`, `answers` | DHT nodes that a crawl met; its DHT queries, and those answered |
//! | `samples`, `discovered` | infohashes in samples, repeated ones too; distinct ones from any source |
//! | `peak_queries_per_minute`, `peak_resolved_per_minute` | the busiest minute |
//! | `peak_memory_kib`, `cpu_ms` | of the process; null where the system does not say |
//! | `errors`, `error_message` | results that could not be stored or written; the last reason, at most 500 characters |
//!
//! The row of a process that was killed says `running` until another one looks: see
//! [`SILENT_AFTER`].

use std::time::Duration;

use diesel::prelude::*;

use super::connection::Connection;
use super::exchange::SessionRow;
use super::pages::{At, in_steps};
use super::schema::crawl_session as table;
use super::upsert;
use super::value::{DETAIL_CHARS, bounded, clamped, millis, senseless, text, unsigned};

/// How often a process that runs writes its row.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
/// A run without a heartbeat for so long counts as failed: its process is gone. Should it be alive after
/// all, its next heartbeat says so.
pub const SILENT_AFTER: Duration = Duration::from_secs(60);

const SESSION_ID_CHARS: usize = 36;
const COMMAND_CHARS: usize = 40;

/// How a run is, or ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionStatus {
    /// It runs.
    #[default]
    Running,
    /// All that was asked for was done.
    Completed,
    /// It was told to end.
    Stopped,
    /// It could not go on, or was killed.
    Failed,
}

impl SessionStatus {
    const ALL: [Self; 4] = [Self::Running, Self::Completed, Self::Stopped, Self::Failed];

    /// The name that is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// A run of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrawlSession {
    /// What it is known by.
    pub id: String,
    /// The subcommand.
    pub command: String,
    /// When it started: UTC, milliseconds since 1970.
    pub started_at_ms: i64,
    /// When it ended; `None` while it runs.
    pub ended_at_ms: Option<i64>,
    /// When its process was last known to live.
    pub heartbeat_at_ms: i64,
    /// How it is, or ended.
    pub status: SessionStatus,
    /// Hashes that were worked on.
    pub requested: u64,
    /// Those that were resolved, also by the store.
    pub resolved: u64,
    /// Those that were not.
    pub failed: u64,
    /// Those that the store answered.
    pub from_store: u64,
    /// Attempts at peers.
    pub attempts: u64,
    /// Peers that were found.
    pub peers: u64,
    /// Hashes for which peers were looked for.
    pub lookups: u64,
    /// DHT nodes that were met.
    pub nodes: u64,
    /// DHT queries that were sent.
    pub queries: u64,
    /// DHT queries that were answered.
    pub answers: u64,
    /// Infohashes in samples.
    pub samples: u64,
    /// Distinct infohashes that were discovered.
    pub discovered: u64,
    /// The most queries of a minute.
    pub peak_queries_per_minute: u64,
    /// The most hashes that were resolved in a minute.
    pub peak_resolved_per_minute: u64,
    /// The most memory that the process had, in KiB.
    pub peak_memory_kib: Option<u64>,
    /// CPU time of the process, in milliseconds.
    pub cpu_ms: Option<u64>,
    /// Results that could not be stored or written.
    pub errors: u64,
    /// Why, the last time.
    pub error_message: String,
}

impl CrawlSession {
    /// A run that starts now, with an id of its own.
    #[must_use]
    pub fn start(command: &str, now_ms: i64) -> Self {
        Self {
            id: format!("{:032x}", rand::random::<u128>()),
            command: command.to_owned(),
            started_at_ms: now_ms,
            heartbeat_at_ms: now_ms,
            ..Self::default()
        }
    }

    fn row(&self) -> SessionRow {
        SessionRow {
            session_id: bounded(&self.id, SESSION_ID_CHARS).to_owned(),
            command: bounded(&self.command, COMMAND_CHARS).to_owned(),
            started_at: self.started_at_ms,
            ended_at: self.ended_at_ms,
            status: self.status.as_str().to_owned(),
            requested: clamped(self.requested),
            resolved: clamped(self.resolved),
            failed: clamped(self.failed),
            from_store: clamped(self.from_store),
            attempts: clamped(self.attempts),
            peers: clamped(self.peers),
            peak_memory_kib: self.peak_memory_kib.map(clamped),
            heartbeat_at: self.heartbeat_at_ms,
            nodes: clamped(self.nodes),
            queries: clamped(self.queries),
            answers: clamped(self.answers),
            samples: clamped(self.samples),
            discovered: clamped(self.discovered),
            lookups: clamped(self.lookups),
            peak_queries_per_minute: clamped(self.peak_queries_per_minute),
            peak_resolved_per_minute: clamped(self.peak_resolved_per_minute),
            cpu_ms: self.cpu_ms.map(clamped),
            errors: clamped(self.errors),
            error_message: text(&self.error_message, DETAIL_CHARS).into_owned(),
        }
    }

    fn from_row(row: SessionRow) -> QueryResult<Self> {
        let status = SessionStatus::ALL
            .into_iter()
            .find(|status| status.as_str() == row.status)
            .ok_or_else(|| senseless(format!("unknown status `{}`", row.status)))?;
        Ok(Self {
            id: row.session_id,
            command: row.command,
            started_at_ms: row.started_at,
            ended_at_ms: row.ended_at,
            heartbeat_at_ms: row.heartbeat_at,
            status,
            requested: unsigned(row.requested)?,
            resolved: unsigned(row.resolved)?,
            failed: unsigned(row.failed)?,
            from_store: unsigned(row.from_store)?,
            attempts: unsigned(row.attempts)?,
            peers: unsigned(row.peers)?,
            lookups: unsigned(row.lookups)?,
            nodes: unsigned(row.nodes)?,
            queries: unsigned(row.queries)?,
            answers: unsigned(row.answers)?,
            samples: unsigned(row.samples)?,
            discovered: unsigned(row.discovered)?,
            peak_queries_per_minute: unsigned(row.peak_queries_per_minute)?,
            peak_resolved_per_minute: unsigned(row.peak_resolved_per_minute)?,
            peak_memory_kib: row.peak_memory_kib.map(unsigned).transpose()?,
            cpu_ms: row.cpu_ms.map(unsigned).transpose()?,
            errors: unsigned(row.errors)?,
            error_message: row.error_message,
        })
    }
}

/// Makes or replaces the row of a run, and marks those as failed whose processes are gone.
pub(super) fn save(connection: &mut Connection, session: &CrawlSession) -> QueryResult<()> {
    upsert::crawl_session(connection, &session.row())?;
    fail_silent(connection, session)
}

/// They ended, as far as anybody knows, with their last heartbeat.
fn fail_silent(connection: &mut Connection, session: &CrawlSession) -> QueryResult<()> {
    let until = session.heartbeat_at_ms.saturating_sub(millis(SILENT_AFTER));
    diesel::update(
        table::table
            .filter(table::status.eq(SessionStatus::Running.as_str()))
            .filter(table::heartbeat_at.lt(until))
            .filter(table::session_id.ne(&session.id)),
    )
    .set((
        table::status.eq(SessionStatus::Failed.as_str()),
        table::ended_at.eq(table::heartbeat_at.nullable()),
        table::errors.eq(table::errors + 1),
        table::error_message.eq("interrupted: its process ended without a word"),
    ))
    .execute(connection)
    .map(drop)
}

/// Up to `limit` runs, the latest first: from the beginning, or those after the one that started at this time.
pub(super) fn latest(
    connection: &mut Connection,
    after: Option<(i64, &str)>,
    limit: u32,
) -> QueryResult<Vec<CrawlSession>> {
    let rows: Vec<SessionRow> = in_steps(after, limit, |at, left| {
        let query = table::table
            .order((table::started_at.desc(), table::session_id.desc()))
            .limit(left)
            .select(SessionRow::as_select())
            .into_boxed();
        match at {
            At::Start => query.load(connection),
            At::Among((started_at, id)) => query
                .filter(table::started_at.eq(started_at))
                .filter(table::session_id.lt(id))
                .load(connection),
            At::Behind((started_at, _)) => query
                .filter(table::started_at.lt(started_at))
                .load(connection),
        }
    })?;
    rows.into_iter().map(CrawlSession::from_row).collect()
}
