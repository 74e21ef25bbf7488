//! Reading the configuration again, and copying the database.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::daemon::api::Api;
use crate::daemon::api::problem::Problem;
use crate::daemon::backup;
use crate::daemon::service::Reloaded;

/// Reads the configuration again, and applies what can change at run time. A wrong one changes nothing.
#[utoipa::path(post, path = "/admin/reload", tag = "admin",
    responses(
        (status = 200, description = "What is in effect now, and what needs a restart.", body = Reloaded),
        (status = 422, description = "`invalid_config`: it is wrong, and nothing has changed.", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn reload(State(api): State<Api>) -> Result<Json<Reloaded>, Problem> {
    let reloaded = api.service.reload().await;
    reloaded.map(Json).map_err(|error| {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Problem::new(status, "invalid_config", error.to_string())
    })
}

/// Where a copy is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Backup {
    /// Its path on the host of the service.
    path: String,
}

/// Whether a request may take as long as it takes.
pub(in crate::daemon::api) fn has_no_deadline(path: &str) -> bool {
    path == "/admin/backup"
}

/// Copies the SQLite database into the directory of copies (`daemon.backup_directory`) while all goes on.
#[utoipa::path(post, path = "/admin/backup", tag = "admin",
    responses(
        (status = 200, description = "The copy is whole.", body = Backup),
        (status = 409, description = "`copying`: another copy is being made.", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "`internal`: there is no copy.", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn backup(State(api): State<Api>) -> Result<Json<Backup>, Problem> {
    let config = api.config();
    let configured = config.daemon.backup_directory.clone();
    let directory = configured.unwrap_or_else(|| backup::beside(api.service.store().directory()));
    let keep = config.daemon.backup_keep.into();
    let turn = api.service.copy_turn().ok_or_else(|| {
        let detail = "another copy is being made: wait for its end";
        Problem::new(StatusCode::CONFLICT, "copying", detail)
    })?;
    let path = backup::copy(&api.service, &directory, keep, turn)
        .await
        .map_err(|error| {
            let detail = format!(
                "the database can't be copied to {}: {error}",
                directory.display()
            );
            Problem::internal(detail)
        })?;
    Ok(Json(Backup {
        path: path.display().to_string(),
    }))
}
