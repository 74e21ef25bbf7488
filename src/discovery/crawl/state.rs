//! What the crawl knows, and what it asks next.

use super::avoided::Avoided;
use super::clock::Clock;
use super::counters::{Asked, CrawlCounters};
use super::frontier::{Frontier, Met};
use super::node::{Node, NodeRecord, NodeState};
use super::observed::Gate;
use super::options::{CrawlOptions, ms};
use super::pace::Pace;
use super::pending::Pending;
use super::seen::Seen;
use super::visited::Visited;
use crate::torrent::PeerAddr;
use crate::wire::krpc::{NodeAddr, NodeId, Query};

/// Nodes that are left alone, at the most.
const AVOIDED: usize = 200_000;
/// Nodes whose endpoints are told from new ones, for each in the frontier; about 20 bytes each.
const MET_PER_NODE: usize = 4;
/// Each so many queries one searches for nodes, while that finds any.
const SEARCH_EVERY: u32 = 4;
/// What an answer to a search counts in the average of new nodes.
const YIELD_WEIGHT: f32 = 0.1;
/// Searches a second when they find nothing.
const FEWEST_SEARCHES: f32 = 0.2;
/// And while the network is away: whoever answers says that it is back.
const SEARCHES_WHILE_AWAY: f32 = 1.0;

/// A query that is to be sent, and what its result must know.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) addr: PeerAddr,
    pub(super) target: NodeId,
    pub(super) kind: AskKind,
    /// Whether it answered the last time.
    pub(super) was_good: bool,
    pub(super) sent_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AskKind {
    /// For samples, of a node that before this might have been asked from the given time on.
    Samples { at_ms: i64 },
    /// For nodes.
    Nodes,
}

impl Ask {
    pub(super) fn query(&self) -> Query {
        let target = self.target;
        match self.kind {
            AskKind::Samples { .. } => Query::SampleInfohashes { target },
            AskKind::Nodes => Query::FindNode { target },
        }
    }
}

/// The crawl without its I/O: says whom to ask, and takes in what came of it (`results`).
#[derive(Debug)]
pub(super) struct State {
    pub(super) options: CrawlOptions,
    pub(super) clock: Clock,
    pub(super) frontier: Frontier,
    pub(super) visited: Visited,
    pub(super) avoided: Avoided,
    pub(super) seen: Seen,
    /// The endpoints of nodes that were in the frontier, to count each once.
    met: Seen,
    pub(super) pending: Pending,
    pub(super) gate: Gate,
    pub(super) pace: Pace,
    pub(super) counters: CrawlCounters,
    /// Nodes that were silent since the last answer: not to blame if the network was away.
    pub(super) silent: Vec<PeerAddr>,
    /// Whether it was said that the network is away, and from when on it may be said again.
    pub(super) said_away: bool,
    pub(super) say_away_at_ms: i64,
    queries: u32,
    search_at_ms: i64,
    /// New nodes per search, on average.
    search_yield: f32,
}

impl State {
    /// Begins with nodes that are remembered.
    pub(super) fn new(mut nodes: Vec<NodeRecord>, options: CrawlOptions) -> Self {
        let clock = Clock::start();
        let now = clock.now_ms();
        let mut state = Self {
            frontier: Frontier::new(&options),
            visited: Visited::new(options.visited_nodes, now),
            avoided: Avoided::new(AVOIDED),
            seen: Seen::new(options.remembered_hashes),
            met: Seen::new(options.nodes.saturating_mul(MET_PER_NODE)),
            pending: Pending::new(options.pending),
            gate: Gate::new(&options, now),
            pace: Pace::new(&options, now),
            counters: CrawlCounters::default(),
            silent: Vec::new(),
            said_away: false,
            say_away_at_ms: now,
            queries: 0,
            search_at_ms: now,
            search_yield: 1.0,
            clock,
            options,
        };
        // Where a bucket has not room for all, those that were there last.
        nodes.sort_unstable_by_key(|record| std::cmp::Reverse(record.last_seen_ms));
        for record in nodes {
            let node = Node::remembered(record, &state.options, now);
            let (NodeAddr { id, addr }, until) = (node.addr(), node.record.next_sample_at_ms);
            if until > now && node.record.bep51 != Some(false) {
                state.visited.mark(&addr, Some(&id), until);
            }
            state.met.first_time(&addr);
            state.frontier.meet(node, now);
        }
        state
    }

