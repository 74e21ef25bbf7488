//! What leaves with `--anonymous`, and what does with `--proxy`: the binary, and everybody it talks to on
//! loopback, who keep all that they receive.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fault here is to fail the test"
)]

#[path = "../resolve/command.rs"]
mod command;
#[path = "../swarm/mod.rs"]
mod swarm;

mod anonymous;
mod network;
mod proxied;
mod socks;
mod tap;
