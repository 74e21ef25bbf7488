//! `ut_metadata` (BEP 9): the info dictionary in blocks of 16 KiB, by request.
//!
//! Numbers stay `i64`, as they came. A piece index or size must be checked against the size that
//! this peer claimed before it is used for anything; unchecked ones crash well-known crawlers.

use super::bencode::{BencodeError, Limits, Node, encode_dict, parse_prefix};

/// Length of a block in bytes. The last one of an info dictionary is shorter, unless it fits.
pub const BLOCK: usize = 16 * 1024;

const REQUEST: i64 = 0;
const DATA: i64 = 1;
const REJECT: i64 = 2;

/// One `ut_metadata` message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UtMetadata<'a> {
    /// The sender asks for a block.
    Request {
        /// Which, from 0; unchecked.
        piece: i64,
    },
    /// A block.
    Data {
        /// Which, from 0; unchecked.
        piece: i64,
        /// Size of the whole info dictionary in bytes, as claimed; unchecked. Some clients leave
        /// it out.
        total_size: Option<i64>,
        /// The bytes; of any length, also 0.
        block: &'a [u8],
    },
    /// The sender won't send this block, now.
    Reject {
        /// Which, from 0; unchecked.
        piece: i64,
    },
    /// A kind that BEP 9 does not know, and says to ignore.
    Unknown {
        /// The kind.
        msg_type: i64,
    },
}

/// A payload that is no `ut_metadata` message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UtMetadataError {
    /// Not bencode.
    #[error("the peer's ut_metadata message can't be read: {0}")]
    Bencode(#[from] BencodeError),
    /// No dictionary, or one without an integer under this key.
    #[error("the peer's ut_metadata message has no integer `{0}`")]
    Missing(&'static str),
}

/// A request for a block.
#[must_use]
pub fn encode_request(piece: u32) -> Vec<u8> {
    head(REQUEST, piece.into(), None)
}

/// Appends what [`encode_request`] makes: requests are made by the dozen, without a buffer for each.
pub(crate) fn append_request(out: &mut Vec<u8>, piece: u32) {
    let mut digits = [0; 10];
    let mut rest = piece;
    let mut first = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        // A digit is below 10.
        *digit = b'0'.saturating_add(u8::try_from(rest % 10).unwrap_or_default());
        first = at;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(b"d8:msg_typei0e5:piecei");
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
    out.extend_from_slice(b"ee");
}

/// The refusal to send a block.
#[must_use]
pub fn encode_reject(piece: impl Into<i64>) -> Vec<u8> {
    head(REJECT, piece.into(), None)
}

/// A block of an info dictionary of `total_size` bytes.
#[must_use]
pub fn encode_data(piece: impl Into<i64>, total_size: impl Into<i64>, block: &[u8]) -> Vec<u8> {
    let mut payload = head(DATA, piece.into(), Some(total_size.into()));
    payload.extend_from_slice(block);
    payload
}

/// Reads the payload of an extended message that came under our `ut_metadata` id.
pub fn decode(payload: &[u8]) -> Result<UtMetadata<'_>, UtMetadataError> {
    let (dict, block) = parse_prefix(payload, Limits::MESSAGE)?;
    let find = |key: &str| dict.get(key).and_then(Node::as_int);
    let int = |key: &'static str| find(key).ok_or(UtMetadataError::Missing(key));
    let msg_type = int("msg_type")?;
    Ok(match msg_type {
        REQUEST => UtMetadata::Request {
            piece: int("piece")?,
        },
        DATA => UtMetadata::Data {
            piece: int("piece")?,
            total_size: find("total_size"),
            block,
        },
        REJECT => UtMetadata::Reject {
            piece: int("piece")?,
        },
        _ => UtMetadata::Unknown { msg_type },
    })
}

