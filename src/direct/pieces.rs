//! Which metadata blocks to ask one peer for, and what to do with what it sends (BEP 9).

use std::sync::Arc;

use tokio::sync::watch;

use super::limits::{Memory, Reserved};
use super::pool::{Dictionary, Mode, State, Wrong};
use crate::torrent::PeerAddr;
use crate::wire::ut_metadata::BLOCK;

/// Requests in flight at the start. One or two cost a round trip each; all at once is as bad
/// against libtorrent seeds, which queue what exceeds 160 KiB and serve it by the second.
const WINDOW_START: usize = 10;
/// Requests in flight while blocks keep coming.
const WINDOW_MAX: usize = 16;
/// Rounds of rejects without a single block before the peer is given up.
const REJECTED_ROUNDS: u32 = 3;
/// Blocks above which each peer is asked for other ones. Below it is faster to ask every peer for all
/// that is missing, and take what comes first.
const STRIPED_ABOVE: usize = 8;

/// A block that the protocol does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("it sent block {piece} of a dictionary that has {count}")]
    OutOfRange { piece: i64, count: usize },
    #[error("it sent block {0}, which was not asked for")]
    Unasked(usize),
    #[error("its block {piece} has {got} bytes instead of {expected}")]
    Length {
        piece: usize,
        got: usize,
        expected: usize,
    },
    #[error("it said {claimed} bytes in its handshake and {got} with a block")]
    TotalSize { claimed: usize, got: i64 },
}

/// What became of a block or a reject.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Some blocks are still missing: ask for more.
    More,
    /// A request was rejected, and others are still open: wait for those.
    Wait,
    /// There is no memory for what came: see [`Pieces::until_room`].
    NoRoom,
    /// Every block is here, perhaps not all from this peer.
    Complete(Vec<u8>),
    /// All requests in flight were rejected: ask again later.
    Pause,
    /// Rejected in every round, and no block ever came.
    Rejected,
}

/// One peer's part in a dictionary.
pub(super) struct Pieces {
    peer: PeerAddr,
    shared: Arc<Dictionary>,
    /// Which blocks it is asked for.
    asked: Vec<bool>,
    /// What it has sent itself, where peers are asked apart.
    own: Option<Own>,
    /// It has completed what all have sent, and that is being checked.
    checks: bool,
    news: watch::Receiver<()>,
    in_flight: usize,
    received: usize,
    received_bytes: usize,
    window: usize,
    window_max: usize,
    rejected_rounds: u32,
}

/// A buffer of one peer alone.
struct Own {
    /// Empty before the first block.
    bytes: Vec<u8>,
    reserved: Option<Reserved>,
    here: Vec<bool>,
    count: usize,
}

impl Own {
    fn empty(blocks: usize) -> Self {
        Self {
            bytes: Vec::new(),
            reserved: None,
            here: vec![false; blocks],
            count: 0,
        }
    }

    fn has_room(&mut self, size: usize, memory: &Memory) -> bool {
        if self.reserved.is_none() {
            self.reserved = memory.try_reserve(size);
        }
        self.reserved.is_some()
    }

    fn store(&mut self, size: usize, index: usize, data: &[u8]) -> Option<Vec<u8>> {
        if self.bytes.is_empty() {
            self.bytes = vec![0; size];
        }
        let start = index.saturating_mul(BLOCK);
        let room = self
            .bytes
            .get_mut(start..start.saturating_add(data.len()))?;
        room.copy_from_slice(data);
        let here = self.here.get_mut(index)?;
        self.count += usize::from(!*here);
        *here = true;
        (self.count == self.here.len()).then(|| std::mem::take(&mut self.bytes))
    }
}

