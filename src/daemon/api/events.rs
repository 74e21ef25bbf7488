//! What happens, as it happens (server-sent events), and how the service is, each second.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::request::Parts;
use axum::response::sse::{self, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, stream};
use tokio::sync::{Mutex, broadcast, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::limits::Place;
use super::problem::Problem;
use super::{Api, access};
use crate::config::{Config, Scope};
use crate::daemon::Event;

/// How often the state is told.
const PERIOD: Duration = Duration::from_secs(1);

/// The state as it was told last: all listeners are told the same.
#[derive(Default)]
pub(super) struct Told(Mutex<Option<(Instant, Arc<str>)>>);

/// What happens from now on. Each event has its kind as `event` and a JSON object as `data`: `queued`, `started`,
/// `resolved`, `failed`, `source`, `reloaded`, as the schema `Event` has them; `stats` each second, as
/// `/api/v1/stats` has it; `lagged` with `missed`, where a listener was too slow and missed some.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "service",
    responses((status = 200, description = "Server-sent events.", body = String, content_type = "text/event-stream")),
)]
pub(super) async fn events(State(api): State<Api>, parts: Parts) -> Result<Response, Problem> {
    let place = api.limits.listeners.take(api.config().api.streams)?;
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let listener = Listener {
        events: api.service.events(),
        ticks,
        configs: api.service.configs(),
        parts,
        _place: place,
        api,
    };
    // Beside the ticks, for proxies that want to hear something whatever happens.
    let stream = Sse::new(stream_of(listener)).keep_alive(sse::KeepAlive::default());
    Ok(stream.into_response())
}

struct Listener {
    api: Api,
    events: broadcast::Receiver<Arc<Event>>,
    ticks: Interval,
    configs: watch::Receiver<Arc<Config>>,
    /// Who asked, by which token.
    parts: Parts,
    _place: Place,
}

fn stream_of(listener: Listener) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    stream::unfold(listener, async |mut listener| {
        let event = listener.next().await?;
        Some((Ok(event), listener))
    })
}

impl Listener {
    /// `None` once the service ends, or the listener may not listen any more.
    async fn next(&mut self) -> Option<sse::Event> {
        let parts = &self.parts;
        let no_more = async {
            while self.configs.changed().await.is_ok() {
                let config = self.configs.borrow_and_update().clone();
                if access::admit(&config.api, parts, Scope::Read).is_err() {
                    return;
                }
            }
            pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = self.api.stop.cancelled() => None,
            () = no_more => None,
            _ = self.ticks.tick() => {
                let stats = self.api.told().await;
                Some(sse::Event::default().event("stats").data(&*stats))
            }
            event = self.events.recv() => match event {
                Ok(event) => {
                    let data = serde_json::to_string(&*event).unwrap_or_default();
                    Some(sse::Event::default().event(kind(&event)).data(data))
                }
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    let data = serde_json::json!({ "missed": missed }).to_string();
                    Some(sse::Event::default().event("lagged").data(data))
                }
                Err(broadcast::error::RecvError::Closed) => None,
            }
        }
    }
}

impl Api {
    /// How the service is, as JSON, taken once a second whoever asks.
    async fn told(&self) -> Arc<str> {
        let mut told = self.told.0.lock().await;
        if let Some((at, stats)) = &*told
            && at.elapsed() < PERIOD / 2
        {
            return stats.clone();
        }
        let stats = serde_json::to_string(&self.stats().await).unwrap_or_default();
        let stats: Arc<str> = stats.into();
        *told = Some((Instant::now(), stats.clone()));
        stats
    }
}

/// The name that its JSON has too.
fn kind(event: &Event) -> &'static str {
    match event {
        Event::Queued { .. } => "queued",
        Event::Started { .. } => "started",
        Event::Resolved { .. } => "resolved",
        Event::Failed { .. } => "failed",
        Event::Source { .. } => "source",
        Event::Reloaded { .. } => "reloaded",
    }
}
