//! Which infohashes were discovered before.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

use super::DiscoverySource;
use crate::wire::krpc::NodeId;

/// Generations of the memory. The more there are, the smaller the part that is forgotten at once.
const GENERATIONS: usize = 4;

/// A bounded memory of infohashes, as 64-bit fingerprints under a key of this process.
///
/// It never forgets one of the last `capacity` that were seen: the newest generation takes in, the
/// oldest goes as a whole once the newest is full, and a hash that is seen again moves to the
/// newest. That a new hash is taken for a known one has a chance of 1 in 10^12 at 15 million. A
/// generation is a table of 9 bytes a slot, filled to 7/8 at the most: for a capacity of 10
/// million the process grew by 193 MB.
#[derive(Debug)]
pub(super) struct Seen {
    key: RandomState,
    generation_len: usize,
    /// The newest is the last one.
    generations: VecDeque<HashSet<u64, BuildHasherDefault<Same>>>,
}

/// What a hash is remembered as.
#[derive(Clone, Copy, Debug, Hash)]
enum As {
    /// Sampled, or looked for.
    Sampled,
    Announced,
    /// It is to be let through again.
    Forgotten,
}

impl As {
    fn of(source: DiscoverySource) -> Self {
        match source {
            DiscoverySource::Announce => Self::Announced,
            DiscoverySource::GetPeers | DiscoverySource::Sample => Self::Sampled,
        }
    }
}

/// The hash of a fingerprint is the fingerprint.
#[derive(Debug, Default)]
pub(super) struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

impl Seen {
    pub(super) fn new(capacity: usize) -> Self {
        // One generation fills while the others remember. A table grows by doubling, so the length
        // is one at which it is just full.
        let wanted = capacity.div_ceil(GENERATIONS - 1).max(14);
        let slots = (wanted.saturating_mul(8) / 7 + 1).next_power_of_two();
        Self {
            key: RandomState::new(),
            generation_len: slots / 8 * 7,
            generations: VecDeque::from([HashSet::default()]),
        }
    }

    /// Whether the hash is new from this source. A hash that was sampled is new once more when it is
    /// announced: then a peer is certainly there.
    pub(super) fn is_new(&mut self, infohash: &NodeId, source: DiscoverySource) -> bool {
        match source {
            DiscoverySource::Announce => !self.knows(infohash, As::Announced),
            DiscoverySource::GetPeers | DiscoverySource::Sample => {
                !self.knows(infohash, As::Sampled) && !self.knows(infohash, As::Announced)
            }
        }
    }

    /// Remembers the hash. Says whether it was never remembered before, in any form.
    pub(super) fn add(&mut self, infohash: &NodeId, source: DiscoverySource) -> bool {
        let was_known = self.knows(infohash, As::Sampled) || self.knows(infohash, As::Announced);
        let was_forgotten = self.take(infohash, As::Forgotten);
        let fingerprint = self.fingerprint(infohash, As::of(source));
        self.insert(fingerprint);
        !was_known && !was_forgotten
    }

    /// Remembers something else than a hash. Says whether it is new.
    pub(super) fn first_time(&mut self, what: &impl Hash) -> bool {
        let fingerprint = self.key.hash_one(what);
        let is_new = !self.knows_fingerprint(fingerprint);
        if is_new {
            self.insert(fingerprint);
        }
        is_new
    }

    /// Takes the hash for a new one from now on, whoever brings it.
    pub(super) fn forget(&mut self, infohash: &NodeId) {
        let sampled = self.take(infohash, As::Sampled);
        if self.take(infohash, As::Announced) || sampled {
            // It is not counted twice.
            let fingerprint = self.fingerprint(infohash, As::Forgotten);
            self.insert(fingerprint);
        }
    }

    /// Takes the next announce of the hash for a new one.
    pub(super) fn forget_announce(&mut self, infohash: &NodeId) {
        if self.take(infohash, As::Announced) {
            // It is known all the same.
            let fingerprint = self.fingerprint(infohash, As::Sampled);
            self.insert(fingerprint);
        }
    }

    /// Takes a form of the hash out. Says whether it was there.
    fn take(&mut self, infohash: &NodeId, form: As) -> bool {
        let fingerprint = self.fingerprint(infohash, form);
        let mut was_there = false;
        for generation in &mut self.generations {
            was_there |= generation.remove(&fingerprint);
        }
        was_there
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.generations.iter().map(HashSet::len).sum()
    }

    fn fingerprint(&self, infohash: &NodeId, form: As) -> u64 {
        self.key.hash_one((infohash, form))
    }

    fn knows(&mut self, infohash: &NodeId, form: As) -> bool {
        self.knows_fingerprint(self.fingerprint(infohash, form))
    }

