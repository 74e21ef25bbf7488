//! `/healthz`: is the process alive? `/readyz`: can it do its work, and what stands in the way of it?
//!
//! Both may be asked by anybody, so they name neither paths nor hosts: the log and `metafetch doctor` do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::heartbeat::{self, Stuck};
use super::service::Service;
use super::source::SourceState;
use crate::libtorrent::{DhtHealth, Health};
use crate::store::disk::{self, LITTLE, TOO_LITTLE};
use crate::store::{Store, StoreError, StoreHealth};

/// How long the database and the disk may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// For how long what was seen is told.
const HOLDS_FOR: Duration = Duration::from_secs(1);

/// How a part of the service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It is not in use.
    Off,
    /// Nothing is wrong.
    Ok,
    /// It works, but something should be done.
    Degraded,
    /// It does not work: hashes are not resolved, or not stored, for as long as that lasts.
    Failed,
}

/// A part of the service, and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Part {
    /// `store`, `dht`, `disk`, `queue`, `ports` or `loops`.
    #[schema(value_type = String)]
    pub part: &'static str,
    /// How it is.
    pub condition: Condition,
    /// What was seen.
    pub reason: String,
    /// What to do about it, where something can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<&'static str>,
}

/// Whether the service can do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Readiness {
    /// Whether no part has failed.
    pub ready: bool,
    /// Each part.
    pub parts: Vec<Part>,
}

/// Whether the process is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Liveness {
    /// Whether all its loops go round.
    pub alive: bool,
    /// Those that do not.
    pub stuck: Vec<Stuck>,
}

impl Part {
    fn new(part: &'static str, condition: Condition, reason: impl Into<String>) -> Self {
        Self {
            part,
            condition,
            reason: reason.into(),
            advice: None,
        }
    }

    fn advised(self, advice: &'static str) -> Self {
        Self {
            advice: Some(advice),
            ..self
        }
    }
}

/// `GET /healthz` and `GET /readyz`.
pub fn router(service: Service) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(Probe::new(service))
}

/// Whether the process is alive. Fails only where it is stuck, and a restart is all that helps: that the database or the
/// network is away is no reason.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    responses(
        (status = 200, description = "It is alive", body = Liveness),
        (status = 503, description = "A loop of it is stuck", body = Liveness),
    )
)]
pub async fn healthz() -> Response {
    let liveness = liveness();
    answer(liveness.alive, Json(liveness))
}

/// Whether the service can do its work, and what is wrong with each part.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, description = "No part has failed", body = Readiness),
        (status = 503, description = "A part has failed", body = Readiness),
    )
)]
pub async fn readyz(State(probe): State<Probe>) -> Response {
    let readiness = probe.readiness().await;
    answer(readiness.ready, Json(readiness))
}

/// One look at the service for all who ask: nobody has to be let in for that, so it must not cost more the more ask.
/// Clones share it.
#[derive(Clone)]
pub struct Probe {
    service: Service,
    last: Arc<Mutex<Option<(Instant, Readiness)>>>,
}

impl Probe {
    fn new(service: Service) -> Self {
        Self {
            service,
            last: Arc::default(),
        }
    }

    /// What was seen a moment ago, or is now.
    async fn readiness(&self) -> Readiness {
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if let Some((at, readiness)) = &*last
            && at.elapsed() < HOLDS_FOR
        {
            return readiness.clone();
        }
        let service = self.service.clone();
        // A client that goes away does not end it, and the next one does not begin another.
        let look = tokio::spawn(async move {
            let readiness = readiness(&service).await;
            *last = Some((Instant::now(), readiness.clone()));
            readiness
        });
        look.await.unwrap_or_else(|_| {
            let reason = "the service is stopping, or has a fault: the log has the particulars";
            Readiness {
                ready: false,
                parts: vec![Part::new("loops", Condition::Failed, reason)],
            }
        })
    }
}

fn answer<T: Serialize>(is_well: bool, body: Json<T>) -> Response {
    let status = if is_well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, [(header::CACHE_CONTROL, "no-store")], body).into_response()
}

/// Whether the process is alive.
#[must_use]
pub fn liveness() -> Liveness {
    let stuck = heartbeat::stuck();
    Liveness {
        alive: stuck.is_empty(),
        stuck,
    }
}

