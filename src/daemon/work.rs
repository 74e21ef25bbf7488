//! The loops between the queue and the engine: what waits begins, what has ended is told, rows come into
//! memory page by page.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::Instrument as _;

use super::deaths::TOO_MANY;
use super::event::Event;
use super::heartbeat::{self, Heartbeat};
use super::lane::PAGE;
use super::queue::{End, Task};
use super::service::{Inner, now_ms};
use super::source::SourceName;
use crate::engine::{Origin, Resolution, timestamp};
use crate::store::{FailedTorrent, Record, RecordResult};
use crate::torrent::{Failure, Infohash, Phase, Reason};
use crate::wire::krpc::NodeId;

/// How often the loops say that they are alive, at the least.
const BEAT: Duration = Duration::from_secs(1);
/// A loop that says nothing for so long is stuck.
const STUCK: Duration = Duration::from_secs(30);
/// The same for one that waits for the store, which has deadlines of its own.
const STUCK_READING: Duration = Duration::from_secs(180);
/// The pause before a page is read again that could not be.
const PAUSE: Duration = Duration::from_secs(5);

/// How long a hash is left alone at the least that was in work each time when the process died.
const GIVEN_UP: Duration = Duration::from_secs(24 * 3600);

/// What a hash of the crawl came to that was not resolved.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotFound {
    pub(super) infohash: NodeId,
    /// When it may be tried again, in UTC unix milliseconds.
    pub(super) retry_at_ms: Option<i64>,
}

/// Begins what may begin, until the service stops.
pub(super) async fn begin(inner: Arc<Inner>) {
    let alive = heartbeat::watch("queue", STUCK);
    restore(&inner, &alive).await;
    loop {
        while let Some(task) = inner.queue.begin() {
            inner.tell(|| Event::Started {
                infohash: task.wanted.infohash.to_string(),
                source: task.source,
            });
            let mut task = task;
            if !task.is_given_up {
                inner.deaths.begins(task.wanted.infohash.wire_id());
            }
            let span = task.wanted.span();
            inner
                .works
                .spawn(run(Arc::clone(&inner), task).instrument(span));
        }
        alive.beat();
        tokio::select! {
            () = inner.stop.cancelled() => return,
            // Nothing is to wait for: this only shows that the loop is alive.
            _ = timeout(BEAT, inner.queue.work()) => {}
        }
    }
}

/// What an earlier process has left: which sources are paused, and how much is wanted.
async fn restore(inner: &Inner, alive: &Heartbeat) {
    let mut is_told = false;
    loop {
        match remembered(inner).await {
            Ok(()) => return,
            Err(error) => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!("the queue can't be read, and waits for the database: {error}");
                }
            }
        }
        tokio::select! {
            () = inner.stop.cancelled() => return,
            () = sleep(PAUSE) => alive.beat(),
        }
    }
}

async fn remembered(inner: &Inner) -> Result<(), crate::store::StoreError> {
    let mut paused = Vec::new();
    for name in SourceName::ALL {
        let value = inner.store.daemon_state(&pause_key(name)).await?;
        paused.push((name, value.as_deref() == Some(PAUSED)));
    }
    let counts = inner.store.wanted_count().await?;
    inner.queue.change(|state| {
        for (name, paused) in paused {
            state.restore_paused(name, paused);
        }
        for (name, rows) in &counts {
            if let Some(name) = SourceName::of(name) {
                state.set_rows(name, *rows);
            }
        }
    });
    Ok(())
}

/// The value of a source that is paused.
pub(super) const PAUSED: &str = "paused";

/// Under which name it is kept that a source is paused.
pub(super) fn pause_key(name: SourceName) -> String {
    format!("source.{}", name.as_str())
}

async fn run(inner: Arc<Inner>, task: Task) {
    let config = inner.config();
    let mut wanted = task.wanted.clone();
    wanted.timeout.get_or_insert(config.engine.timeout);
    wanted.retries.get_or_insert(config.engine.retry);
    let asked = wanted.infohash;
    let engine = inner.engine.clone();
    let resolution = if task.is_given_up {
        give_up(&inner, asked).await
    } else {
        // In a task of its own, so that a panic costs one hash, and is reported.
        let work = async move { engine.resolve(wanted).await };
        let work = tokio::spawn(work.in_current_span());
        work.await
            .unwrap_or_else(|error| Resolution::internal(asked, format!("its task: {error}")))
    };
    let resolution = Arc::new(resolution);
    let end = inner
        .queue
        .change(|state| state.ended(&task, &resolution, Instant::now()));
    let has_ended = task.has_ended(&resolution);
    inner.deaths.ends(asked.wire_id(), has_ended);
    note(&inner, &resolution);
    if let (SourceName::Crawl, Err(unresolved)) = (task.source, &resolution.result)
        && unresolved.failure.reason != Reason::Cancelled
    {
        // A notice that is lost costs the crawl one more try at that hash.
        let _ = inner.not_found.try_send(NotFound {
            infohash: NodeId(asked.wire_id()),
            retry_at_ms: unresolved.retry_at_ms,
        });
    }
    tell(&inner, task.source, &resolution, end);
}

