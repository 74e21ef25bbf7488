//! The backlog as a source: what the database knows without its metadata, and failures that may be tried
//! again. It is read page by page, and only when most of the last page has begun.
//!
//! A pass goes through all of it once. The next one begins after a while, so that hashes whose failure says
//! nothing, and which stay as they are in the database, are not tried again and again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::daemon::service::{Service, now_ms};
use crate::daemon::source::SourceName;
use crate::engine::Wanted;
use crate::store::{FailedFilter, StoreError};
use crate::torrent::Infohash;

/// Rows that are read at a time.
const PAGE: u32 = 500;
/// With fewer that wait, the next page is read.
const FEW: usize = 100;
/// How often it is looked whether there is room.
const LOOK: Duration = Duration::from_millis(500);
/// The time from the start of one pass to that of the next, at the least: of failures, and of torrents
/// without metadata.
const DUE_EVERY: Duration = Duration::from_secs(60);
const PENDING_EVERY: Duration = Duration::from_secs(15 * 60);

/// By when the last failure of a page may be tried again, and its hash.
type DueCursor = (i64, Infohash);
/// When the last torrent of a page was found, and its number.
type PendingCursor = (i64, i64);

/// How far a pass is.
#[derive(Debug)]
enum Pass<T> {
    /// The next one begins then.
    From(Instant),
    /// It goes on behind this.
    Behind { cursor: Option<T>, began: Instant },
}

impl<T> Pass<T> {
    /// What to read, if it is time.
    fn due(&mut self, now: Instant) -> Option<(Option<T>, Instant)>
    where
        T: Clone,
    {
        match self {
            Self::From(at) if *at > now => None,
            Self::From(_) => Some((None, now)),
            Self::Behind { cursor, began } => Some((cursor.clone(), *began)),
        }
    }

    fn read_to(&mut self, cursor: Option<T>, began: Instant, every: Duration) {
        *self = match cursor {
            Some(cursor) => Self::Behind {
                cursor: Some(cursor),
                began,
            },
            None => Self::From(began + every),
        };
    }
}

/// Feeds the queue until the service stops.
pub(in crate::daemon) async fn run(service: Service) {
    let mut due: Pass<DueCursor> = Pass::From(Instant::now());
    let mut pending: Pass<PendingCursor> = Pass::From(Instant::now());
    let mut by_ms = now_ms();
    let mut order = 0_i64;
    let mut is_told = false;
    let mut failures_first = true;
    loop {
        if (service.inner().stop)
            .run_until_cancelled(sleep(LOOK))
            .await
            .is_none()
        {
            return;
        }
        let has_room = service.queue().look(|state| {
            let few = FEW.saturating_add(state.suspected());
            state.is_fed(SourceName::Backlog) && state.waits(SourceName::Backlog) < few
        });
        if !has_room {
            continue;
        }
        let read = page(&service, &mut due, &mut pending, &mut by_ms, failures_first).await;
        failures_first = !failures_first;
        match read {
            Ok(wanted) => {
                if std::mem::take(&mut is_told) {
                    tracing::warn!("the backlog is read again");
                }
                let wanted = wanted.into_iter().map(|wanted| {
                    order = order.saturating_add(1);
                    (wanted, order)
                });
                let wanted: Vec<_> = wanted.collect();
                if !wanted.is_empty() {
                    service.queue().change(|state| state.add_backlog(wanted));
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!("the backlog can't be read: {error}");
                }
                sleep(DUE_EVERY.min(Duration::from_secs(5))).await;
            }
        }
    }
}

/// The next page: of failures, or of what was never tried; the other where there is none. Who takes turns
/// starves neither.
async fn page(
    service: &Service,
    due: &mut Pass<DueCursor>,
    pending: &mut Pass<PendingCursor>,
    by_ms: &mut i64,
    failures_first: bool,
) -> Result<Vec<Wanted>, StoreError> {
    let mut wanted = Vec::new();
    for failures in [failures_first, !failures_first] {
        if wanted.is_empty() {
            wanted = if failures {
                failures_due(service, due, by_ms).await?
            } else {
                never_tried(service, pending).await?
            };
        }
    }
    Ok(wanted)
}

async fn failures_due(
    service: &Service,
    due: &mut Pass<DueCursor>,
    by_ms: &mut i64,
) -> Result<Vec<Wanted>, StoreError> {
    let mut wanted = Vec::new();
    if let Some((cursor, began)) = due.due(Instant::now()) {
        // A hash that fails again within a pass is none of it.
        if cursor.is_none() {
            *by_ms = now_ms();
        }
        let filter = FailedFilter::default();
        let store = service.store();
        let failed = store.failed_torrents_after(&filter, cursor, PAGE).await?;
        let is_whole = u32::try_from(failed.len()).is_ok_and(|count| count >= PAGE);
        let last = failed
            .last()
            .map(|(infohash, failed)| (failed.retry_at_ms, *infohash));
        let next = last.filter(|(retry_at_ms, _)| is_whole && *retry_at_ms <= *by_ms);
        due.read_to(next, began, DUE_EVERY);
        let due = failed
            .into_iter()
            .filter(|(_, failed)| failed.retry_at_ms <= *by_ms);
        // The trackers that it was asked for with are not kept with a failure.
        wanted.extend(due.map(|(infohash, _)| Wanted {
            maybe_private: true,
            ..Wanted::from(infohash)
        }));
    }
    Ok(wanted)
}

async fn never_tried(
    service: &Service,
    pending: &mut Pass<PendingCursor>,
) -> Result<Vec<Wanted>, StoreError> {
    let mut wanted = Vec::new();
    if let Some((cursor, began)) = pending.due(Instant::now()) {
        let (torrents, next) = service.store().untried(cursor, PAGE).await?;
        pending.read_to(next, began, PENDING_EVERY);
        wanted.extend(torrents.into_iter().map(|torrent| Wanted {
            trackers: torrent.trackers,
            ..Wanted::from(torrent.infohash)
        }));
    }
    Ok(wanted)
}