/// How each part of the service is.
pub async fn readiness(service: &Service) -> Readiness {
    let store = service.store();
    let directory = store.directory().to_owned();
    let free = tokio::task::spawn_blocking(move || disk::free(&directory));
    let (read, free) = tokio::join!(read(store), timeout(ANSWERS_WITHIN, free));
    let free = match free {
        Ok(Ok(free)) => free.map_err(|error| error.kind().to_string()),
        Ok(Err(_)) => Err("the look at it was cut short".to_owned()),
        Err(_) => Err("it does not answer".to_owned()),
    };
    let engine = service.engine();
    let health = engine.health();
    let is_away = engine.dht().is_some_and(|dht| dht.is_away());
    let wants_dht = engine.options().dht;
    let parts = vec![
        store_part(&store.health(), read),
        disk_part(free),
        dht_part(wants_dht, is_away, health.as_ref()),
        ports_part(health.as_ref()),
        queue_part(&service.sources()),
        loops_part(&heartbeat::stuck()),
    ];
    let failed = |part: &Part| part.condition == Condition::Failed;
    Readiness {
        ready: !parts.iter().any(failed),
        parts,
    }
}

/// Whether the database can be read.
async fn read(store: &Store) -> Result<(), String> {
    match timeout(ANSWERS_WITHIN, store.size()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(plain(&error).to_owned()),
        Err(_) => Err(format!(
            "no answer within {} seconds",
            ANSWERS_WITHIN.as_secs()
        )),
    }
}

/// What is wrong, without a path, a host or a user.
fn plain(error: &StoreError) -> &'static str {
    match error {
        StoreError::ReadOnly { .. } => "it is read-only",
        StoreError::Locked { .. } => "another process holds its lock",
        StoreError::Unreachable { .. } => "its server can't be reached",
        StoreError::ConnectionLost { .. } => "the connection to its server was lost",
        StoreError::AccessDenied { .. } => "its server refuses access",
        StoreError::Full { .. } => "the disk is full, or the limit of the database",
        StoreError::Corrupt { .. } => "it is damaged",
        StoreError::Io { .. } => "it can't be read or written",
        StoreError::Busy { .. } => "it is too busy",
        StoreError::Closed => "it is closed",
        _ => "it does not work",
    }
}

fn store_part(health: &StoreHealth, read: Result<(), String>) -> Part {
    let part = |condition, reason: String| Part::new("store", condition, reason);
    let waiting = health.journal_records;
    match (&health.last_error, read) {
        (None, Ok(())) if waiting == 0 => part(
            Condition::Ok,
            "the database can be read and written".to_owned(),
        ),
        (None, Ok(())) => part(
            Condition::Degraded,
            format!("the database is back; {waiting} records of its journal are being stored"),
        ),
        (Some(error), _) if health.journal.is_some() && waiting > 0 => part(
            Condition::Degraded,
            format!(
                "the database can't be written to, since {}; {waiting} records wait in the journal \
                 ({} bytes), and nothing is lost",
                plain(error),
                health.journal_bytes
            ),
        )
        .advised(
            "bring the database back: the journal is stored by itself. The log and `metafetch doctor` \
             have the particulars",
        ),
        (Some(error), _) => part(
            Condition::Failed,
            format!("the database can't be written to, since {}", plain(error)),
        )
        .advised("bring the database back; the log and `metafetch doctor` have the particulars"),
        (None, Err(error)) => part(
            Condition::Failed,
            format!("the database can't be read: {error}"),
        )
        .advised("bring the database back; the log and `metafetch doctor` have the particulars"),
    }
}

fn disk_part(free: Result<Option<u64>, String>) -> Part {
    let part = |condition, reason: String| Part::new("disk", condition, reason);
    let advice = "free some space, or keep the database small: `store.size_limit`, `metafetch db prune --max-size`";
    match free {
        Ok(None) => part(
            Condition::Ok,
            "the file system does not say how much is free".to_owned(),
        ),
        Ok(Some(free)) => {
            let reason = format!("{} free", bytesize::ByteSize(free));
            if free < TOO_LITTLE {
                part(Condition::Failed, reason).advised(advice)
            } else if free < LITTLE {
                part(Condition::Degraded, reason).advised(advice)
            } else {
                part(Condition::Ok, reason)
            }
        }
        Err(error) => part(
            Condition::Failed,
            format!("the disk can't be looked at: {error}"),
        )
        .advised("check the disk and its mount"),
    }
}

