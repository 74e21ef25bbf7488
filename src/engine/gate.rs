//! Gate: may it be done, and is it worth doing now? Blocked, already known, already in flight, cooling
//! down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::emit::{Origin, Resolution, Resolved, Unresolved};
use super::intake::Wanted;
use super::station::{Stations, now_ms};
use crate::torrent::{Failure, Info, Infohash, Phase, Reason};

/// What the gate says about a hash.
pub(super) enum Passage {
    /// There is an answer already.
    Answer(Result<Arc<Resolved>, Arc<Unresolved>>),
    /// Nothing speaks against it. The store knows of this many failures in a row.
    Open { failures: u32 },
}

/// Answers from the store where it can. A hash on the blocklist goes no further, stored or not.
pub(super) async fn check(stations: &Stations, wanted: &Wanted) -> Passage {
    if let Some(failure) = blocked(stations, &wanted.infohash).await {
        return Passage::Answer(Err(Arc::new(Unresolved {
            failure,
            attempts: [].into(),
            retry_at_ms: None,
        })));
    }
    if stations.options.refetch {
        let failures = stations
            .failed(&wanted.infohash)
            .await
            .map_or(0, |failed| failed.failures);
        return Passage::Open { failures };
    }
    if let Some(stored) = stations.stored(&wanted.infohash).await {
        // What was stored was verified; a row that does not read any more is fetched again.
        if let Ok(info) = Info::parse(&stored.info) {
            let mut trackers = wanted.trackers.clone();
            trackers.extend(
                stored
                    .trackers
                    .into_iter()
                    .filter(|t| !wanted.trackers.contains(t)),
            );
            let resolved = Resolved {
                info,
                raw: stored.info,
                trackers,
                origin: Origin::Store,
            };
            return Passage::Answer(Ok(Arc::new(resolved)));
        }
    }
    let Some(failed) = stations.failed(&wanted.infohash).await else {
        return Passage::Open { failures: 0 };
    };
    let left = failed.retry_at_ms.saturating_sub(now_ms());
    if left <= 0 || stations.options.cooldowns.off || stations.has_new_peers(wanted).await {
        return Passage::Open {
            failures: failed.failures,
        };
    }
    let detail = format!(
        "failed {} times, the last time as {} in {}; to be tried again in {} seconds, or at once \
         with --refetch",
        failed.failures,
        failed.reason,
        failed.phase,
        left.div_euclid(1000) + 1,
    );
    Passage::Answer(Err(Arc::new(Unresolved {
        failure: Failure::new(Reason::Cooldown, failed.phase, detail),
        attempts: [].into(),
        retry_at_ms: Some(failed.retry_at_ms),
    })))
}

/// Why this hash may not be fetched. A blocklist that can't be read holds back every hash: nothing that
/// is on it may be fetched by mistake.
async fn blocked(stations: &Stations, infohash: &Infohash) -> Option<Failure> {
    let failure = |reason, detail| Some(Failure::new(reason, Phase::Lookup, detail));
    match stations.store.as_ref()?.is_blocked(infohash).await {
        Ok(false) => None,
        Ok(true) => failure(
            Reason::Blocked,
            "it is on the blocklist: `metafetch block check` says on which, `metafetch block \
             remove` takes it off"
                .to_owned(),
        ),
        Err(error) => failure(
            Reason::Internal,
            format!("the blocklist can't be read, and nothing is fetched unchecked: {error}"),
        ),
    }
}

/// By the 20 bytes that stand for a torrent on the wire: those of a hybrid and of its v1 hash are
/// the same.
type Results = HashMap<[u8; 20], watch::Receiver<Option<Resolution>>>;

/// The hashes in work: whoever asks for one of them gets the same result.
#[derive(Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<Results>>);

/// Who asked for a hash first, or somebody who joins.
pub(super) enum Turn {
    First(Lead),
    Join(watch::Receiver<Option<Resolution>>),
}

/// The right, and the duty, to work on a hash; given back when dropped.
pub(super) struct Lead {
    in_flight: InFlight,
    wire_id: [u8; 20],
    result: watch::Sender<Option<Resolution>>,
}

impl InFlight {
    pub(super) fn enter(&self, infohash: &Infohash) -> Turn {
        let wire_id = infohash.wire_id();
        let mut results = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(receiver) = results.get(&wire_id) {
            return Turn::Join(receiver.clone());
        }
        let (result, receiver) = watch::channel(None);
        results.insert(wire_id, receiver);
        Turn::First(Lead {
            in_flight: self.clone(),
            wire_id,
            result,
        })
    }
}

impl Lead {
    /// Gives the result to all who joined.
    pub(super) fn finish(self, resolution: &Resolution) {
        // Whoever joins between this and the drop gets the result that has just come.
        self.result.send_replace(Some(resolution.clone()));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.in_flight
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.wire_id);
    }
}
