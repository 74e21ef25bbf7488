//! Gate: may it be done, and is it worth doing now? Blocked, already known, already in flight, cooling
//! down.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::emit::{Origin, Resolution, Resolved, Unresolved};
use super::intake::Wanted;
use super::station::{Stations, now_ms};
use crate::history::PastAttempt;
use crate::torrent::{Failure, Info, Infohash, PeerAddr, Phase, Reason};

/// What the gate says about a hash.
pub(super) enum Passage {
    /// There is an answer already.
    Answer(Result<Arc<Resolved>, Arc<Unresolved>>),
    /// It was resolved before, out of what this peer gave.
    Stored(Arc<Resolved>, Option<PeerAddr>),
    /// Nothing speaks against it.
    Open(Admitted),
}

impl Passage {
    /// What it says, in a word.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Answer(Ok(_)) | Self::Stored(..) => "stored",
            Self::Answer(Err(unresolved)) => unresolved.failure.reason.as_str(),
            Self::Open(_) => "open",
        }
    }
}

/// What the store knows of a hash that is to be worked on.
#[derive(Default)]
pub(super) struct Admitted {
    /// How often it failed in a row.
    pub(super) failures: u32,
    /// Peers that delivered it before.
    pub(super) deliverers: Vec<PeerAddr>,
}

/// Answers from the store where it can. A hash on the blocklist goes no further, stored or not.
pub(super) async fn check(stations: &Stations, wanted: &Wanted) -> Passage {
    let recall = match stations.recall(wanted).await {
        Ok(recall) => recall,
        Err(error) => {
            let detail =
                format!("the blocklist can't be read, and nothing is fetched unchecked: {error}");
            return refused(Reason::Internal, detail);
        }
    };
    if recall.blocked {
        return refused(
            Reason::Blocked,
            "it is on the blocklist: `metafetch block check` says on which, `metafetch block \
             remove` takes it off"
                .to_owned(),
        );
    }
    // What was stored was verified; a row that does not read any more is fetched again.
    if let Some(stored) = recall.torrent
        && let Ok(info) = Info::parse(&stored.info)
    {
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
        return Passage::Stored(Arc::new(resolved), stored.peer);
    }
    let admitted = Admitted {
        failures: recall.failed.as_ref().map_or(0, |failed| failed.failures),
        deliverers: recall.deliverers,
    };
    let options = &stations.options;
    let Some(failed) = recall
        .failed
        .filter(|_| !(options.refetch || options.cooldowns.off))
    else {
        return Passage::Open(admitted);
    };
    let left = failed.retry_at_ms.saturating_sub(now_ms());
    if left <= 0 || names_news(wanted, &recall.attempts, options.allow_local_peers) {
        return Passage::Open(admitted);
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
        says_nothing: true,
    })))
}

fn refused(reason: Reason, detail: String) -> Passage {
    Passage::Answer(Err(Arc::new(Unresolved {
        failure: Failure::new(reason, Phase::Lookup, detail),
        attempts: [].into(),
        retry_at_ms: None,
        says_nothing: true,
    })))
}

/// Whether the asker names a peer that was not tried for this hash yet. Host names count as news: who
/// knows where they point today.
fn names_news(wanted: &Wanted, attempts: &[PastAttempt], allow_local: bool) -> bool {
    let addresses = wanted.addresses();
    let may_try = |peer: &PeerAddr| peer.is_public() || allow_local && peer.is_local();
    let tried: HashSet<PeerAddr> = attempts.iter().map(|attempt| attempt.peer).collect();
    addresses.len() < wanted.peers.len()
        || addresses
            .iter()
            .any(|peer| may_try(peer) && !tried.contains(peer))
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

impl InFlight {
    /// How many hashes are in work.
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
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
