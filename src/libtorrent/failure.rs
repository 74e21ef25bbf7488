//! libtorrent's verdicts and error codes as [`Failure`].

use rustix::io::Errno;

use super::bridge::{Event, Verdict};
use crate::torrent::{Failure, Phase, Reason};

/// End of file, in the error category `asio.misc`.
const ASIO_EOF: i32 = 2;

/// The failure in an event of kind `PeerFailed`.
pub(crate) fn failure(event: &Event) -> Failure {
    let phase = match event.phase {
        0 => Phase::Connect,
        1 => Phase::Handshake,
        2 => Phase::Extension,
        3 => Phase::Transfer,
        _ => Phase::Verify,
    };
    let (reason, detail) = match event.verdict {
        Verdict::ConnectTimeout => (Reason::ConnectTimeout, "no answer in time"),
        Verdict::HandshakeTimeout if phase == Phase::Handshake => (
            Reason::HandshakeTimeout,
            "connected, but no handshake in time",
        ),
        Verdict::HandshakeTimeout => (
            Reason::HandshakeTimeout,
            "no extension handshake in time, or none that could be read",
        ),
        Verdict::NoExtensionProtocol => (
            Reason::NoExtensionProtocol,
            "the handshake has no extension bit",
        ),
        Verdict::NoUtMetadata => (
            Reason::NoUtMetadata,
            "the extension handshake has no ut_metadata or no metadata_size",
        ),
        Verdict::MetadataSizeInvalid => (
            Reason::MetadataSizeInvalid,
            "metadata_size is zero, negative or above the cap",
        ),
        Verdict::Rejected => (Reason::Rejected, "every request was rejected"),
        Verdict::TransferTimeout => (
            Reason::TransferTimeout,
            "no further block came within block_timeout",
        ),
        Verdict::FirstBlockTimeout => (
            Reason::TransferTimeout,
            "no block came within first_block_timeout",
        ),
        Verdict::TooSlow => (
            Reason::TransferTimeout,
            "blocks came, but slower than min_rate",
        ),
        Verdict::ProtocolViolation => (Reason::ProtocolViolation, event.detail.as_str()),
        Verdict::HashMismatch => (
            Reason::HashMismatch,
            "the bytes are not the info dictionary of this hash",
        ),
        _ => (disconnected(event, phase), event.detail.as_str()),
    };
    let detail = if detail.is_empty() {
        "the connection ended"
    } else if reason == Reason::WrongInfohash {
        "the handshake names another torrent, or is none"
    } else {
        detail
    };
    Failure::new(reason, phase, detail)
}

fn disconnected(event: &Event, phase: Phase) -> Reason {
    match event.category.as_str() {
        "system" | "generic" => system(event.code),
        "libtorrent" => libtorrent(event.code, phase),
        "asio.misc" if event.code == ASIO_EOF => Reason::Closed,
        _ => Reason::Closed,
    }
}

fn system(code: i32) -> Reason {
    match Errno::from_raw_os_error(code) {
        Errno::TIMEDOUT => Reason::ConnectTimeout,
        Errno::CONNREFUSED => Reason::Refused,
        Errno::CONNRESET | Errno::CONNABORTED => Reason::Reset,
        Errno::HOSTUNREACH
        | Errno::NETUNREACH
        | Errno::NETDOWN
        | Errno::HOSTDOWN
        | Errno::ADDRNOTAVAIL
        | Errno::AFNOSUPPORT
        | Errno::ACCESS
        | Errno::PERM => Reason::Unreachable,
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRINUSE => {
            Reason::Internal
        }
        _ => Reason::Closed,
    }
}

/// Codes of libtorrent's `error_code_enum`, part of its ABI since 1.0.
fn libtorrent(code: i32, phase: Phase) -> Reason {
    match code {
        // timed_out, timed_out_no_interest, _inactivity, _no_handshake, _no_request
        36 | 49..=52 => match phase {
            Phase::Connect | Phase::Lookup => Reason::ConnectTimeout,
            Phase::Handshake | Phase::Extension => Reason::HandshakeTimeout,
            Phase::Transfer | Phase::Verify => Reason::TransferTimeout,
        },
        // invalid_info_hash; also what libtorrent says of a handshake that is none
        39 => Reason::WrongInfohash,
        47 => Reason::SelfConnection,
        // no_memory; too_many_connections: a limit of ours
        45 | 90 => Reason::Internal,
        // unsupported_encryption_mode, unsupported_encryption_mode_selected
        73 | 74 => Reason::EncryptionRequired,
        // duplicate_peer_id: the same client, under another address or way
        79 => Reason::Closed,
        // banned_by_ip_filter, peer_banned, banned_by_port_filter
        89 | 91 | 114 => Reason::Blocked,
        // session_is_closing, stopping_torrent, session_closing, optimistic_disconnect
        18 | 92 | 96 | 97 => Reason::Cancelled,
        _ if phase == Phase::Connect => Reason::Unreachable,
        _ => Reason::ProtocolViolation,
    }
}

/// Whether a plain handshake may have been refused for being plain: another try, encrypted, pays.
pub(crate) fn asks_for_encryption(failure: &Failure) -> bool {
    failure.phase == Phase::Handshake && matches!(failure.reason, Reason::Closed | Reason::Reset)
}

/// The failure that says more: the one that came further; of two that came equally far the one that
/// is neither a connect timeout nor a mere hang-up, and then the earlier one.
pub(crate) fn more_telling(earlier: Failure, later: Failure) -> Failure {
    let says_little = |failure: &Failure| {
        failure.reason == Reason::ConnectTimeout || asks_for_encryption(failure)
    };
    let says_more = says_little(&earlier) && !says_little(&later);
    if later.phase > earlier.phase || (later.phase == earlier.phase && says_more) {
        later
    } else {
        earlier
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_error_says_more_than_a_timeout() {
        let refused = Failure::new(Reason::Refused, Phase::Connect, "x");
        let timeout = Failure::new(Reason::ConnectTimeout, Phase::Connect, "x");
        let closed = Failure::new(Reason::Closed, Phase::Handshake, "x");
        for (one, other) in [(&refused, &timeout), (&timeout, &refused)] {
            assert_eq!(more_telling(one.clone(), other.clone()), refused);
        }
        assert_eq!(more_telling(refused.clone(), closed.clone()), closed);
        assert_eq!(more_telling(closed.clone(), refused), closed);
    }

    #[test]
    fn error_codes_are_named_by_phase() {
        assert_eq!(system(111), Reason::Refused);
        assert_eq!(system(104), Reason::Reset);
        assert_eq!(system(113), Reason::Unreachable);
        assert_eq!(system(24), Reason::Internal);
        assert_eq!(libtorrent(36, Phase::Connect), Reason::ConnectTimeout);
        assert_eq!(libtorrent(50, Phase::Transfer), Reason::TransferTimeout);
        assert_eq!(libtorrent(51, Phase::Handshake), Reason::HandshakeTimeout);
        assert_eq!(libtorrent(68, Phase::Transfer), Reason::ProtocolViolation);
        assert_eq!(libtorrent(47, Phase::Handshake), Reason::SelfConnection);
    }
}
