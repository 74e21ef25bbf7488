//! One hash: its torrent, from the store or resolved now.

mod file;
mod shape;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub(super) use file::{__path_dictionary, __path_torrent_file, dictionary, torrent_file};
pub(super) use shape::{LARGE, Torrent, TorrentFile, magnet};

use super::known::Known;
use super::limits::Room;
use super::problem::Problem;
use super::queue::standing;
use super::request::{HashInPath, Priority, Query, Wait};
use super::{Api, now_ms};
use crate::daemon::{SourceName, Standing};
use crate::engine::{Resolution, Wanted};
use crate::store::StoredTorrent;
use crate::torrent::Infohash;

/// What to do about a hash that is not in the store.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// Resolve the hash if the store does not have it, and wait so long for that, such as `30s`; `0s` puts it into
    /// the queue and does not wait. At most `api.wait`. Without, nothing is begun.
    #[param(inline)]
    wait: Option<Wait>,
    /// Those with a higher priority go first among the hashes that are asked for here; 0 is usual.
    #[param(value_type = Option<i16>, minimum = -1000, maximum = 1000)]
    priority: Option<Priority>,
}

/// A hash that has no result yet.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Pending {
    /// The hash, in hex.
    infohash: String,
    /// Where it is; null where it has just come to an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    standing: Option<Standing>,
    /// Where its result will be.
    location: String,
}

/// The torrent of a hash: from the store, or, with `wait`, resolved now.
#[utoipa::path(
    get, path = "/api/v1/torrents/{infohash}", tag = "torrents",
    params(("infohash" = inline(super::openapi::AnyHash), Path, description = "The hash: hex, base32 or multihash."), WaitQuery),
    responses(
        (status = 200, description = "The torrent.", body = Torrent),
        (status = 202, description = "It waits or is worked on: ask again at `location`.", body = Pending,
            headers(("Location" = String, description = "Where its result will be."))),
        (status = 404, description = "`no_peers`: nobody has it. `unknown`: it is not in the store, and `wait` was not given.", body = Problem, content_type = "application/problem+json"),
        (status = 451, description = "`blocked`: it is on the blocklist.", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "It was tried and failed; `reason` is the outcome's name.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`cooldown`: it failed a while ago. `queue_full`, `busy`, `stopping`, `store_unavailable`.", body = Problem, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds until it is worth another try."))),
    ),
)]
pub(super) async fn torrent(
    State(api): State<Api>,
    HashInPath(infohash): HashInPath,
    Query(query): Query<WaitQuery>,
) -> Result<Response, Problem> {
    let asked = api.torrent_or_wait(infohash, query).await?;
    match asked {
        Answer::Torrent(torrent, room) => {
            let torrent = Torrent::of_stored(*torrent).await?;
            Ok((Extension(room), Json(torrent)).into_response())
        }
        Answer::Unstored(resolution) => {
            let torrent = Torrent::of_resolution(&resolution)?;
            Ok(Json(torrent).into_response())
        }
        Answer::Pending(standing) => Ok(pending(&infohash, standing)),
    }
}

/// What comes of asking for a hash.
pub(super) enum Answer {
    /// It is in the store. With the room that it takes.
    Torrent(Box<StoredTorrent>, Room),
    /// It is here, but the store could not keep it.
    Unstored(Box<Resolution>),
    /// It takes longer.
    Pending(Option<Standing>),
}

impl Api {
    /// The torrent of a hash; waits for it as long as the query says.
    pub(super) async fn torrent_or_wait(
        &self,
        infohash: Infohash,
        query: WaitQuery,
    ) -> Result<Answer, Problem> {
        match self.known(&infohash).await? {
            Known::Resolved(torrent, room) => return Ok(Answer::Torrent(torrent, room)),
            Known::Blocked => return Err(Problem::blocked(&infohash)),
            Known::CoolsDown(failed) => {
                return Err(Problem::cooldown(&infohash, &failed, now_ms()));
            }
            Known::Failed | Known::Nothing => {}
        }
        let Some(Wait(wait)) = query.wait else {
            return match self.standing(&infohash).await? {
                Some(standing) => Ok(Answer::Pending(Some(standing))),
                None => Err(Problem::new(
                    StatusCode::NOT_FOUND,
                    "unknown",
                    "it is not in the store: ask with ?wait=30s to have it resolved",
                )
                .about(&infohash)),
            };
        };
        let priority = query.priority.map(Priority::get).unwrap_or_default();
        let wanted = Wanted::from(infohash);
        let mut asked = self.service.want(wanted, SourceName::Api, priority).await?;
        let wait = wait.min(self.config().api.wait);
        let result = async {
            let result = asked.result.wait_for(Option::is_some).await;
            result.ok().and_then(|result| result.clone())
        };
        let resolution = tokio::select! {
            result = tokio::time::timeout(wait, result) => match result {
                Err(_) => {
                    let standing = self.standing(&infohash).await;
                    return Ok(Answer::Pending(standing.unwrap_or_default()));
                }
                Ok(None) => {
                    let detail = "it was taken out of the queue, or the service is stopping: ask again";
                    return Err(Problem::busy("cancelled", detail).about(&infohash));
                }
                Ok(Some(resolution)) => resolution,
            },
            () = self.stop.cancelled() => return Err(Problem::stopping()),
        };
        if let Err(unresolved) = &resolution.result {
            return Err(Problem::unresolved(&infohash, unresolved, now_ms()));
        }
        let stored = self.known(&infohash).await;
        Ok(match stored {
            Ok(Known::Resolved(torrent, room)) => Answer::Torrent(torrent, room),
            Err(problem) if problem.reason() == "busy" => return Err(problem),
            _ => Answer::Unstored(Box::new((*resolution).clone())),
        })
    }
}

impl Api {
    /// Where a hash is. One that waits behind some thousands of others is only in the store.
    async fn standing(&self, infohash: &Infohash) -> Result<Option<Standing>, Problem> {
        if let Some(standing) = self.service.standing(infohash) {
            return Ok(Some(standing));
        }
        let infohash = *infohash;
        let row = self.read(move |store| async move { store.wanted_torrent(&infohash).await });
        let row = row.await?;
        Ok(row.and_then(|row| standing(self, &row)))
    }
}

pub(super) fn pending(infohash: &Infohash, standing: Option<Standing>) -> Response {
    let location = format!("/api/v1/torrents/{infohash}");
    let header = HeaderValue::try_from(&location).ok();
    let body = Pending {
        infohash: infohash.to_string(),
        standing,
        location,
    };
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    if let Some(location) = header {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
