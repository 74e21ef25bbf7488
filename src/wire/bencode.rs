//! Bencode (BEP 3), read the way the wild needs it.
//!
//! The strict reading (bendy, see [`is_canonical`]) refuses unsorted and duplicate keys and
//! leading zeros, and dictionaries with all of these are out there, under hashes that can't
//! change any more. So what comes from peers is read by [`parse`], which tolerates those three,
//! and refuses everything else: truncated input, lengths that overflow, keys that are no strings,
//! too much depth, too many values. It copies nothing; every [`Node`] knows its own raw bytes.

mod tokens;

use bendy::decoding::Decoder;
use bendy::encoding::{Encoder, Error as EncodeError, UnsortedDictEncoder};
use bendy::state_tracker::Token as StrictToken;

pub(crate) use tokens::{Entries, Items, Token, Tokens};

/// How much structure a value may have before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Lists and dictionaries inside each other. Never more than [`Limits::MAX_DEPTH`].
    pub depth: usize,
    /// Strings (keys too), integers, lists and dictionaries altogether.
    pub tokens: usize,
}

impl Limits {
    /// What no limit goes beyond: trees are dropped and compared by recursion.
    pub const MAX_DEPTH: usize = 512;

    /// For messages of peers.
    pub const MESSAGE: Self = Self {
        depth: 16,
        tokens: 4096,
    };

    /// For info dictionaries: some 400,000 files, which is what 10 MiB can name.
    pub const INFO: Self = Self {
        depth: 100,
        tokens: 2_500_000,
    };

    /// For a string or an integer, and nothing else.
    const SCALAR: Self = Self {
        depth: 0,
        tokens: 1,
    };
}

/// Bytes that are no bencoded value, or one beyond the [`Limits`]. Offsets are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BencodeError {
    /// The input ends inside a value.
    #[error("bencode ends after {offset} bytes, in the middle of a value")]
    Truncated {
        /// The length of the input.
        offset: usize,
    },
    /// A byte that can't stand where it does.
    #[error("bencode has byte {byte:#04x} at offset {offset}, where it has no meaning")]
    Unexpected {
        /// The byte.
        byte: u8,
        /// Where it is.
        offset: usize,
    },
    /// An integer without digits, with other characters, or beyond 64 bits.
    #[error("bencode has a malformed integer, or one beyond 64 bits, at offset {offset}")]
    Integer {
        /// Where it begins.
        offset: usize,
    },
    /// A string length with other characters than digits, or beyond the address space.
    #[error("bencode has a malformed or overflowing string length at offset {offset}")]
    Length {
        /// Where it begins.
        offset: usize,
    },
    /// A dictionary key that is no string.
    #[error("bencode has a dictionary key that is no string at offset {offset}")]
    Key {
        /// Where it begins.
        offset: usize,
    },
    /// More lists and dictionaries inside each other than allowed.
    #[error("bencode is nested deeper than {max} levels")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// More values than allowed.
    #[error("bencode has more than {max} values")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// Bytes after the value.
    #[error("bencode has further bytes after the value that ends at offset {offset}")]
    Trailing {
        /// Where the value ends.
        offset: usize,
    },
}

/// A value and the bytes it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    /// The value.
    pub value: Value<'a>,
    /// Its encoding, as it came.
    pub raw: &'a [u8],
}

/// A bencoded value. Dictionaries keep the order, and the duplicates, that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `i…e`
    Int(i64),
    /// `len:…`
    Bytes(&'a [u8]),
    /// `l…e`
    List(Vec<Node<'a>>),
    /// `d…e`
    Dict(Vec<(&'a [u8], Node<'a>)>),
}

impl<'a> Node<'a> {
    /// The value under `key`: of a duplicate key the first, as libtorrent has it. `None` where the
    /// key is not there, or this is no dictionary.
    #[must_use]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&Node<'a>> {
        let key = key.as_ref();
        self.as_dict()?
            .iter()
            .find_map(|(name, node)| (*name == key).then_some(node))
    }

    /// The integer, if it is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self.value {
            Value::Int(int) => Some(int),
            _ => None,
        }
    }

    /// The byte string, if it is one.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The items, if it is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Node<'a>]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries in the order they came, if it is a dictionary.
    #[must_use]
    pub fn as_dict(&self) -> Option<&[(&'a [u8], Node<'a>)]> {
        match &self.value {
            Value::Dict(entries) => Some(entries),
            _ => None,
        }
    }
}

/// Reads `bytes`, all of which must be one value.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Node<'_>, BencodeError> {
    let (node, rest) = parse_prefix(bytes, limits)?;
    if rest.is_empty() {
        Ok(node)
    } else {
        Err(BencodeError::Trailing {
            offset: node.raw.len(),
        })
    }
}

