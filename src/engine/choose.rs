//! Choose: which peer an arm tries next, when the direct arm starts, and which failure speaks for a
//! hash. Pure decisions over what is known; no I/O, no clock of its own.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::Strategy;
use crate::discovery::Peers;
use crate::torrent::{Arm, Category, Failure, PeerAddr, Phase, Reason};

/// When the direct arm starts, counted from the start of the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DirectStart {
    /// At once, and why.
    Now(&'static str),
    /// After this long, or on libtorrent's first failure.
    After(Duration),
    /// Not at all.
    Never,
}

/// When the direct arm starts on a hash that libtorrent has, or has not, been given.
pub(super) fn direct_start(
    strategy: Strategy,
    libtorrent_fetches: bool,
    fallback_after: Duration,
) -> DirectStart {
    match strategy {
        Strategy::Libtorrent => DirectStart::Never,
        Strategy::Direct => DirectStart::Now("the strategy is direct"),
        Strategy::Race => DirectStart::Now("the strategy is race"),
        Strategy::Auto if !libtorrent_fetches => {
            DirectStart::Now("libtorrent has no free slot, or does not run")
        }
        Strategy::Auto => DirectStart::After(fallback_after),
    }
}

/// How an arm gets on with one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engaged {
    /// It is trying, and has come to this phase.
    In(Phase),
    /// It gave up.
    Failed(Reason),
}

/// Whether `arm` may fare better with a peer that the other one gave up for this reason. What a
/// peer cannot do for one arm it cannot do for the other; but how a conversation broke off may have
/// been chance, and libtorrent has other ways than TCP and plaintext.
fn may_fare_better(arm: Arm, reason: Reason) -> bool {
    match arm {
        Arm::Direct => matches!(
            reason,
            Reason::Closed
                | Reason::Reset
                // libtorrent says so of anything that is no BitTorrent handshake, too.
                | Reason::WrongInfohash
                | Reason::HandshakeTimeout
                | Reason::TransferTimeout
                | Reason::EncryptionRequired
                | Reason::Internal
        ),
        Arm::Libtorrent => {
            reason == Reason::EncryptionRequired
                || matches!(
                    reason.category(),
                    Category::Timeout | Category::Connection | Category::Local
                )
        }
    }
}

/// The next peer for `arm`, which is or was engaged with some, as is the other one: peers that delivered before come first, then those that the other arm has not in hand, then the better
/// source, then the address that more nodes reported.
pub(super) fn next_peer(
    arm: Arm,
    peers: &Peers,
    own: &HashMap<PeerAddr, Engaged>,
    other: &HashMap<PeerAddr, Engaged>,
) -> Option<PeerAddr> {
    peers
        .iter()
        .filter(|(addr, _)| !own.contains_key(addr))
        .filter(|(addr, _)| match other.get(addr) {
            Some(Engaged::Failed(reason)) => may_fare_better(arm, *reason),
            Some(Engaged::In(_)) | None => true,
        })
        .min_by_key(|(addr, known)| {
            let in_hand = match other.get(addr) {
                None | Some(Engaged::In(Phase::Connect)) => 0,
                Some(Engaged::Failed(_)) => 1,
                Some(Engaged::In(_)) => 2,
            };
            let undelivered = std::cmp::Reverse(known.deliveries);
            (
                undelivered,
                in_hand,
                known.source,
                std::cmp::Reverse(known.reports),
                **addr,
            )
        })
        .map(|(addr, _)| *addr)
}

/// The failure of a peer that was still being tried when time ran out.
pub(super) fn out_of_time(phase: Phase, limit: Duration) -> Failure {
    let reason = match phase {
        Phase::Lookup => Reason::NoPeers,
        Phase::Connect => Reason::ConnectTimeout,
        Phase::Handshake | Phase::Extension => Reason::HandshakeTimeout,
        Phase::Transfer | Phase::Verify => Reason::TransferTimeout,
    };
    Failure::new(
        reason,
        phase,
        format!("still in this phase when the {limit:?} of the hash were over"),
    )
}

/// How much a reason says, among failures of one phase.
fn weight(reason: Reason) -> u8 {
    match reason {
        Reason::EncryptionRequired | Reason::InvalidInfoDict => 3,
        Reason::Internal | Reason::Cancelled => 0,
        Reason::Closed | Reason::Reset => 1,
        _ => 2,
    }
}

