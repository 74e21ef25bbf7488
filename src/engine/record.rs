//! Record: what was fetched and what was learnt goes to the store before anybody is told.

use super::Cooldowns;
use super::attempt::Ended;
use super::intake::Wanted;
use super::station::{Stations, now_ms};
use crate::store::{FailedTorrent, Record, RecordResult, ResolvedTorrent};
use crate::torrent::Failure;

/// What the store was told of a failure.
pub(super) struct Recorded {
    /// When the hash may be tried again, in UTC unix milliseconds.
    pub(super) retry_at_ms: Option<i64>,
    /// Why it is not in the store.
    pub(super) error: Option<String>,
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
            infohash: wanted.infohash,
            infohash_v2: wanted.infohash.v2().copied(),
            name: fetched.info.name.clone(),
            size: fetched.info.size,
            piece_length: fetched.info.piece_length,
            pieces_count: fetched.info.pieces,
            private: fetched.info.private,
            source: fetched.info.source.clone().unwrap_or_default(),
            info: fetched.raw.clone(),
            trackers: wanted.trackers.clone(),
            files: fetched
                .info
                .files
                .iter()
                .filter(|file| !file.is_padding)
                .map(|file| (file.path.join("/"), file.length))
                .collect(),
            arm: fetched.arm.as_str().to_owned(),
            peer: Some(fetched.peer),
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
        };
    };
    if matches!(result, RecordResult::AttemptsOnly)
        && ended.attempts.is_empty()
        && ended.tracker_replies.is_empty()
    {
        return Recorded {
            retry_at_ms,
            error: None,
        };
    }
    let record = Record {
        infohash: wanted.infohash,
        result,
        attempts: ended.attempts.clone(),
        tracker_replies: ended.tracker_replies.clone(),
        at_ms,
    };
    let error = store
        .record(record)
        .await
        .err()
        .map(|error| error.to_string());
    Recorded { retry_at_ms, error }
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