/// Reads the value at the start of `bytes`, and returns it with what comes after it (of a
/// `ut_metadata` data message: the block).
///
/// A tree takes up to some 100 bytes for each token; [`Limits`] bound it.
pub fn parse_prefix(bytes: &[u8], limits: Limits) -> Result<(Node<'_>, &[u8]), BencodeError> {
    /// A container whose end has not come yet.
    struct Open<'a> {
        start: usize,
        items: Items<'a>,
    }
    enum Items<'a> {
        List(Vec<Node<'a>>),
        Dict(Vec<(&'a [u8], Node<'a>)>, &'a [u8]),
    }

    let mut tokens = Tokens::new(bytes, limits);
    let mut open: Vec<Open<'_>> = Vec::new();
    loop {
        let mut start = tokens.offset();
        let is_key = tokens.expects_key();
        let end_of_input = BencodeError::Truncated { offset: start };
        let value = match tokens.next()?.ok_or(end_of_input)? {
            Token::Int(int) => Value::Int(int),
            Token::Bytes(key) if is_key => {
                if let Some(Open {
                    items: Items::Dict(_, last),
                    ..
                }) = open.last_mut()
                {
                    *last = key;
                }
                continue;
            }
            Token::Bytes(string) => Value::Bytes(string),
            Token::List => {
                let items = Items::List(Vec::new());
                open.push(Open { start, items });
                continue;
            }
            Token::Dict => {
                let items = Items::Dict(Vec::new(), &[]);
                open.push(Open { start, items });
                continue;
            }
            Token::End => {
                let ended = open.pop().ok_or(end_of_input)?;
                start = ended.start;
                // Most containers are small and stay: the room to grow would be most of the tree.
                match ended.items {
                    Items::List(mut items) => {
                        items.shrink_to_fit();
                        Value::List(items)
                    }
                    Items::Dict(mut entries, _) => {
                        entries.shrink_to_fit();
                        Value::Dict(entries)
                    }
                }
            }
        };
        let raw = tokens.since(start);
        let node = Node { value, raw };
        match open.last_mut().map(|open| &mut open.items) {
            None => return Ok((node, tokens.rest())),
            Some(Items::List(items)) => items.push(node),
            Some(Items::Dict(entries, key)) => entries.push((*key, node)),
        }
    }
}

/// Checks that `bytes` are one value within the limits, without building it.
pub(crate) fn check(bytes: &[u8], limits: Limits) -> Result<(), BencodeError> {
    let mut tokens = Tokens::new(bytes, limits);
    let value = tokens.skip()?;
    if tokens.rest().is_empty() {
        Ok(())
    } else {
        Err(BencodeError::Trailing {
            offset: value.len(),
        })
    }
}

/// The integer that `raw` is.
pub(crate) fn int(raw: &[u8]) -> Option<i64> {
    parse(raw, Limits::SCALAR).ok()?.as_int()
}

/// The byte string that `raw` is.
pub(crate) fn string(raw: &[u8]) -> Option<&[u8]> {
    parse(raw, Limits::SCALAR).ok()?.as_bytes()
}

/// Whether `bytes` are the one encoding that BEP 3 allows for their value: keys sorted and unique,
/// no leading zeros, no `-0`, nothing after it. Deeper than [`Limits::INFO`] is not canonical.
#[must_use]
pub fn is_canonical(bytes: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut is_complete = false;
    for token in Decoder::new(bytes)
        .with_max_depth(Limits::INFO.depth)
        .tokens()
    {
        // bendy reads on after the first value; one value is what we ask for.
        if is_complete {
            return false;
        }
        depth = match token {
            Err(_) => return false,
            Ok(StrictToken::List | StrictToken::Dict) => depth.saturating_add(1),
            Ok(StrictToken::End) => depth.saturating_sub(1),
            Ok(StrictToken::String(_) | StrictToken::Num(_)) => depth,
        };
        is_complete = depth == 0;
    }
    is_complete
}

/// Encodes a dictionary through bendy, which sorts the keys.
///
/// What is encoded here is ours: a few keys, two levels deep. bendy's errors (depth, a value
/// left out) would be mistakes in this crate, which tests find.
pub(crate) fn encode_dict(
    entries: impl FnOnce(&mut UnsortedDictEncoder) -> Result<(), EncodeError>,
) -> Vec<u8> {
    let mut encoder = Encoder::new();
    let output = encoder
        .emit_and_sort_dict(entries)
        .and_then(|()| encoder.get_output());
    debug_assert!(output.is_ok(), "{output:?}");
    output.unwrap_or_default()
}

#[cfg(test)]
mod tests;
