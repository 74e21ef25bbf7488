//! What an attempt says, and of whom.

use crate::torrent::{Category, Phase, Reason};

/// What an attempt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Of the peer: it delivered.
    Delivered,
    /// Of the peer: no connection came about.
    Unreachable,
    /// Of the peer: it was connected, and fell silent.
    Silent,
    /// Of the peer: it can't, by its software, for whatever hash.
    Incapable,
    /// Of the peer: it broke the protocol, or sent wrong bytes.
    Misbehaved,
    /// Of the peer: it talks only over encrypted connections, and this one was not.
    NeedsEncryption,
    /// Of the peer and this hash: it does not serve that one, or not to us.
    NotServed,
    /// Nothing of the peer.
    Nothing,
}

impl Fact {
    /// What it says that an attempt ended so, in this phase.
    #[must_use]
    pub fn of(outcome: Option<Reason>, phase: Phase) -> Self {
        let Some(reason) = outcome else {
            return Self::Delivered;
        };
        match reason {
            Reason::EncryptionRequired => Self::NeedsEncryption,
            Reason::NoExtensionProtocol => Self::Incapable,
            // A leecher has no metadata until somebody gave it some, and a size above our cap may
            // be the right one of that torrent.
            Reason::NoUtMetadata | Reason::MetadataSizeInvalid => Self::NotServed,
            _ => match reason.category() {
                Category::NoPeers | Category::Content | Category::Local => Self::Nothing,
                Category::Misbehaviour => Self::Misbehaved,
                Category::Timeout | Category::Connection if phase <= Phase::Connect => {
                    Self::Unreachable
                }
                Category::Timeout => Self::Silent,
                // Clients hang up on those who ask for a torrent that they do not have.
                Category::Connection | Category::Capability => Self::NotServed,
            },
        }
    }

    /// Whether it speaks against the peer, whatever the hash.
    pub(super) fn is_failure_of_peer(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::Silent | Self::Incapable | Self::Misbehaved
        )
    }
}