impl Pieces {
    /// Nothing asked of `peer` yet, which queues `reqq` requests, if it has said so. `one_at_a_time` is
    /// for a peer that can't take another request before it has answered the last.
    pub(super) fn new(
        shared: Arc<Dictionary>,
        peer: PeerAddr,
        reqq: Option<u32>,
        one_at_a_time: bool,
    ) -> Self {
        // Some clients say 0, and answer all the same.
        let queue = reqq.and_then(|reqq| usize::try_from(reqq).ok());
        let queue = queue.filter(|reqq| *reqq > 0).unwrap_or(usize::MAX);
        let most = if one_at_a_time { 1 } else { queue };
        Self {
            peer,
            asked: vec![false; shared.size.div_ceil(BLOCK)],
            news: shared.news(),
            shared,
            own: None,
            checks: false,
            in_flight: 0,
            received: 0,
            received_bytes: 0,
            window: WINDOW_START.min(most),
            window_max: WINDOW_MAX.min(most),
            rejected_rounds: 0,
        }
    }

    /// Asks for as many blocks as the window has room for; they count as asked.
    pub(super) fn request(&mut self, mut ask: impl FnMut(u32)) {
        if self.in_flight >= self.window {
            return;
        }
        if self.own.is_none() {
            let shared = Arc::clone(&self.shared);
            let mut state = shared.lock();
            match state.mode {
                Mode::Together => {
                    self.request_together(&mut state, &mut ask);
                    return;
                }
                Mode::Checking => return,
                Mode::Apart(_) => {}
            }
        }
        let blocks = self.asked.len();
        let own = self.own.get_or_insert_with(|| Own::empty(blocks));
        for ((index, here), asked) in own.here.iter().enumerate().zip(&mut self.asked) {
            if self.in_flight >= self.window {
                break;
            }
            if !*here && !*asked {
                *asked = true;
                self.in_flight += 1;
                ask(u32::try_from(index).unwrap_or(u32::MAX));
            }
        }
    }

    fn request_together(&mut self, state: &mut State, ask: &mut impl FnMut(u32)) {
        let is_striped = self.asked.len() > STRIPED_ABOVE;
        self.request_missing(state, is_striped, ask);
        // What others were asked for may never come: whoever has nothing else to do sends it, too.
        if is_striped && self.in_flight == 0 {
            self.request_missing(state, false, ask);
        }
    }

    fn request_missing(
        &mut self,
        state: &mut State,
        only_of_nobody: bool,
        ask: &mut impl FnMut(u32),
    ) {
        let low = state.low;
        let blocks = state.blocks.iter_mut().zip(&mut self.asked).enumerate();
        for (index, (block, asked)) in blocks.skip(low) {
            if self.in_flight >= self.window {
                break;
            }
            let is_others = only_of_nobody && block.asked > 0;
            if block.from.is_none() && !*asked && !is_others {
                *asked = true;
                block.asked = block.asked.saturating_add(1);
                self.in_flight += 1;
                ask(u32::try_from(index).unwrap_or(u32::MAX));
            }
        }
    }

    /// Takes in a block.
    pub(super) fn data(
        &mut self,
        piece: i64,
        total_size: Option<i64>,
        data: &[u8],
    ) -> Result<Step, Violation> {
        let size = self.shared.size;
        if let Some(got) = total_size
            && usize::try_from(got).ok() != Some(size)
        {
            return Err(Violation::TotalSize { claimed: size, got });
        }
        let index = self.index_of(piece)?;
        let start = index.saturating_mul(BLOCK);
        let expected = start.saturating_add(BLOCK).min(size).saturating_sub(start);
        if data.len() != expected {
            return Err(Violation::Length {
                piece: index,
                got: data.len(),
                expected,
            });
        }
        self.received += 1;
        self.received_bytes = self.received_bytes.saturating_add(data.len());
        self.rejected_rounds = 0;
        self.window = (self.window + 1).min(self.window_max);
        if self.own.is_some() {
            self.answered(index, None);
        } else {
            let shared = Arc::clone(&self.shared);
            let mut state = shared.lock();
            self.answered(index, Some(&mut state));
            match state.mode {
                Mode::Together => {
                    if !state.has_room(size, &shared.memory) {
                        return Ok(Step::NoRoom);
                    }
                    let whole = state.store(size, index, data, self.peer);
                    self.checks = whole.is_some();
                    return Ok(whole.map_or(Step::More, Step::Complete));
                }
                // It is here already.
                Mode::Checking => return Ok(Step::More),
                Mode::Apart(_) => {}
            }
        }
        let blocks = self.asked.len();
        let own = self.own.get_or_insert_with(|| Own::empty(blocks));
        if !own.has_room(size, &self.shared.memory) {
            return Ok(Step::NoRoom);
        }
        let whole = own.store(size, index, data);
        Ok(whole.map_or(Step::More, Step::Complete))
    }

