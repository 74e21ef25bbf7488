//! What came of a query, and of the queries of others.

use std::time::Duration;

use super::liars::{LIAR, Lie, lies, names_the_dead};
use super::node::next_sample_at;
use super::observed::Refusal;
use super::options::ms;
use super::state::{Ask, AskKind, State};
use super::{Discovered, DiscoverySource};
use crate::discovery::dht::{AskError, Observed, Reply};
use crate::torrent::PeerAddr;
use crate::wire::krpc::{Answer, KrpcError, NodeAddr, NodeId};

/// Nodes that are taken from one answer: eight of each address family (BEP 5, BEP 32).
const MAX_NAMED: usize = 16;
/// Method unknown.
const UNKNOWN_METHOD: i64 = 204;
/// Silent nodes that are remembered in case the network was away.
const MAX_SILENT: usize = 10_000;
/// How often it may be said that the network is away.
const SAY_AWAY_EVERY: Duration = Duration::from_secs(60);

impl State {
    /// Takes in whether the network seems to be away: then those that were silent lately are not to blame.
    pub(super) fn network(&mut self, away: bool) {
        let now = self.clock.now_ms();
        if !self.pace.network(away, now) {
            return;
        }
        if !away {
            if std::mem::take(&mut self.said_away) {
                tracing::warn!("DHT nodes answer again: the crawl goes on");
            }
            return;
        }
        // A network that comes and goes fills no log.
        if now >= self.say_away_at_ms {
            self.said_away = true;
            self.say_away_at_ms = now.saturating_add(ms(SAY_AWAY_EVERY));
            tracing::warn!(
                "no DHT node answers any more: the network seems to be away. The crawl waits, and asks a \
                 node now and then"
            );
        }
        for addr in std::mem::take(&mut self.silent) {
            self.avoided.forgive(&addr);
            if let Some(node) = self.frontier.get_mut(&addr) {
                let failures = &mut node.record.failures_in_a_row;
                *failures = failures.saturating_sub(1);
                // Who could not be asked has not said that he has no samples.
                if node.record.bep51 == Some(false) {
                    node.record.bep51 = None;
                }
            }
        }
    }

    /// Takes in what came of a query. Says whether the DHT node is still there.
    pub(super) fn result(&mut self, ask: &Ask, result: Result<Reply, AskError>) -> bool {
        match result {
            Ok(reply) => self.answered(ask, &reply),
            Err(AskError::Node(error)) => self.objected(ask, &error),
            Err(AskError::Timeout(_)) => self.silent(ask),
            Err(AskError::Refused) => self.refused(ask),
            Err(AskError::TooOften(_) | AskError::NotPublic(_)) => self.unsent(ask),
            Err(AskError::Closed) => return false,
        }
        true
    }

    fn answered(&mut self, ask: &Ask, reply: &Reply) {
        self.asked(ask.kind).answered += 1;
        self.alive(ask);
        let now = self.clock.now_ms();
        let known = self.frontier.len();
        let answer = &reply.answer;
        let Some(node) = self.frontier.get_mut(&ask.addr) else {
            return;
        };
        let lies = lies(node, &ask.target, answer, known);
        let id = node.record.id;
        let first = node.answered(reply.rtt.as_secs_f32() * 1000.0, &self.options, now);
        let namer = node.named_by.filter(|_| first);
        if let Some(namer) = namer.and_then(|namer| self.frontier.get_mut(&namer)) {
            namer.named_alive = namer.named_alive.saturating_add(1);
        }
        let spoilt = lies.iter().any(|lie| lie.spoils());
        let samples = answer.samples.as_deref().unwrap_or_default();
        let new = if spoilt {
            self.counters.false_samples += samples.len() as u64;
            0
        } else {
            self.samples(samples, ask.addr)
        };
        if let AskKind::Samples { .. } = ask.kind {
            self.sampled(ask.addr, id, answer, new, now);
        }
        if !self.strike(&ask.addr, &lies, now) {
            return;
        }
        if answer.id != id {
            // It keeps its endpoint's place under the id that it has.
            self.frontier.rename(&ask.addr, answer.id, now);
        }
        if !spoilt {
            self.named(ask, answer);
            if let Some(live) = &self.options.live {
                let (id, addr) = (answer.id, ask.addr);
                live.add(NodeAddr { id, addr });
            }
        }
    }

    /// A node answered, with whatever.
    fn alive(&mut self, ask: &Ask) {
        let now = self.clock.now_ms();
        self.silent.clear();
        self.pace.answered(ask.was_good, now);
    }

