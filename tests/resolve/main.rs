//! `metafetch resolve` against the loopback swarm: the binary, as a user runs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fault here is to fail the test"
)]

#[path = "../swarm/mod.rs"]
mod swarm;

mod command;
mod diagnose;
mod full_disk;
mod history;
mod input;
mod outcomes;
mod pieces;
mod query;
mod reach;
mod sources;
mod store;
