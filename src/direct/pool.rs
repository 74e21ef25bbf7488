//! The blocks that the peers of one hash have sent, one dictionary for each size that they claim.
//!
//! A peer takes up what the others left, and of a dictionary of more than a few blocks each peer is
//! asked for other ones. Where the check fails and several had a part in it, the mixture is given up:
//! from then on each peer is asked for all of it, so that one that lies costs no more than itself. What
//! each had sent is remembered by its digest, and compared once the right bytes are there.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha1::{Digest as _, Sha1};
use tokio::sync::watch;

use super::limits::{Memory, Reserved};
use crate::torrent::PeerAddr;
use crate::wire::ut_metadata::BLOCK;

/// Dictionaries that are kept while no peer works on them.
const KEPT: usize = 4;

/// Dictionaries by their size in bytes.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<HashMap<usize, Arc<Dictionary>>>);

impl Pool {
    /// The dictionary of `size` bytes, which are to come out of `memory`. The caller has checked `size`
    /// against its cap.
    pub(super) fn dictionary(&self, size: usize, memory: Memory) -> Arc<Dictionary> {
        let mut all = lock(&self.0);
        if let Some(dictionary) = all.get(&size) {
            return Arc::clone(dictionary);
        }
        // Those that nobody works on any more, and what they are worth.
        let idle = |dictionary: &Arc<Dictionary>| Arc::strong_count(dictionary) == 1;
        all.retain(|_, dictionary| !idle(dictionary) || dictionary.worth() > 0);
        let unused: Vec<_> = all.values().filter(|it| idle(it)).collect();
        if let Some(excess) = (unused.len() + 1).checked_sub(KEPT) {
            // One block of a dictionary of megabytes holds all of its memory.
            let mut worst: Vec<_> = (unused.iter())
                .map(|it| (Reverse(it.missing_bytes()), it.worth(), it.size))
                .collect();
            worst.sort_unstable();
            for (.., size) in worst.into_iter().take(excess) {
                all.remove(&size);
            }
        }
        let dictionary = Arc::new(Dictionary::new(size, memory));
        all.insert(size, Arc::clone(&dictionary));
        dictionary
    }

    /// The peers that have sent anything else than these bytes, the right ones, or blocks of a
    /// dictionary of another size.
    pub(super) fn liars(&self, right: &[u8]) -> Vec<PeerAddr> {
        let all: Vec<_> = lock(&self.0).values().cloned().collect();
        let mut liars: Vec<_> = (all.iter())
            .flat_map(|dictionary| dictionary.liars(right))
            .collect();
        liars.sort_unstable();
        liars.dedup();
        liars
    }
}

/// A dictionary of one size.
#[derive(Debug)]
pub(super) struct Dictionary {
    pub(super) size: usize,
    pub(super) memory: Memory,
    state: Mutex<State>,
    /// Tells peers that have nothing to do that there may be something again.
    news: watch::Sender<()>,
}

/// How its blocks are asked for.
#[derive(Debug)]
pub(super) enum Mode {
    /// All peers fill one buffer.
    Together,
    /// It is full, and its hash is being checked.
    Checking,
    /// It was a mixture, and wrong: each peer fills a buffer of its own.
    Apart(Vec<Sent>),
}

/// A block that was part of a wrong mixture.
#[derive(Debug)]
pub(super) struct Sent {
    by: PeerAddr,
    digest: [u8; 20],
}

/// A block in the common buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Block {
    /// Who sent it, by the place in [`State::peers`]; `None` while it is missing.
    pub(super) from: Option<usize>,
    /// How many peers are asked for it.
    pub(super) asked: u32,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) mode: Mode,
    /// Empty before the first block, so that a peer that claims megabytes and sends none takes none.
    bytes: Vec<u8>,
    /// The memory that `bytes` take, here or while they are checked.
    reserved: Option<Reserved>,
    pub(super) blocks: Vec<Block>,
    /// Who has sent blocks.
    peers: Vec<PeerAddr>,
    here: usize,
    /// No block below this one is missing.
    pub(super) low: usize,
}

/// What became of a dictionary that is not the hash's.
pub(super) enum Wrong {
    /// One peer has sent all of it.
    OfOne,
    /// Several have. For the one that sent the last block: these blocks of the mixture are its own, and so
    /// is the memory that it takes.
    OfSeveral(Vec<bool>, Option<Reserved>),
}