    /// When the node may be asked for samples again.
    fn sampled(&mut self, addr: PeerAddr, id: NodeId, answer: &Answer, new: usize, now: i64) {
        let Some(node) = self.frontier.get_mut(&addr) else {
            return;
        };
        let until = if let Some(samples) = &answer.samples {
            node.record.bep51 = Some(true);
            node.stale_samples = if new == 0 && !samples.is_empty() {
                node.stale_samples.saturating_add(1)
            } else {
                0
            };
            next_sample_at(answer.interval, node.stale_samples, &self.options, now)
        } else {
            self.no_samples(&addr, now);
            return;
        };
        node.record.next_sample_at_ms = until;
        // Under an id that is not its own a node must not keep another one from being asked.
        self.visited
            .mark(&addr, (answer.id == id).then_some(&id), until);
    }

    /// Counts lies against the node. Says whether it stays; a liar is left alone from now on.
    fn strike(&mut self, addr: &PeerAddr, lies: &[Lie], now: i64) -> bool {
        for lie in lies {
            *self.counters.lies.entry(lie.as_str()).or_default() += 1;
        }
        let Some(node) = self.frontier.get_mut(addr) else {
            return false;
        };
        let strikes: u32 = lies.iter().map(|lie| lie.strikes()).sum();
        node.strikes = if lies.is_empty() {
            node.strikes.saturating_sub(1)
        } else {
            node.strikes.saturating_add(strikes)
        };
        if node.strikes < LIAR {
            return true;
        }
        self.counters.liars += 1;
        self.frontier.remove(addr);
        if let Some(live) = &self.options.live {
            live.remove(addr);
        }
        self.avoided.liar(addr, now);
        false
    }

    /// Takes in the nodes that an answer names.
    fn named(&mut self, ask: &Ask, answer: &Answer) {
        let others = answer.nodes.iter().filter(|named| named.addr != ask.addr);
        let mut new = 0_u8;
        for named in others.take(MAX_NAMED) {
            new = new.saturating_add(u8::from(self.meet(*named, Some(ask.addr))));
        }
        if ask.kind == AskKind::Nodes {
            self.found(new);
        }
    }

    /// Takes in samples. Says how many are new.
    fn samples(&mut self, samples: &[NodeId], from: PeerAddr) -> usize {
        self.counters.samples += samples.len() as u64;
        let new = samples.iter().filter(|sample| {
            self.discovered(Discovered {
                infohash: **sample,
                source: DiscoverySource::Sample,
                peers: Vec::new(),
                from,
            })
        });
        new.count()
    }

    /// A node answered with an error, or with what is no answer.
    fn objected(&mut self, ask: &Ask, error: &KrpcError) {
        self.asked(ask.kind).errors += 1;
        self.alive(ask);
        let now = self.clock.now_ms();
        let Some(node) = self.frontier.get_mut(&ask.addr) else {
            return;
        };
        #[expect(clippy::cast_precision_loss, reason = "seconds")]
        let rtt_ms = now.saturating_sub(ask.sent_ms) as f32;
        node.answered(rtt_ms, &self.options, now);
        let samples = matches!(ask.kind, AskKind::Samples { .. });
        match error {
            KrpcError::Error {
                code: UNKNOWN_METHOD,
                ..
            } if samples => self.no_samples(&ask.addr, now),
            // It can not or will not just now; the default interval runs.
            KrpcError::Error { .. } => {}
            KrpcError::Bencode(_) | KrpcError::NoId => {
                self.strike(&ask.addr, &[Lie::Rubbish], now);
            }
        }
    }

    /// The node answered with an error that is not told, or nobody is at its address any more, or our
    /// DHT node has no socket at present. The error to expect is that it does not know
    /// `sample_infohashes`: believed for long when it comes twice. Who does not name nodes either is
    /// no use.
    fn refused(&mut self, ask: &Ask) {
        self.asked(ask.kind).errors += 1;
        let now = self.clock.now_ms();
        self.pace.silent(false, now);
        if self.pace.is_away() {
            self.not_asked(ask);
            return;
        }
        self.not_to_blame(ask);
        if ask.kind == AskKind::Nodes {
            self.failed(ask, now);
            return;
        }
        let Some(node) = self.frontier.get_mut(&ask.addr) else {
            return;
        };
        node.asked = false;
        if node.record.bep51 == Some(false) {
            self.no_samples(&ask.addr, now);
        } else {
            node.record.bep51 = Some(false);
        }
    }

    /// The query was not sent.
    fn unsent(&mut self, ask: &Ask) {
        self.asked(ask.kind).unsent += 1;
        self.not_asked(ask);
    }

