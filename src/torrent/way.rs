//! A way to a peer: which arm, over which transport, encrypted or not.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Arm;

/// What carries the bytes of a connection to a peer.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TCP (BEP 3).
    #[default]
    Tcp,
    /// uTP (BEP 29).
    Utp,
}

/// A way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Way {
    /// The arm that takes it.
    pub arm: Arm,
    /// What carries it.
    pub transport: Transport,
    /// Whether by message stream encryption (MSE/PE).
    pub encrypted: bool,
}

impl Way {
    /// Every way that there is.
    pub const ALL: [Self; 6] = [
        Self::new(Arm::Direct, Transport::Tcp, false),
        Self::new(Arm::Direct, Transport::Tcp, true),
        Self::new(Arm::Libtorrent, Transport::Tcp, false),
        Self::new(Arm::Libtorrent, Transport::Tcp, true),
        Self::new(Arm::Libtorrent, Transport::Utp, false),
        Self::new(Arm::Libtorrent, Transport::Utp, true),
    ];

    /// The way of this arm over this transport.
    #[must_use]
    pub const fn new(arm: Arm, transport: Transport, encrypted: bool) -> Self {
        Self {
            arm,
            transport,
            encrypted,
        }
    }

    /// TCP in the clear.
    #[must_use]
    pub const fn plain(arm: Arm) -> Self {
        Self::new(arm, Transport::Tcp, false)
    }

    /// The name used in logs, in JSON and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match (self.arm, self.transport, self.encrypted) {
            (Arm::Direct, Transport::Tcp, false) => "direct:tcp",
            (Arm::Direct, Transport::Tcp, true) => "direct:tcp+mse",
            (Arm::Direct, Transport::Utp, false) => "direct:utp",
            (Arm::Direct, Transport::Utp, true) => "direct:utp+mse",
            (Arm::Libtorrent, Transport::Tcp, false) => "libtorrent:tcp",
            (Arm::Libtorrent, Transport::Tcp, true) => "libtorrent:tcp+mse",
            (Arm::Libtorrent, Transport::Utp, false) => "libtorrent:utp",
            (Arm::Libtorrent, Transport::Utp, true) => "libtorrent:utp+mse",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Way {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|way| way.as_str() == text)
            .ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        for way in Way::ALL {
            assert_eq!(way.as_str().parse(), Ok(way));
        }
        assert_eq!("direct".parse::<Way>(), Err(()));
    }
}
