//! The sources: how each is, and pausing them.

use axum::Json;
use axum::extract::State;

use crate::daemon::api::problem::Problem;
use crate::daemon::api::request::InPath;
use crate::daemon::api::{Api, Page};
use crate::daemon::{SourceName, SourceState};

/// How the sources are.
#[utoipa::path(get, path = "/admin/sources", tag = "admin",
    responses((status = 200, description = "All sources.", body = Page<SourceState>)))]
pub(super) async fn list(State(api): State<Api>) -> Json<Page<SourceState>> {
    Json(Page {
        items: api.service.sources(),
        next: None,
    })
}

/// Pauses a source: nothing of it begins, and what is in work goes on. It stays paused when the service starts again.
#[utoipa::path(post, path = "/admin/sources/{name}/pause", tag = "admin",
    params(("name" = inline(SourceName), Path, description = "Which source.")),
    responses(
        (status = 204, description = "It is paused."),
        (status = 404, description = "`not_found`: there is no such source.", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn pause(
    State(api): State<Api>,
    InPath(name): InPath<SourceName>,
) -> Result<axum::http::StatusCode, Problem> {
    set_paused(&api, name, true).await
}

/// Lets a source go on.
#[utoipa::path(post, path = "/admin/sources/{name}/resume", tag = "admin",
    params(("name" = inline(SourceName), Path, description = "Which source.")),
    responses(
        (status = 204, description = "It goes on."),
        (status = 404, description = "`not_found`: there is no such source.", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn resume(
    State(api): State<Api>,
    InPath(name): InPath<SourceName>,
) -> Result<axum::http::StatusCode, Problem> {
    set_paused(&api, name, false).await
}

async fn set_paused(
    api: &Api,
    name: SourceName,
    paused: bool,
) -> Result<axum::http::StatusCode, Problem> {
    api.service.set_paused(name, paused).await?;
    Ok(axum::http::StatusCode::NO_CONTENT)
}
