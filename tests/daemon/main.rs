//! `metafetch daemon` on loopback: the binary, as systemd or a user runs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fault here is to fail the test"
)]

#[path = "../databases/mod.rs"]
mod databases;
#[path = "../swarm/mod.rs"]
mod swarm;

mod away;
mod deaths;
mod directories;
mod life;
mod limits;
mod queue;
mod running;
mod sources;
