//! Intake: which hashes are wanted.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{Engine, RequestId, Resolution};
use crate::torrent::{Infohash, Magnet, PeerAddr, PeerHint, PeerSource};

/// A hash that somebody wants, with what came along with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The hash.
    pub infohash: Infohash,
    /// Trackers to ask; they are kept in the `.torrent` file too.
    pub trackers: Vec<String>,
    /// Whether no public trackers are asked where it has none of its own: who wanted it first may have named
    /// some, of a private torrent.
    pub maybe_private: bool,
    /// Peers to try.
    pub peers: Vec<PeerHint>,
    /// Where `peers` come from.
    pub peers_from: PeerSource,
    /// The longest one try may take, where that is not [`Options::timeout`](super::Options::timeout).
    pub timeout: Option<Duration>,
    /// Further tries, where these are not [`Options::retries`](super::Options::retries).
    pub retries: Option<u32>,
    /// What its lines in the log are known by; [`Wanted::span`] makes it.
    pub id: Option<RequestId>,
}

impl Wanted {
    /// The peers that are addresses, not host names.
    pub(super) fn addresses(&self) -> Vec<PeerAddr> {
        let addresses = self.peers.iter().filter_map(|hint| match hint {
            PeerHint::Addr(addr) => Some(*addr),
            PeerHint::Host(..) => None,
        });
        addresses.collect()
    }
}

impl From<Infohash> for Wanted {
    fn from(infohash: Infohash) -> Self {
        Self {
            infohash,
            trackers: Vec::new(),
            maybe_private: false,
            peers: Vec::new(),
            peers_from: PeerSource::Hint,
            timeout: None,
            retries: None,
            id: None,
        }
    }
}

impl From<Magnet> for Wanted {
    fn from(magnet: Magnet) -> Self {
        Self {
            trackers: magnet.trackers,
            peers: magnet.peers,
            ..Self::from(magnet.infohash)
        }
    }
}

impl Engine {
    /// Resolves whatever comes in, as many at a time as [`Options::jobs`](super::Options) says.
    /// Results come out in the order in which they end; whoever does not take them slows the
    /// intake down. The results end when the intake does, or after [`Engine::stop`].
    #[must_use]
    pub fn run(&self, mut intake: mpsc::Receiver<Wanted>) -> mpsc::Receiver<Resolution> {
        let jobs = self.options().jobs.max(1);
        let (results, receiver) = mpsc::channel(jobs);
        let engine = self.clone();
        self.spawn(async move {
            let slots = std::sync::Arc::new(tokio::sync::Semaphore::new(jobs));
            loop {
                // The slot comes first, so that what has no slot stays in the (bounded) intake.
                let slot = slots.clone().acquire_owned();
                let Some(Ok(slot)) = engine.until_stopped(slot).await else {
                    break;
                };
                let Some(Some(wanted)) = engine.until_stopped(intake.recv()).await else {
                    break;
                };
                let (engine, results) = (engine.clone(), results.clone());
                engine.clone().spawn(async move {
                    let asked = wanted.infohash;
                    // In a task of its own, so that a panic costs one hash, and is reported.
                    let work = tokio::spawn(async move { engine.resolve(wanted).await });
                    let resolution = work.await.unwrap_or_else(|error| {
                        Resolution::internal(asked, format!("the task that worked on it: {error}"))
                    });
                    // Nobody listens any more: the result is in the store.
                    let _ = results.send(resolution).await;
                    drop(slot);
                });
            }
        });
        receiver
    }
}
