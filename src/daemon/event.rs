//! What happens in the service, told to whoever listens: the event stream of the API.

use serde::Serialize;

use super::source::SourceName;
use crate::torrent::{Phase, Reason};

/// Something happened.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A hash was put into the queue.
    Queued {
        /// The hash, in hex.
        infohash: String,
        /// Who wants it.
        source: SourceName,
    },
    /// Work at a hash began.
    Started {
        /// The hash, in hex.
        infohash: String,
        /// Who wants it.
        source: SourceName,
    },
    /// A hash was resolved, and is stored.
    Resolved {
        /// The hash, in hex.
        infohash: String,
        /// Who wanted it.
        source: SourceName,
        /// The torrent's name.
        name: String,
        /// Bytes of all files.
        size: u64,
        /// How many files there are.
        files: u64,
        /// Which arm got it, or `store`.
        arm: String,
        /// From the beginning of the work to the end.
        elapsed_ms: u64,
    },
    /// A hash was not resolved.
    Failed {
        /// The hash, in hex.
        infohash: String,
        /// Who wanted it.
        source: SourceName,
        /// Why.
        #[schema(value_type = String)]
        reason: Reason,
        /// How far it came.
        #[schema(value_type = String)]
        phase: Phase,
        /// The particulars.
        detail: String,
        /// When it may be tried again: RFC 3339, UTC.
        retry_at: Option<String>,
        /// From the beginning of the work to the end.
        elapsed_ms: u64,
    },
    /// A source was paused or resumed.
    Source {
        /// Which.
        source: SourceName,
        /// Whether it is paused now.
        paused: bool,
    },
    /// The configuration was read again.
    Reloaded {
        /// Keys that are in effect now.
        applied: Vec<String>,
        /// Keys that need a restart.
        needs_restart: Vec<String>,
    },
}
