//! Peers, trackers and a DHT node, each behind a tap.

use std::net::SocketAddr;

use crate::command::Resolve;
use crate::swarm::{Behaviour, Dht, Swarm, TestTorrent, Tracker};
use crate::tap::{Received, Tap};

/// Torrents of which one is found by a hint, one by each tracker, one by the DHT.
pub(crate) struct Network {
    pub(crate) torrents: Vec<TestTorrent>,
    pub(crate) peer: Tap,
    pub(crate) http: Tap,
    pub(crate) udp: Tap,
    pub(crate) dht: Tap,
    _swarm: Swarm,
    _dht: Dht,
    _trackers: [Tracker; 2],
}

impl Network {
    /// Of the DHT's nodes the first one is behind a tap. libtorrent takes no node that it bootstraps from
    /// for one to ask, so without a proxy it takes a second one.
    pub(crate) async fn start(seed: u64, behaviour: Behaviour, dht_nodes: usize) -> Self {
        let swarm = Swarm::start(seed);
        let torrents: Vec<_> = (0..4)
            .map(|number| TestTorrent::v1(seed * 100 + number, 40_000))
            .collect();
        let peer = Tap::before(swarm.peer(behaviour, &torrents).await).await;
        let http = swarm.http_tracker().await;
        let udp = swarm.udp_tracker().await;
        let dht = swarm.dht(dht_nodes).await;
        http.announce(&torrents[1], peer.addr);
        udp.announce(&torrents[2], peer.addr);
        dht.announce(&torrents[3], peer.addr);
        Self {
            peer,
            http: Tap::before(of_url(&http.url)).await,
            udp: Tap::before(of_url(&udp.url)).await,
            dht: Tap::before(dht.bootstrap[0]).await,
            torrents,
            _swarm: swarm,
            _dht: dht,
            _trackers: [http, udp],
        }
    }

    /// Resolves all torrents, with all sources there are, and one at a time. `named`: trackers and
    /// the router go by names that only a proxy knows.
    pub(crate) fn resolve(&self, strategy: &str, named: bool) -> Resolve {
        let host = |name: &str, tap: &Tap| {
            if named {
                format!("{name}.test:{}", tap.addr.port())
            } else {
                tap.addr.to_string()
            }
        };
        let hinted = self.torrents[0].magnet(&[self.peer.addr], &[]);
        let mut resolve = Resolve::new()
            .strategy(strategy)
            .tracker(&format!("http://{}/announce", host("http", &self.http)))
            .tracker(&format!("udp://{}/announce", host("udp", &self.udp)))
            .bootstrap_at(&host("router", &self.dht))
            .arg(hinted);
        for torrent in &self.torrents[1..] {
            resolve = resolve.arg(torrent.hex());
        }
        resolve
    }

    /// Everything that anybody received.
    pub(crate) fn received(&self) -> Vec<Received> {
        let taps = [&self.peer, &self.http, &self.udp, &self.dht];
        taps.iter().flat_map(|tap| tap.received()).collect()
    }
}

fn of_url(url: &str) -> SocketAddr {
    let host = url.split('/').nth(2).unwrap();
    host.parse().unwrap()
}
