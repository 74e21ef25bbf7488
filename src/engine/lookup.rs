//! Lookup: who may have it? What the asker and the store know, and what the DHT says. Trackers,
//! PEX and inbound peers come from libtorrent, together with its other events.

mod dht;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::intake::Wanted;
use super::observe;
use super::station::Stations;
use crate::discovery::lookup::{Ranked, Summary};
use crate::torrent::{PeerAddr, PeerHint, PeerSource};
use crate::wire::krpc::NodeId;
pub(super) use dht::DhtLookups;

/// How long peers wait for what the store knows of them.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a host name may take to resolve.
const DNS_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before a lookup that no node answered is tried again.
const DHT_PAUSE: Duration = Duration::from_millis(500);

/// What a source said about one hash.
#[derive(Debug)]
pub(super) enum Found {
    /// The DHT is asked from now on: before that it was the turn of other hashes.
    Begun,
    /// Peers, all from one source.
    Peers(PeerSource, Vec<Ranked>),
    /// The DHT has said what it had to say.
    Dht(Summary),
}

/// A lookup that runs; dropping it ends it.
pub(super) struct Lookup {
    found: mpsc::Receiver<Found>,
    _task: AbortOnDropHandle<()>,
}

impl Lookup {
    /// Starts to look for peers of a hash.
    pub(super) fn start(
        stations: Arc<Stations>,
        wanted: Arc<Wanted>,
        deliverers: Vec<PeerAddr>,
    ) -> Self {
        let (sender, found) = mpsc::channel(16);
        let search = async move {
            let search = Search {
                stations,
                wanted,
                deliverers,
                found: sender,
            };
            // An error means that nobody listens any more.
            let _ = search.run().await;
        };
        let task = tokio::spawn(search.instrument(observe::traced!("lookup")));
        Self {
            found,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// The next peers; `None` once every source has said what it had to say.
    pub(super) async fn next(&mut self) -> Option<Found> {
        self.found.recv().await
    }
}

/// Nobody takes what is found.
struct Unwanted;

struct Search {
    stations: Arc<Stations>,
    wanted: Arc<Wanted>,
    /// Peers that delivered this hash before.
    deliverers: Vec<PeerAddr>,
    found: mpsc::Sender<Found>,
}

impl Search {
    async fn run(&self) -> Result<(), Unwanted> {
        let has_hints = !self.wanted.peers.is_empty();
        self.report(self.wanted.peers_from, self.wanted.addresses())
            .await?;
        self.report(PeerSource::Remembered, self.deliverers.clone())
            .await?;
        let (hosts, dht) = tokio::join!(self.hosts(), self.dht(has_hints));
        hosts.and(dht)
    }

    /// Hints that are host names.
    async fn hosts(&self) -> Result<(), Unwanted> {
        for hint in &self.wanted.peers {
            let PeerHint::Host(host, port) = hint else {
                continue;
            };
            if let Some(proxy) = self.stations.options.proxy() {
                match proxy.resolve(host, *port).await {
                    Ok(addr) => self.report(self.wanted.peers_from, vec![addr]).await?,
                    Err(error) => tracing::warn!(
                        "peer {hint}: the proxy {proxy} does not resolve its name ({error}), and \
                         nobody else is asked: name its IP address"
                    ),
                }
                continue;
            }
            let answer =
                timeout(DNS_TIMEOUT, tokio::net::lookup_host((host.as_str(), *port))).await;
            match answer {
                Ok(Ok(addrs)) => {
                    self.report(self.wanted.peers_from, addrs.map(PeerAddr::from).collect())
                        .await?;
                }
                Ok(Err(error)) => tracing::warn!("peer {hint}: its name does not resolve: {error}"),
                Err(_) => tracing::warn!("peer {hint}: its name did not resolve in time"),
            }
        }
        Ok(())
    }

    /// `get_peers` at the nodes closest to the hash, until those have answered, or for as long as the
    /// options say.
    async fn dht(&self, has_hints: bool) -> Result<(), Unwanted> {
        let options = &self.stations.options;
        let (Some(libtorrent), Some(dht)) = (&self.stations.libtorrent, &self.stations.dht) else {
            return Ok(());
        };
        if has_hints {
            // Most hashes that come with peers are done before anybody need be asked.
            sleep(options.fallback_after).await;
        }
        if !libtorrent.dht_ready(options.lookup_timeout).await {
            return Ok(());
        }
        let deadline = Instant::now() + options.lookup_timeout;
        let infohash = NodeId(self.wanted.infohash.wire_id());
        loop {
            dht.learn_nodes(libtorrent).await;
            let mut lookup = dht.lookups().look_up(infohash);
            // Before its first query it may have to wait for others, which says nothing about the hash.
            lookup.begun().await;
            self.send(Found::Begun).await?;
            while let Some(peers) = lookup.next().await {
                self.found(PeerSource::Dht, peers).await?;
            }
            let summary = lookup.summary();
            if summary.answered > 0 || Instant::now() >= deadline {
                return self.send(Found::Dht(summary)).await;
            }
            // None of the nodes that we know is alive: that says nothing about the hash.
            sleep(DHT_PAUSE).await;
        }
    }

    /// Peers that one source named once.
    async fn report(&self, source: PeerSource, peers: Vec<PeerAddr>) -> Result<(), Unwanted> {
        let peers = peers.into_iter().map(|addr| Ranked { addr, reports: 1 });
        self.found(source, peers.collect()).await
    }

    async fn found(&self, source: PeerSource, peers: Vec<Ranked>) -> Result<(), Unwanted> {
        if peers.is_empty() {
            return Ok(());
        }
        let addrs: Vec<PeerAddr> = peers.iter().map(|peer| peer.addr).collect();
        // A database that hangs must not keep good peers from being tried.
        let _ = timeout(STORE_TIMEOUT, self.stations.remember(&addrs)).await;
        self.send(Found::Peers(source, peers)).await
    }

    async fn send(&self, found: Found) -> Result<(), Unwanted> {
        self.found.send(found).await.map_err(|_| Unwanted)
    }
}
