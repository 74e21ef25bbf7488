//! What can be seen from outside of how hashes go through the stations: counts, times, and lines of the log.

use std::fmt;
use std::time::Instant;

use tracing::Span;

use super::emit::Resolution;
use super::intake::Wanted;
use crate::history::Attempt;
use crate::telemetry::{HASH, catalogue as the};
use crate::torrent::Infohash;

/// What tells one request for a hash from another one in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u32);

impl RequestId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// That of a request which was made durable at this time (UTC, milliseconds since 1970): it is the same after a restart.
    #[must_use]
    pub fn of(infohash: &Infohash, requested_at_ms: i64) -> Self {
        let hash = crc32fast::hash(infohash.as_bytes());
        let at = crc32fast::hash(&requested_at_ms.to_be_bytes());
        Self(hash ^ at)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl Wanted {
    /// What all lines of the log about this request stand in, from the intake to the end: the present span, where that is
    /// one of a request. Gives the request an id, where it has none.
    pub fn span(&mut self) -> Span {
        let id = *self.id.get_or_insert_with(RequestId::random);
        let current = Span::current();
        if (current.metadata()).is_some_and(|it| it.target() == HASH) {
            return current;
        }
        // Of the highest level, so that warnings name the hash too, whatever else the filter hides.
        tracing::error_span!(target: HASH, "hash", infohash = %self.infohash, %id)
    }
}

/// What a station does for a hash, as a part of its trace.
macro_rules! traced {
    ($name:literal $($fields:tt)*) => {
        tracing::error_span!(target: crate::telemetry::TRACE, $name $($fields)*)
    };
}
pub(super) use traced;

/// Somebody wants this hash; for the log, whoever puts hashes into a queue says so.
pub(crate) fn wanted(wanted: &mut Wanted, by: &'static str) {
    wanted
        .span()
        .in_scope(|| tracing::debug!(station = "intake", by, "wanted"));
}

/// A hash has been at a station since `began`, and leaves it in this way.
pub(super) fn left(station: &'static str, outcome: &'static str, began: Instant) {
    let took = began.elapsed();
    the::STATION_HASHES.add([station, outcome], 1);
    the::STATION_TIME.took([station], took);
    tracing::debug!(
        station,
        outcome,
        ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
    );
}

/// The result of a request is told.
pub(super) fn told(resolution: &Resolution) {
    let (outcome, kind) = match &resolution.result {
        Ok(_) => ("resolved", "resolved"),
        Err(unresolved) => (unresolved.failure.reason.as_str(), "failed"),
    };
    let ms = u64::try_from(resolution.elapsed.as_millis()).unwrap_or(u64::MAX);
    the::STATION_HASHES.add(["emit", outcome], 1);
    the::RESOLVE_TIME.took([kind], resolution.elapsed);
    match &resolution.result {
        Ok(resolved) => tracing::debug!(
            station = "emit",
            outcome,
            ms,
            name = ?resolved.info.name,
            origin = ?resolved.origin
        ),
        Err(unresolved) => tracing::debug!(
            station = "emit",
            outcome,
            ms,
            phase = unresolved.failure.phase.as_str(),
            detail = ?unresolved.failure.detail
        ),
    }
}

/// These attempts at peers have ended.
pub(super) fn ended(attempts: &[Attempt]) {
    for attempt in attempts {
        let outcome = attempt.outcome.map_or("ok", |reason| reason.as_str());
        let arm = attempt.way.arm.as_str();
        let (way, phase) = (attempt.way.as_str(), attempt.phase.as_str());
        the::ATTEMPTS.add([arm, way, phase, outcome], 1);
        the::ATTEMPT_TIME.took([arm, outcome], attempt.duration);
    }
}
