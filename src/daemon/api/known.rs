//! What the store says of a hash before anything is queued: read in one go, past the writer and the queue.

use std::sync::Arc;

use super::limits::Room;
use super::problem::Problem;
use super::{Api, now_ms};
use crate::engine::{Origin, Resolution, Resolved, Scrape, Unresolved, Wanted};
use crate::store::{FailedTorrent, StoredTorrent};
use crate::torrent::{Failure, Info, Infohash, Phase, Reason};

/// Bytes that an answer takes for each of a dictionary, while it is read and written as JSON.
const IN_MEMORY: usize = 4;

/// What is known of a hash.
pub(super) enum Known {
    /// Its metadata, and the room that an answer with it takes.
    Resolved(Box<StoredTorrent>, Room),
    /// It is on the blocklist.
    Blocked,
    /// It failed, and is left alone for now.
    CoolsDown(FailedTorrent),
    /// It failed, and may be tried again.
    Failed,
    /// Nothing.
    Nothing,
}

impl Api {
    /// What the store knows of a hash.
    pub(super) async fn known(&self, infohash: &Infohash) -> Result<Known, Problem> {
        self.glance(infohash, async |bytes| self.limits.room(bytes))
            .await
    }

    /// The same for a hash of a batch, which waits for the room that it takes.
    pub(super) async fn known_in_time(&self, infohash: &Infohash) -> Result<Known, Problem> {
        self.glance(infohash, async |bytes| {
            Ok(self.limits.room_in_time(bytes).await)
        })
        .await
    }

    async fn glance(
        &self,
        infohash: &Infohash,
        room: impl AsyncFnOnce(usize) -> Result<Room, Problem>,
    ) -> Result<Known, Problem> {
        let infohash = *infohash;
        let recall = self.read(move |store| async move { store.glance(&infohash).await });
        let recall = recall.await?;
        if recall.blocked {
            return Ok(Known::Blocked);
        }
        if let Some(torrent) = recall.torrent {
            let room = room(torrent.info.len().saturating_mul(IN_MEMORY)).await?;
            return Ok(Known::Resolved(Box::new(torrent), room));
        }
        let Some(failed) = recall.failed else {
            return Ok(Known::Nothing);
        };
        let options = self.service.engine().options();
        let is_left_alone = !(options.refetch || options.cooldowns.off);
        Ok(if is_left_alone && failed.retry_at_ms > now_ms() {
            Known::CoolsDown(failed)
        } else {
            Known::Failed
        })
    }
}

impl Known {
    /// The result that the engine would give at once; `None` where it would begin to work. Peers that come along
    /// may be news, and end a cooldown: the engine sees to that.
    pub(super) fn at_once(self, wanted: &Wanted) -> Option<Resolution> {
        let result = match self {
            Self::Resolved(torrent, _) => Ok(Arc::new(resolved(*torrent)?)),
            Self::Blocked => Err(unresolved(
                Reason::Blocked,
                Phase::Lookup,
                "it is on the blocklist",
                None,
            )),
            Self::CoolsDown(failed) if wanted.peers.is_empty() => {
                let detail = format!(
                    "failed {} times, the last time as {} in {}",
                    failed.failures, failed.reason, failed.phase
                );
                Err(unresolved(
                    Reason::Cooldown,
                    failed.phase,
                    detail,
                    Some(failed.retry_at_ms),
                ))
            }
            Self::CoolsDown(_) | Self::Failed | Self::Nothing => return None,
        };
        Some(Resolution {
            infohash: wanted.infohash,
            result,
            elapsed: std::time::Duration::ZERO,
            store_error: None,
            store_refused: false,
            peers: Vec::new(),
            scrape: Scrape::default(),
        })
    }
}

/// `None` where the dictionary does not read any more: then it is fetched again.
fn resolved(torrent: StoredTorrent) -> Option<Resolved> {
    Some(Resolved {
        info: Info::parse(&torrent.info).ok()?,
        raw: torrent.info,
        trackers: torrent.trackers,
        origin: Origin::Store,
    })
}

fn unresolved(
    reason: Reason,
    phase: Phase,
    detail: impl Into<String>,
    retry_at_ms: Option<i64>,
) -> Arc<Unresolved> {
    Arc::new(Unresolved {
        failure: Failure::new(reason, phase, detail),
        attempts: [].into(),
        retry_at_ms,
        says_nothing: true,
    })
}
