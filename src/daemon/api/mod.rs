//! The HTTP API: torrents, search, events, administration, Torznab and RSS.
//!
//! | file | what lives there |
//! |---|---|
//! | `serve` | connections: listening, deadlines, the end |
//! | `router` | which path goes where, and what every request passes first |
//! | `access`, `limits` | who may ask, and how much |
//! | `request`, `problem` | what requests carry, and what is said of what goes wrong |
//! | `known` | what the store says of a hash, and the way to the queue |
//! | `torrents`, `attempts`, `diagnose` | one hash: its torrent, as JSON and as a file; what was tried; why it does not resolve |
//! | `resolve` | many hashes, streamed |
//! | `search`, `queue`, `peers`, `sessions` | lists |
//! | `stats`, `pulse`, `events` | how the service is, and what happens |
//! | `admin` | failures, blocklist, sources, reload, backup, configuration |
//! | `feeds` | Torznab and RSS |
//! | `openapi` | the document that describes it |

#![allow(
    unused_qualifications,
    reason = "what the macro for paths makes of the types of parameters"
)]
#![allow(
    clippy::result_large_err,
    reason = "a problem is made once, at the end of a request"
)]

mod access;
mod admin;
mod attempts;
mod diagnose;
mod events;
mod feeds;
mod known;
mod limits;
mod openapi;
mod peers;
mod problem;
mod pulse;
mod queue;
mod request;
mod resolve;
mod router;
mod search;
mod serve;
mod sessions;
mod stats;
mod torrents;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use access::check;
pub(super) use limits::CONNECTIONS;
pub use openapi::document;
pub use router::router;
pub use serve::{BindError, bind, serve};

use super::Service;
use crate::config::Config;
use crate::store::{Store, StoreError};
use limits::Limits;
use problem::Problem;
use pulse::Pulse;

/// What all requests share. Clones are the same.
#[derive(Clone)]
struct Api(Arc<Shared>);

struct Shared {
    service: Service,
    limits: Limits,
    pulse: Pulse,
    counts: stats::Counted,
    told: events::Told,
    started: Instant,
    /// Ends streams.
    stop: CancellationToken,
}

impl std::ops::Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Api {
    fn new(service: Service, stop: CancellationToken) -> Self {
        Self(Arc::new(Shared {
            pulse: Pulse::start(&service),
            service,
            limits: Limits::new(),
            counts: stats::Counted::default(),
            told: events::Told::default(),
            started: Instant::now(),
            stop,
        }))
    }

    fn config(&self) -> Arc<Config> {
        self.service.config()
    }

    /// A short question to the store.
    async fn read<T, Q>(&self, question: impl FnOnce(Store) -> Q) -> Result<T, Problem>
    where
        T: Send + 'static,
        Q: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.ask(&self.limits.reads, question).await
    }

    /// A question that goes through much of the store.
    async fn read_much<T, Q>(&self, question: impl FnOnce(Store) -> Q) -> Result<T, Problem>
    where
        T: Send + 'static,
        Q: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.ask(&self.limits.long_reads, question).await
    }

    /// Asks the store once it is its turn. Whoever stops waiting does not stop the query, so its turn lasts as long as
    /// the query does.
    async fn ask<T, Q>(
        &self,
        turns: &Arc<Semaphore>,
        question: impl FnOnce(Store) -> Q,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        Q: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        // Never closed.
        let turn = turns.clone().acquire_owned().await;
        let question = question(self.service.store().clone());
        let asked = tokio::spawn(async move {
            let answer = question.await;
            drop(turn);
            answer
        });
        let answer = asked.await.unwrap_or(Err(StoreError::Closed));
        Ok(answer?)
    }
}

/// Now: UTC, milliseconds since 1970.
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// One page of a list.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
struct Page<T> {
    /// What is on it.
    items: Vec<T>,
    /// The cursor of the next page; null where this is the last.
    next: Option<String>,
}
