//! How a peer of the swarm behaves, what a client should make of it, and mixes of behaviours.

use std::time::Duration;

use super::wire::Random;

/// What a peer does. The names at the end of each line are the outcomes that a client should report
/// (see [`Behaviour::expected`]); a line without one ends in success.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Behaviour {
    /// Serves as BEP 9 and BEP 10 have it.
    Honest,
    /// Honest, but sends bitfield, have, choke, `HaveAll`, port, suggest and keep-alive messages
    /// before its extension handshake, and all of it in odd splits.
    Chatty,
    /// Honest, each reply that much later than what it answers. Requests overlap, as on a long line.
    Slow {
        /// The delay of a reply.
        latency: Duration,
    },
    /// Rejects the first requests of a connection, then serves.
    RejectFirst(usize),

    /// Honest, with an extension handshake of unknown keys, odd types, keys out of order and named twice,
    /// and two extensions under one id.
    OddExtensions,
    /// Honest, but after its first 16 requests `ut_metadata` has another id, as a second extension handshake
    /// says: what comes under the old one after 40 requests is not answered.
    ChangesIds,
    /// Honest, but queues so many requests, as it says, and closes where there are more.
    Queue(usize),
    /// Honest by MSE/PE, of which it selects RC4 for all of the stream, or plaintext after the exchange. A plaintext
    /// handshake is not answered: it closes, or is `silent`.
    Encrypted {
        /// RC4 rather than plaintext.
        rc4: bool,
        /// Stays, and says nothing.
        silent: bool,
    },
    /// Honest, and upgrades a client that says it can (BEP 52): answers with the v2 hash. Closes on others.
    Upgrades,

    /// Drops connection requests: `connect_timeout`.
    BlackHole,
    /// Nobody listens on the port: `refused`.
    Refused,
    /// Accepts, then never says anything: `handshake_timeout`.
    Silent,
    /// Accepts and closes in good order: `closed`.
    CloseOnAccept,
    /// Accepts and resets: `reset`.
    ResetOnAccept,
    /// Reads the handshake, closes without a byte: `closed`.
    CloseAfterHandshake,
    /// Replies to the handshake, then closes: `closed`.
    CloseAfterReply,
    /// Replies with another infohash: `wrong_infohash`.
    WrongInfohash,
    /// Replies with the client's own peer id: `self_connection`.
    SelfConnection,
    /// Closes on a plaintext handshake; answers the 96 bytes of an MSE key with 96 random bytes and
    /// closes at the next ones: `encryption_required` (`closed` for a client that doesn't try MSE).
    EncryptionRequired,
    /// Not BitTorrent: answers with an HTTP error: `protocol_violation`.
    BadHandshake,
    /// Extension bit off; stays connected, with keep-alives: `no_extension_protocol`.
    NoExtensionProtocol,
    /// Extension bit on, but no extension handshake ever: `handshake_timeout` (phase extension).
    SilentAfterHandshake,
    /// Extension handshake that is not bencode: `protocol_violation`.
    BadExtensionHandshake,
    /// Extension handshake without `ut_metadata`: `no_ut_metadata`.
    NoUtMetadata,
    /// `ut_metadata` without `metadata_size`: `no_ut_metadata`.
    NoMetadataYet,
    /// `metadata_size` 0: `metadata_size_invalid`.
    SizeZero,
    /// `metadata_size` -1: `metadata_size_invalid`.
    SizeNegative,
    /// This `metadata_size`, meant to be over any cap: `metadata_size_invalid`.
    SizeHuge(i64),
    /// Claims a size that differs by this much (a smaller one stops at 1), and serves bytes of that
    /// size: `hash_mismatch`.
    SizeOther(i64),
    /// Rejects every request: `rejected`.
    RejectAll,
    /// Never answers a request: `transfer_timeout`.
    Ignore,
    /// Serves that many blocks per connection, then nothing more: `transfer_timeout`.
    StallAfter(usize),
    /// Serves at that rate: `transfer_timeout` where that is too slow.
    Drip {
        /// Bytes per second, at least 10.
        bytes_per_second: usize,
    },
    /// Flips a byte in every block: `hash_mismatch`.
    CorruptBytes,
    /// Serves that many blocks per connection, each with a byte flipped, then nothing more:
    /// `transfer_timeout`.
    CorruptThenStall(usize),
    /// Serves each block twice: `protocol_violation`.
    Twice,
    /// Says another `total_size` with each block than in its handshake: `protocol_violation`.
    TotalSizeOther,
    /// Takes its `ut_metadata` back when it is asked: `no_ut_metadata`, or `transfer_timeout` for a client
    /// that goes on asking.
    TakesBack,
    /// Answers with a piece index beyond the end: `protocol_violation`.
    PieceOutOfRange,
    /// Answers with piece -1: `protocol_violation`.
    PieceNegative,
    /// Answers with this piece index, as decimal digits: `protocol_violation`.
    PieceOverflow(&'static str),
    /// Sends half of each block: `protocol_violation`.
    BlockTooShort,
    /// Sends 16 bytes more than each block has: `protocol_violation`.
    BlockTooLong,
    /// Sends piece 0 before its own extension handshake, so before the client can have asked for
    /// it, and then answers nothing. It waits for the client's extension handshake first:
    /// `protocol_violation`, or `transfer_timeout` for a client that overlooks it.
    UnaskedPiece,
    /// A message of 4 GiB after the handshake: `protocol_violation`.
    OversizedMessage,
    /// Random bytes after the handshake (which read as a length over 16 MiB): `protocol_violation`.
    Garbage,
}

