//! The attempts of one hash that have come to an end.

use std::collections::HashMap;
use std::time::Duration;

use super::choose;
use super::station::now_ms;
use crate::discovery::Known;
use crate::history::Attempt;
use crate::torrent::{Arm, Failure, PeerAddr, PeerSource, Phase, Way};

/// What an arm knows of an attempt of its own.
pub(super) struct Facts {
    pub(super) way: Way,
    pub(super) peer: PeerAddr,
    pub(super) duration: Duration,
    pub(super) connect_time: Option<Duration>,
    pub(super) why: String,
    pub(super) client: Option<String>,
    pub(super) metadata_size: Option<i64>,
}

/// Attempts in the order in which they ended.
#[derive(Default)]
pub(super) struct Attempts(Vec<(Attempt, Option<Failure>)>);

impl Attempts {
    /// Notes an attempt that ended just now; without a failure it delivered.
    pub(super) fn push(
        &mut self,
        facts: Facts,
        known: Option<&Known>,
        failure: Option<Failure>,
    ) -> Option<&Attempt> {
        let ago = i64::try_from(facts.duration.as_millis()).unwrap_or(i64::MAX);
        let attempt = Attempt {
            way: facts.way,
            peer: facts.peer,
            source: known.map_or(PeerSource::Inbound, |known| known.source),
            started_at_ms: now_ms().saturating_sub(ago),
            duration: facts.duration,
            phase: failure
                .as_ref()
                .map_or(Phase::Verify, |failure| failure.phase),
            outcome: failure.as_ref().map(|failure| failure.reason),
            detail: failure
                .as_ref()
                .map(|failure| failure.detail.clone())
                .unwrap_or_default(),
            metadata_size: facts
                .metadata_size
                .and_then(|size| u64::try_from(size).ok()),
            client: facts.client,
            connect_time: facts.connect_time,
            why: facts.why,
        };
        self.0.push((attempt, failure));
        self.0.last().map(|(attempt, _)| attempt)
    }

    /// Turns an attempt that seemed to deliver into a failure: verification refused its bytes.
    pub(super) fn amend(&mut self, arm: Arm, peer: PeerAddr, failure: Failure) -> Option<&Attempt> {
        let last = self
            .0
            .iter_mut()
            .rfind(|(a, _)| a.way.arm == arm && a.peer == peer);
        let (attempt, slot) = last?;
        attempt.outcome = Some(failure.reason);
        attempt.phase = failure.phase;
        attempt.detail.clone_from(&failure.detail);
        *slot = Some(failure);
        Some(attempt)
    }

    /// The failure that speaks for the hash; `None` where nothing was tried. Of a peer that both
    /// arms judged, the direct arm's word counts: it saw the peer's bytes.
    pub(super) fn verdict(&self) -> Option<Failure> {
        let direct: HashMap<PeerAddr, Phase> = self
            .0
            .iter()
            .filter(|(attempt, _)| attempt.way.arm == Arm::Direct)
            .map(|(attempt, _)| (attempt.peer, attempt.phase))
            .collect();
        let failures = self.0.iter().filter_map(|(attempt, failure)| {
            let overruled = attempt.way.arm == Arm::Libtorrent
                && direct
                    .get(&attempt.peer)
                    .is_some_and(|phase| *phase >= attempt.phase);
            let failure = failure.as_ref().filter(|_| !overruled)?;
            Some((attempt.peer, failure))
        });
        choose::verdict(failures)
    }

    /// The attempts, for the store.
    pub(super) fn into_list(self) -> Vec<Attempt> {
        self.0.into_iter().map(|(attempt, _)| attempt).collect()
    }
}
