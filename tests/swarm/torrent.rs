//! Info dictionaries by seed and size, and the magnet links to them.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use super::wire::{Random, Value};

/// Which hashes identify a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SHA-1 (BEP 3).
    V1,
    /// SHA-256 (BEP 52).
    V2,
    /// Both, of the same bytes.
    Hybrid,
}

/// What is wrong with a dictionary that has the right hash. A client should report each as
/// `invalid_info_dict`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// There is no `name`.
    NoName,
    /// `piece length` is 0.
    PieceLengthZero,
    /// `pieces` is no multiple of 20 bytes.
    PiecesRagged,
    /// The length of the file is negative.
    LengthNegative,
    /// A list, not a dictionary.
    NotADictionary,
    /// Bytes follow the dictionary.
    TrailingGarbage,
}

impl Invalid {
    /// Every kind there is.
    pub const ALL: [Self; 6] = [
        Self::NoName,
        Self::PieceLengthZero,
        Self::PiecesRagged,
        Self::LengthNegative,
        Self::NotADictionary,
        Self::TrailingGarbage,
    ];
}

/// An info dictionary and its hashes. Clones share the bytes.
#[derive(Clone, Debug)]
pub struct TestTorrent {
    /// The bencoded info dictionary.
    pub info: Arc<[u8]>,
    /// SHA-1 of `info`, whatever the kind.
    pub v1: [u8; 20],
    /// SHA-256 of `info`, whatever the kind.
    pub v2: [u8; 32],
    /// The name in the dictionary; empty if it has none.
    pub name: String,
    /// Which of the hashes identify it.
    pub kind: Kind,
}

impl TestTorrent {
    /// A v1 torrent whose dictionary takes `metadata_size` bytes, or the least that one takes
    /// (some 400) if that is more. Every third seed makes a single file, the others three to six.
    pub fn v1(seed: u64, metadata_size: usize) -> Self {
        let files = if seed.is_multiple_of(3) {
            1
        } else {
            3 + seed % 4
        };
        let piece_length = 1_i64 << (14 + seed % 8);
        let (info, name) = fitted(metadata_size, 20, seed, |pieces, name, random| {
            let total = i64::try_from(pieces).unwrap() * piece_length - 1 - below(random, 1000);
            let mut entries = vec![
                ("name", Value::bytes(name)),
                ("piece length", Value::Int(piece_length)),
                ("pieces", Value::Bytes(random.bytes(pieces * 20))),
            ];
            if files == 1 {
                entries.push(("length", Value::Int(total)));
            } else {
                // All but the last file are small, so that the lengths add up to `total`.
                let mut rest = total;
                let list = (1..=files).map(|number| {
                    let length = if number == files {
                        rest
                    } else {
                        100 + below(random, 900)
                    };
                    rest -= length;
                    let name = Value::bytes(format!("file {number}.bin"));
                    let path = Value::List(vec![Value::bytes("data"), name]);
                    Value::dict([("length", Value::Int(length)), ("path", path)])
                });
                entries.push(("files", Value::List(list.collect())));
            }
            Value::dict(entries)
        });
        Self::of(info, name, Kind::V1)
    }

    /// A v2 torrent (BEP 52) of that size, reached by the number of files (at least two).
    pub fn v2(seed: u64, metadata_size: usize) -> Self {
        let (info, name) = fitted(metadata_size, 86, seed, |files, name, random| {
            Value::dict([
                ("file tree", file_tree(files + 1, random)),
                ("meta version", Value::Int(2)),
                ("name", Value::bytes(name)),
                ("piece length", Value::Int(HYBRID_PIECE)),
            ])
        });
        Self::of(info, name, Kind::V2)
    }

    /// A torrent of both versions, of that size, whose files end at piece boundaries and so need no
    /// padding between them.
    pub fn hybrid(seed: u64, metadata_size: usize) -> Self {
        let (info, name) = fitted(metadata_size, 167, seed, |files, name, random| {
            let list = (0..=files).map(|number| {
                let path = Value::List(vec![Value::Bytes(file_name(number))]);
                Value::dict([("length", Value::Int(2 * HYBRID_PIECE)), ("path", path)])
            });
            Value::dict([
                ("file tree", file_tree(files + 1, random)),
                ("files", Value::List(list.collect())),
                ("meta version", Value::Int(2)),
                ("name", Value::bytes(name)),
                ("piece length", Value::Int(HYBRID_PIECE)),
                ("pieces", Value::Bytes(random.bytes((files + 1) * 2 * 20))),
            ])
        });
        Self::of(info, name, Kind::Hybrid)
    }

