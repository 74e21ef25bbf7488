//! When attempts at a hash start, and by which arm: what is chosen is begun here.

use std::time::Duration;

use tokio::time::Instant;

use super::direct::Running;
use super::{Work, is_of_the_way};
use crate::direct::Slot;
use crate::engine::attempts::Facts;
use crate::engine::choose::{self, Candidate, Choice, Engaged, Room};
use crate::engine::station::now_ms;
use crate::engine::{Strategy, arms};
use crate::torrent::{Arm, Failure, PeerAddr, Reason, Transport, Way};

/// How often a hash that has something in hand, or something left to try, looks after it.
const TICK: Duration = Duration::from_millis(100);
/// How old estimates may be, and how much older for each peer: other hashes learn about the same
/// peers, but hundreds of estimates for each of hundreds of hashes cost more than they are worth.
const ESTIMATES_AGE: Duration = Duration::from_millis(40);
const ESTIMATES_AGE_PER_PEER: Duration = Duration::from_millis(2);
/// How many attempts may wait for the answer of a silent host, for each that may run.
const SILENT_PER_SLOT: usize = 3;
/// How often a choice is made anew because its estimate had got worse.
const SECOND_THOUGHTS: usize = 8;
/// How many peers without a free connection are passed over at a time.
const PASSED_OVER: usize = 16;

/// The arms that share a pace: in a race each has its own.
pub(super) fn lanes(strategy: Strategy) -> &'static [&'static [Arm]] {
    match strategy {
        Strategy::Race => &[&[Arm::Libtorrent], &[Arm::Direct]],
        Strategy::Auto => &[&[Arm::Libtorrent, Arm::Direct]],
        Strategy::Libtorrent => &[&[Arm::Libtorrent]],
        Strategy::Direct => &[&[Arm::Direct]],
    }
}

impl<'a> Work<'a> {
    /// Decides which arm goes first, and when the other one joins.
    pub(super) fn choose_first(&mut self) {
        let options = &self.stations.options;
        let now = Instant::now();
        let (first, why) = match options.strategy {
            Strategy::Libtorrent => (Arm::Libtorrent, "the strategy is libtorrent"),
            Strategy::Direct => (Arm::Direct, "the strategy is direct"),
            Strategy::Race => (Arm::Libtorrent, "the strategy is race: both at once"),
            Strategy::Auto => arms::first(
                self.stations.libtorrent_state(),
                self.stations.direct_state(),
                rand::random::<f64>() < options.history.exploration,
            ),
        };
        self.first = first;
        self.stations.breakers.pass(first);
        self.second_at = (options.strategy == Strategy::Auto).then(|| now + options.fallback_after);
        self.explain(format_args!("{first} goes first: {why}"));
        // Trackers are asked by libtorrent, whoever dials; but most hashes that come with peers are
        // done before anybody need be asked.
        let asks_first = !self.trackers.is_empty() && self.wanted.peers.is_empty();
        if first == Arm::Libtorrent || asks_first {
            self.join_libtorrent();
        } else if self.second_at.is_none() && !self.trackers.is_empty() {
            self.second_at = Some(now + options.fallback_after);
        }
    }

    /// A failure ends the time that the first arm has alone, unless that is the direct one and there
    /// are peers that it has not tried: what libtorrent could do about the failed one comes after those.
    pub(super) fn on_failure(&mut self, arm: Arm) {
        let now = Instant::now();
        let lane = lanes(self.stations.options.strategy)
            .iter()
            .position(|arms| arms.contains(&arm));
        if let Some(pace) = lane.and_then(|lane| self.paces.get_mut(lane)) {
            pace.failed(now);
        }
        if self.first == Arm::Direct && self.has_fresh_peers() {
            return;
        }
        if let Some(second_at) = self.second_at.as_mut() {
            *second_at = now.min(*second_at);
        }
    }

    /// Whether there is a peer that the direct arm has not tried.
    fn has_fresh_peers(&self) -> bool {
        let tried = self.direct.engaged();
        self.peers.iter().any(|(addr, _)| !tried.contains_key(addr))
    }

