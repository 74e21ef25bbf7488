//! The queries of one lookup.

use std::collections::VecDeque;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::candidates::Candidates;
use super::nodes::Family;
use super::progress::Progress;
use super::{Shared, Summary, is_allowed};
use crate::discovery::dht::{AskError, Dht, Reply};
use crate::torrent::PeerAddr;
use crate::wire::krpc::{Answer, NodeAddr, NodeId, Query};

/// Known nodes that a lookup starts from, of each family.
const START: usize = 16;
/// Queries at a time, of each family, where everybody answers in time; and where many do not.
const FEWEST: usize = 4;
const MOST: usize = 8;
/// Queries at a time with those that are late.
const MOST_WITH_LATE: usize = 32;
/// Nodes that one answer may name, of each family. BEP 5 has eight.
const NAMED: usize = 16;

/// A query that has come to its end.
struct Done {
    addr: PeerAddr,
    asked_at: Instant,
    result: Result<Reply, AskError>,
}

async fn ask(dht: &Dht, query: &Query, addr: PeerAddr) -> Done {
    let asked_at = Instant::now();
    let result = dht.ask(addr, query).await;
    Done {
        addr,
        asked_at,
        result,
    }
}

/// Looks a hash up until the closest nodes have answered, or its time is over.
pub(super) async fn search(shared: &Shared, infohash: NodeId, progress: &Progress) {
    let query = Query::GetPeers {
        infohash,
        scrape: shared.options.scrape,
    };
    let deadline = Instant::now() + shared.options.deadline;
    let mut search = Search::new(shared, infohash, progress);
    let mut running = FuturesUnordered::new();
    loop {
        while let Some(addr) = search.next(running.len()) {
            running.push(ask(&shared.dht, &query, addr));
        }
        search.summary.converged = search.summary.answered > 0 && search.is_over();
        if search.summary.converged || running.is_empty() {
            break;
        }
        let wake_at = search.late_at().map_or(deadline, |late| late.min(deadline));
        tokio::select! {
            Some(done) = running.next() => {
                if matches!(done.result, Err(AskError::Closed)) {
                    break;
                }
                search.done(done);
            }
            () = sleep_until(wake_at) => {
                if Instant::now() >= deadline {
                    break;
                }
                search.note_late();
            }
        }
    }
    search.sum_up();
}

/// The DHT of one address family.
struct Side {
    family: Family,
    candidates: Candidates,
    /// How many queries were late.
    late: usize,
}

impl Side {
    /// Whether one more may be asked.
    fn has_room(&self) -> bool {
        self.candidates.in_flight() < (FEWEST + self.late).min(MOST)
    }
}

struct Search<'a> {
    shared: &'a Shared,
    infohash: NodeId,
    progress: &'a Progress,
    sides: Vec<Side>,
    /// When each query is late, in the order in which they were made.
    late_at: VecDeque<(PeerAddr, Instant)>,
    summary: Summary,
}

/// Whether a node of this family is known to be alive.
fn has_known(shared: &Shared, infohash: NodeId, family: Family) -> bool {
    !shared.nodes.closest(&infohash, 1, family).is_empty()
}

impl<'a> Search<'a> {
    fn new(shared: &'a Shared, infohash: NodeId, progress: &'a Progress) -> Self {
        let families = [Family::V4, Family::V6].into_iter();
        let sides = families
            .filter(|family| match family {
                Family::V4 => true,
                // A host without IPv6 is told of its nodes all the same, and would ask them in vain.
                Family::V6 => shared.options.ipv6 && has_known(shared, infohash, Family::V6),
            })
            .map(|family| Side {
                family,
                candidates: Candidates::new(infohash, shared.options.allow_local),
                late: 0,
            });
        let mut search = Self {
            shared,
            infohash,
            progress,
            sides: sides.collect(),
            late_at: VecDeque::new(),
            summary: Summary::default(),
        };
        search.start_from_known();
        search
    }

    /// Offers the closest known nodes to those sides that have not enough; says whether one is new.
    fn start_from_known(&mut self) -> bool {
        let mut any = false;
        let asked = usize::try_from(self.summary.asked).unwrap_or(usize::MAX);
        for side in self
            .sides
            .iter_mut()
            .filter(|side| side.candidates.is_short())
        {
            let count = START.saturating_add(asked);
            let known = self
                .shared
                .nodes
                .closest(&self.infohash, count, side.family);
            for node in known {
                any |= side.candidates.offer(node);
            }
        }
        any
    }