/// A hash that was in work each time when the process died: it fails without another try.
async fn give_up(inner: &Inner, infohash: Infohash) -> Resolution {
    let detail = format!(
        "the service has died {TOO_MANY} times while this hash was in work: by a fault of it, which should be \
         reported, unless somebody has killed it. The hash is left alone for a day or more"
    );
    tracing::error!("{infohash}: {detail}");
    let alone = inner.engine.options().cooldowns.longest().max(GIVEN_UP);
    let at_ms = now_ms();
    let alone_ms = i64::try_from(alone.as_millis()).unwrap_or(i64::MAX);
    let retry_at_ms = at_ms.saturating_add(alone_ms);
    let failure = Failure::new(Reason::Internal, Phase::Lookup, detail);
    let record = Record {
        infohash,
        result: RecordResult::Failed(FailedTorrent {
            reason: failure.reason,
            phase: failure.phase,
            detail: failure.detail.clone(),
            failures: TOO_MANY.into(),
            failed_at_ms: at_ms,
            retry_at_ms,
        }),
        attempts: Vec::new(),
        tracker_replies: Vec::new(),
        at_ms,
    };
    let recorded = inner.store.record(record).await;
    Resolution::given_up(infohash, failure, retry_at_ms, recorded.err())
}

/// Says once that results can't be stored, and once that they can again.
fn note(inner: &Inner, resolution: &Resolution) {
    match &resolution.store_error {
        Some(error) if inner.cannot_store.begins() => tracing::error!(
            "results can't be stored, and what was asked for stays in the queue: {error}"
        ),
        None if resolution.result.is_ok() && inner.cannot_store.ends() => {
            tracing::warn!("results are stored again");
        }
        _ => {}
    }
}

fn tell(inner: &Inner, source: SourceName, resolution: &Resolution, end: End) {
    inner.tell(|| {
        let infohash = resolution.infohash.to_string();
        let elapsed_ms = u64::try_from(resolution.elapsed.as_millis()).unwrap_or(u64::MAX);
        match &resolution.result {
            Ok(resolved) => Event::Resolved {
                infohash,
                source,
                name: resolved.info.name.clone(),
                size: resolved.info.size,
                files: u64::try_from(resolved.info.files.len()).unwrap_or(u64::MAX),
                arm: match resolved.origin {
                    Origin::Peer(arm, _) => arm.as_str().to_owned(),
                    Origin::Store => "store".to_owned(),
                },
                elapsed_ms,
            },
            Err(unresolved) => Event::Failed {
                infohash,
                source,
                reason: unresolved.failure.reason,
                phase: unresolved.failure.phase,
                detail: match end {
                    End::Kept if source.is_stored() => {
                        format!("{}; it stays in the queue", unresolved.failure.detail)
                    }
                    _ => unresolved.failure.detail.clone(),
                },
                retry_at: unresolved.retry_at_ms.and_then(timestamp),
                elapsed_ms,
            },
        }
    });
}

/// Reads the rows that come next into memory, until the service stops.
pub(super) async fn page(inner: Arc<Inner>) {
    let alive = heartbeat::watch("pages", STUCK_READING);
    let mut is_told = false;
    loop {
        alive.beat();
        let pages = inner.queue.look_mut(|state| state.pages(Instant::now()));
        let mut failed = false;
        for (name, page) in pages {
            let rows = inner
                .store
                .wanted(name.as_str(), page.after.as_ref(), PAGE)
                .await;
            failed |= rows.is_err();
            if let Err(error) = &rows
                && !std::mem::replace(&mut is_told, true)
            {
                tracing::warn!("the queue can't be read on: {error}");
            }
            inner
                .queue
                .change(|state| state.read(name, &page, rows.ok()));
        }
        is_told &= failed;
        let anew_at = inner.queue.look(super::queue::State::anew_at);
        let anew = async {
            match anew_at {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        let wait = async {
            if failed {
                sleep(PAUSE).await;
                return;
            }
            tokio::select! {
                () = inner.queue.pages() => {}
                () = anew => {}
                () = sleep(STUCK) => {}
            }
        };
        if inner.stop.run_until_cancelled(wait).await.is_none() {
            return;
        }
    }
}
