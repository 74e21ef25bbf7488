//! `metafetch crawl` against a DHT and peers on loopback: the binary, as a user runs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fault here is to fail the test"
)]

#[path = "../clients/mod.rs"]
mod clients;
#[path = "../resolve/command.rs"]
mod command;
#[path = "../swarm/mod.rs"]
mod swarm;

mod ends;
mod joined;
mod network;
mod outages;
mod restarts;
mod sources;