    fn join_second(&mut self, now: Instant) {
        if self.second_at.is_none_or(|at| at > now) {
            return;
        }
        self.second_at = None;
        // Where the direct arm goes first and fails, its peers may need what only libtorrent has.
        if !self.libtorrent.has_joined() {
            self.join_libtorrent();
        }
        if self.stations.options.strategy == Strategy::Auto {
            self.explain(format_args!("both arms may try its peers now"));
        }
    }

    /// Starts attempts: not too many at a time, and not all at once.
    pub(super) fn start_attempts(&mut self, running: &mut Running<'a>) {
        let now = Instant::now();
        self.join_second(now);
        let mut passed_over = 0;
        for (lane, arms) in lanes(self.stations.options.strategy).iter().enumerate() {
            while self.paces.get(lane).is_some_and(|pace| pace.due() <= now) {
                let Some(choice) = self.choose(arms, running.len(), true) else {
                    break;
                };
                let slot = match choice.way.arm {
                    Arm::Libtorrent => None,
                    Arm::Direct => match self.stations.direct.try_slot(choice.peer) {
                        Some(slot) => Some(slot),
                        None if passed_over < PASSED_OVER => {
                            passed_over += 1;
                            self.direct.pass_over(choice.peer, now);
                            continue;
                        }
                        None => break,
                    },
                };
                self.begin(&choice, lane, slot, running);
            }
        }
    }

    /// Begins what was chosen, by the direct arm where it has a slot.
    fn begin(
        &mut self,
        choice: &Choice,
        lane: usize,
        slot: Option<Slot<'a>>,
        running: &mut Running<'a>,
    ) {
        let now = Instant::now();
        let mut choice = choice.clone();
        let encryption = self.stations.options.direct.encryption;
        choice.way.encrypted = encryption.first(choice.way.encrypted);
        let choice = &choice;
        let estimate = self.estimates.get(&choice.peer);
        let expected = estimate.map_or(Duration::MAX, |estimate| estimate.expected);
        let mut why = estimate.map_or_else(String::new, |estimate| estimate.why.to_string());
        if !choice.why.is_empty() {
            why = format!("{why}; {}", choice.why);
        }
        self.explain(format_args!("{} tries {}: {why}", choice.way, choice.peer));
        self.peers.is_tried(choice.peer);
        match slot {
            None => self.begin_libtorrent(choice, why),
            Some(slot) => self.begin_direct(choice, why, slot, running),
        }
        let chance = self.chance();
        if let Some(pace) = self.paces.get_mut(lane) {
            pace.tried(now, chance, expected);
        }
    }

    /// The probability that one of the attempts that run delivers.
    fn chance(&self) -> f64 {
        let in_hand = self.libtorrent.in_hand().chain(self.direct.in_hand());
        let fails = in_hand.map(|(peer, _)| {
            let estimate = self.estimates.get(&peer);
            1.0 - estimate.map_or(0.0, |estimate| estimate.probability)
        });
        1.0 - fails.product::<f64>()
    }

    /// For how long a connection request counts as being in hand.
    pub(super) fn patience(&self) -> Duration {
        let cap = self.stations.options.direct.connect_timeout;
        let history = &self.stations.history;
        history.connect_timeout(Transport::Tcp, cap, false)
    }

    fn room(&self, arms: &[Arm], running: usize) -> Room {
        let options = &self.stations.options;
        let (slots, patience) = (options.peers_at_once, self.patience());
        let alone = self.libtorrent.has_joined() && !self.libtorrent.dials();
        let joined = |arm: Arm| self.first == arm || self.second_at.is_none() || alone;
        let silent = slots.saturating_mul(SILENT_PER_SLOT);
        let room = |arm: Arm, dials: bool, busy: usize, all: usize| {
            arms.contains(&arm) && dials && busy < slots && all < slots.saturating_add(silent)
        };
        Room {
            strategy: options.strategy,
            first: self.first,
            libtorrent_works: self.libtorrent_works(),
            libtorrent: room(
                Arm::Libtorrent,
                self.libtorrent.dials(),
                self.libtorrent.busy(patience),
                self.libtorrent.in_hand().count(),
            ),
            direct: room(
                Arm::Direct,
                joined(Arm::Direct) && self.stations.direct.free_slots() > 0,
                self.direct.busy(patience),
                running,
            ),
        }
    }

