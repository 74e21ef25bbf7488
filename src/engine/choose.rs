//! Choose: which peer is tried next, by which way, and which failure speaks for a hash. Pure decisions
//! over what is known; no I/O, no clock and no dice of its own.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use super::Strategy;
use crate::discovery::Known;
use crate::history::Estimate;
use crate::torrent::{Arm, Category, Failure, PeerAddr, Phase, Reason, Transport, Way};

/// How an arm gets on with one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engaged {
    /// It is trying, and has come to this phase.
    In(Phase),
    /// It gave up.
    Failed(Reason),
}

/// A peer of the hash that may be tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) addr: PeerAddr,
    pub(super) known: &'a Known,
    /// What it is worth to try it.
    pub(super) estimate: &'a Estimate,
    pub(super) libtorrent: Option<Engaged>,
    pub(super) direct: Option<Engaged>,
    /// Whether the arm that has it in hand has had it for so long that the other may join.
    pub(super) overdue: bool,
    /// Whether its address or network has as many connections of the direct arm as it may.
    pub(super) crowded: bool,
}

/// The arms at the moment of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) strategy: Strategy,
    /// The arm that goes first with peers of whom nothing is known.
    pub(super) first: Arm,
    /// Whether libtorrent takes part in this hash, or can.
    pub(super) libtorrent_works: bool,
    /// Whether this arm may try one more peer of this hash now.
    pub(super) libtorrent: bool,
    pub(super) direct: bool,
}

impl Room {
    /// Every arm of the strategy, as if it had room: what could ever be tried.
    pub(super) fn ever(strategy: Strategy, libtorrent_works: bool) -> Self {
        Self {
            strategy,
            first: Arm::Direct,
            libtorrent_works,
            libtorrent: libtorrent_works && strategy.uses_libtorrent(),
            direct: strategy.uses_direct(),
        }
    }

    fn has(self, arm: Arm) -> bool {
        match arm {
            Arm::Libtorrent => self.libtorrent,
            Arm::Direct => self.direct,
        }
    }
}

/// The next attempt.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Choice {
    pub(super) peer: PeerAddr,
    pub(super) way: Way,
    pub(super) why: &'static str,
    /// It is to find something out: it gets all the time there is.
    pub(super) explores: bool,
}

/// In which turn a peer comes: the lower, the sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// Nobody has tried it for this hash.
    Fresh,
    /// One arm gave it up, and the other may fare better.
    Second,
    /// One arm is slow with it.
    Beside,
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

fn other(arm: Arm) -> Arm {
    match arm {
        Arm::Libtorrent => Arm::Direct,
        Arm::Direct => Arm::Libtorrent,
    }
}