    /// The node may be asked as if it had not been.
    fn not_asked(&mut self, ask: &Ask) {
        let Some(node) = self.frontier.get_mut(&ask.addr) else {
            return;
        };
        node.asked = false;
        if let AskKind::Samples { at_ms } = ask.kind {
            node.record.next_sample_at_ms = at_ms;
            self.visited.mark(&ask.addr, None, at_ms);
        }
    }

    /// The node does not know `sample_infohashes`. For as long as it is in the frontier it is left alone
    /// for days; beyond that there is no interval of its own to remember it for, and nodes without are so
    /// many that they would soon take all the room of those with one.
    fn no_samples(&mut self, addr: &PeerAddr, now: i64) {
        let until = now.saturating_add(ms(self.options.bep51_again));
        let asked_until = now.saturating_add(ms(self.options.default_sample_interval));
        if let Some(node) = self.frontier.get_mut(addr) {
            node.record.bep51 = Some(false);
            node.record.next_sample_at_ms = until;
            self.visited.mark(addr, None, until.min(asked_until));
        }
    }

    /// A node did not answer.
    fn silent(&mut self, ask: &Ask) {
        self.asked(ask.kind).timeouts += 1;
        let now = self.clock.now_ms();
        self.pace.silent(ask.was_good, now);
        let away = self.pace.is_away();
        let Some(node) = self.frontier.get_mut(&ask.addr) else {
            return;
        };
        if away {
            node.asked = false;
            return;
        }
        self.failed(ask, now);
        self.not_to_blame(ask);
    }

    /// Remembers a node without an answer, in case the network turns out to be away.
    fn not_to_blame(&mut self, ask: &Ask) {
        if self.silent.len() < MAX_SILENT {
            self.silent.push(ask.addr);
        }
    }

    /// A node is no use, as it is now. One that never was is left alone.
    fn failed(&mut self, ask: &Ask, now: i64) {
        let Some(node) = self.frontier.get_mut(&ask.addr) else {
            return;
        };
        node.failed(&self.options, now);
        if let Some(live) = &self.options.live {
            live.remove(&ask.addr);
        }
        let namer = node.named_by;
        if node.record.answers == 0 {
            self.frontier.remove(&ask.addr);
            self.avoided.silent(&ask.addr, now);
            self.named_dead(namer, now);
        }
    }

    /// A node that `namer` was the first to name never answered.
    fn named_dead(&mut self, namer: Option<PeerAddr>, now: i64) {
        let Some(namer) = namer.and_then(|namer| self.frontier.get_mut(&namer)) else {
            return;
        };
        namer.named_dead = namer.named_dead.saturating_add(1);
        if names_the_dead(namer) {
            let addr = namer.record.addr;
            self.strike(&addr, &[Lie::NamesTheDead], now);
        }
    }

    /// Takes in a query that another node sent to ours.
    pub(super) fn observe(&mut self, observed: &Observed) {
        self.counters.observed += 1;
        let now = self.clock.now_ms();
        let refusal = match self.gate.read(observed) {
            Ok(discovered) => {
                if !self.seen.is_new(&discovered.infohash, discovered.source) {
                    self.counters.duplicates += 1;
                    return;
                }
                match self.gate.admit(&observed.from, discovered.source, now) {
                    Ok(()) => {
                        self.discovered(discovered);
                        let (id, addr) = (observed.node, observed.from);
                        self.meet(NodeAddr { id, addr }, None);
                        return;
                    }
                    Err(refusal) => refusal,
                }
            }
            Err(refusal) => refusal,
        };
        match refusal {
            Refusal::Flood => self.counters.flood += 1,
            Refusal::Implausible | Refusal::Ours => self.counters.implausible += 1,
        }
    }

    /// Takes in a hash. Says whether it is new.
    fn discovered(&mut self, discovered: Discovered) -> bool {
        let Discovered {
            infohash, source, ..
        } = discovered;
        if !self.seen.is_new(&infohash, source) {
            self.counters.duplicates += 1;
            return false;
        }
        if !self.pending.has_room(source) {
            self.counters.overflowed += 1;
            return true;
        }
        let first = self.seen.add(&infohash, source);
        self.pending.push(discovered);
        if !first {
            self.counters.again += 1;
            return true;
        }
        *match source {
            DiscoverySource::Announce => &mut self.counters.new_announces,
            DiscoverySource::GetPeers => &mut self.counters.new_get_peers,
            DiscoverySource::Sample => &mut self.counters.new_samples,
        } += 1;
        true
    }
}
