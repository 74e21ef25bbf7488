//! Whether connections to peers are encrypted.

use serde::{Deserialize, Serialize};

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// Where a peer does not answer in the clear, or is known to want it.
    #[default]
    Prefer,
    /// Always, and the whole stream.
    Require,
    /// Never.
    Off,
}

impl Encryption {
    /// Whether the first connection to a peer is encrypted. `wanted` is what it wants, as far as known.
    #[must_use]
    pub fn first(self, wanted: bool) -> bool {
        match self {
            Self::Prefer => wanted,
            Self::Require => true,
            Self::Off => false,
        }
    }

    /// What is tried with a peer, in this order: whether it is encrypted. `first` is what it wants, as
    /// far as known.
    #[must_use]
    pub fn tries(self, first: bool) -> &'static [bool] {
        match (self, first) {
            (Self::Off, _) => &[false],
            (Self::Require, _) => &[true],
            (Self::Prefer, false) => &[false, true],
            (Self::Prefer, true) => &[true, false],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_begins_with_what_is_first() {
        for policy in [Encryption::Prefer, Encryption::Require, Encryption::Off] {
            for wanted in [false, true] {
                let tries = policy.tries(wanted);
                assert_eq!(tries.first(), Some(&policy.first(wanted)));
                let both = policy == Encryption::Prefer;
                assert_eq!(tries.len(), if both { 2 } else { 1 });
            }
        }
    }
}
