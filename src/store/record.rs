//! What the store is given: what became of one hash.

use serde::{Deserialize, Serialize};

use super::{FailedTorrent, ResolvedTorrent};
use crate::history::{Attempt, TrackerReply};
use crate::torrent::Infohash;

/// What became of one hash, with the attempts that led there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The hash that was asked for.
    pub infohash: Infohash,
    /// How it ended.
    pub result: RecordResult,
    /// The attempts made.
    pub attempts: Vec<Attempt>,
    /// What trackers said when they were asked for its peers.
    pub tracker_replies: Vec<TrackerReply>,
    /// When it ended: UTC, milliseconds since 1970.
    pub at_ms: i64,
}

/// How the work on a hash ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RecordResult {
    /// Makes or replaces the torrent, and deletes what is stored of earlier failures.
    Resolved(Box<ResolvedTorrent>),
    /// Makes or replaces the failure; a torrent that is stored stays as it is.
    Failed(FailedTorrent),
    /// Only the attempts are stored.
    AttemptsOnly,
}

impl Record {
    /// Roughly the bytes of memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        let result = match &self.result {
            RecordResult::Resolved(torrent) => {
                let files = torrent.files.iter().map(|(path, _)| path.len() + 40);
                torrent.info.len() + files.sum::<usize>()
            }
            RecordResult::Failed(_) | RecordResult::AttemptsOnly => 0,
        };
        let attempts = self
            .attempts
            .iter()
            .map(|attempt| attempt.detail.len() + 200);
        let replies = self.tracker_replies.iter();
        let replies = replies.map(|reply| reply.url.len() + 300);
        result + attempts.sum::<usize>() + replies.sum::<usize>()
    }
}
