//! The dashboard in a real browser: Chromium without a window, and the daemon on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fault here is to fail the test"
)]

#[path = "../swarm/mod.rs"]
mod swarm;

mod ask;
mod browser;
mod daemon;
mod frame;
mod picture;
mod token;
mod torrents;
