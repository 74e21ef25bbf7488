//! Node ids in order, so that who is close to a point is found without looking at all of them.

use std::ops::Range;

use super::super::wire::Random;

/// Sorted ids. Those that share their first bits follow each other.
#[derive(Debug)]
pub(super) struct KeySpace(Vec<[u8; 20]>);

pub(super) fn distance(a: [u8; 20], b: [u8; 20]) -> [u8; 20] {
    std::array::from_fn(|at| a[at] ^ b[at])
}

fn bit(id: &[u8; 20], at: usize) -> bool {
    id[at / 8] >> (7 - at % 8) & 1 == 1
}

impl KeySpace {
    pub(super) fn new(sorted: Vec<[u8; 20]>) -> Self {
        assert!(sorted.is_sorted(), "ids in order");
        Self(sorted)
    }

    pub(super) fn ids(&self) -> &[[u8; 20]] {
        &self.0
    }

    /// Where in `range`, whose ids share `depth` bits, those begin whose next bit is one.
    fn ones(&self, range: &Range<usize>, depth: usize) -> usize {
        let zeros = self.0[range.clone()].partition_point(|id| !bit(id, depth));
        range.start + zeros
    }

    /// The places of all ids, from the closest to the point to the one farthest off.
    pub(super) fn by_distance(&self, point: [u8; 20]) -> impl Iterator<Item = usize> + '_ {
        // Halves that are still to come; those on top are closer than those below.
        let mut halves = vec![(0..self.0.len(), 0)];
        std::iter::from_fn(move || {
            loop {
                let (range, depth) = halves.pop()?;
                if range.is_empty() {
                    continue;
                }
                if range.len() == 1 || depth == 160 {
                    if range.len() > 1 {
                        halves.push((range.start + 1..range.end, depth));
                    }
                    return Some(range.start);
                }
                let middle = self.ones(&range, depth);
                let (zeros, ones) = (range.start..middle, middle..range.end);
                let (near, far) = if bit(&point, depth) {
                    (ones, zeros)
                } else {
                    (zeros, ones)
                };
                halves.push((far, depth + 1));
                halves.push((near, depth + 1));
            }
        })
    }

    /// The places of the nodes that the node at `own` knows: `per_bucket` of each bucket, as many as
    /// there are where that is fewer.
    pub(super) fn routing_table(
        &self,
        own: usize,
        per_bucket: usize,
        random: &mut Random,
    ) -> Vec<usize> {
        let mut known = Vec::new();
        let mut near = 0..self.0.len();
        for depth in 0..160 {
            if near.len() <= 1 {
                break;
            }
            let middle = self.ones(&near, depth);
            let (own_half, bucket) = if bit(&self.0[own], depth) {
                (middle..near.end, near.start..middle)
            } else {
                (near.start..middle, middle..near.end)
            };
            near = own_half;
            let mut places: Vec<usize> = if bucket.len() <= 4 * per_bucket {
                bucket.collect()
            } else {
                let some = (0..2 * per_bucket).map(|_| bucket.start + random.below(bucket.len()));
                some.collect()
            };
            for at in 0..places.len() {
                let rest = places.len() - at;
                places.swap(at, at + random.below(rest));
            }
            let mut taken: Vec<usize> = Vec::with_capacity(per_bucket);
            for place in places {
                if taken.len() < per_bucket && !taken.contains(&place) {
                    taken.push(place);
                }
            }
            known.extend(taken);
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_tables_are_kademlias() {
        let mut random = Random::new(3);
        let mut ids: Vec<_> = (0..500).map(|_| random.id()).collect();
        ids.sort_unstable();
        let space = KeySpace::new(ids.clone());
        let point = random.id();
        let mut sorted: Vec<usize> = (0..500).collect();
        sorted.sort_by_key(|at| distance(ids[*at], point));
        assert_eq!(space.by_distance(point).collect::<Vec<_>>(), sorted);
        for own in [0, 250, 499] {
            let known = space.routing_table(own, 8, &mut random);
            assert!((40..90).contains(&known.len()), "{}", known.len());
            assert!(!known.contains(&own));
            // All of the nearest ones.
            let nearest: Vec<_> = space.by_distance(ids[own]).skip(1).take(3).collect();
            assert!(nearest.iter().all(|at| known.contains(at)));
        }
    }
}