impl Candidate<'_> {
    fn engaged(&self, arm: Arm) -> Option<Engaged> {
        match arm {
            Arm::Libtorrent => self.libtorrent,
            Arm::Direct => self.direct,
        }
    }

    /// Its turn with this arm, and why; `None` where this arm is not to try it (again).
    fn turn(&self, arm: Arm, strategy: Strategy) -> Option<(Turn, &'static str)> {
        if self.engaged(arm).is_some() {
            return None;
        }
        match self.engaged(other(arm)) {
            None => Some((Turn::Fresh, "")),
            Some(Engaged::Failed(reason)) => may_fare_better(arm, reason)
                .then_some((Turn::Second, "the other arm failed, this one may not")),
            // In a race each arm goes its own way.
            Some(Engaged::In(_)) if strategy == Strategy::Race => Some((Turn::Fresh, "")),
            Some(Engaged::In(_)) => self
                .overdue
                .then_some((Turn::Beside, "the other arm is slow with it")),
        }
    }

    /// The arm that is to try it now, if one of those with room is.
    fn arm(&self, room: Room) -> Option<(Turn, Arm, &'static str)> {
        let has_turn = |arm: Arm| {
            let (turn, why) = self.turn(arm, room.strategy)?;
            Some((turn, arm, why))
        };
        // Either arm can go by TCP, encrypted or not, and whichever is better off should.
        let wanted = self
            .estimate
            .way
            .filter(|way| way.transport != Transport::Tcp)
            .map(|way| way.arm);
        let only_libtorrent =
            room.strategy == Strategy::Auto && room.libtorrent_works && self.needs_libtorrent();
        if only_libtorrent {
            // The direct arm has no uTP.
            let (turn, arm, _) = has_turn(Arm::Libtorrent).filter(|_| room.libtorrent)?;
            return Some((turn, arm, "only libtorrent can"));
        }
        let arms = [wanted.unwrap_or(room.first), room.first, other(room.first)];
        let turns = arms
            .into_iter()
            .filter(|arm| room.has(*arm) && !(self.crowded && *arm == Arm::Direct))
            .filter_map(has_turn);
        // The first of those that are equal: the arm that is wanted.
        let (turn, arm, why) = turns.min_by_key(|(turn, ..)| *turn)?;
        let why = match why {
            "" if wanted == Some(arm) => "this arm got metadata from it",
            why => why,
        };
        Some((turn, arm, why))
    }

    fn needs_libtorrent(&self) -> bool {
        self.estimate
            .way
            .is_some_and(|way| way.transport == Transport::Utp)
    }

    /// The way that this arm is to take first.
    fn way(&self, arm: Arm) -> Way {
        if arm == Arm::Direct {
            // What was seen of it counts for more than what another one says.
            let way = self.estimate.way;
            let encrypted = way.map_or(self.known.prefers_encryption, |way| way.encrypted);
            return Way::new(arm, Transport::Tcp, encrypted);
        }
        match self.direct {
            // The direct arm has shown that plain TCP is of no use.
            Some(Engaged::Failed(reason)) => match reason {
                Reason::EncryptionRequired | Reason::Closed | Reason::Reset => {
                    Way::new(arm, Transport::Tcp, true)
                }
                Reason::ConnectTimeout | Reason::Refused | Reason::Unreachable => {
                    Way::new(arm, Transport::Utp, false)
                }
                _ => Way::plain(arm),
            },
            _ => match self.estimate.way {
                Some(way) => Way::new(arm, way.transport, way.encrypted),
                None => Way::plain(arm),
            },
        }
    }
}

/// The next attempt, or `None` where no arm with room has a peer left: peers in their turn, then by
/// the value of trying them, then by source, then by how many nodes reported them. With `explore`, a
/// number from 0 to 1, any peer that nobody has tried may be chosen, so that what was learnt wrongly is
/// found out.
pub(super) fn next<'a>(
    room: Room,
    candidates: impl Iterator<Item = Candidate<'a>>,
    explore: Option<f64>,
) -> Option<Choice> {
    let turns = candidates.filter_map(|candidate| Some((candidate, candidate.arm(room)?)));
    let (candidate, (_, arm, why)) = match explore {
        None => turns.min_by(|(one, (turn, ..)), (another, (other_turn, ..))| {
            let value = another.estimate.value.total_cmp(&one.estimate.value);
            let rest = |it: &Candidate<'_>| (it.known.source, Reverse(it.known.reports), it.addr);
            turn.cmp(other_turn)
                .then(
                    one.estimate
                        .hopeless
                        .is_some()
                        .cmp(&another.estimate.hopeless.is_some()),
                )
                .then(value)
                .then_with(|| rest(one).cmp(&rest(another)))
        })?,
        Some(draw) => {
            let mut fresh: Vec<_> = turns.filter(|(_, turn)| turn.0 == Turn::Fresh).collect();
            fresh.sort_by_key(|(candidate, _)| candidate.addr);
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "an index below a few hundred"
            )]
            let index = (draw.clamp(0.0, 1.0) * fresh.len() as f64) as usize;
            let index = index.min(fresh.len().checked_sub(1)?);
            let (candidate, (turn, arm, _)) = fresh.swap_remove(index);
            (
                candidate,
                (
                    turn,
                    arm,
                    "to find out whether what is known of it still holds",
                ),
            )
        }
    };
    Some(Choice {
        peer: candidate.addr,
        way: candidate.way(arm),
        why,
        explores: explore.is_some(),
    })
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
/// most frequent one. `None` where nothing was tried. That a peer is ourselves, as any peer can make it
/// seem, counts only where nobody else was tried: it ends a hash for good.
pub(super) fn verdict<'a>(
    failures: impl Iterator<Item = (PeerAddr, &'a Failure)> + Clone,
) -> Option<Failure> {
    let funnel = funnel(failures.clone().map(|(_, failure)| failure.reason));
    let (peer, failure) = failures.max_by_key(|(_, failure)| {
        let count = funnel.get(&failure.reason).copied().unwrap_or_default();
        let is_other = failure.reason != Reason::SelfConnection;
        (is_other, failure.phase, weight(failure.reason), count)
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
mod tests;