impl Behaviour {
    /// The outcomes that a client may report for this peer, the best first; empty for success.
    pub fn expected(self) -> &'static [&'static str] {
        match self {
            Self::Honest
            | Self::Chatty
            | Self::Slow { .. }
            | Self::RejectFirst(_)
            | Self::OddExtensions
            | Self::ChangesIds
            | Self::Queue(_)
            | Self::Encrypted { .. }
            | Self::Upgrades => &[],
            Self::BlackHole => &["connect_timeout"],
            Self::Refused => &["refused"],
            Self::Silent | Self::SilentAfterHandshake => &["handshake_timeout"],
            Self::CloseOnAccept | Self::CloseAfterHandshake | Self::CloseAfterReply => &["closed"],
            Self::ResetOnAccept => &["reset"],
            Self::WrongInfohash => &["wrong_infohash"],
            Self::SelfConnection => &["self_connection"],
            Self::EncryptionRequired => &["encryption_required", "closed"],
            Self::NoExtensionProtocol => &["no_extension_protocol"],
            Self::NoUtMetadata | Self::NoMetadataYet => &["no_ut_metadata"],
            Self::SizeZero | Self::SizeNegative | Self::SizeHuge(_) => &["metadata_size_invalid"],
            Self::SizeOther(_) | Self::CorruptBytes => &["hash_mismatch"],
            Self::RejectAll => &["rejected"],
            Self::Ignore | Self::StallAfter(_) | Self::CorruptThenStall(_) | Self::Drip { .. } => {
                &["transfer_timeout"]
            }
            Self::TakesBack => &["no_ut_metadata", "transfer_timeout"],
            Self::UnaskedPiece => &["protocol_violation", "transfer_timeout"],
            Self::BadHandshake
            | Self::BadExtensionHandshake
            | Self::PieceOutOfRange
            | Self::PieceNegative
            | Self::PieceOverflow(_)
            | Self::BlockTooShort
            | Self::BlockTooLong
            | Self::Twice
            | Self::TotalSizeOther
            | Self::OversizedMessage
            | Self::Garbage => &["protocol_violation"],
        }
    }

    /// Every behaviour that ends without metadata, with the outcomes a client may report for it.
    /// `StallAfter` stalls after one block: it needs a dictionary of more than 16 KiB.
    pub fn all_bad() -> Vec<(Self, &'static [&'static str])> {
        [
            Self::BlackHole,
            Self::Refused,
            Self::Silent,
            Self::CloseOnAccept,
            Self::ResetOnAccept,
            Self::CloseAfterHandshake,
            Self::CloseAfterReply,
            Self::WrongInfohash,
            Self::SelfConnection,
            Self::EncryptionRequired,
            Self::BadHandshake,
            Self::NoExtensionProtocol,
            Self::SilentAfterHandshake,
            Self::BadExtensionHandshake,
            Self::NoUtMetadata,
            Self::NoMetadataYet,
            Self::SizeZero,
            Self::SizeNegative,
            Self::SizeHuge((10 << 20) + 1),
            Self::SizeHuge(i64::MAX),
            Self::SizeOther(1),
            Self::SizeOther(-1),
            Self::SizeOther(20_000),
            Self::RejectAll,
            Self::Ignore,
            Self::StallAfter(1),
            Self::Drip {
                bytes_per_second: 100,
            },
            Self::CorruptBytes,
            Self::CorruptThenStall(1),
            Self::Twice,
            Self::TotalSizeOther,
            Self::TakesBack,
            Self::PieceOutOfRange,
            Self::PieceNegative,
            Self::PieceOverflow("9223372036854775807"),
            Self::PieceOverflow("-9223372036854775808"),
            Self::PieceOverflow("340282366920938463463374607431768211456"),
            Self::BlockTooShort,
            Self::BlockTooLong,
            Self::UnaskedPiece,
            Self::OversizedMessage,
            Self::Garbage,
        ]
        .into_iter()
        .map(|behaviour| (behaviour, behaviour.expected()))
        .collect()
    }
}

