//! Record: what was fetched and what was learnt goes to the store before anybody is told.

use std::time::Instant;

use tracing::Instrument as _;

use super::attempt::Ended;
use super::intake::Wanted;
use super::station::{Stations, now_ms};
use super::{Cooldowns, observe};
use crate::store::{FailedTorrent, Record, RecordResult, ResolvedTorrent, StoreError};
use crate::torrent::Failure;

/// What the store was told of a failure.
pub(super) struct Recorded {
    /// When the hash may be tried again, in UTC unix milliseconds.
    pub(super) retry_at_ms: Option<i64>,
    /// Why it is not in the store.
    pub(super) error: Option<String>,
    /// Whether the database refused just this record.
    pub(super) is_refused: bool,
}

/// Stores the end of a try, and returns once it is durable. `failures` is how often the hash
/// failed in a row before.
pub(super) async fn record(
    stations: &Stations,
    wanted: &Wanted,
    ended: &Ended,
    failures: u32,
) -> Recorded {
    let at_ms = now_ms();
    let mut retry_at_ms = None;
    let result = match &ended.result {
        Ok(fetched) => RecordResult::Resolved(Box::new(ResolvedTorrent {
            arm: fetched.arm.as_str().to_owned(),
            peer: Some(fetched.peer),
            ..ResolvedTorrent::of(
                wanted.infohash,
                &fetched.info,
                fetched.raw.clone(),
                wanted.trackers.clone(),
            )
        })),
        Err(failure) => match failed(&stations.options.cooldowns, failure, failures, at_ms) {
            Some(failed) if !ended.says_nothing => {
                retry_at_ms = Some(failed.retry_at_ms);
                RecordResult::Failed(failed)
            }
            _ => RecordResult::AttemptsOnly,
        },
    };
    let Some(store) = &stations.store else {
        return Recorded {
            retry_at_ms,
            error: None,
            is_refused: false,
        };
    };
    if matches!(result, RecordResult::AttemptsOnly)
        && ended.attempts.is_empty()
        && ended.tracker_replies.is_empty()
    {
        return Recorded {
            retry_at_ms,
            error: None,
            is_refused: false,
        };
    }
    let record = Record {
        infohash: wanted.infohash,
        result,
        attempts: ended.attempts.clone(),
        tracker_replies: ended.tracker_replies.clone(),
        at_ms,
    };
    let began = Instant::now();
    let recorded = store.record(record).instrument(observe::traced!("record"));
    let error = recorded.await.err();
    let outcome = if error.is_none() { "ok" } else { "error" };
    observe::left("record", outcome, began);
    Recorded {
        retry_at_ms,
        is_refused: error.as_ref().is_some_and(StoreError::is_refusal),
        error: error.map(|error| error.to_string()),
    }
}

/// The cooldown after this failure; `None` where it says nothing about the hash.
fn failed(
    cooldowns: &Cooldowns,
    failure: &Failure,
    failures: u32,
    at_ms: i64,
) -> Option<FailedTorrent> {
    let failures = failures.saturating_add(1);
    let wait = cooldowns.after(failure.reason, failures)?;
    let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    Some(FailedTorrent {
        reason: failure.reason,
        phase: failure.phase,
        detail: failure.detail.clone(),
        failures,
        failed_at_ms: at_ms,
        retry_at_ms: at_ms.saturating_add(wait_ms),
    })
}
