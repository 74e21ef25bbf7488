//! Nodes that lie, and nodes that are of no use, found by their answers.

use std::collections::HashSet;

use super::node::Node;
use crate::wire::krpc::{Answer, NodeId};

/// Strikes that make a liar.
pub(super) const LIAR: u32 = 3;
/// A node whose first so many named nodes are all dead names only dead ones.
const ALL_DEAD: u32 = 16;
/// And one that names more dead nodes than this for each live one is not much better.
const DEAD_PER_LIVE: u32 = 8;
/// Fewer samples than this say nothing about where they are from.
const MIN_SAMPLES: usize = 5;
/// In a smaller network every node may store every hash.
const MIN_NETWORK: usize = 256;
/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lie {
    /// It came under another id than the one the node was named with. Whoever named it may be at
    /// fault, or the node was restarted.
    OtherId,
    /// It came under another id than the node's own answer before.
    ChangedId,
    /// It is no KRPC answer.
    Rubbish,
    /// It names nobody and holds nothing.
    Empty,
    /// It names the node itself, under other ids or more than once.
    NamesItself,
    /// Sixteen nodes that this node was the first to name were asked, and none answered.
    NamesTheDead,
    /// More samples than the node says it stores.
    TooManySamples,
    /// The same sample twice.
    RepeatedSample,
    /// The node's own id, or what was asked for, as a sample.
    FalseSample,
    /// Samples from all over the key space, where a node stores what is close to its id.
    FarSamples,
}

impl Lie {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::OtherId,
        Self::ChangedId,
        Self::Rubbish,
        Self::Empty,
        Self::NamesItself,
        Self::NamesTheDead,
        Self::TooManySamples,
        Self::RepeatedSample,
        Self::FalseSample,
        Self::FarSamples,
    ];

    /// The name in logs and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtherId => "other_id",
            Self::ChangedId => "changed_id",
            Self::Rubbish => "rubbish",
            Self::Empty => "empty",
            Self::NamesItself => "names_itself",
            Self::NamesTheDead => "names_the_dead",
            Self::TooManySamples => "too_many_samples",
            Self::RepeatedSample => "repeated_sample",
            Self::FalseSample => "false_sample",
            Self::FarSamples => "far_samples",
        }
    }

    /// How many strikes it is.
    pub(super) fn strikes(self) -> u32 {
        match self {
            Self::OtherId | Self::Empty => 1,
            Self::ChangedId
            | Self::NamesItself
            | Self::Rubbish
            | Self::TooManySamples
            | Self::RepeatedSample
            | Self::FarSamples => 2,
            Self::FalseSample | Self::NamesTheDead => LIAR,
        }
    }

    /// Whether the nodes and samples of the answer are of no use either.
    pub(super) fn spoils(self) -> bool {
        !matches!(self, Self::OtherId | Self::Empty)
    }
}

/// What is wrong with the answer of `node` to a query for `target`, in a network of which `known`
/// nodes are known.
pub(super) fn lies(node: &Node, target: &NodeId, answer: &Answer, known: usize) -> Vec<Lie> {
    let record = &node.record;
    let samples = answer.samples.as_deref().unwrap_or_default();
    let itself = (answer.nodes.iter())
        .filter(|named| named.addr == record.addr)
        .collect::<Vec<_>>();
    let distinct: HashSet<&NodeId> = samples.iter().collect();
    let is_far = known >= MIN_NETWORK
        && samples.len() >= MIN_SAMPLES
        && shared_bits(samples, &answer.id) < nearest_bits(known) / 2;
    let found = [
        (
            answer.id != record.id,
            if record.answers == 0 {
                Lie::OtherId
            } else {
                Lie::ChangedId
            },
        ),
        (
            answer.nodes.is_empty() && samples.is_empty() && answer.num.unwrap_or(0) == 0,
            Lie::Empty,
        ),
        (
            itself.len() > 1 || itself.iter().any(|named| named.id != answer.id),
            Lie::NamesItself,
        ),
        (names_the_dead(node), Lie::NamesTheDead),
        (
            (answer.num).is_some_and(|num| num < u64::try_from(samples.len()).unwrap_or(u64::MAX)),
            Lie::TooManySamples,
        ),
        (distinct.len() < samples.len(), Lie::RepeatedSample),
        (
            [&answer.id, target].iter().any(|id| distinct.contains(*id)),
            Lie::FalseSample,
        ),
        (is_far, Lie::FarSamples),
    ];
    (found.into_iter())
        .filter_map(|(is_so, lie)| is_so.then_some(lie))
        .collect()
}