/// The failure that speaks for a hash: of those which came furthest the most telling, then the
/// most frequent one. `None` where nothing was tried.
pub(super) fn verdict<'a>(
    failures: impl Iterator<Item = (PeerAddr, &'a Failure)> + Clone,
) -> Option<Failure> {
    let funnel = funnel(failures.clone().map(|(_, failure)| failure.reason));
    let (peer, failure) = failures.max_by_key(|(_, failure)| {
        let count = funnel.get(&failure.reason).copied().unwrap_or_default();
        (failure.phase, weight(failure.reason), count)
    })?;
    let detail = format!("{peer}: {}", failure.detail);
    Some(Failure::new(failure.reason, failure.phase, detail))
}

/// How many attempts ended in each way.
pub(super) fn funnel(reasons: impl Iterator<Item = Reason>) -> BTreeMap<Reason, u32> {
    let mut funnel = BTreeMap::new();
    for reason in reasons {
        *funnel.entry(reason).or_insert(0) += 1;
    }
    funnel
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torrent::PeerSource;

    fn addr(last: u8) -> PeerAddr {
        PeerAddr::new([8, 8, 8, last].into(), 6881)
    }

    #[test]
    fn when_the_direct_arm_starts() {
        let after = Duration::from_millis(300);
        assert_eq!(
            direct_start(Strategy::Auto, true, after),
            DirectStart::After(after)
        );
        assert!(matches!(
            direct_start(Strategy::Auto, false, after),
            DirectStart::Now(_)
        ));
        assert!(matches!(
            direct_start(Strategy::Race, true, after),
            DirectStart::Now(_)
        ));
        assert!(matches!(
            direct_start(Strategy::Direct, false, after),
            DirectStart::Now(_)
        ));
        assert_eq!(
            direct_start(Strategy::Libtorrent, true, after),
            DirectStart::Never
        );
    }

    #[test]
    fn peers_that_delivered_come_first_then_those_nobody_has_in_hand() {
        let mut peers = Peers::new(false);
        for last in 1..=5 {
            peers.add(addr(last), PeerSource::Dht);
        }
        peers.add(addr(6), PeerSource::Hint);
        peers.set_deliveries(addr(4), 2);
        let engaged = HashMap::from([
            (addr(6), Engaged::In(Phase::Extension)),
            (addr(1), Engaged::Failed(Reason::Closed)),
            (addr(2), Engaged::Failed(Reason::NoUtMetadata)),
            (addr(3), Engaged::In(Phase::Connect)),
        ]);
        let mut tried = HashMap::new();
        let mut order = Vec::new();
        while let Some(next) = next_peer(Arm::Direct, &peers, &tried, &engaged) {
            tried.insert(next, Engaged::In(Phase::Connect));
            order.push(next);
        }
        assert_eq!(order, [4, 3, 5, 1, 6].map(addr), "2 can't, whoever asks");
    }

    #[test]
    fn the_failure_that_came_furthest_speaks_for_the_hash() {
        let failures = [
            (
                addr(1),
                Failure::new(Reason::ConnectTimeout, Phase::Connect, "a"),
            ),
            (addr(2), Failure::new(Reason::Closed, Phase::Handshake, "b")),
            (
                addr(3),
                Failure::new(Reason::EncryptionRequired, Phase::Handshake, "c"),
            ),
            (addr(4), Failure::new(Reason::Closed, Phase::Handshake, "d")),
        ];
        let verdict = verdict(failures.iter().map(|(peer, failure)| (*peer, failure))).unwrap();
        assert_eq!(verdict.reason, Reason::EncryptionRequired);
        assert_eq!(verdict.detail, "8.8.8.3:6881: c");
        assert_eq!(super::verdict(std::iter::empty()), None);
        let funnel = funnel(failures.iter().map(|(_, failure)| failure.reason));
        assert_eq!(funnel.get(&Reason::Closed), Some(&2));
    }

    #[test]
    fn an_attempt_cut_short_has_the_reason_of_its_phase() {
        let limit = Duration::from_secs(1);
        assert_eq!(
            out_of_time(Phase::Connect, limit).reason,
            Reason::ConnectTimeout
        );
        assert_eq!(
            out_of_time(Phase::Extension, limit).reason,
            Reason::HandshakeTimeout
        );
        assert_eq!(
            out_of_time(Phase::Transfer, limit).reason,
            Reason::TransferTimeout
        );
    }
}
