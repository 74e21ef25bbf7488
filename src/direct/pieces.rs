//! Which metadata blocks to ask one peer for, and what to do with what it sends (BEP 9).

use crate::wire::ut_metadata::BLOCK;

/// Requests in flight at the start. One or two cost a round trip each; all at once is as bad
/// against libtorrent seeds, which queue what exceeds 160 KiB and serve it by the second.
const WINDOW_START: usize = 10;
/// Requests in flight while blocks keep coming.
const WINDOW_MAX: usize = 16;
/// Rounds of rejects without a single block before the peer is given up.
const REJECTED_ROUNDS: u32 = 3;

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
    /// Every block is here.
    Complete,
    /// All requests in flight were rejected: ask again later.
    Pause,
    /// Rejected in every round, and no block ever came.
    Rejected,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Missing,
    Asked,
    Here,
}

/// The blocks of one dictionary from one peer.
pub(super) struct Pieces {
    /// Zeroed by the allocator, so that pages cost memory only once a block is written to them.
    bytes: Vec<u8>,
    blocks: Vec<Block>,
    in_flight: usize,
    received: usize,
    window: usize,
    window_max: usize,
    rejected_rounds: u32,
}

impl Pieces {
    /// Nothing of a dictionary of `size` bytes. The caller has checked `size` against its cap.
    /// `one_at_a_time` is for a peer that can't take another request before it has answered the last.
    pub(super) fn new(size: usize, one_at_a_time: bool) -> Self {
        let (window, window_max) = if one_at_a_time {
            (1, 1)
        } else {
            (WINDOW_START, WINDOW_MAX)
        };
        Self {
            bytes: vec![0; size],
            blocks: vec![Block::Missing; size.div_ceil(BLOCK)],
            in_flight: 0,
            received: 0,
            window,
            window_max,
            rejected_rounds: 0,
        }
    }

    /// The blocks to ask for now; they count as asked.
    pub(super) fn requests(&mut self) -> Vec<u32> {
        let mut requests = Vec::new();
        for (piece, block) in self.blocks.iter_mut().enumerate() {
            if self.in_flight >= self.window {
                break;
            }
            if *block == Block::Missing
                && let Ok(piece) = u32::try_from(piece)
            {
                *block = Block::Asked;
                self.in_flight += 1;
                requests.push(piece);
            }
        }
        requests
    }

