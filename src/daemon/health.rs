//! `/healthz`: is the process alive? `/readyz`: can it do its work, and what stands in the way of it?
//!
//! Both may be asked by anybody, so they name neither paths nor hosts: the log and `metafetch doctor` do.

mod parts;

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

use self::parts::{dht_part, disk_part, loops_part, plain, ports_part, queue_part, store_part};
use super::heartbeat::{self, Stuck};
use super::service::Service;
use crate::store::{Store, disk};

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
