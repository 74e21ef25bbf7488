//! Diagnose: why does one hash not resolve? Each peer for itself, step by step, and then what the engine
//! makes of it by every way there is.

mod story;
mod verdict;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};

use super::emit::Resolution;
use super::intake::Wanted;
use super::lookup::{Found, Lookup};
use super::{Engine, choose};
use crate::direct::{Progress, Request, Step};
use crate::discovery::lookup::Summary;
use crate::discovery::{Known, Peers};
use crate::store::{FailedTorrent, StoreError};
use crate::torrent::{Failure, PeerAddr, PeerSource, Phase, Reason};

pub use verdict::Verdict;

/// What the store says of a hash.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// Whether it is on the blocklist.
    pub blocked: bool,
    /// Whether its metadata is there.
    pub resolved: bool,
    /// How it failed the last time, and until when it cools down.
    pub failed: Option<FailedTorrent>,
}

/// How one peer was asked, and what it said.
#[derive(Clone, Debug)]
pub struct PeerStory {
    /// The peer.
    pub addr: PeerAddr,
    /// The source that is worth most of those that named it.
    pub source: PeerSource,
    /// All of them.
    pub sources: Vec<PeerSource>,
    /// How many did; 0 for a node of the DHT that others named as a peer.
    pub reports: u32,
    /// What happened.
    pub steps: Vec<Step>,
    /// The client, as far as it said.
    pub client: Option<String>,
    /// Whether the connection was encrypted, or was to be.
    pub encrypted: bool,
    /// The size of the dictionary that it delivered, in bytes; or why it did not.
    pub result: Result<usize, Failure>,
    /// From the first packet to the last.
    pub elapsed: Duration,
}

/// What was found out about a hash.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// The hash.
    pub wanted: Wanted,
    /// What the store says; `None` without one.
    pub remembered: Option<Remembered>,
    /// How the DHT was asked; `None` where it was not, or no node of it is alive.
    pub lookup: Option<Summary>,
    /// Peers that were found.
    pub found: usize,
    /// Addresses that were refused: private, loopback, reserved, or port 0.
    pub refused: usize,
    /// Those that were asked, the first that ended first.
    pub peers: Vec<PeerStory>,
    /// What the engine made of it, where no peer delivered over TCP.
    pub resolution: Option<Resolution>,
}

impl Engine {
    /// Finds out why a hash does not resolve: asks the DHT, then up to `most` peers at once over TCP,
    /// then resolves it by every way that the options allow. With [`Options::refetch`](super::Options) a
    /// cooldown does not keep it from that.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn diagnose(&self, wanted: Wanted, most: usize) -> Result<Diagnosis, StoreError> {
        let remembered = self.remembered(&wanted).await?;
        let mut diagnosis = Diagnosis {
            remembered,
            lookup: None,
            found: 0,
            refused: 0,
            peers: Vec::new(),
            resolution: None,
            wanted,
        };
        let is_blocked = diagnosis.remembered.as_ref().is_some_and(|r| r.blocked);
        if is_blocked {
            return Ok(diagnosis);
        }
        let peers = self.collect(&mut diagnosis).await;
        let mut best: Vec<_> = peers.iter().map(|(addr, known)| (*addr, *known)).collect();
        best.sort_by_key(|(addr, known)| (known.source, std::cmp::Reverse(known.reports), *addr));
        best.truncate(most);
        let direct = &self.stations.direct;
        let budget = (diagnosis.wanted.timeout).unwrap_or(self.options().timeout);
        let deadline = Instant::now() + budget;
        let infohash = &diagnosis.wanted.infohash;
        let connect_timeout = self.options().direct.connect_timeout;
        let asked: Vec<_> = best
            .into_iter()
            .map(|(addr, known)| (addr, known, Progress::traced()))
            .collect();
        let mut stories: FuturesUnordered<_> = asked
            .iter()
            .map(async |(addr, known, progress)| {
                let request = Request {
                    peer: *addr,
                    connect_timeout,
                    encrypted: known.prefers_encryption,
                };
                let attempt = direct.fetch(infohash, request, progress).await;
                PeerStory {
                    client: attempt.client,
                    encrypted: attempt.encrypted,
                    result: attempt.result.map(|bytes| bytes.len()),
                    elapsed: attempt.elapsed,
                    ..PeerStory::out_of_time(*addr, *known, progress, budget)
                }
            })
            .collect();
        let mut told: Vec<PeerStory> = Vec::new();
        loop {
            let next = timeout_at(deadline, stories.next());
            match self.until_stopped(next).await {
                Some(Ok(Some(story))) => told.push(story),
                Some(Ok(None)) | None => break,
                Some(Err(_)) => {
                    // How far each is, before the end of one lets another one begin.
                    let ended: HashSet<PeerAddr> = told.iter().map(|story| story.addr).collect();
                    let left = asked.iter().filter(|(addr, ..)| !ended.contains(addr));
                    told.extend(left.map(|(addr, known, progress)| {
                        PeerStory::out_of_time(*addr, *known, progress, budget)
                    }));
                    break;
                }
            }
        }
        drop(stories);
        diagnosis.peers = told;
        if !diagnosis.delivered() {
            let wanted = diagnosis.wanted.clone();
            diagnosis.resolution = Some(self.resolve(wanted).await);
        }
        Ok(diagnosis)
    }

    async fn remembered(&self, wanted: &Wanted) -> Result<Option<Remembered>, StoreError> {
        let Some(store) = &self.stations.store else {
            return Ok(None);
        };
        let recall = store.recall(&wanted.infohash, Vec::new(), false).await?;
        Ok(Some(Remembered {
            blocked: recall.blocked,
            resolved: recall.torrent.is_some(),
            failed: recall.failed,
        }))
    }

    /// Every peer that can be found without dialling one.
    async fn collect(&self, diagnosis: &mut Diagnosis) -> Peers {
        let mut peers = Peers::new(self.options().allow_local_peers);
        let wanted = Arc::new(diagnosis.wanted.clone());
        let mut lookup = Lookup::start(self.stations.clone(), wanted, Vec::new());
        while let Some(Some(found)) = self.until_stopped(lookup.next()).await {
            match found {
                Found::Peers(source, found) => {
                    for peer in found {
                        peers.add_ranked(peer, source);
                    }
                }
                Found::Begun => {}
                Found::Dht(summary) => diagnosis.lookup = Some(summary),
            }
        }
        diagnosis.found = peers.len();
        diagnosis.refused = peers.refused();
        peers
    }
}

