//! What can be seen of the service from outside: metrics and health, and the files that build on them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fault here is to fail the test"
)]

mod files;
mod scrape;
mod service;
#[cfg(feature = "opentelemetry")]
mod traces;
