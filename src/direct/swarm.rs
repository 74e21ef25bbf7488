//! What the attempts at one hash share: the blocks that its peers sent, and the peers that they named.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::pool::Pool;
use crate::torrent::PeerAddr;
use crate::wire::ut_pex::{PexFlags, UtPex};

/// Peers that are taken of one message, the best first.
const MOST_OF_ONE: usize = 100;
/// Named peers that wait to be taken. There is no use in more: they are taken at once.
const MOST: usize = 500;

/// The peers of one hash, as far as the direct arm has heard of them. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Swarm(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    pool: Pool,
    /// Whether anybody takes the peers that are named.
    wants_peers: bool,
    named: Mutex<Vec<Named>>,
    news: Notify,
    /// Connection requests that were begun, or wait for their turn.
    dialled: AtomicU32,
}

/// A peer that another one has named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The peer; unchecked.
    pub addr: PeerAddr,
    /// Who says so.
    pub by: PeerAddr,
    /// Whether it is said to prefer encryption.
    pub encrypted: bool,
}

impl Swarm {
    /// Of whose peers others are wanted, too: [`Swarm::named`] tells them.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            wants_peers: true,
            ..Inner::default()
        }))
    }

    /// The peers that were named by others since the last call (BEP 11): unchecked, and any number of
    /// times.
    #[must_use]
    pub fn named(&self) -> Vec<Named> {
        let mut named = (self.0.named.lock()).unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *named)
    }

    /// Waits until peers are named that were not taken yet.
    pub async fn until_named(&self) {
        self.0.news.notified().await;
    }

    /// The peers that sent something else than these bytes, which are the right ones.
    #[must_use]
    pub fn liars(&self, right: &[u8]) -> Vec<PeerAddr> {
        self.0.pool.liars(right)
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// One more connection request: how many there were before.
    pub(super) fn dials(&self) -> u32 {
        self.0.dialled.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn wants_peers(&self) -> bool {
        self.0.wants_peers
    }

    /// The peer `by` names others: seeds first, which surely have the metadata, then those that can be
    /// connected to.
    pub(super) fn name(&self, by: PeerAddr, mut pex: UtPex) {
        if !self.0.wants_peers || pex.added.is_empty() {
            return;
        }
        // To be named twice by one peer is no more than once.
        pex.added.sort_by_key(|(addr, _)| *addr);
        pex.added.dedup_by_key(|(addr, _)| *addr);
        pex.added.sort_by_key(|(_, flags)| {
            let is_seed = flags.has(PexFlags::SEED);
            (!is_seed, !flags.has(PexFlags::REACHABLE))
        });
        let mut named = (self.0.named.lock()).unwrap_or_else(PoisonError::into_inner);
        let room = MOST.saturating_sub(named.len());
        let added = pex.added.into_iter().map(|(addr, flags)| Named {
            addr,
            by,
            encrypted: flags.has(PexFlags::ENCRYPTION),
        });
        named.extend(added.take(room.min(MOST_OF_ONE)));
        drop(named);
        self.0.news.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(port: u16, flags: u8) -> (PeerAddr, PexFlags) {
        (PeerAddr::new([8, 8, 8, 8].into(), port), PexFlags(flags))
    }

    #[tokio::test]
    async fn seeds_come_first_and_memory_is_bounded() {
        let swarm = Swarm::new();
        let added = vec![
            named(1, 0),
            named(2, PexFlags::REACHABLE),
            named(3, PexFlags::SEED | PexFlags::ENCRYPTION),
        ];
        let by = PeerAddr::new([9, 9, 9, 9].into(), 1);
        let pex = |added| UtPex {
            added,
            ..UtPex::default()
        };
        swarm.name(by, pex(added));
        swarm.until_named().await;
        let taken = swarm.named();
        assert!(taken.iter().all(|named| named.by == by));
        let ports: Vec<u16> = taken.iter().map(|named| named.addr.port()).collect();
        assert_eq!(ports, [3, 2, 1]);
        let encrypted: Vec<bool> = taken.iter().map(|named| named.encrypted).collect();
        assert_eq!(encrypted, [true, false, false]);
        let many = || pex((1..200).map(|port| named(port, 0)).collect());
        swarm.name(by, many());
        assert_eq!(swarm.named().len(), MOST_OF_ONE);
        for _ in 0..10 {
            swarm.name(by, many());
        }
        assert_eq!(swarm.named().len(), MOST);
        assert_eq!(swarm.named(), []);
    }

    #[test]
    fn where_nobody_asks_nothing_is_kept() {
        let swarm = Swarm::default();
        let pex = UtPex {
            added: vec![named(1, 0)],
            ..UtPex::default()
        };
        swarm.name(PeerAddr::new([9, 9, 9, 9].into(), 1), pex);
        assert_eq!(swarm.named(), []);
    }
}
