//! Why a fetch did not deliver: one vocabulary for the wire, the store, logs, JSON and exit codes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Which arm made an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The libtorrent session.
    Libtorrent,
    /// Our own peer-wire client.
    Direct,
}

impl Arm {
    /// The name used in logs, in JSON and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Libtorrent => "libtorrent",
            Self::Direct => "direct",
        }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far an attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Looking for peers.
    Lookup,
    /// Opening the connection.
    Connect,
    /// The BitTorrent handshake (BEP 3).
    Handshake,
    /// The extension handshake (BEP 10).
    Extension,
    /// Pieces of the info dictionary (BEP 9).
    Transfer,
    /// Checking what came.
    Verify,
}

impl Phase {
    /// The name used in logs, in JSON and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Connect => "connect",
            Self::Handshake => "handshake",
            Self::Extension => "extension",
            Self::Transfer => "transfer",
            Self::Verify => "verify",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// Nobody has it, as far as we can see.
    NoPeers,
    /// A peer, or the network, was too slow.
    Timeout,
    /// The connection failed or ended.
    Connection,
    /// The peer can't, or won't, serve metadata to us.
    Capability,
    /// The peer broke the protocol or sent wrong bytes.
    Misbehaviour,
    /// The bytes are right, but they are no torrent.
    Content,
    /// We did not try, or stopped.
    Local,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $text:literal, $category:ident;)+) => {
        /// Why an attempt, or a whole hash, ended without metadata.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $name,)+ }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name used in logs, in JSON and in the store.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What kind of thing went wrong.
            #[must_use]
            pub fn category(self) -> Category {
                match self { $(Self::$name => Category::$category,)+ }
            }
        }
    };
}

reasons! {
    /// No source knew any peer.
    NoPeers => "no_peers", NoPeers;
    /// The peer did not answer our connection request.
    ConnectTimeout => "connect_timeout", Timeout;
    /// The peer's host refused the connection.
    Refused => "refused", Connection;
    /// The peer reset the connection.
    Reset => "reset", Connection;
    /// No route to the peer's host or network.
    Unreachable => "unreachable", Connection;
    /// The peer closed the connection in good order.
    Closed => "closed", Connection;
    /// The peer accepted the connection and then said nothing in time.
    HandshakeTimeout => "handshake_timeout", Timeout;
    /// The peer's handshake names another torrent.
    WrongInfohash => "wrong_infohash", Capability;
    /// The peer is ourselves.
    SelfConnection => "self_connection", Local;
    /// The peer talks only over encrypted connections (MSE), and this attempt was not.
    EncryptionRequired => "encryption_required", Capability;
    /// The peer has no extension protocol (BEP 10).
    NoExtensionProtocol => "no_extension_protocol", Capability;
    /// The peer's extension handshake has no `ut_metadata`, or no metadata yet (BEP 9).
    NoUtMetadata => "no_ut_metadata", Capability;
    /// The peer claims a metadata size that is zero, negative or above our cap.
    MetadataSizeInvalid => "metadata_size_invalid", Misbehaviour;
    /// The peer rejected our requests.
    Rejected => "rejected", Capability;
    /// The pieces stopped coming, or came too slowly.
    TransferTimeout => "transfer_timeout", Timeout;
    /// The peer sent what the protocol does not allow.
    ProtocolViolation => "protocol_violation", Misbehaviour;
    /// The peer served bytes that are not the info dictionary of this hash.
    HashMismatch => "hash_mismatch", Misbehaviour;
    /// The bytes have the right hash, but are no sane info dictionary.
    InvalidInfoDict => "invalid_info_dict", Content;
    /// It failed a short while ago, and its cooldown has not passed.
    Cooldown => "cooldown", Local;
    /// The hash is on the blocklist.
    Blocked => "blocked", Local;
    /// We stopped before there was a result.
    Cancelled => "cancelled", Local;
    /// A fault of this program or this host.
    Internal => "internal", Local;
}

impl Reason {
    /// Whether trying again later can help. Wrong bytes under the right hash never heal.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        !matches!(
            self,
            Self::InvalidInfoDict | Self::Blocked | Self::SelfConnection
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == text)
            .ok_or(())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse()
            .map_err(|()| de::Error::custom(format_args!("unknown reason `{name}`")))
    }
}

/// One failed attempt: the reason, the phase it ended in, and the particulars.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} in {phase}: {detail}")]
pub struct Failure {
    /// Why.
    pub reason: Reason,
    /// How far it came.
    pub phase: Phase,
    /// The particulars, for a human reader; never empty.
    pub detail: String,
}

impl Failure {
    /// A failure with its particulars.
    pub fn new(reason: Reason, phase: Phase, detail: impl Into<String>) -> Self {
        Self {
            reason,
            phase,
            detail: detail.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        for &reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
        }
        let names: std::collections::HashSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(names.len(), 22);
    }
}