fn dht_part(is_wanted: bool, is_away: bool, health: Option<&Health>) -> Part {
    let part = |condition, reason: String| Part::new("dht", condition, reason);
    if !is_wanted {
        return part(Condition::Off, "the DHT is not to be asked".to_owned());
    }
    let Some(health) = health else {
        return part(
            Condition::Failed,
            "libtorrent, which has the DHT node, did not start".to_owned(),
        )
        .advised("the log says why; check the libtorrent settings");
    };
    let away =
        "the network seems to be away: nothing comes in, whoever is asked; hashes wait for it";
    let network = "check the network of this host; the work goes on by itself";
    match &health.dht {
        DhtHealth::Off => part(Condition::Off, "the DHT is not to be asked".to_owned()),
        DhtHealth::Failed(_) => part(
            Condition::Failed,
            "the DHT node does not work: it has no socket, or no node answers".to_owned(),
        )
        .advised("check the network, `network.listen` and `network.bootstrap`; the log has the particulars"),
        _ if is_away => part(Condition::Failed, away.to_owned()).advised(network),
        DhtHealth::Starting => part(Condition::Failed, "no DHT node has answered yet".to_owned())
            .advised("wait for some seconds; if it stays so, check the network and `network.bootstrap`"),
        DhtHealth::Ready { nodes } => part(Condition::Ok, format!("{nodes} DHT nodes are known")),
        DhtHealth::Degraded { nodes, .. } => part(
            Condition::Degraded,
            format!("{nodes} DHT nodes are known, but not all is as it should be"),
        )
        .advised("the log says what; `metafetch doctor` checks the network"),
    }
}

fn ports_part(health: Option<&Health>) -> Part {
    let part = |condition, reason: String| Part::new("ports", condition, reason);
    let Some(health) = health else {
        return part(Condition::Off, "nothing listens for peers".to_owned());
    };
    let listening = format!(
        "{} TCP and {} UDP endpoints are listened at",
        health.tcp.len(),
        health.udp.len()
    );
    match health.listen_errors.len() {
        0 => part(Condition::Ok, listening),
        errors => part(
            Condition::Degraded,
            format!("{listening}; {errors} could not be, and are tried again"),
        )
        .advised("see in the log which port is taken; end who has it, or change `network.listen`"),
    }
}

fn queue_part(sources: &[SourceState]) -> Part {
    let part = |condition, reason: String| Part::new("queue", condition, reason);
    let enabled = || sources.iter().filter(|source| source.enabled);
    // What they are may have paths in it.
    let problems = enabled().filter(|source| source.problem.is_some());
    let problems: Vec<&str> = problems.map(|source| source.name.as_str()).collect();
    let paused = enabled().filter(|source| source.paused);
    let paused: Vec<&str> = paused.map(|source| source.name.as_str()).collect();
    let (waiting, in_work) = enabled().fold((0_u64, 0_u64), |(waiting, in_work), source| {
        (
            waiting.saturating_add(source.waiting),
            in_work.saturating_add(source.in_work),
        )
    });
    let state = format!("{waiting} hashes wait, {in_work} are in work");
    if !problems.is_empty() {
        return part(
            Condition::Degraded,
            format!("{state}; something is wrong with {}", problems.join(", ")),
        )
        .advised("GET /admin/sources has the particulars");
    }
    if paused.is_empty() {
        return part(Condition::Ok, state);
    }
    part(
        Condition::Degraded,
        format!("{state}; paused: {}", paused.join(", ")),
    )
    .advised("resume the sources when it is time: POST /admin/sources/{name}/resume")
}