impl Dictionary {
    pub(super) fn new(size: usize, memory: Memory) -> Self {
        Self {
            size,
            memory,
            news: watch::Sender::new(()),
            state: Mutex::new(State {
                mode: Mode::Together,
                bytes: Vec::new(),
                reserved: None,
                blocks: vec![Block::default(); size.div_ceil(BLOCK)],
                peers: Vec::new(),
                here: 0,
                low: 0,
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Changes whenever a peer that had nothing to do may have something again.
    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Its last peer has gone: what it sent is kept for the next one only while memory is not short.
    pub(super) fn is_left(&self) {
        let mut state = self.lock();
        if !state.bytes.is_empty() && self.memory.is_short() {
            state.clear(Mode::Together);
        }
    }

    /// Nobody checks the full buffer any more, and nobody has it.
    pub(super) fn is_unchecked(&self) {
        let mut state = self.lock();
        if matches!(state.mode, Mode::Checking) {
            state.clear(Mode::Together);
            drop(state);
            self.news.send_replace(());
        }
    }

    /// Memory for it has become free.
    pub(super) fn give(&self, reserved: Reserved) {
        let mut state = self.lock();
        if matches!(state.mode, Mode::Together) && state.reserved.is_none() {
            state.reserved = Some(reserved);
            drop(state);
            self.news.send_replace(());
        }
    }

    /// How many bytes of memory it takes for blocks that are not here.
    fn missing_bytes(&self) -> usize {
        let state = self.lock();
        let here = state.here.saturating_mul(BLOCK);
        match state.reserved {
            Some(_) => self.size.saturating_sub(here),
            None => 0,
        }
    }

    /// How many blocks of it are here, or how many it has if they are known to be a mixture.
    fn worth(&self) -> usize {
        let state = self.lock();
        match &state.mode {
            Mode::Apart(sent) => sent.len(),
            Mode::Together | Mode::Checking => state.here,
        }
    }

    /// The check of the full buffer has failed; `last` completed it, and gives it back.
    pub(super) fn is_wrong(&self, last: PeerAddr, bytes: &[u8]) -> Wrong {
        let wrong = self.take_apart(last, bytes);
        self.news.send_replace(());
        wrong
    }

    fn take_apart(&self, last: PeerAddr, bytes: &[u8]) -> Wrong {
        let mut state = self.lock();
        let State {
            mode,
            blocks,
            peers,
            ..
        } = &mut *state;
        let by = |block: &Block| block.from.and_then(|from| peers.get(from)).copied();
        let is_of_one = blocks.iter().all(|block| by(block) == Some(last));
        if is_of_one {
            state.clear(Mode::Together);
            return Wrong::OfOne;
        }
        let own = blocks.iter().map(|block| by(block) == Some(last)).collect();
        let sent = bytes.chunks(BLOCK).zip(blocks.iter());
        let sent = sent.map(|(bytes, block)| Sent {
            by: by(block).unwrap_or(last),
            digest: Sha1::digest(bytes).into(),
        });
        *mode = Mode::Apart(sent.collect());
        state.peers.clear();
        Wrong::OfSeveral(own, state.reserved.take())
    }

    fn liars(&self, right: &[u8]) -> Vec<PeerAddr> {
        let state = self.lock();
        let same_size = self.size == right.len();
        match &state.mode {
            Mode::Checking => Vec::new(),
            Mode::Apart(sent) => {
                let blocks = right.chunks(BLOCK).zip(sent);
                let wrong = blocks.filter(|(right, sent)| {
                    !same_size || <[u8; 20]>::from(Sha1::digest(right)) != sent.digest
                });
                wrong.map(|(_, sent)| sent.by).collect()
            }
            Mode::Together if !same_size => state.peers.clone(),
            Mode::Together => {
                let blocks = right.chunks(BLOCK).zip(state.bytes.chunks(BLOCK));
                let blocks = blocks.zip(&state.blocks);
                let wrong = blocks
                    .filter_map(|((right, sent), block)| block.from.filter(|_| right != sent));
                wrong
                    .filter_map(|from| state.peers.get(from))
                    .copied()
                    .collect()
            }
        }
    }
}

impl State {
    /// Whether there is memory for a dictionary of `size` bytes; it is taken if there is.
    pub(super) fn has_room(&mut self, size: usize, memory: &Memory) -> bool {
        if self.reserved.is_none() {
            self.reserved = memory.try_reserve(size);
        }
        self.reserved.is_some()
    }

    /// Takes in a block of the right length; gives the whole buffer once it is full. One that is here
    /// already stays as it is.
    pub(super) fn store(
        &mut self,
        size: usize,
        index: usize,
        data: &[u8],
        from: PeerAddr,
    ) -> Option<Vec<u8>> {
        let place = self.peers.iter().rposition(|peer| *peer == from);
        let block = self.blocks.get_mut(index)?;
        if block.from.is_some() {
            return None;
        }
        if self.bytes.is_empty() {
            self.bytes = vec![0; size];
        }
        block.from = Some(place.unwrap_or(self.peers.len()));
        if place.is_none() {
            self.peers.push(from);
        }
        let start = index.saturating_mul(BLOCK);
        let room = self
            .bytes
            .get_mut(start..start.saturating_add(data.len()))?;
        room.copy_from_slice(data);
        self.here += 1;
        while (self.blocks.get(self.low)).is_some_and(|block| block.from.is_some()) {
            self.low += 1;
        }
        if self.here < self.blocks.len() {
            return None;
        }
        self.mode = Mode::Checking;
        Some(std::mem::take(&mut self.bytes))
    }

    /// Nothing is here any more; what is asked for is asked for all the same.
    fn clear(&mut self, mode: Mode) {
        self.mode = mode;
        (self.bytes, self.reserved) = (Vec::new(), None);
        self.peers.clear();
        (self.here, self.low) = (0, 0);
        for block in &mut self.blocks {
            block.from = None;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> PeerAddr {
        PeerAddr::new([8, 8, 8, 8].into(), port)
    }

    #[test]
    fn few_dictionaries_are_kept_for_later_and_those_with_most_blocks() {
        let pool = Pool::default();
        let plenty = || Memory::new(1 << 40);
        let in_work = pool.dictionary(7, plenty());
        for blocks in 1..20_usize {
            let dictionary = pool.dictionary(blocks * BLOCK, plenty());
            for index in 1..blocks {
                let mut state = dictionary.lock();
                let size = dictionary.size;
                assert!(state.store(size, index, &[1; BLOCK], peer(1)).is_none());
            }
        }
        assert!(lock(&pool.0).len() <= KEPT + 2);
        assert!(Arc::ptr_eq(&in_work, &pool.dictionary(7, plenty())));
        assert_eq!(pool.dictionary(19 * BLOCK, plenty()).lock().here, 18);
    }

    #[test]
    fn of_many_that_are_left_the_emptiest_go_first() {
        let (pool, memory) = (Pool::default(), Memory::new(1 << 40));
        let all: Vec<_> = (2..20)
            .map(|blocks| {
                let dictionary = pool.dictionary(blocks * BLOCK, memory.clone());
                let mut state = dictionary.lock();
                assert!(state.has_room(dictionary.size, &memory));
                state.store(dictionary.size, 0, &[1; BLOCK], peer(1));
                drop(state);
                dictionary
            })
            .collect();
        drop(all);
        let _new = pool.dictionary(1, memory);
        let mut kept: Vec<_> = lock(&pool.0).keys().copied().collect();
        kept.sort_unstable();
        assert_eq!(kept, [1, 2 * BLOCK, 3 * BLOCK, 4 * BLOCK]);
    }

    #[test]
    fn memory_goes_back_when_what_it_is_for_is_gone() {
        let memory = Memory::new(16 << 20);
        let size = 10 << 20;
        let pool = Pool::default();
        let dictionary = pool.dictionary(size, memory.clone());
        let begin = || {
            let mut state = dictionary.lock();
            assert!(state.has_room(size, &memory));
            state.store(size, 0, &[1; BLOCK], peer(1));
        };
        begin();
        assert!(memory.try_reserve(size).is_none());
        dictionary.is_left();
        assert!(memory.try_reserve(size).is_some(), "it was short");
        assert_eq!(dictionary.worth(), 0);
        begin();
        drop((dictionary, pool));
        assert!(memory.try_reserve(size).is_some());
    }

    #[test]
    fn whoever_sent_other_bytes_lied_whatever_became_of_them() {
        let pool = Pool::default();
        let right = vec![5; 2 * BLOCK];
        let plenty = || Memory::new(1 << 40);
        let partial = pool.dictionary(right.len(), plenty());
        partial.lock().store(right.len(), 0, &[5; BLOCK], peer(1));
        assert_eq!(pool.liars(&right), []);
        let other_size = pool.dictionary(right.len() + 1, plenty());
        (other_size.lock()).store(right.len() + 1, 2, &[5], peer(2));
        assert_eq!(pool.liars(&right), [peer(2)]);
        let full = partial.lock().store(right.len(), 1, &[6; BLOCK], peer(3));
        let full = full.unwrap();
        assert!(
            matches!(partial.is_wrong(peer(3), &full), Wrong::OfSeveral(own, _) if own == [false, true])
        );
        assert_eq!(pool.liars(&right), [peer(2), peer(3)]);
    }
}
