//! `/metrics`: what was counted, and how all parts are at the moment of the question.

use std::sync::OnceLock;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::heartbeat;
use super::service::Service;
use super::source::SourceName;
use crate::libtorrent::{DhtHealth, Libtorrent};
use crate::store::{Store, disk};
use crate::telemetry::{self, Kind, catalogue as the};
use crate::torrent::Arm;

/// How often what was counted is put in order, whether or not somebody asks: it takes memory until then.
const UPKEEP: Duration = Duration::from_secs(5);
/// For how long the runtime may be without a free moment before it is stuck.
const RUNTIME_WITHIN: Duration = Duration::from_secs(30);
/// How long the database and the disk may take to say how large they are.
const SIZES_WITHIN: Duration = Duration::from_secs(1);

/// The recorder of this process: there can be only one.
static RECORDER: OnceLock<Recorder> = OnceLock::new();

struct Recorder {
    prometheus: PrometheusHandle,
    process: metrics_process::Collector,
}

/// Begins to count. Must be called inside a tokio runtime; only the first call of a process does anything.
///
/// # Errors
/// Another recorder is there already, which this program never installs.
pub fn install() -> Result<(), BuildError> {
    if RECORDER.get().is_some() {
        return Ok(());
    }
    let mut builder = PrometheusBuilder::new();
    for metric in the::ALL {
        if let Kind::Histogram(bounds) = metric.kind {
            let name = Matcher::Full(metric.name.to_owned());
            builder = builder.set_buckets_for_metric(name, bounds)?;
        }
    }
    let prometheus = builder.install_recorder()?;
    for metric in the::ALL {
        metric.describe();
    }
    let process = metrics_process::Collector::default();
    process.describe();
    let recorder = RECORDER.get_or_init(|| Recorder {
        prometheus,
        process,
    });
    telemetry::turn_on();
    let libtorrent: &'static str = Box::leak(Libtorrent::version().into_boxed_str());
    the::BUILD.set([env!("CARGO_PKG_VERSION"), libtorrent], 1.0);
    tokio::spawn(async {
        let alive = heartbeat::watch("runtime", RUNTIME_WITHIN);
        let mut ticks = interval(UPKEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            alive.beat();
            recorder.prometheus.run_upkeep();
        }
    });
    Ok(())
}

/// `GET /metrics`.
pub fn router(service: Service) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(service)
}

/// What can be measured, as Prometheus reads it.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses(
        (status = 200, description = "All metrics, in the text format of Prometheus", body = String, content_type = "text/plain"),
        (status = 503, description = "Nothing is counted", body = String, content_type = "text/plain"),
    )
)]
pub async fn metrics(State(service): State<Service>) -> Response {
    let Some(recorder) = RECORDER.get() else {
        let why = "nothing is counted: the recorder was not installed\n";
        return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    look_at(&service).await;
    recorder.process.collect();
    let format = (
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    );
    ([format], recorder.prometheus.render()).into_response()
}

/// Counts requests, and measures how long their answers take to begin: a layer for
/// `axum::middleware::from_fn`, inside of the router so that the route is known.
pub async fn measure(request: Request, next: Next) -> Response {
    let method = name_of(request.method());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("other", |path| routes::name_of(path.as_str()));
    let began = Instant::now();
    let answering = Answering::begin();
    let response = next.run(request).await;
    drop(answering);
    the::API_TIME.took([route], began.elapsed());
    let status = status_of(response.status());
    the::API_REQUESTS.add([method, route, status], 1);
    response
}

/// Counts a request that was answered before a route was looked for, or whose route gave no answer: [`measure`] does
/// not see these.
pub(super) fn count(method: &Method, status: StatusCode) {
    the::API_REQUESTS.add([name_of(method), "other", status_of(status)], 1);
}

/// A request that is being answered, or whose client went away.
struct Answering;

impl Answering {
    fn begin() -> Self {
        the::API_IN_WORK.change([], 1.0);
        Self
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        the::API_IN_WORK.change([], -1.0);
    }
}

/// A method out of those that there are: a client may send any word.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

/// The status, of those that an API has; others by their class.
fn status_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "200",
        201 => "201",
        202 => "202",
        204 => "204",
        304 => "304",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        406 => "406",
        408 => "408",
        409 => "409",
        410 => "410",
        413 => "413",
        415 => "415",
        422 => "422",
        429 => "429",
        431 => "431",
        451 => "451",
        500 => "500",
        501 => "501",
        502 => "502",
        503 => "503",
        504 => "504",
        other => match other / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        },
    }
}

/// The routes that were asked for. They are templates out of our own router, so there are few.
mod routes {
    use std::collections::HashSet;
    use std::sync::{LazyLock, PoisonError, RwLock};

    /// More than the router will ever have.
    const MOST: usize = 200;

