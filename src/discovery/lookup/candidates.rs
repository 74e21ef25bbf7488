//! Which nodes a lookup asks: the closest that it has heard of, and no more of any host or network
//! than an honest DHT would have it ask.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{CLOSEST, is_allowed};
use crate::torrent::PeerAddr;
use crate::wire::krpc::{NodeAddr, NodeId};

/// Candidates that are kept, the closest ones.
const KEPT: usize = 128;
/// Nodes of one network, a /24 of IPv4 or a /48 of IPv6, that a lookup holds at a time.
const PER_NET: u32 = 2;
/// How often an address is asked that answers as another node than it was named as: once for the liar
/// who may have named it, once for itself.
const CLAIMS: u8 = 2;
/// Bits that an honest node's id and a hash hardly ever share: with 2^24 nodes, one lookup in 2^24 would
/// meet one. Nodes that are closer made their id up; some do so to store what others announce.
const TOO_CLOSE: u32 = 48;
/// Of those, how many a lookup takes. They never count among the closest, so that they cannot end it.
const MAX_TOO_CLOSE: usize = 8;

/// What one claim to an address can't be shared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Host {
    /// A local address: a host may run many nodes.
    Local(PeerAddr),
    V4(Ipv4Addr),
    /// The first 64 bits: whoever has one address there has all of them.
    V6(u64),
}

impl Host {
    fn of(addr: &PeerAddr) -> Self {
        if addr.is_local() {
            return Self::Local(*addr);
        }
        match addr.ip() {
            IpAddr::V4(ip) => Self::V4(ip),
            IpAddr::V6(ip) => Self::V6(first_bits(ip, 64)),
        }
    }

    /// The network, where it counts.
    fn net(self) -> Option<u64> {
        match self {
            Self::Local(_) => None,
            Self::V4(ip) => Some(u64::from(ip.to_bits() >> 8)),
            // No /24 of IPv4 is as high.
            Self::V6(half) => Some(half >> 16 | 1 << 48),
        }
    }
}

fn first_bits(ip: Ipv6Addr, bits: u32) -> u64 {
    u64::try_from(ip.to_bits() >> (128 - bits)).unwrap_or(u64::MAX)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Asked,
    /// It was asked, and others are asked meanwhile.
    Late,
    Answered,
}

#[derive(Debug)]
struct Candidate {
    distance: [u8; 20],
    node: NodeAddr,
    state: State,
    /// Its id is so close that it is made up.
    too_close: bool,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    /// How many claims there were.
    count: u8,
    /// The last one.
    node: NodeAddr,
    /// Who named it, where somebody did.
    by: Option<Host>,
    /// Whether a candidate holds it.
    taken: bool,
    /// The first that somebody else named while it was taken: its turn comes where the claim was a lie.
    next: Option<(NodeAddr, Option<Host>)>,
}

/// The candidates of one lookup and one address family.
#[derive(Debug)]
pub(super) struct Candidates {
    target: NodeId,
    allow_local: bool,
    /// The closest first.
    list: Vec<Candidate>,
    hosts: HashMap<Host, Claim>,
    nets: HashMap<u64, u32>,
    /// Addresses of all that were candidates.
    nodes: HashSet<PeerAddr>,
    too_close: usize,
    refused: u32,
}

impl Candidates {
    pub(super) fn new(target: NodeId, allow_local: bool) -> Self {
        Self {
            target,
            allow_local,
            list: Vec::new(),
            hosts: HashMap::new(),
            nets: HashMap::new(),
            nodes: HashSet::new(),
            too_close: 0,
            refused: 0,
        }
    }

    /// Takes in a node that we know; says whether it is a candidate now.
    pub(super) fn offer(&mut self, node: NodeAddr) -> bool {
        self.offer_by(node, None)
    }

    /// Takes in a node that this one named; says whether it is a candidate now.
    pub(super) fn named(&mut self, node: NodeAddr, by: &PeerAddr) -> bool {
        self.offer_by(node, Some(Host::of(by)))
    }

    fn offer_by(&mut self, node: NodeAddr, by: Option<Host>) -> bool {
        if !is_allowed(&node.addr, self.allow_local) {
            self.refused = self.refused.saturating_add(1);
            return false;
        }
        let host = Host::of(&node.addr);
        let claim = self.hosts.get_mut(&host);
        let claims = claim.as_ref().map_or(0, |claim| claim.count);
        let taken = claim.is_some_and(|claim| {
            // Who has named one node at a host names no other one there: both may be lies.
            let had_his_say = by.is_some() && claim.by == by;
            if claim.taken && claim.node != node && !had_his_say {
                claim.next.get_or_insert((node, by));
            }
            claim.taken || claim.node == node || had_his_say
        });
        let net_is_full = host
            .net()
            .and_then(|net| self.nets.get(&net))
            .is_some_and(|nodes| *nodes >= PER_NET);
        if taken || claims >= CLAIMS || net_is_full {
            return false;
        }
        let too_close = self.target.shared_bits(&node.id) >= TOO_CLOSE;
        if too_close && self.too_close >= MAX_TOO_CLOSE {
            return false;
        }
        let distance = self.target.distance(&node.id);
        let at = self
            .list
            .partition_point(|known| known.distance <= distance);
        if self.list.len() >= KEPT {
            // The farthest that was not asked makes room, if it is farther.
            let farthest = self
                .list
                .iter()
                .rposition(|known| known.state == State::New);
            match farthest {
                Some(farthest) if farthest >= at => {
                    let gone = self.list.remove(farthest);
                    let host = Host::of(&gone.node.addr);
                    self.leave_net(host);
                    // One that has answered as another already is not named a third time.
                    if self.hosts.get(&host).is_some_and(|claim| claim.count == 1) {
                        self.hosts.remove(&host);
                    }
                }
                _ => return false,
            }
        }
        self.too_close += usize::from(too_close);
        if let Some(net) = host.net() {
            *self.nets.entry(net).or_default() += 1;
        }
        let claim = Claim {
            count: claims + 1,
            node,
            by,
            taken: true,
            next: None,
        };
        self.hosts.insert(host, claim);
        let candidate = Candidate {
            distance,
            node,
            state: State::New,
            too_close,
        };
        self.list.insert(at, candidate);
        self.nodes.insert(node.addr);
        true
    }