/// Shares of behaviours in a swarm, in thousandths of the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// All peers serve.
    Honest,
    /// All peers serve, and talk before they do.
    Chatty,
    /// Addresses as DHT nodes hand them out to a crawler: one in twenty serves.
    Crawl,
    /// Addresses from trackers, PEX and fresh announces: 18 % serve.
    Fresh,
    /// Half of the addresses do not answer, the others serve.
    Half,
    /// All reachable and willing, but one in four serves wrong bytes or breaks the protocol.
    Poisoned,
    /// The same with one in ten.
    PoisonedTenth,
    /// Every misbehaviour there is, and one in twenty serves.
    Hostile,
    /// All peers accept, and never say anything.
    Silent,
}

impl Mix {
    fn weights(self) -> Vec<(Behaviour, usize)> {
        use Behaviour as B;
        // Columns: of a crawl, of a fresh list. Addresses that cannot be dialled (bogons) are among
        // the dropped, DHT nodes listed as peers among the dropped and the refused.
        let field = [
            (B::BlackHole, 650, 460),
            (B::Refused, 130, 100),
            (B::CloseOnAccept, 20, 30),
            (B::ResetOnAccept, 20, 30),
            (B::CloseAfterHandshake, 20, 30),
            (B::EncryptionRequired, 30, 60),
            (B::Silent, 20, 20),
            (B::WrongInfohash, 2, 1),
            (B::SelfConnection, 1, 1),
            (B::NoExtensionProtocol, 7, 10),
            (B::NoUtMetadata, 10, 16),
            (B::NoMetadataYet, 10, 16),
            (B::SizeZero, 5, 8),
            (B::RejectAll, 6, 10),
            (B::Ignore, 6, 10),
            (
                B::Drip {
                    bytes_per_second: 1024,
                },
                5,
                8,
            ),
            (B::StallAfter(1), 3, 7),
            (B::SizeOther(4096), 2, 2),
            (B::CorruptBytes, 1, 1),
            (B::PieceOutOfRange, 1, 1),
            (B::OversizedMessage, 1, 1),
            (B::Chatty, 25, 90),
            (B::Honest, 25, 90),
        ];
        let poisoned = |share: usize| {
            vec![
                (B::Honest, 1000 - share),
                (B::CorruptBytes, share / 2),
                (B::SizeOther(4096), share / 4),
                (B::PieceOutOfRange, share - share / 2 - share / 4),
            ]
        };
        match self {
            Self::Honest => vec![(B::Honest, 1)],
            Self::Chatty => vec![(B::Chatty, 1)],
            Self::Crawl => field.iter().map(|&(b, crawl, _)| (b, crawl)).collect(),
            Self::Fresh => field.iter().map(|&(b, _, fresh)| (b, fresh)).collect(),
            Self::Half => vec![(B::BlackHole, 1), (B::Honest, 1)],
            Self::Poisoned => poisoned(250),
            Self::PoisonedTenth => poisoned(100),
            Self::Hostile => {
                let bad = Behaviour::all_bad();
                let good = (B::Honest, bad.len());
                let bad = bad.into_iter().map(|(behaviour, _)| (behaviour, 19));
                bad.chain([good]).collect()
            }
            Self::Silent => vec![(B::Silent, 1)],
        }
    }

    /// The behaviours of `peers` peers: by largest remainder, so that the shares are as near to the
    /// mix as that many peers allow and rare ones drop out of a small swarm; shuffled by seed.
    pub fn behaviours(self, peers: usize, seed: u64) -> Vec<Behaviour> {
        let weights = self.weights();
        let sum: usize = weights.iter().map(|(_, weight)| weight).sum();
        let mut counts: Vec<usize> = weights.iter().map(|(_, w)| peers * w / sum).collect();
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by_key(|&at| std::cmp::Reverse(peers * weights[at].1 % sum));
        let missing = peers - counts.iter().sum::<usize>();
        for &at in order.iter().take(missing) {
            counts[at] += 1;
        }
        let mut out: Vec<Behaviour> = Vec::with_capacity(peers);
        for (&(behaviour, _), count) in weights.iter().zip(counts) {
            out.extend(std::iter::repeat_n(behaviour, count));
        }
        let mut random = Random::new(seed);
        for at in (1..out.len()).rev() {
            out.swap(at, random.below(at + 1));
        }
        out
    }
}
