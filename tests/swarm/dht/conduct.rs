//! How the nodes of a DHT behave.

use super::super::wire::Random;

/// How a node behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// It answers as it should.
    Honest,
    /// It answers nothing.
    Dead,
    /// It answers as it should, after one to three seconds.
    Slow,
    /// It answers something else.
    Liar(Lie),
}

/// What a node lies about. In all else it is honest, but that it stores nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Another id in each answer.
    OtherId,
    /// The nodes that it names are next to what is asked for, and do not exist.
    Nowhere,
    /// Its samples are random, and it says that one may come again at once.
    Samples,
    /// All of this kind have one IP address, and name nothing but themselves, under ids next to what
    /// is asked for.
    Crowd,
    /// The peers that it names are DHT nodes, and addresses that nobody can have.
    Ghosts,
}

impl Lie {
    /// Every lie there is.
    pub const ALL: [Self; 5] = [
        Self::OtherId,
        Self::Nowhere,
        Self::Samples,
        Self::Crowd,
        Self::Ghosts,
    ];
}

impl Conduct {
    /// Whether what it answers, if late, is so.
    pub fn is_honest(self) -> bool {
        matches!(self, Self::Honest | Self::Slow)
    }
}

/// What a node does when it is asked for samples (BEP 51).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sampling {
    Samples,
    /// Error 204, method unknown.
    Error,
    /// An answer as to `find_node`.
    LikeFindNode,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Character {
    pub(super) conduct: Conduct,
    pub(super) sampling: Sampling,
}

/// Shares of nodes, in thousandths of all; the rest is honest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DhtMix {
    /// [`Conduct::Dead`].
    pub dead: usize,
    /// [`Conduct::Slow`].
    pub slow: usize,
    /// [`Conduct::Liar`], with each lie in turn.
    pub lying: usize,
    /// Nodes with `sample_infohashes` (BEP 51), whatever their conduct. Of the others, one half
    /// answers with an error, one half as to `find_node`.
    pub samples: usize,
}

impl DhtMix {
    /// Every node answers everything as it should.
    pub const HONEST: Self = Self {
        dead: 0,
        slow: 0,
        lying: 0,
        samples: 1000,
    };
    /// What a crawler meets.
    pub const CRAWL: Self = Self {
        dead: 120,
        slow: 60,
        lying: 20,
        samples: 800,
    };

    /// A character for each of `count` nodes, in random order.
    pub(super) fn characters(self, count: usize, random: &mut Random) -> Vec<Character> {
        let of = |share: usize| count * share / 1000;
        let mut conducts = vec![Conduct::Honest; count];
        let (dead, slow, lying) = (of(self.dead), of(self.slow), of(self.lying));
        assert!(dead + slow + lying <= count, "{self:?} is more than all");
        conducts[..dead].fill(Conduct::Dead);
        conducts[dead..dead + slow].fill(Conduct::Slow);
        let lies = Lie::ALL.iter().cycle();
        for (conduct, lie) in conducts[dead + slow..][..lying].iter_mut().zip(lies) {
            *conduct = Conduct::Liar(*lie);
        }
        let mut samplings = vec![Sampling::Samples; count];
        for (at, sampling) in samplings[of(self.samples)..].iter_mut().enumerate() {
            *sampling = [Sampling::Error, Sampling::LikeFindNode][at % 2];
        }
        for list_at in 0..count {
            conducts.swap(list_at, list_at + random.below(count - list_at));
            samplings.swap(list_at, list_at + random.below(count - list_at));
        }
        let pairs = conducts.into_iter().zip(samplings);
        pairs
            .map(|(conduct, sampling)| Character { conduct, sampling })
            .collect()
    }
}