    /// Takes in a node that was named. Says whether it is new.
    pub(super) fn meet(&mut self, named: NodeAddr, named_by: Option<PeerAddr>) -> bool {
        let now = self.clock.now_ms();
        let counts = &mut self.counters.named;
        if self.avoided.contains(&named.addr, now) {
            counts.avoided += 1;
            return false;
        }
        let mut node = Node::new(named, named_by, now);
        let waits = self.visited.until_ms(&named.addr, &named.id, now);
        node.record.next_sample_at_ms = waits.unwrap_or(0);
        match self.frontier.meet(node, now) {
            Met::New => {
                if self.met.first_time(&named.addr) {
                    counts.new += 1;
                } else {
                    counts.again += 1;
                }
                counts.waiting += u64::from(waits.is_some());
                return true;
            }
            Met::Known => counts.known += 1,
            Met::Refused => counts.refused += 1,
            Met::Crowded => counts.crowded += 1,
            Met::Full => counts.full += 1,
        }
        false
    }

    /// The next query, if one may be sent now. `hungry` as for [`Crawl::start`](super::Crawl::start).
    pub(super) fn next(&mut self, in_flight: usize, hungry: f32) -> Option<Ask> {
        self.counters.in_flight = in_flight;
        let now = self.clock.now_ms();
        let hungry = if self.pending.is_full() { 0.0 } else { hungry };
        if in_flight >= self.options.in_flight || !self.pace.take(hungry, now) {
            return None;
        }
        self.queries = self.queries.wrapping_add(1);
        // While the network is away only a node that answers is news; to ask for samples would put
        // off when the node may be asked for them again.
        let samples = self.options.samples && hungry > 0.0 && !self.pace.is_away();
        let search_first = !samples || self.queries.is_multiple_of(SEARCH_EVERY);
        let ask = if search_first {
            (self.search(hungry, now)).or_else(|| samples.then(|| self.sample(now)).flatten())
        } else {
            self.sample(now).or_else(|| self.search(hungry, now))
        }?;
        self.gate.own_point(ask.target);
        self.asked(ask.kind).sent += 1;
        self.counters.in_flight += 1;
        Some(ask)
    }

    /// Asks whose turn it is for samples.
    fn sample(&mut self, now: i64) -> Option<Ask> {
        if !self.visited.has_room(now) {
            return None;
        }
        let node = self.frontier.next_for_samples(now)?;
        let at_ms = node.record.next_sample_at_ms;
        // Of a node that does not answer nobody knows its interval.
        let until = now.saturating_add(ms(self.options.default_sample_interval));
        node.record.next_sample_at_ms = until;
        let times = node.record.queries;
        let ask = ask_of(node, AskKind::Samples { at_ms }, &self.options, now);
        self.counters.useless_queries += u64::from(ask.useless);
        self.visited.mark(&ask.node.addr, None, until);
        // Around a node's own id are those that it knows best. Later it tells one of its buckets after
        // the other, and in between helps to fill gaps.
        let buckets = self.frontier.len().max(2).ilog2() + 1;
        let target = match times {
            0 => around(&ask.node.id, None),
            times if times % 2 == 1 => around(&ask.node.id, Some((times / 2) % buckets)),
            _ => self.frontier.empty_point(),
        };
        Some(ask.towards(target))
    }

