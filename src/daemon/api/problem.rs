//! What went wrong, as every answer says it: problem details (RFC 9457) with the outcome's name.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::daemon::service::WantError;
use crate::engine::{Unresolved, timestamp};
use crate::store::{FailedTorrent, StoreError};
use crate::torrent::{Infohash, Reason};

/// Seconds after which a store that could not be read is worth another try.
const STORE_AWAY: u64 = 5;
/// Seconds after which there may be room again.
const BUSY: u64 = 1;

/// Problem details.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: `reason` tells problems apart.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    title: String,
    /// The status of HTTP.
    status: u16,
    /// What happened, to what, and what to do next.
    detail: String,
    /// The outcome's name, such as `no_peers` or `cooldown`; or what is wrong with the request, such as
    /// `invalid_request`.
    #[schema(example = "no_peers")]
    reason: String,
    /// The hash that it is about, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    infohash: Option<String>,
    /// How far the hash came: `lookup`, `connect`, `handshake`, `extension`, `transfer` or `verify`.
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<String>,
    /// Of a cooldown: why the hash failed the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_reason: Option<String>,
    /// Of a cooldown: how often the hash failed in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    failures: Option<u32>,
    /// How many attempts at peers ended in each way.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attempts: BTreeMap<String, u32>,
    /// When the hash is worth another try: RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    retry_at: Option<String>,
    /// The same in seconds from now, as `Retry-After` has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

impl Problem {
    /// With this status and reason.
    pub(super) fn new(status: StatusCode, reason: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            reason: reason.to_owned(),
            infohash: None,
            phase: None,
            last_reason: None,
            failures: None,
            attempts: BTreeMap::new(),
            retry_at: None,
            retry_after: None,
        }
    }

    /// The request makes no sense.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    /// There is no such thing.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// A limit is reached, and will not be for long.
    pub(super) fn busy(reason: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason, detail).after(Duration::from_secs(BUSY))
    }

    /// The service ends.
    pub(super) fn stopping() -> Self {
        Self::busy(
            "stopping",
            "the service is stopping: ask again when it is back",
        )
    }

    /// A fault of this program.
    pub(super) fn internal(detail: impl Into<String>) -> Self {
        let reason = Reason::Internal.as_str();
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, reason, detail)
    }

    /// The hash is on the blocklist: nothing of it is shown or fetched.
    pub(super) fn blocked(infohash: &Infohash) -> Self {
        let status = StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS;
        Self::new(
            status,
            Reason::Blocked.as_str(),
            "it is on the blocklist: `/admin/blocklist` says on which list, and takes it off",
        )
        .about(infohash)
    }

    /// The hash failed a while ago, and is left alone until then.
    pub(super) fn cooldown(infohash: &Infohash, failed: &FailedTorrent, now_ms: i64) -> Self {
        let left = seconds_left(failed.retry_at_ms, now_ms);
        let left_text =
            left.map_or_else(|| "never".to_owned(), |left| format!("in {left} seconds"));
        let detail = format!(
            "failed {} times, the last time as {} in {}: {}; to be tried again {left_text}, or at once after \
             DELETE /admin/failed-torrents/{infohash}",
            failed.failures, failed.reason, failed.phase, failed.detail,
        );
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self {
            phase: Some(failed.phase.to_string()),
            last_reason: Some(failed.reason.to_string()),
            failures: Some(failed.failures),
            retry_at: retry_at(failed.retry_at_ms),
            // A hash that is never tried again is asked for again in vain, but the header belongs to it.
            retry_after: Some(left.unwrap_or(u64::from(u32::MAX))),
            ..Self::new(status, Reason::Cooldown.as_str(), detail).about(infohash)
        }
    }

    /// The hash was tried, and failed.
    pub(super) fn unresolved(infohash: &Infohash, unresolved: &Unresolved, now_ms: i64) -> Self {
        let failure = &unresolved.failure;
        let status = match failure.reason {
            Reason::NoPeers => StatusCode::NOT_FOUND,
            Reason::Blocked => return Self::blocked(infohash),
            Reason::Cooldown | Reason::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let attempts = unresolved.attempts.iter();
        let retry_after = match failure.reason {
            Reason::Cooldown => unresolved
                .retry_at_ms
                .and_then(|at| seconds_left(at, now_ms))
                .or(Some(u64::from(u32::MAX))),
            Reason::Cancelled => Some(BUSY),
            _ => None,
        };
        Self {
            phase: Some(failure.phase.to_string()),
            attempts: attempts
                .map(|(reason, count)| (reason.to_string(), *count))
                .collect(),
            retry_at: unresolved.retry_at_ms.and_then(retry_at),
            retry_after,
            ..Self::new(status, failure.reason.as_str(), failure.detail.clone()).about(infohash)
        }
    }

    /// Which hash it is about.
    pub(super) fn about(mut self, infohash: &Infohash) -> Self {
        self.infohash = Some(infohash.to_string());
        self
    }

    /// When to ask again.
    pub(super) fn after(mut self, time: Duration) -> Self {
        // Rounded up: a client that comes a moment too early is refused again.
        self.retry_after = Some(time.as_secs().saturating_add(1));
        self
    }

    /// Its name.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    /// The sentence.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }
}

/// Whole seconds, at least one; `None` for never.
fn seconds_left(retry_at_ms: i64, now_ms: i64) -> Option<u64> {
    let left = retry_at_ms.saturating_sub(now_ms).max(0);
    let seconds = u64::try_from(left)
        .unwrap_or_default()
        .div_ceil(1000)
        .max(1);
    (retry_at_ms != i64::MAX).then_some(seconds)
}

fn retry_at(retry_at_ms: i64) -> Option<String> {
    timestamp(retry_at_ms)
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::debug!("a request could not be answered from the store: {error}");
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(
            status,
            "store_unavailable",
            format!("the store can't be asked: {error}"),
        )
        .after(Duration::from_secs(STORE_AWAY))
    }
}

impl From<WantError> for Problem {
    fn from(error: WantError) -> Self {
        match error {
            WantError::Full(_) => Self::busy("queue_full", error.to_string()),
            WantError::Stopping => Self::stopping(),
            WantError::Store(error) => error.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"metafetch\""),
            );
        }
        response
    }
}