    /// A v1 torrent whose bytes have the right hash but are no sane info dictionary.
    pub fn invalid(seed: u64, kind: Invalid) -> Self {
        let name = format!("invalid {seed}");
        let length = if kind == Invalid::LengthNegative {
            -5
        } else {
            16_000
        };
        let piece_length = if kind == Invalid::PieceLengthZero {
            0
        } else {
            16_384
        };
        let pieces = if kind == Invalid::PiecesRagged {
            21
        } else {
            20
        };
        let mut entries = vec![
            ("length", Value::Int(length)),
            ("piece length", Value::Int(piece_length)),
            ("pieces", Value::Bytes(Random::new(seed).bytes(pieces))),
        ];
        if kind != Invalid::NoName {
            entries.push(("name", Value::bytes(&name)));
        }
        let mut info = Value::dict(entries);
        if kind == Invalid::NotADictionary {
            info = Value::List(vec![info]);
        }
        let mut bytes = info.encode();
        if kind == Invalid::TrailingGarbage {
            bytes.extend_from_slice(b"garbage");
        }
        let name = if kind == Invalid::NoName {
            String::new()
        } else {
            name
        };
        Self::of(bytes, name, Kind::V1)
    }

    fn of(info: Vec<u8>, name: String, kind: Kind) -> Self {
        Self {
            v1: Sha1::digest(&info).into(),
            v2: Sha256::digest(&info).into(),
            info: info.into(),
            name,
            kind,
        }
    }

    /// The ids under which handshakes, trackers and the DHT know it: the v1 hash, the v2 hash
    /// truncated to 20 bytes, or both for a hybrid.
    pub fn wire_ids(&self) -> Vec<[u8; 20]> {
        let truncated = *self.v2.first_chunk().unwrap();
        match self.kind {
            Kind::V1 => vec![self.v1],
            Kind::V2 => vec![truncated],
            Kind::Hybrid => vec![self.v1, truncated],
        }
    }

    /// The hash in hex: 40 digits of v1, 64 of a torrent that has only v2.
    pub fn hex(&self) -> String {
        match self.kind {
            Kind::V1 | Kind::Hybrid => HEXLOWER.encode(&self.v1),
            Kind::V2 => HEXLOWER.encode(&self.v2),
        }
    }

    /// The magnet link, with peers as `x.pe` and trackers as `tr` (BEP 9).
    pub fn magnet(&self, peers: &[SocketAddr], trackers: &[String]) -> String {
        let v1 = format!("xt=urn:btih:{}", HEXLOWER.encode(&self.v1));
        let v2 = format!("xt=urn:btmh:1220{}", HEXLOWER.encode(&self.v2));
        let mut link = match self.kind {
            Kind::V1 => format!("magnet:?{v1}"),
            Kind::V2 => format!("magnet:?{v2}"),
            Kind::Hybrid => format!("magnet:?{v1}&{v2}"),
        };
        for peer in peers {
            write!(link, "&x.pe={peer}").unwrap();
        }
        for tracker in trackers {
            let escaped = tracker.replace(':', "%3A").replace('/', "%2F");
            write!(link, "&tr={escaped}").unwrap();
        }
        link
    }
}

const HYBRID_PIECE: i64 = 1 << 20;

fn below(random: &mut Random, bound: usize) -> i64 {
    i64::try_from(random.below(bound)).unwrap()
}

fn file_name(number: usize) -> Vec<u8> {
    format!("file-{number:06}").into_bytes()
}

fn file_tree(files: usize, random: &mut Random) -> Value {
    Value::dict((0..files).map(|number| {
        let file = Value::dict([
            ("length", Value::Int(2 * HYBRID_PIECE)),
            ("pieces root", Value::Bytes(random.bytes(32))),
        ]);
        (file_name(number), Value::dict([("", file)]))
    }))
}

/// The dictionary that `build` makes of as many items (about `item` bytes each) as `size` holds,
/// with a name that fills up the rest; and that name.
fn fitted(
    size: usize,
    item: usize,
    seed: u64,
    build: impl Fn(usize, &str, &mut Random) -> Value,
) -> (Vec<u8>, String) {
    let encode = |items: usize, pad: usize| {
        let name = format!("swarm {seed:016x}{}", "-".repeat(pad));
        let info = build(items, &name, &mut Random::new(seed)).encode();
        (info, name)
    };
    let least = encode(1, 0).0.len();
    let mut items = 1 + size.saturating_sub(least) / item;
    while items > 1 && encode(items, 0).0.len() > size {
        items -= 1;
    }
    // A name of 100 bytes takes one more digit of length.
    let mut pad = size.saturating_sub(encode(items, 0).0.len());
    while pad > 0 && encode(items, pad).0.len() > size {
        pad -= 1;
    }
    encode(items, pad)
}
