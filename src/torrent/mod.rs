//! What the field talks about: [`Infohash`], [`PeerAddr`], and why a fetch ended as it did
//! ([`Reason`]). Nothing here does I/O.

mod infohash;
mod outcome;
mod peer;

pub use infohash::{Infohash, InfohashError};
pub use outcome::{Arm, Category, Failure, Phase, Reason};
pub use peer::{PeerAddr, PeerAddrError, PeerHint, PeerSource};