fn head(msg_type: i64, piece: i64, total_size: Option<i64>) -> Vec<u8> {
    encode_dict(|dict| {
        dict.emit_pair(b"msg_type", msg_type)?;
        dict.emit_pair(b"piece", piece)?;
        if let Some(size) = total_size {
            dict.emit_pair(b"total_size", size)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_bep_9() {
        let data = [
            &b"d8:msg_typei1e5:piecei0e10:total_sizei34256ee"[..],
            &[b'x'; BLOCK],
        ]
        .concat();
        assert_eq!(encode_request(0), b"d8:msg_typei0e5:piecei0ee");
        for piece in [0, 9, 10, 639, u32::MAX] {
            let mut appended = b"before".to_vec();
            append_request(&mut appended, piece);
            assert_eq!(appended[6..], encode_request(piece));
        }
        assert_eq!(encode_data(0, 34256, &[b'x'; BLOCK]), data);
        assert_eq!(encode_reject(0), b"d8:msg_typei2e5:piecei0ee");
        assert_eq!(
            decode(b"d8:msg_typei0e5:piecei0ee"),
            Ok(UtMetadata::Request { piece: 0 })
        );
        assert_eq!(
            decode(&data),
            Ok(UtMetadata::Data {
                piece: 0,
                total_size: Some(34256),
                block: &[b'x'; BLOCK]
            })
        );
        assert_eq!(
            decode(b"d8:msg_typei2e5:piecei0ee"),
            Ok(UtMetadata::Reject { piece: 0 })
        );
    }

    #[test]
    fn hostile_numbers_come_through_unchecked_and_unharmed() {
        assert_eq!(
            decode(b"d8:msg_typei1e5:piecei-1e10:total_sizei-9223372036854775808eexx"),
            Ok(UtMetadata::Data {
                piece: -1,
                total_size: Some(i64::MIN),
                block: b"xx"
            })
        );
        assert_eq!(
            decode(b"d8:msg_typei1e5:piecei9223372036854775807ee"),
            Ok(UtMetadata::Data {
                piece: i64::MAX,
                total_size: None,
                block: b""
            })
        );
        assert!(decode(b"d8:msg_typei1e5:piecei9223372036854775808ee").is_err());
    }

    #[test]
    fn other_orders_keys_and_kinds_are_read() {
        assert_eq!(
            decode(b"d10:total_sizei9e5:piecei0e8:msg_typei1e1:xleeblock"),
            Ok(UtMetadata::Data {
                piece: 0,
                total_size: Some(9),
                block: b"block"
            })
        );
        assert_eq!(
            decode(b"d8:msg_typei7ee"),
            Ok(UtMetadata::Unknown { msg_type: 7 })
        );
        assert_eq!(
            decode(b"d8:msg_typei-1e5:piecei0ee"),
            Ok(UtMetadata::Unknown { msg_type: -1 })
        );
    }

    #[test]
    fn what_lacks_a_number_is_refused() {
        assert_eq!(decode(b"de"), Err(UtMetadataError::Missing("msg_type")));
        assert_eq!(decode(b"le"), Err(UtMetadataError::Missing("msg_type")));
        assert_eq!(
            decode(b"d8:msg_typei1e5:piece1:0e"),
            Err(UtMetadataError::Missing("piece"))
        );
        let whole = b"d8:msg_typei1e5:piecei0e10:total_sizei5ee";
        for cut in 0..whole.len() {
            assert!(decode(&whole[..cut]).is_err(), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(
            piece in any::<u32>(),
            size in any::<i64>(),
            block in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let index = i64::from(piece);
            let request = encode_request(piece);
            prop_assert_eq!(decode(&request), Ok(UtMetadata::Request { piece: index }));
            let reject = encode_reject(piece);
            prop_assert_eq!(decode(&reject), Ok(UtMetadata::Reject { piece: index }));
            let data = encode_data(piece, size, &block);
            prop_assert_eq!(
                decode(&data),
                Ok(UtMetadata::Data { piece: index, total_size: Some(size), block: &block })
            );
        }

        #[test]
        fn arbitrary_bytes_never_panic(payload in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&payload);
        }
    }
}