    fn knows_fingerprint(&mut self, fingerprint: u64) -> bool {
        let newest = self.generations.len().saturating_sub(1);
        let found = (self.generations.iter()).rposition(|one| one.contains(&fingerprint));
        if let Some(at) = found
            && at < newest
        {
            if let Some(old) = self.generations.get_mut(at) {
                old.remove(&fingerprint);
            }
            self.insert(fingerprint);
        }
        found.is_some()
    }

    fn insert(&mut self, fingerprint: u64) {
        if (self.generations.back()).is_none_or(|newest| newest.len() >= self.generation_len) {
            // The table of the oldest is used again: it has its size already.
            let mut next = if self.generations.len() >= GENERATIONS {
                self.generations.pop_front().unwrap_or_default()
            } else {
                HashSet::default()
            };
            next.clear();
            self.generations.push_back(next);
        }
        if let Some(newest) = self.generations.back_mut() {
            newest.insert(fingerprint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torrent::PeerAddr;

    fn hash(number: u64) -> NodeId {
        let mut id = [0; 20];
        id[..8].copy_from_slice(&number.to_be_bytes());
        NodeId(id)
    }

    fn take(seen: &mut Seen, infohash: &NodeId, source: DiscoverySource) -> bool {
        let is_new = seen.is_new(infohash, source);
        if is_new {
            seen.add(infohash, source);
        }
        is_new
    }

    fn holds(seen: &Seen, infohash: &NodeId) -> bool {
        let fingerprint = seen.fingerprint(infohash, As::Sampled);
        (seen.generations.iter()).any(|one| one.contains(&fingerprint))
    }

    #[test]
    fn the_last_capacity_hashes_are_never_new_again() {
        let capacity = 10_000;
        let mut seen = Seen::new(capacity);
        for number in 0..50_000_u64 {
            assert!(take(&mut seen, &hash(number), DiscoverySource::Sample));
            let oldest = number.saturating_sub(capacity as u64 - 1);
            assert!(holds(&seen, &hash(oldest)) && holds(&seen, &hash(number)));
        }
        assert!(seen.len() <= 4 * seen.generation_len);
    }

    #[test]
    fn a_hash_that_is_seen_again_stays() {
        let mut seen = Seen::new(100);
        take(&mut seen, &hash(0), DiscoverySource::Sample);
        for number in 1..10_000 {
            take(&mut seen, &hash(number), DiscoverySource::Sample);
            assert!(!take(&mut seen, &hash(0), DiscoverySource::Sample));
        }
        assert!(seen.is_new(&hash(1), DiscoverySource::Sample));
    }

    #[test]
    fn an_announce_is_news_of_a_sampled_hash_but_not_the_other_way_round() {
        use DiscoverySource::{Announce, GetPeers, Sample};
        let mut seen = Seen::new(100);
        assert!(take(&mut seen, &hash(1), Sample));
        assert!(!take(&mut seen, &hash(1), GetPeers));
        assert!(take(&mut seen, &hash(1), Announce));
        assert!(!take(&mut seen, &hash(1), Announce));
        assert!(take(&mut seen, &hash(2), Announce));
        assert!(!take(&mut seen, &hash(2), Sample));
    }

    #[test]
    fn a_hash_that_comes_again_is_not_counted_again() {
        use DiscoverySource::{Announce, Sample};
        let mut seen = Seen::new(100);
        assert!(seen.add(&hash(1), Sample));
        assert!(seen.is_new(&hash(1), Announce) && !seen.add(&hash(1), Announce));
        seen.forget_announce(&hash(1));
        assert!(seen.is_new(&hash(1), Announce) && !seen.add(&hash(1), Announce));
        for _ in 0..3 {
            seen.forget(&hash(1));
            assert!(seen.is_new(&hash(1), Sample) && !seen.add(&hash(1), Sample));
            assert!(!seen.is_new(&hash(1), Sample));
        }
        assert!(seen.add(&hash(2), Announce));
        assert_eq!(seen.len(), 2, "one trace each");
        let node: PeerAddr = "8.8.8.8:1".parse().unwrap();
        assert!(seen.first_time(&node) && !seen.first_time(&node));
    }

    /// `cargo nextest run --release --run-ignored only -E 'test(ten_million)' --no-capture`
    #[test]
    #[ignore = "takes 30 s and 200 MB"]
    fn ten_million_hashes_stay_in_bounded_memory() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/statm").unwrap();
            let pages: u64 = status.split(' ').nth(1).unwrap().parse().unwrap();
            pages * 4096 / 1_000_000
        };
        let before = resident();
        let mut seen = Seen::new(10_000_000);
        for round in 1..=3_u64 {
            for number in (round - 1) * 10_000_000..round * 10_000_000 {
                assert!(take(&mut seen, &hash(number), DiscoverySource::Sample));
            }
            let known = ((round - 1) * 10_000_000..round * 10_000_000)
                .filter(|number| holds(&seen, &hash(*number)))
                .count();
            assert_eq!(known, 10_000_000);
            println!("{round}0 million: {} MB", resident() - before);
        }
        assert!(resident() - before < 300);
    }
}
