//! Peers that do whatever harms: nothing is wrong, nothing is left behind, nobody else is held up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fault here is to fail the test"
)]

#[path = "../swarm/mod.rs"]
mod swarm;

mod bytes;
mod memory;
mod mix;
mod silent;