    /// Takes in a reject: it means "later", unless nothing else ever comes.
    pub(super) fn reject(&mut self, piece: i64) -> Result<Step, Violation> {
        let index = self.index_of(piece)?;
        if self.own.is_some() {
            self.answered(index, None);
        } else {
            let shared = Arc::clone(&self.shared);
            self.answered(index, Some(&mut shared.lock()));
        }
        if self.in_flight > 0 {
            return Ok(Step::Wait);
        }
        // One block is enough to find out whether the peer serves again.
        self.window = 1;
        self.rejected_rounds += 1;
        Ok(
            if self.received == 0 && self.rejected_rounds >= REJECTED_ROUNDS {
                Step::Rejected
            } else {
                Step::Pause
            },
        )
    }

    /// These bytes, complete by this peer's last block, are not the hash's. Whether they are all its own;
    /// if not, it is asked for the rest of them.
    pub(super) fn is_wrong(&mut self, bytes: Vec<u8>) -> bool {
        if self.own.is_some() {
            return true;
        }
        self.checks = false;
        match self.shared.is_wrong(self.peer, &bytes) {
            Wrong::OfOne => true,
            Wrong::OfSeveral(here, reserved) => {
                let count = here.iter().filter(|here| **here).count();
                self.own = Some(Own {
                    bytes,
                    reserved,
                    here,
                    count,
                });
                false
            }
        }
    }

    /// These bytes are the hash's: nobody need be asked any more.
    pub(super) fn is_right(&mut self) {
        self.checks = false;
    }

    /// Waits for memory, after [`Step::NoRoom`]: its own, or that of the dictionary. Nothing is lost where
    /// the future is dropped.
    pub(super) async fn until_room(&mut self) {
        let shared = Arc::clone(&self.shared);
        let reserve = shared.memory.reserve(shared.size);
        if let Some(own) = &mut self.own {
            own.reserved = Some(reserve.await);
            return;
        }
        tokio::select! {
            reserved = reserve => shared.give(reserved),
            // Another one got it, or the dictionary is taken apart: it is to be asked again.
            _ = self.news.changed() => {}
        }
    }

    /// Waits until there may be something to ask for, where there was nothing.
    pub(super) async fn until_news(&mut self) {
        if self.in_flight > 0 || self.own.is_some() || self.news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The place of block `piece`, if it is one that we asked this peer for.
    fn index_of(&self, piece: i64) -> Result<usize, Violation> {
        let count = self.asked.len();
        let index = usize::try_from(piece).unwrap_or(usize::MAX);
        match self.asked.get(index) {
            None => Err(Violation::OutOfRange { piece, count }),
            Some(true) => Ok(index),
            Some(false) => Err(Violation::Unasked(index)),
        }
    }

    fn answered(&mut self, index: usize, state: Option<&mut State>) {
        if let Some(asked) = self.asked.get_mut(index) {
            *asked = false;
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(block) = state.and_then(|state| state.blocks.get_mut(index)) {
            block.asked = block.asked.saturating_sub(1);
        }
    }

    /// How many blocks it has sent, and how many there are.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.received, self.asked.len())
    }

    /// How many bytes of blocks it has sent.
    pub(super) fn received_bytes(&self) -> usize {
        self.received_bytes
    }
}

/// What it was asked for, others are asked for.
impl Drop for Pieces {
    fn drop(&mut self) {
        if self.checks {
            self.shared.is_unchecked();
        }
        if self.in_flight > 0 {
            let mut state = self.shared.lock();
            for (block, asked) in state.blocks.iter_mut().zip(&self.asked) {
                block.asked = block.asked.saturating_sub(u32::from(*asked));
            }
        }
        // The pool has one, and this is the other.
        if Arc::strong_count(&self.shared) <= 2 {
            self.shared.is_left();
        }
    }
}

#[cfg(test)]
mod tests;
