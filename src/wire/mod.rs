//! Bytes only, no I/O: bencode, the handshake (BEP 3), messages, the extension protocol (BEP 10),
//! `ut_metadata` (BEP 9), `ut_pex` (BEP 11), compact peer lists (BEP 23, 7), message stream
//! encryption (MSE/PE) and KRPC (BEP 5).
//!
//! Whatever is decoded here came from a stranger: every decoder has a bound on memory and depth,
//! and returns an error where it can't go on.

pub mod bencode;
pub mod compact;
pub mod extension;
pub mod handshake;
pub mod krpc;
pub mod message;
pub mod mse;
pub mod ut_metadata;
pub mod ut_pex;