impl PeerStory {
    /// Of a peer that was not done with when the `budget` of the hash was over.
    fn out_of_time(addr: PeerAddr, known: Known, progress: &Progress, budget: Duration) -> Self {
        let phase = progress.phase();
        let failure = if phase > Phase::Lookup {
            choose::out_of_time(phase, budget)
        } else {
            let detail = format!(
                "it was not asked: our own limits allowed no connection to it within {budget:?}; see \
                 limits.connections, limits.per_ip, limits.per_network, limits.half_open and \
                 limits.connects_per_second"
            );
            Failure::new(Reason::Internal, phase, detail)
        };
        Self {
            addr,
            source: known.source,
            sources: known.sources.iter().collect(),
            reports: known.reports,
            steps: progress.steps(),
            client: None,
            encrypted: false,
            result: Err(failure),
            elapsed: progress.dialled().unwrap_or_default(),
        }
    }

    /// Whether it could not be asked within the time there was, by our own limits.
    #[must_use]
    pub fn is_unasked(&self) -> bool {
        let failure = self.result.as_ref().err();
        failure.is_some_and(|it| it.reason == Reason::Internal && it.phase == Phase::Lookup)
    }
}

impl Diagnosis {
    /// How many peers were not asked, by our own limits.
    #[must_use]
    pub fn unasked(&self) -> usize {
        self.peers.iter().filter(|story| story.is_unasked()).count()
    }

    /// Whether a peer delivered over TCP.
    #[must_use]
    pub fn delivered(&self) -> bool {
        self.peers.iter().any(|story| story.result.is_ok())
    }

    /// The failure that speaks for the hash; `None` where it resolves, or nobody was asked.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        if let Some(resolution) = &self.resolution {
            return resolution
                .result
                .as_ref()
                .err()
                .map(|it| it.failure.clone());
        }
        if self.delivered() {
            return None;
        }
        let failures = self
            .peers
            .iter()
            .filter_map(|story| Some((story.addr, story.result.as_ref().err()?)));
        choose::verdict(failures)
    }

    /// How many peers ended in each way.
    #[must_use]
    pub fn endings(&self) -> HashMap<&'static str, u32> {
        let mut endings = HashMap::new();
        for story in &self.peers {
            let ending = match &story.result {
                Ok(_) => "delivered",
                Err(failure) => failure.reason.as_str(),
            };
            *endings.entry(ending).or_default() += 1;
        }
        endings
    }
}