    /// Where those end that may be among the closest: after the eighth that has answered.
    fn horizon(&self) -> usize {
        let mut answered = 0;
        for (at, candidate) in self.list.iter().enumerate() {
            answered += usize::from(candidate.state == State::Answered && !candidate.too_close);
            if answered == CLOSEST {
                return at;
            }
        }
        self.list.len()
    }

    /// The next node to ask, which counts as asked from now on.
    pub(super) fn next(&mut self) -> Option<PeerAddr> {
        let horizon = self.horizon();
        let mut near = self.list.iter_mut().take(horizon);
        let next = near.find(|candidate| candidate.state == State::New)?;
        next.state = State::Asked;
        Some(next.node.addr)
    }

    /// Whether the closest nodes have answered. Those that are late are waited for only where there is
    /// nobody else.
    pub(super) fn is_over(&self) -> bool {
        let horizon = self.horizon();
        let mut near = self.list.iter().take(horizon);
        if horizon < self.list.len() {
            near.all(|candidate| matches!(candidate.state, State::Late | State::Answered))
        } else {
            near.all(|candidate| candidate.state == State::Answered)
        }
    }

    /// Whether eight nodes have answered, or there were not as many.
    pub(super) fn is_short(&self) -> bool {
        self.horizon() == self.list.len()
    }

    /// How many were asked, and are neither late nor done with.
    pub(super) fn in_flight(&self) -> usize {
        let asked = |candidate: &&Candidate| candidate.state == State::Asked;
        self.list.iter().filter(asked).count()
    }

    fn position(&self, addr: &PeerAddr) -> Option<usize> {
        let is_it =
            |candidate: &Candidate| candidate.node.addr == *addr && candidate.state != State::New;
        self.list.iter().position(is_it)
    }

    /// A node that was asked lets us wait.
    pub(super) fn late(&mut self, addr: &PeerAddr) {
        let at = self.position(addr);
        if let Some(candidate) = at.and_then(|at| self.list.get_mut(at)) {
            candidate.state = State::Late;
        }
    }

    /// A node answered, as `id`; says whether it is the one that it was named as. If not, it is out.
    pub(super) fn answered(&mut self, addr: &PeerAddr, id: NodeId) -> bool {
        let Some(at) = self.position(addr) else {
            return false;
        };
        let Some(candidate) = self.list.get_mut(at) else {
            return false;
        };
        if candidate.node.id == id {
            candidate.state = State::Answered;
            return true;
        }
        self.give_up(at, addr);
        false
    }

    /// A node did not answer. Whoever named it may have made its port or id up, so its host is asked once
    /// more where another node is named there.
    pub(super) fn failed(&mut self, addr: &PeerAddr) {
        if let Some(at) = self.position(addr) {
            self.give_up(at, addr);
        }
    }

    /// Takes a candidate out, and takes in whoever else was named at its host.
    fn give_up(&mut self, at: usize, addr: &PeerAddr) {
        self.list.remove(at);
        let host = Host::of(addr);
        self.leave_net(host);
        let next = self.hosts.get_mut(&host).and_then(|claim| {
            claim.taken = false;
            claim.next.take()
        });
        if let Some((next, by)) = next {
            self.offer_by(next, by);
        }
    }

    fn leave_net(&mut self, host: Host) {
        let nodes = host.net().and_then(|net| self.nets.get_mut(&net));
        if let Some(nodes) = nodes {
            *nodes = nodes.saturating_sub(1);
        }
    }

    /// Whether a node is known at this address.
    pub(super) fn is_node(&self, addr: &PeerAddr) -> bool {
        self.nodes.contains(addr)
    }

    /// The bits that the closest node that answered shares with the target.
    pub(super) fn closest(&self) -> Option<u32> {
        let mut list = self.list.iter();
        let closest = list.find(|c| c.state == State::Answered && !c.too_close)?;
        Some(self.target.shared_bits(&closest.node.id))
    }

    /// How many addresses were refused.
    pub(super) fn refused(&self) -> u32 {
        self.refused
    }
}

#[cfg(test)]
mod tests;
