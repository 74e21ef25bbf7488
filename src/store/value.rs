//! What goes into columns and comes out of them: sizes as 64-bit integers with a sign, bounded
//! texts, enums by their names, and the bytes that a torrent may be stored under.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use diesel::result::{Error, QueryResult};

use super::StoreError;
use crate::torrent::{Arm, Infohash, PeerAddr, Phase, Reason, Transport, Way};

/// The name of the outcome of an attempt that delivered; the others are those of [`Reason`].
pub(super) const DELIVERED: &str = "delivered";

/// The most characters of a detail.
pub(super) const DETAIL_CHARS: usize = 500;
/// The most characters of the name of a peer's client.
pub(super) const CLIENT_CHARS: usize = 100;
/// The most characters of the reason of a choice.
pub(super) const WHY_CHARS: usize = 200;

/// Checks that `value` fits a column; `what` names it in the error.
pub(super) fn fits(value: u64, what: impl Display) -> Result<i64, StoreError> {
    i64::try_from(value)
        .map_err(|_| StoreError::Value(format!("{what} is {value}, above 2^63 - 1")))
}

/// [`fits`] for use inside of a transaction.
pub(super) fn column(value: u64, what: impl Display) -> QueryResult<i64> {
    fits(value, what).map_err(|error| Error::SerializationError(Box::new(error)))
}

/// A number that a peer made up, or a count: the largest where it does not fit.
pub(super) fn clamped(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The first `chars` characters of `text`.
pub(super) fn bounded(text: &str, chars: usize) -> &str {
    text.char_indices()
        .nth(chars)
        .and_then(|(end, _)| text.get(..end))
        .unwrap_or(text)
}

/// [`bounded`], with U+FFFD for each NUL: PostgreSQL has no text with a NUL in it, and a row is to be the
/// same in each database.
pub(super) fn text(text: &str, chars: usize) -> Cow<'_, str> {
    let text = bounded(text, chars);
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// A row that this program can't have written.
pub(super) fn senseless(what: impl Display) -> Error {
    Error::DeserializationError(format!("{what} in the database").into())
}

/// A size or count.
pub(super) fn unsigned(value: i64) -> QueryResult<u64> {
    u64::try_from(value).map_err(|_| senseless(format!("negative number {value}")))
}

/// The reason of this name.
pub(super) fn reason(name: &str) -> QueryResult<Reason> {
    name.parse()
        .map_err(|()| senseless(format!("unknown reason `{name}`")))
}

/// The phase of this name.
pub(super) fn phase(name: &str) -> QueryResult<Phase> {
    use Phase::{Connect, Extension, Handshake, Lookup, Transfer, Verify};
    [Lookup, Connect, Handshake, Extension, Transfer, Verify]
        .into_iter()
        .find(|phase| phase.as_str() == name)
        .ok_or_else(|| senseless(format!("unknown phase `{name}`")))
}

/// The arm of this name.
pub(super) fn arm(name: &str) -> QueryResult<Arm> {
    [Arm::Libtorrent, Arm::Direct]
        .into_iter()
        .find(|arm| arm.as_str() == name)
        .ok_or_else(|| senseless(format!("unknown arm `{name}`")))
}

/// The name of a transport.
pub(super) fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Utp => "utp",
    }
}

/// The way of this name.
pub(super) fn way(name: &str) -> QueryResult<Way> {
    name.parse()
        .map_err(|()| senseless(format!("unknown way `{name}`")))
}

/// The peer at this address and port.
pub(super) fn peer(ip: &str, port: i32) -> QueryResult<PeerAddr> {
    ip.parse()
        .ok()
        .zip(u16::try_from(port).ok())
        .map(|(ip, port)| PeerAddr::new(ip, port))
        .ok_or_else(|| senseless(format!("peer `{ip}` port {port}")))
}

/// All bytes that a row about this torrent may be stored under: its v1 hash, its v2 hash, and that
/// truncated, as a hash from the DHT has it. The one it is stored under comes first.
pub(super) fn keys(infohash: &Infohash) -> Vec<Vec<u8>> {
    let mut keys = vec![infohash.as_bytes().to_vec()];
    if let Some(v2) = infohash.v2() {
        keys.push(v2.to_vec());
        keys.push(Infohash::V2(*v2).wire_id().to_vec());
    }
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_do_not_fit_are_refused_by_name() {
        assert_eq!(fits(i64::MAX.unsigned_abs(), "size"), Ok(i64::MAX));
        assert_eq!(
            fits(1 << 63, "size"),
            Err(StoreError::Value(
                "size is 9223372036854775808, above 2^63 - 1".to_owned()
            ))
        );
        assert_eq!(clamped(u64::MAX), i64::MAX);
        assert_eq!(millis(Duration::MAX), i64::MAX);
        assert!(unsigned(-1).is_err());
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(bounded("aéb", 2), "aé");
        assert_eq!(bounded("aéb", 3), "aéb");
        assert_eq!(bounded("", 3), "");
        assert_eq!(text("a\0bc", 3), "a\u{fffd}b");
    }

    #[test]
    fn names_read_back() {
        for &one in Reason::ALL {
            assert_eq!(reason(one.as_str()), Ok(one));
        }
        assert_eq!(phase("verify"), Ok(Phase::Verify));
        assert_eq!(arm("direct"), Ok(Arm::Direct));
        assert!(reason(DELIVERED).is_err() && phase("").is_err() && arm("x").is_err());
        assert!(peer("::1", 65536).is_err() && peer("host", 1).is_err());
    }

    #[test]
    fn a_torrent_is_looked_for_under_each_of_its_hashes() {
        let hybrid = Infohash::Hybrid {
            v1: [1; 20],
            v2: [2; 32],
        };
        assert_eq!(keys(&hybrid), [vec![1; 20], vec![2; 32], vec![2; 20]]);
        assert_eq!(keys(&Infohash::V2([2; 32])), [vec![2; 32], vec![2; 20]]);
        assert_eq!(keys(&Infohash::V1([1; 20])), [vec![1; 20]]);
    }
}
