//! What becomes of a hash that normal mode has discovered, before and after the engine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use super::lines;
use super::peers::{named_peer, table_peers};
use super::run::{Job, Run, Settled, Urgency, hex};
use crate::discovery::crawl::{Discovered, DiscoverySource};
use crate::engine::Resolution;
use crate::store::{DiscoveredRow, StoreError};
use crate::torrent::Infohash;
use crate::wire::krpc::NodeId;

/// Discovered hashes that are being stored at a time.
const STORED_AT_ONCE: usize = 64;
/// Hashes of a block of sequential mode.
const BLOCK: u64 = 50;

/// Hashes in work, by how they were discovered.
pub(super) type Sources = Arc<Mutex<HashMap<[u8; 20], DiscoverySource>>>;

/// Stores what is discovered, tells it, and hands it to the engine; in sequential mode with a block now and
/// then.
pub(super) async fn discover(
    run: Arc<Run>,
    is_sequential: bool,
    mut discovered: mpsc::Receiver<Discovered>,
    storing: mpsc::Sender<Discovered>,
    sources: Sources,
) {
    let mut stored = FuturesUnordered::new();
    let mut is_open = true;
    while is_open || !stored.is_empty() {
        tokio::select! {
            biased;
            Some((new, is_stored)) = stored.next(), if !stored.is_empty() => {
                tell(&run, is_sequential, &sources, &new, is_stored).await;
                if storing.send(new).await.is_err() {
                    return;
                }
            }
            new = discovered.recv(), if is_open && stored.len() < STORED_AT_ONCE => match new {
                Some(new) => stored.push(store(&run, new)),
                None => is_open = false,
            },
        }
    }
}

/// Makes or refreshes the row of a hash; says whether it is in the database.
async fn store(run: &Run, new: Discovered) -> (Discovered, bool) {
    let Some(database) = &run.database else {
        return (new, false);
    };
    let source = lines::source(new.source);
    let row = DiscoveredRow {
        infohash: Infohash::V1(new.infohash.0),
        source,
        peers: (new.peers.iter())
            .map(|peer| named_peer(*peer, source))
            .collect(),
    };
    let infohash = row.infohash;
    match run.in_time(database.tables.discovered(row)).await {
        Ok(()) => (new, true),
        Err(StoreError::Closed) => (new, false),
        Err(error) => {
            run.could_not_store(&infohash, &error).await;
            (new, false)
        }
    }
}

async fn tell(run: &Run, is_sequential: bool, sources: &Sources, new: &Discovered, stored: bool) {
    // Otherwise it waits already, or is in work.
    let before = lock(sources).insert(new.infohash.0, new.source);
    let is_new = before.is_none();
    let infohash = Infohash::V1(new.infohash.0);
    let hash = hex(&infohash);
    let number = run.statistics.found.add(1);
    let mut told = Vec::new();
    if is_sequential && number % BLOCK == 1 {
        told.push(String::new());
        told.push(format!("--- Query {number} ---"));
        told.push(format!("Hash: {hash}"));
    }
    told.push(lines::discovered(
        new.source,
        new.peers.len(),
        &hash,
        stored,
    ));
    if is_new {
        told.push(lines::auto_queued(new.source, &hash));
    }
    run.console.discovery(told).await;
    let kind = new.source.as_str();
    run.console
        .debug(format_args!("Alert type: dht_{kind}: {hash}"));
    let urgency = match new.source {
        DiscoverySource::Announce => Urgency(2, "ANNOUNCE"),
        DiscoverySource::GetPeers | DiscoverySource::Sample => Urgency(3, "PEERS"),
    };
    if is_new {
        run.queued(&infohash, urgency).await;
    }
}

pub(super) async fn finish(
    run: Arc<Run>,
    sources: Sources,
    resolution: Resolution,
) -> (NodeId, Settled) {
    let infohash = resolution.infohash;
    let id = NodeId(infohash.wire_id());
    let source = lock(&sources).remove(&id.0);
    let job = Job {
        text: hex(&infohash),
        row: None,
        source: lines::source(source.unwrap_or(DiscoverySource::Sample)),
        again: false,
    };
    let settled = run.finish(&job, &resolution).await;
    if let Some(database) = &run.database
        && settled == Settled::TimedOut
        && !resolution.peers.is_empty()
    {
        // Those that were found are worth a row, though none of them had it.
        let row = DiscoveredRow {
            infohash,
            source: job.source,
            peers: table_peers(&resolution.peers),
        };
        let _ = run.in_time(database.tables.discovered(row)).await;
    }
    (id, settled)
}

fn lock(sources: &Sources) -> MutexGuard<'_, HashMap<[u8; 20], DiscoverySource>> {
    sources.lock().unwrap_or_else(PoisonError::into_inner)
}