    static NAMES: LazyLock<RwLock<HashSet<&'static str>>> = LazyLock::new(RwLock::default);

    /// The same text, for as long as the process lives.
    pub(super) fn name_of(template: &str) -> &'static str {
        let names = NAMES.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = names.get(template) {
            return name;
        }
        drop(names);
        let mut names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MOST {
            return "other";
        }
        let name: &'static str = Box::leak(template.to_owned().into_boxed_str());
        names.insert(name);
        name
    }
}

fn one_if(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}

/// How all parts are now.
async fn look_at(service: &Service) {
    engine(service);
    sources(service);
    store(service.store()).await;
    for (name, silence) in heartbeat::silences() {
        the::LOOP_SILENT.set([name], silence.as_secs_f64());
    }
}

fn engine(service: &Service) {
    let engine = service.engine();
    let figures = engine.figures();
    the::LOOKUPS.reached([], engine.counters().lookups);
    the::HASHES_IN_WORK.set_count([], figures.in_work);
    for arm in [Arm::Libtorrent, Arm::Direct] {
        let figures = figures.of(arm);
        let name = arm.as_str();
        the::ARM_PAUSED.set([name], one_if(figures.paused));
        the::ARM_OPEN.set_count([name], figures.open);
        the::ARM_LIMIT.set_count([name], figures.limit);
    }
    if let Some(health) = engine.health() {
        let count = |list: usize| u64::try_from(list).unwrap_or(u64::MAX);
        the::LISTEN_ENDPOINTS.set_count(["tcp"], count(health.tcp.len()));
        the::LISTEN_ENDPOINTS.set_count(["udp"], count(health.udp.len()));
        the::LISTEN_ERRORS.set_count([], count(health.listen_errors.len()));
        the::ALERTS_DROPPED.reached([], health.alerts_dropped);
        let nodes = match health.dht {
            DhtHealth::Ready { nodes } | DhtHealth::Degraded { nodes, .. } => nodes,
            DhtHealth::Off | DhtHealth::Starting | DhtHealth::Failed(_) => 0,
        };
        the::DHT_NODES.set_count([], nodes);
        the::DHT_WORKS.set([], one_if(health.dht.works()));
    }
    if let Some(dht) = engine.dht() {
        the::DHT_AWAY.set([], one_if(dht.is_away()));
        the::DHT_DEADLINE.set([], dht.deadline().as_secs_f64());
        let counters = dht.counters();
        the::DHT_QUERIES.reached(["lookup"], counters.lookup_queries);
        the::DHT_QUERIES.reached(["crawl"], counters.crawl_queries);
        the::DHT_REPLIES.reached(["answer"], counters.answers);
        the::DHT_REPLIES.reached(["timeout"], counters.timeouts);
        the::DHT_REPLIES.reached(["error"], counters.errors);
        the::DHT_REPLIES.reached(["refused"], counters.refused);
        the::DHT_REPLIES.reached(["late"], counters.late);
        the::DHT_BYTES.reached(["in"], counters.bytes_in);
        the::DHT_BYTES.reached(["out"], counters.bytes_out);
        the::DHT_OBSERVED.reached(["seen"], counters.observed);
        the::DHT_OBSERVED.reached(["lost"], counters.observed_lost);
        the::DHT_OBSERVED.reached(["flood"], counters.observed_flood);
    }
}

fn sources(service: &Service) {
    for source in service.sources() {
        let name = SourceName::as_str(source.name);
        the::QUEUE_WAITING.set_count([name], source.waiting);
        the::QUEUE_IN_WORK.set_count([name], source.in_work);
        the::QUEUE_ENDED.reached([name, "resolved"], source.resolved);
        the::QUEUE_ENDED.reached([name, "failed"], source.failed);
        the::SOURCE_PAUSED.set([name], one_if(source.paused));
        the::SOURCE_PROBLEM.set([name], one_if(source.problem.is_some()));
    }
}

async fn store(store: &Store) {
    let health = store.health();
    let queued = u64::try_from(health.queued).unwrap_or(u64::MAX);
    the::STORE_QUEUED.set_count([], queued);
    the::STORE_JOURNAL_RECORDS.set_count([], health.journal_records);
    the::STORE_JOURNAL_BYTES.set_count([], health.journal_bytes);
    the::STORE_WRITABLE.set([], one_if(health.last_error.is_none()));
    // Neither a slow database nor a disk that hangs holds up the rest.
    let directory = store.directory().to_owned();
    let free = tokio::task::spawn_blocking(move || disk::free(&directory));
    let (size, free) = tokio::join!(
        timeout(SIZES_WITHIN, store.size()),
        timeout(SIZES_WITHIN, free)
    );
    if let Ok(Ok(size)) = size {
        the::STORE_SIZE.set_count([], size);
    }
    if let Ok(Ok(Ok(Some(free)))) = free {
        the::DISK_FREE.set_count([], free);
    }
}