fn loops_part(stuck: &[Stuck]) -> Part {
    if stuck.is_empty() {
        return Part::new("loops", Condition::Ok, "all loops go round");
    }
    let stuck: Vec<String> = stuck
        .iter()
        .map(|it| format!("{} for {} s", it.name, it.silent_seconds))
        .collect();
    let reason = format!("nothing was heard of {}", stuck.join(", "));
    Part::new("loops", Condition::Failed, reason)
        .advised("restart the service, and report what the log has; systemd does so by itself")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::daemon::source::SourceName;

    fn full(database: &str) -> StoreError {
        StoreError::Full {
            database: database.to_owned(),
        }
    }

    #[test]
    fn a_store_that_spills_is_degraded_and_one_that_can_not_has_failed() {
        let well = StoreHealth::default();
        assert_eq!(store_part(&well, Ok(())).condition, Condition::Ok);
        let unread = store_part(&well, Err("no answer".to_owned()));
        assert_eq!(unread.condition, Condition::Failed);
        let away = StoreHealth {
            last_error: Some(full("/secret/path.db")),
            ..StoreHealth::default()
        };
        let part = store_part(&away, Ok(()));
        assert_eq!(part.condition, Condition::Failed);
        assert!(part.advice.is_some());
        assert!(!format!("{part:?}").contains("secret"), "{part:?}");
        let spilling = StoreHealth {
            journal: Some(PathBuf::from("/secret/journal")),
            journal_records: 7,
            ..away
        };
        let part = store_part(&spilling, Err("no answer".to_owned()));
        assert_eq!(part.condition, Condition::Degraded);
        assert!(part.reason.contains("7 records"), "{part:?}");
        assert!(!format!("{part:?}").contains("secret"), "{part:?}");
        let back = StoreHealth {
            last_error: None,
            ..spilling
        };
        assert_eq!(store_part(&back, Ok(())).condition, Condition::Degraded);
    }

    #[test]
    fn a_disk_fails_before_it_is_full() {
        let condition = |free| disk_part(free).condition;
        assert_eq!(condition(Ok(Some(u64::MAX))), Condition::Ok);
        assert_eq!(condition(Ok(None)), Condition::Ok);
        assert_eq!(condition(Ok(Some(LITTLE - 1))), Condition::Degraded);
        assert_eq!(condition(Ok(Some(0))), Condition::Failed);
        assert_eq!(condition(Err("gone".to_owned())), Condition::Failed);
    }

    #[test]
    fn a_dht_that_is_off_is_no_failure_and_one_that_is_away_is() {
        let with = |dht| Health {
            dht,
            ..Health::default()
        };
        let ready = with(DhtHealth::Ready { nodes: 9 });
        let condition =
            |wanted, away, health: Option<&Health>| dht_part(wanted, away, health).condition;
        assert_eq!(condition(false, false, None), Condition::Off);
        assert_eq!(condition(true, false, None), Condition::Failed);
        assert_eq!(condition(true, false, Some(&ready)), Condition::Ok);
        assert_eq!(condition(true, true, Some(&ready)), Condition::Failed);
        let starting = with(DhtHealth::Starting);
        assert_eq!(condition(true, false, Some(&starting)), Condition::Failed);
        let failed = with(DhtHealth::Failed("no UDP socket at 10.1.2.3".to_owned()));
        let part = dht_part(true, false, Some(&failed));
        assert_eq!(part.condition, Condition::Failed);
        assert!(!part.reason.contains("10.1.2.3"), "{part:?}");
    }

    #[test]
    fn sources_with_a_problem_or_a_pause_are_named() {
        let crawl = SourceState {
            name: SourceName::Crawl,
            enabled: true,
            paused: false,
            weight: 1,
            limit: 1,
            waiting: 3,
            in_work: 2,
            resolved: 0,
            failed: 0,
            problem: None,
        };
        assert_eq!(
            queue_part(std::slice::from_ref(&crawl)).condition,
            Condition::Ok
        );
        let paused = SourceState {
            paused: true,
            ..crawl.clone()
        };
        let part = queue_part(std::slice::from_ref(&paused));
        assert_eq!(part.condition, Condition::Degraded);
        assert!(part.reason.contains("crawl"), "{part:?}");
        let off = SourceState {
            enabled: false,
            ..paused
        };
        assert_eq!(queue_part(&[off]).condition, Condition::Ok);
        let wrong = SourceState {
            problem: Some("/secret/path is not there".to_owned()),
            ..crawl
        };
        let part = queue_part(&[wrong]);
        assert_eq!(part.condition, Condition::Degraded);
        assert!(part.reason.contains("crawl"), "{part:?}");
        assert!(!part.reason.contains("secret"), "{part:?}");
    }

    #[test]
    fn a_loop_that_is_stuck_is_named() {
        assert_eq!(loops_part(&[]).condition, Condition::Ok);
        let stuck = Stuck {
            name: "queue",
            silent_seconds: 40,
        };
        let part = loops_part(&[stuck]);
        assert_eq!(part.condition, Condition::Failed);
        assert!(part.reason.contains("queue for 40 s"), "{part:?}");
    }
}
