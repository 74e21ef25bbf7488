//! Which path goes where, and what every request passes first: its size, its client's rate, its right to ask.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::limits::{Room, SMALL};
use super::problem::Problem;
use super::{
    Api, access, admin, attempts, diagnose, events, feeds, openapi, peers, queue, resolve, search,
    sessions, stats, torrents,
};
use crate::config::Scope;
use crate::daemon::{Service, health, metrics, page};

/// The longest path and query, in bytes: a magnet with many trackers fits.
const MAX_URI: usize = 16 << 10;
/// Beyond the longest wait of a request: what the store may take to answer.
const SPARE: Duration = Duration::from_secs(60);
/// What answers may do in a browser: nothing. The page has a policy of its own.
const POLICY: &str =
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Who asks, as the connection says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client(pub(super) SocketAddr);

/// The whole API of a service. Streams end with `stop`. Must be called inside a tokio runtime.
pub fn router(service: Service, stop: CancellationToken) -> Router {
    let api = Api::new(service.clone(), stop);
    let guarded = |scope, routes: Router<Api>| {
        let scope = (api.clone(), scope);
        // Within the guard: who may not ask learns no methods either.
        let routes = routes.method_not_allowed_fallback(not_allowed);
        routes.layer(middleware::from_fn_with_state(scope, admit))
    };
    let read = for_readers().split_for_parts().0;
    let read = read
        .route("/openapi.json", axum::routing::get(openapi::serve))
        .merge(metrics::router(service.clone()).with_state(()));
    let admin = for_admins().split_for_parts().0;
    Router::new()
        .merge(guarded(Scope::Read, read))
        .merge(guarded(Scope::Admin, admin))
        .merge(health::router(service).with_state(()))
        // It asks for the token itself.
        .merge(page::router())
        .fallback_service(
            guarded(Scope::Read, Router::new().fallback(unknown)).with_state(api.clone()),
        )
        .method_not_allowed_fallback(not_allowed)
        // Within the router, where the route is known.
        .layer(middleware::from_fn(metrics::measure))
        .layer(middleware::from_fn_with_state(api.clone(), enter))
        .with_state(api)
}

/// What takes a token that may read, where there are tokens.
pub(super) fn for_readers() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(torrents::torrent))
        .routes(routes!(torrents::torrent_file))
        .routes(routes!(torrents::dictionary))
        .routes(routes!(attempts::attempts))
        .routes(routes!(diagnose::diagnose))
        .routes(routes!(search::search))
        .routes(routes!(resolve::resolve))
        .routes(routes!(queue::queue))
        .routes(routes!(peers::peers))
        .routes(routes!(sessions::sessions))
        .routes(routes!(stats::stats))
        .routes(routes!(events::events))
        .routes(routes!(feeds::torznab))
        .routes(routes!(feeds::rss))
}

/// What takes a token that may administrate.
pub(super) fn for_admins() -> OpenApiRouter<Api> {
    admin::router()
}

/// What every request passes: the size of its URL, the rate of its client, a place, a deadline. A panic costs one
/// answer.
async fn enter(State(api): State<Api>, request: Request, next: Next) -> Response {
    let config = api.config();
    let client = request.extensions().get::<Client>();
    let client = client.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |client| client.0.ip());
    let method = request.method().clone();
    // A copy of a large database takes as long as it takes; there is one at a time.
    let deadline = if admin::has_no_deadline(request.uri().path()) {
        Duration::MAX
    } else {
        config.api.wait.saturating_add(SPARE)
    };
    let answer = async {
        if uri_length(request.uri()) > MAX_URI {
            let detail = format!("the URL is longer than {MAX_URI} bytes");
            return Err(Problem::new(
                StatusCode::URI_TOO_LONG,
                "uri_too_long",
                detail,
            ));
        }
        api.limits.count(&config.api, client)?;
        let place = api.limits.request(&config.api)?;
        let work = std::panic::AssertUnwindSafe(next.run(request)).catch_unwind();
        let response = match tokio::time::timeout(deadline, work).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => {
                return Err(Problem::internal(
                    "a fault of this program: its log says more",
                ));
            }
            Err(_) => return Err(Problem::busy("timeout", "it took too long")),
        };
        holding(&api, place, response)
    };
    let mut response = answer.await.unwrap_or_else(|problem| {
        let response = problem.into_response();
        metrics::count(&method, response.status());
        response
    });
    add_headers(&mut response);
    response
}

fn uri_length(uri: &Uri) -> usize {
    uri.path_and_query().map_or(0, |it| it.as_str().len())
}

/// The answer keeps its place, and the room that its bytes take, until it is sent, or nobody takes it any more.
fn holding(
    api: &Api,
    place: super::limits::Place,
    response: Response,
) -> Result<Response, Problem> {
    use futures_util::StreamExt as _;
    let is_known = axum::body::HttpBody::size_hint(response.body()).exact();
    if is_known.is_some_and(|bytes| bytes <= SMALL as u64) {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    // What comes from the store has its room since it was read.
    let room = match (parts.extensions.remove::<Room>(), is_known) {
        (Some(room), _) => Some(room),
        (None, Some(bytes)) => Some(
            api.limits
                .room(usize::try_from(bytes).unwrap_or(usize::MAX))?,
        ),
        // A stream sees to that itself.
        (None, None) => None,
    };
    let holds = (place, room);
    if let Some(bytes) = is_known {
        parts.headers.insert(header::CONTENT_LENGTH, bytes.into());
    }
    let body = body.into_data_stream().map(move |part| {
        let _ = &holds;
        part
    });
    Ok(Response::from_parts(parts, Body::from_stream(body)))
}

fn add_headers(response: &mut Response) {
    let always = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let headers = response.headers_mut();
    for (name, value) in always {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    let policy = header::HeaderName::from_static("cross-origin-resource-policy");
    headers
        .entry(policy)
        .or_insert(HeaderValue::from_static("same-origin"));
}

/// Lets those in who may.
async fn admit(State((api, scope)): State<(Api, Scope)>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match access::admit(&api.config().api, &parts, scope) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    }
}

async fn unknown(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    let hint = match path.strip_suffix('/') {
        Some(without) if !without.is_empty() => "paths have no slash at the end",
        _ => "/openapi.json has all paths",
    };
    Problem::not_found(format!("there is nothing at {path}: {hint}"))
}

async fn not_allowed(method: Method) -> Problem {
    let detail = format!("{method} is not allowed here: the header Allow says what is");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}
