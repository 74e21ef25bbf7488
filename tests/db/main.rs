//! `metafetch db`: the binary, as a user runs it, on databases that the library fills.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fault here is to fail the test"
)]

mod check;
mod clean_legacy;
#[path = "../databases/mod.rs"]
mod databases;
mod exchange;
mod fixture;
mod hostile;
mod legacy;
mod prune;
mod schema;
mod search;
