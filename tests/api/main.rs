//! The HTTP API over real connections: a service with a store in a temporary directory, an engine without DHT and
//! trackers, and the loopback swarm.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fault here is to fail the test"
)]

mod access;
mod administration;
mod document;
mod events;
mod feeds;
mod hash;
mod home;
mod limits;
mod lists;
mod requests;
mod resolve;
mod schemathesis;
#[path = "../swarm/mod.rs"]
mod swarm;