    /// The next node to ask, if one is to be asked now.
    fn next(&mut self, running: usize) -> Option<PeerAddr> {
        if self.summary.asked >= self.shared.options.max_queries || running >= MOST_WITH_LATE {
            return None;
        }
        let next = |sides: &mut Vec<Side>| {
            let mut with_room = sides.iter_mut().filter(|side| side.has_room());
            with_room.find_map(|side| side.candidates.next())
        };
        let addr = match next(&mut self.sides) {
            Some(addr) => addr,
            // Those that were known at the start are gone, or late, and others are known.
            None if self.sides.iter().any(Side::has_room) && self.start_from_known() => {
                next(&mut self.sides)?
            }
            None => return None,
        };
        self.summary.asked += 1;
        let late_at = Instant::now() + self.shared.pace.late_after();
        self.late_at.push_back((addr, late_at));
        Some(addr)
    }

    fn is_over(&self) -> bool {
        self.sides.iter().all(|side| side.candidates.is_over())
    }

    fn side(&mut self, addr: &PeerAddr) -> Option<&mut Side> {
        let family = Family::of(addr);
        self.sides.iter_mut().find(|side| side.family == family)
    }

    /// When the next query is late.
    fn late_at(&self) -> Option<Instant> {
        self.late_at.iter().map(|(_, at)| *at).min()
    }

    fn note_late(&mut self) {
        let now = Instant::now();
        let mut late = Vec::new();
        self.late_at.retain(|(addr, at)| {
            let is_late = *at <= now;
            if is_late {
                late.push(*addr);
            }
            !is_late
        });
        for addr in late {
            if let Some(side) = self.side(&addr) {
                side.late += 1;
                side.candidates.late(&addr);
            }
        }
    }

    fn done(&mut self, done: Done) {
        let Done {
            addr,
            asked_at,
            result,
        } = done;
        self.late_at.retain(|(asked, _)| *asked != addr);
        let answer = match result {
            Ok(reply) => {
                self.shared.pace.took(asked_at.elapsed());
                reply.answer
            }
            Err(error) => {
                // One that says that it will not answer is alive.
                if !matches!(error, AskError::Node(_) | AskError::TooOften(_)) {
                    self.shared.nodes.remove(&addr);
                }
                if let Some(side) = self.side(&addr) {
                    side.candidates.failed(&addr);
                }
                return;
            }
        };
        let id = answer.id;
        let is_itself = self
            .side(&addr)
            .is_some_and(|side| side.candidates.answered(&addr, id));
        if is_itself {
            self.summary.answered += 1;
            self.shared.nodes.add(NodeAddr { id, addr });
            self.take(answer, &addr);
        } else {
            self.summary.wrong_ids += 1;
            self.shared.nodes.remove(&addr);
        }
    }

    /// Takes in what a node said.
    fn take(&mut self, answer: Answer, from: &PeerAddr) {
        let Answer {
            mut nodes,
            peers,
            seeds,
            leeches,
            ..
        } = answer;
        nodes.sort_unstable_by_key(|node| node.id.distance(&self.infohash));
        let mut any_node = false;
        for side in &mut self.sides {
            let named = nodes
                .iter()
                .filter(|node| Family::of(&node.addr) == side.family);
            for node in named.take(NAMED) {
                any_node |= side.candidates.named(*node, from);
            }
        }
        let allow_local = self.shared.options.allow_local;
        let (allowed, refused): (Vec<_>, Vec<_>) = peers
            .into_iter()
            .partition(|peer| is_allowed(peer, allow_local));
        let refused = u32::try_from(refused.len()).unwrap_or(u32::MAX);
        self.summary.refused = self.summary.refused.saturating_add(refused);
        let sides = &self.sides;
        self.progress.find(|findings| {
            findings.scraped(seeds.as_ref(), leeches.as_ref());
            let mut changed = findings.named(allowed);
            if changed || any_node {
                changed |= findings
                    .mark_nodes(|peer| sides.iter().any(|side| side.candidates.is_node(peer)));
            }
            changed
        });
        self.sum_up();
    }

    fn sum_up(&self) {
        let candidates = || self.sides.iter().map(|side| &side.candidates);
        let refused: u32 = candidates().map(Candidates::refused).sum();
        self.progress.sum_up(Summary {
            closest: candidates().filter_map(Candidates::closest).max(),
            refused: self.summary.refused.saturating_add(refused),
            ..self.summary
        });
    }
}
