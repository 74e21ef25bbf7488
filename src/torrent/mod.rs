//! What the field talks about: [`Infohash`], [`PeerAddr`], and why a fetch ended as it did
//! ([`Reason`]). Nothing here does I/O.

mod content_type;
mod encryption;
mod file_name;
mod info;
mod infohash;
mod magnet;
mod metainfo;
mod network;
mod outcome;
mod peer;
mod way;

pub use content_type::ContentType;
pub use encryption::Encryption;
pub use file_name::safe_file_name;
pub use info::{FileEntry, Info, InfoError, MetaVersion, SanitizedNames};
pub(crate) use infohash::sha256;
pub use infohash::{Infohash, InfohashError};
pub(crate) use magnet::is_tracker;
pub use magnet::{Magnet, MagnetError, magnet_link};
pub use metainfo::{MetainfoError, split, torrent_file};
pub use network::Network;
pub use outcome::{Arm, Category, Failure, Phase, Reason};
pub use peer::{PeerAddr, PeerAddrError, PeerHint, PeerSource};
pub use way::{Transport, Way};