    /// Asks for nodes where few are known. The fewer new ones that brought lately, the rarer.
    fn search(&mut self, hungry: f32, now: i64) -> Option<Ask> {
        if now < self.search_at_ms {
            return None;
        }
        let target = self.frontier.empty_point();
        let node = self.frontier.next_for_nodes(&target, now)?;
        let ask = ask_of(node, AskKind::Nodes, &self.options, now);
        self.counters.useless_queries += u64::from(ask.useless);
        let searches = self.pace.rate(hungry) * self.search_yield.min(1.0);
        let fewest = if self.pace.is_away() {
            SEARCHES_WHILE_AWAY
        } else {
            FEWEST_SEARCHES
        };
        #[expect(clippy::cast_possible_truncation, reason = "5,000 at the most")]
        let pause = (1000.0 / searches.max(fewest)) as i64;
        self.search_at_ms = now.saturating_add(pause);
        Some(ask.towards(target))
    }

    /// A search brought so many new nodes.
    pub(super) fn found(&mut self, new: u8) {
        self.search_yield += (f32::from(new) - self.search_yield) * YIELD_WEIGHT;
    }

    pub(super) fn asked(&mut self, kind: AskKind) -> &mut Asked {
        match kind {
            AskKind::Samples { .. } => &mut self.counters.sample_queries,
            AskKind::Nodes => &mut self.counters.find_node_queries,
        }
    }

    /// The counters as they are now.
    pub(super) fn counters(&self, hungry: f32) -> CrawlCounters {
        let now = self.clock.now_ms();
        let count = |counts: &dyn Fn(&Node) -> bool| {
            self.frontier.iter().filter(|node| counts(node)).count()
        };
        let per_prefix = self
            .frontier
            .per_prefix(|node| node.state(now) != NodeState::Bad);
        CrawlCounters {
            nodes: self.frontier.len(),
            good: count(&|node| node.state(now) == NodeState::Good),
            bad: count(&|node| node.state(now) == NodeState::Bad),
            bep51: count(&|node| node.record.bep51 == Some(true)),
            without_bep51: count(&|node| node.record.bep51 == Some(false)),
            prefixes: per_prefix.len(),
            fewest_in_prefix: per_prefix.into_iter().min().unwrap_or(0),
            visited: self.visited.len(),
            avoided: self.avoided.len(),
            pending: self.pending.len(),
            remembered_hashes: self.seen.len(),
            rate: self.pace.rate(hungry),
            away: self.pace.is_away(),
            ..self.counters.clone()
        }
    }

    /// Nodes that are worth remembering, with times of the wall clock.
    pub(super) fn nodes_to_save(&self) -> Vec<NodeRecord> {
        let offset = self.clock.wall_offset_ms();
        let wall = |time: i64| {
            if time == 0 {
                0
            } else {
                time.saturating_add(offset)
            }
        };
        (self.frontier.iter())
            .filter(|node| node.record.answers > 0)
            .map(|node| NodeRecord {
                first_seen_ms: wall(node.record.first_seen_ms),
                last_seen_ms: wall(node.record.last_seen_ms),
                next_sample_at_ms: wall(node.record.next_sample_at_ms),
                ..node.record.clone()
            })
            .collect()
    }
}

/// An [`Ask`] whose target is to come.
struct Aimless {
    node: NodeAddr,
    useless: bool,
    ask: Ask,
}

impl Aimless {
    fn towards(self, target: NodeId) -> Ask {
        Ask { target, ..self.ask }
    }
}

fn ask_of(node: &mut Node, kind: AskKind, options: &CrawlOptions, now: i64) -> Aimless {
    let useless = node.state(now) == NodeState::Bad;
    let was_good = node.answered_last();
    node.ask(options, now);
    let named = node.addr();
    Aimless {
        node: named,
        useless,
        ask: Ask {
            addr: named.addr,
            target: named.id,
            kind,
            was_good,
            sent_ms: now,
        },
    }
}

/// A point in the neighbourhood of a node; with `bucket`, one that shares no more than so many first
/// bits with it: what a node knows there is its bucket of that number.
fn around(id: &NodeId, bucket: Option<u32>) -> NodeId {
    let mut point = id.0;
    point[10..].copy_from_slice(&rand::random::<[u8; 10]>());
    if let Some(bit) = bucket
        && let Some(byte) = point.get_mut(usize::try_from(bit / 8).unwrap_or(usize::MAX))
    {
        *byte ^= 0x80 >> (bit % 8);
    }
    NodeId(point)
}