    fn candidates(&self) -> impl Iterator<Item = Candidate<'_>> {
        let after = self.stations.options.fallback_after;
        let overdue: std::collections::HashSet<PeerAddr> = self
            .libtorrent
            .in_hand()
            .chain(self.direct.in_hand())
            .filter(|(_, since)| since.elapsed() >= after)
            .map(|(peer, _)| peer)
            .collect();
        let now = Instant::now();
        self.peers.iter().filter_map(move |(addr, known)| {
            Some(Candidate {
                addr: *addr,
                known,
                estimate: self.estimates.get(addr)?,
                libtorrent: self.libtorrent.engaged().get(addr).copied(),
                direct: self.direct.engaged().get(addr).copied(),
                overdue: overdue.contains(addr),
                crowded: self.direct.is_crowded(addr, now),
            })
        })
    }

    /// The next attempt by one of these arms, if it were due. With `afresh`, by what is known now.
    fn choose(&mut self, arms: &[Arm], running: usize, afresh: bool) -> Option<Choice> {
        let mut room = self.room(arms, running);
        let needs_libtorrent = self.wants_libtorrent();
        if needs_libtorrent && arms.contains(&Arm::Libtorrent) && !self.libtorrent.has_joined() {
            self.join_libtorrent();
            room = self.room(arms, running);
        }
        if !(room.libtorrent || room.direct) {
            return None;
        }
        if !afresh {
            return choose::next(room, self.candidates(), None);
        }
        if self.estimates_are_old() {
            self.estimate_all();
        }
        if choose::next(room, self.candidates(), None).is_some()
            && self.stations.history.explores()
            && let Some(choice) = choose::next(room, self.candidates(), Some(rand::random()))
        {
            return Some(choice);
        }
        // What the best was worth may be out of date: it is looked up again before it is tried.
        for _ in 0..SECOND_THOUGHTS {
            let choice = choose::next(room, self.candidates(), None)?;
            let before = self
                .estimates
                .get(&choice.peer)
                .map(|estimate| estimate.value);
            let value = self.estimate(choice.peer);
            if value
                .zip(before)
                .is_none_or(|(value, before)| value >= before * 0.9)
            {
                return Some(choice);
            }
        }
        choose::next(room, self.candidates(), None)
    }

    /// Whether a peer that only libtorrent can reach waits for it.
    fn wants_libtorrent(&self) -> bool {
        self.stations.options.strategy == Strategy::Auto
            && !self.libtorrent.has_joined()
            && self.peers.iter().any(|(addr, _)| {
                let way = self.estimates.get(addr).and_then(|estimate| estimate.way);
                way.is_some_and(|way| way.transport == Transport::Utp)
                    && !self.direct.engaged().contains_key(addr)
            })
    }

    fn estimates_are_old(&self) -> bool {
        let peers = u32::try_from(self.peers.len()).unwrap_or(u32::MAX);
        self.estimated.elapsed() >= ESTIMATES_AGE + ESTIMATES_AGE_PER_PEER.saturating_mul(peers)
    }

    /// Estimates every peer by what is known now.
    pub(super) fn estimate_all(&mut self) {
        self.estimated = Instant::now();
        let now_ms = now_ms();
        let (history, infohash) = (&self.stations.history, &self.wanted.infohash);
        for (addr, known) in self.peers.iter() {
            let estimate = history.estimate(infohash, addr, known.source, known.reports, now_ms);
            self.estimates.insert(*addr, estimate);
        }
    }

    /// Estimates one peer anew, and returns its value.
    pub(super) fn estimate(&mut self, addr: PeerAddr) -> Option<f64> {
        let known = self.peers.get(&addr)?;
        let estimate = self.stations.history.estimate(
            &self.wanted.infohash,
            &addr,
            known.source,
            known.reports,
            now_ms(),
        );
        let value = estimate.value;
        self.estimates.insert(addr, estimate);
        Some(value)
    }

    /// When there is something to do again, if nothing happens before.
    pub(super) fn wake_at(&mut self, running: usize) -> Instant {
        let mut wake_at = self.deadline;
        if let Some(second_at) = self.second_at {
            wake_at = wake_at.min(second_at);
        }
        for (lane, arms) in lanes(self.stations.options.strategy).iter().enumerate() {
            let due = self.paces.get(lane).map(super::pace::Pace::due);
            if let Some(due) = due
                && self.choose(arms, running, false).is_some()
            {
                wake_at = wake_at.min(due);
            }
        }
        let idle = running == 0 && self.libtorrent.in_hand().next().is_none();
        if !idle || self.lacks_slots() {
            wake_at = wake_at.min(Instant::now() + TICK);
        }
        wake_at
    }

    /// Whether peers of this hash wait for a connection of the direct arm to become free.
    pub(super) fn lacks_slots(&self) -> bool {
        self.stations.options.strategy.uses_direct()
            && !self.peers.is_empty()
            && (self.direct.has_crowded() || self.stations.direct.free_slots() == 0)
    }

    /// Whether libtorrent dials for this hash, or may still be asked to.
    fn libtorrent_works(&self) -> bool {
        let may_join = !self.libtorrent.has_joined() && self.stations.libtorrent.is_some();
        self.libtorrent.dials() || may_join
    }

    /// Whether no peer is left that any arm could still try, apart from direct attempts that run.
    pub(super) fn is_exhausted(&self) -> bool {
        let strategy = self.stations.options.strategy;
        // Before it has joined, it may still find peers, or fare better with those that failed.
        let may_join = self.second_at.is_some() && self.stations.libtorrent.is_some();
        let room = Room::ever(strategy, self.libtorrent_works());
        let asks_later = may_join && !self.libtorrent.has_joined() && !self.trackers.is_empty();
        self.libtorrent.is_idle() && !asks_later && {
            let candidates = self.candidates();
            let all = candidates.map(|it| Candidate {
                crowded: false,
                ..it
            });
            choose::next(room, all, None).is_none()
        }
    }

    /// Notes an attempt that has ended: for the hash, for the history, for the arm.
    pub(super) fn note(&mut self, facts: Facts, failure: Option<Failure>) {
        let (arm, peer) = (facts.way.arm, facts.peer);
        let connected = facts.connect_time.is_some();
        let breakers = &self.stations.breakers;
        match &failure {
            Some(failure) if failure.reason == Reason::Internal => {
                breakers.failed(arm, &failure.detail);
            }
            None => breakers.succeeded(arm),
            _ if connected => breakers.succeeded(arm),
            _ => {}
        }
        if failure.is_none() {
            let other = match arm {
                Arm::Libtorrent => (Arm::Direct, self.direct.engaged().get(&peer)),
                Arm::Direct => (Arm::Libtorrent, self.libtorrent.engaged().get(&peer)),
            };
            // Only what both could have done alike: uTP and encryption are libtorrent's, and who was
            // not waited for long enough, or refused one of two connections, says nothing of the arm.
            let alike = facts.way == Way::plain(arm);
            if let (other, Some(Engaged::Failed(reason))) = other
                && alike
                && matches!(
                    reason,
                    Reason::Closed | Reason::HandshakeTimeout | Reason::WrongInfohash
                )
            {
                let detail = format!("{peer} delivered to the {arm} arm after {reason}");
                breakers.failed(other, &detail);
            }
        }
        // A network that is away says nothing of peers. What failed before it was found out is learnt.
        let is_networks = (failure.as_ref()).is_some_and(|failure| is_of_the_way(failure.reason))
            && self.stations.was_away_since(self.started);
        if let Some(attempt) = self.attempts.push(facts, self.peers.get(&peer), failure)
            && !is_networks
        {
            self.stations.history.learn(&self.wanted.infohash, attempt);
        }
    }

    /// Turns an attempt that seemed to deliver into a failure.
    pub(super) fn amend(&mut self, arm: Arm, peer: PeerAddr, failure: Failure) {
        if let Some(attempt) = self.attempts.amend(arm, peer, failure) {
            self.stations.history.learn(&self.wanted.infohash, attempt);
        }
    }

    /// Another peer has delivered: whoever had not even answered by then is known to be slow.
    pub(super) fn note_silent(&mut self) {
        let patience = self.patience();
        self.note_silent_direct(patience);
        self.note_silent_libtorrent(patience);
    }
}
