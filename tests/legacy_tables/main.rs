//! The old crawler's tables on a private MariaDB: how they are made, what stands in each column, what hostile
//! values become, who gets which row, and what happens while the server is away.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fault here is to fail the test"
)]

mod backlog;
mod claims;
mod columns;
mod creation;
#[path = "../databases/mod.rs"]
mod databases;
mod fixture;
mod foreign;
mod hostile;
mod million;
mod outage;
