//! The `dht_crawler` binary, as a user of the old program runs it: against a DHT and peers on loopback,
//! and a private MariaDB.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fault here is to fail the test"
)]

#[path = "../resolve/command.rs"]
mod command;
#[path = "../databases/mod.rs"]
mod databases;
#[path = "../swarm/mod.rs"]
mod swarm;

mod announced;
mod command_line;
mod ends;
mod greps;
mod home;
mod killed;
mod list;
mod network;
mod normal;
mod outage;
mod recorded;
mod rights;
mod rows;
mod test_mode;