/// See [`Lie::NamesTheDead`].
pub(super) fn names_the_dead(node: &Node) -> bool {
    let bound = node
        .named_alive
        .saturating_add(1)
        .saturating_mul(DEAD_PER_LIVE);
    node.named_dead >= ALL_DEAD && node.named_dead > bound
}

/// The bits that the middle one of `samples` shares with `id`. The middle: a few are announced to
/// the wrong nodes by bad clients.
fn shared_bits(samples: &[NodeId], id: &NodeId) -> u32 {
    let mut bits: Vec<u32> = samples
        .iter()
        .map(|sample| sample.shared_bits(id))
        .collect();
    bits.sort_unstable();
    bits.get(bits.len() / 2).copied().unwrap_or(0)
}

/// The bits that a hash shares with the eight closest of so many nodes, where it is stored. The
/// network has more nodes than are known, so it is more.
fn nearest_bits(known: usize) -> u32 {
    (known / 8).max(1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torrent::PeerAddr;
    use crate::wire::krpc::NodeAddr;

    fn addr(text: &str) -> PeerAddr {
        text.parse().unwrap()
    }

    fn node() -> Node {
        let named = NodeAddr {
            id: NodeId([1; 20]),
            addr: addr("8.8.8.8:1"),
        };
        Node::new(named, None, 0)
    }

    fn answer() -> Answer {
        Answer {
            id: NodeId([1; 20]),
            nodes: vec![NodeAddr {
                id: NodeId([2; 20]),
                addr: addr("9.9.9.9:9"),
            }],
            peers: Vec::new(),
            token: None,
            samples: None,
            interval: None,
            num: None,
            seeds: None,
            leeches: None,
            version: None,
        }
    }

    fn near(number: u8) -> NodeId {
        let mut id = [1; 20];
        id[19] = number;
        NodeId(id)
    }

    fn judge(node: &Node, answer: &Answer) -> Vec<Lie> {
        lies(node, &NodeId([7; 20]), answer, 2_000)
    }

    #[test]
    fn an_honest_answer_has_no_lie() {
        assert_eq!(judge(&node(), &answer()), []);
        let samples = Answer {
            samples: Some((2..22).map(near).collect()),
            num: Some(20),
            ..answer()
        };
        assert_eq!(judge(&node(), &samples), []);
        let nothing_stored = Answer {
            samples: Some(Vec::new()),
            num: Some(0),
            ..answer()
        };
        assert_eq!(judge(&node(), &nothing_stored), []);
    }

    #[test]
    fn each_lie_is_found() {
        let samples = |samples: Vec<NodeId>, num| Answer {
            samples: Some(samples),
            num,
            ..answer()
        };
        let other_id = Answer {
            id: NodeId([9; 20]),
            ..answer()
        };
        assert_eq!(judge(&node(), &other_id), [Lie::OtherId]);
        let mut known = node();
        known.record.answers = 1;
        assert_eq!(judge(&known, &other_id), [Lie::ChangedId]);
        let empty = Answer {
            nodes: Vec::new(),
            ..answer()
        };
        assert_eq!(judge(&node(), &empty), [Lie::Empty]);
        let mut itself = answer();
        itself.nodes[0].addr = addr("8.8.8.8:1");
        assert_eq!(judge(&node(), &itself), [Lie::NamesItself]);
        let mut namer = node();
        namer.named_dead = ALL_DEAD;
        assert_eq!(judge(&namer, &answer()), [Lie::NamesTheDead]);
        namer.named_alive = 1;
        assert_eq!(judge(&namer, &answer()), []);
        for (list, num, lie) in [
            (vec![near(2), near(3)], Some(1), Lie::TooManySamples),
            (vec![near(2); 2], Some(7), Lie::RepeatedSample),
            (vec![near(1)], Some(7), Lie::FalseSample),
            (vec![NodeId([7; 20])], Some(7), Lie::FalseSample),
        ] {
            assert_eq!(judge(&node(), &samples(list, num)), [lie]);
        }
        let far = (0..20).map(|n| NodeId([12 * n; 20])).collect();
        let far = samples(far, Some(90));
        assert_eq!(judge(&node(), &far), [Lie::FarSamples]);
        assert_eq!(
            lies(&node(), &NodeId([7; 20]), &far, 100),
            [],
            "a small network"
        );
    }
}