    /// Takes in a block.
    pub(super) fn data(
        &mut self,
        piece: i64,
        total_size: Option<i64>,
        data: &[u8],
    ) -> Result<Step, Violation> {
        let size = self.bytes.len();
        if let Some(got) = total_size
            && usize::try_from(got).ok() != Some(size)
        {
            return Err(Violation::TotalSize { claimed: size, got });
        }
        let (index, block) = self.asked(piece)?;
        let start = index.saturating_mul(BLOCK);
        let end = start.saturating_add(BLOCK).min(size);
        let expected = end.saturating_sub(start);
        *block = Block::Here;
        match self.bytes.get_mut(start..end) {
            Some(room) if room.len() == data.len() => room.copy_from_slice(data),
            _ => {
                return Err(Violation::Length {
                    piece: index,
                    got: data.len(),
                    expected,
                });
            }
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        self.received += 1;
        self.rejected_rounds = 0;
        self.window = (self.window + 1).min(self.window_max);
        Ok(if self.received == self.blocks.len() {
            Step::Complete
        } else {
            Step::More
        })
    }

    /// Takes in a reject: it means "later", unless nothing else ever comes.
    pub(super) fn reject(&mut self, piece: i64) -> Result<Step, Violation> {
        let (_, block) = self.asked(piece)?;
        *block = Block::Missing;
        self.in_flight = self.in_flight.saturating_sub(1);
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

    /// The block `piece`, if it is one that we asked for.
    fn asked(&mut self, piece: i64) -> Result<(usize, &mut Block), Violation> {
        let count = self.blocks.len();
        let index = usize::try_from(piece).unwrap_or(usize::MAX);
        match self.blocks.get_mut(index) {
            None => Err(Violation::OutOfRange { piece, count }),
            Some(block) if *block == Block::Asked => Ok((index, block)),
            Some(_) => Err(Violation::Unasked(index)),
        }
    }

    /// How many blocks came, and how many there are.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.received, self.blocks.len())
    }

    /// The dictionary, once every block is here.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 40 * BLOCK + 5;

    fn size_of(piece: u32) -> usize {
        if piece == 40 { 5 } else { BLOCK }
    }

    #[test]
    fn the_window_starts_at_10_and_grows_to_16() {
        let mut pieces = Pieces::new(SIZE, false);
        let first = pieces.requests();
        assert_eq!(first, (0..10).collect::<Vec<_>>());
        assert!(pieces.requests().is_empty());
        let mut asked: std::collections::VecDeque<_> = first.into();
        let mut most = asked.len();
        while let Some(piece) = asked.pop_front() {
            let step = pieces
                .data(piece.into(), None, &vec![7; size_of(piece)])
                .unwrap();
            asked.extend(pieces.requests());
            most = most.max(asked.len());
            assert_eq!(step == Step::Complete, asked.is_empty());
        }
        assert_eq!(most, WINDOW_MAX);
        assert_eq!(pieces.count(), (41, 41));
        assert_eq!(pieces.into_bytes(), vec![7; SIZE]);
    }

    #[test]
    fn the_window_stays_at_one_where_it_must() {
        let mut pieces = Pieces::new(SIZE, true);
        for piece in 0..41 {
            assert_eq!(pieces.requests(), [piece]);
            let step = pieces.data(piece.into(), None, &vec![7; size_of(piece)]);
            assert_eq!(step == Ok(Step::Complete), piece == 40);
        }
    }

    #[test]
    fn blocks_that_the_protocol_does_not_allow() {
        let mut pieces = Pieces::new(BLOCK + 5, false);
        assert_eq!(pieces.requests(), [0, 1]);
        for piece in [-1, 2, i64::MIN, i64::MAX] {
            assert_eq!(
                pieces.data(piece, None, &[0; BLOCK]),
                Err(Violation::OutOfRange { piece, count: 2 })
            );
        }
        for total in [16_384, -5, i64::MAX] {
            assert!(matches!(
                pieces.data(0, Some(total), &[0; BLOCK]),
                Err(Violation::TotalSize { .. })
            ));
        }
        assert_eq!(pieces.data(0, Some(16_389), &[0; BLOCK]), Ok(Step::More));
        assert_eq!(
            pieces.data(0, None, &[0; BLOCK]),
            Err(Violation::Unasked(0)),
            "twice"
        );
        assert!(matches!(
            pieces.data(1, None, &[0; 6]),
            Err(Violation::Length { .. })
        ));
        let mut untouched = Pieces::new(20 * BLOCK, false);
        untouched.requests();
        assert_eq!(
            untouched.data(15, None, &[0; BLOCK]),
            Err(Violation::Unasked(15))
        );
    }

    #[test]
    fn a_reject_means_later_and_only_rejects_mean_never() {
        let mut pieces = Pieces::new(2 * BLOCK, false);
        pieces.requests();
        assert_eq!(pieces.reject(0), Ok(Step::Wait));
        assert_eq!(pieces.reject(1), Ok(Step::Pause));
        assert_eq!(pieces.requests(), [0], "one block to find out");
        assert_eq!(pieces.reject(0), Ok(Step::Pause));
        pieces.requests();
        assert_eq!(pieces.reject(0), Ok(Step::Rejected));
        pieces.requests();
        assert_eq!(pieces.data(0, None, &[0; BLOCK]), Ok(Step::More));
        for _ in 0..10 {
            pieces.requests();
            assert_eq!(pieces.reject(1), Ok(Step::Pause), "it does serve");
        }
        pieces.requests();
        assert_eq!(pieces.data(1, None, &[0; BLOCK]), Ok(Step::Complete));
    }
}
