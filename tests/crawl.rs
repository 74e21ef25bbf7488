//! The crawl over a libtorrent session's socket, in a DHT of 2,000 nodes of which many are dead, slow,
//! or lie.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a fault here is to fail the test"
)]

mod swarm;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use metafetch::discovery::crawl::{Crawl, CrawlOptions, Discovered, DiscoverySource};
use metafetch::discovery::dht::{Dht, DhtLimits};
use metafetch::libtorrent::{DhtSettings, Libtorrent, Settings};
use metafetch::wire::krpc::NodeId;
use swarm::wire::Random;
use swarm::{DhtMix, DhtOptions, Swarm};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

/// A crawl over a real session, in a DHT that stores torrents.
struct Run {
    swarm_dht: swarm::Dht,
    crawl: Crawl,
    hashes: mpsc::Receiver<Discovered>,
    stored: HashSet<NodeId>,
    found: HashSet<NodeId>,
    arm: Libtorrent,
    _swarm: Swarm,
    _hungry: watch::Sender<f32>,
}

impl Run {
    async fn start(torrents: usize, interval: u64, options: CrawlOptions) -> Self {
        let swarm = Swarm::start(51);
        let swarm_dht = swarm
            .dht_with(DhtOptions {
                nodes: 2000,
                mix: DhtMix::CRAWL,
                interval: Duration::from_secs(interval),
                ..DhtOptions::default()
            })
            .await;
        let mut random = Random::new(7);
        let stored: HashSet<NodeId> = (0..torrents).map(|_| NodeId(random.id())).collect();
        for hash in &stored {
            swarm_dht.announce_id(hash.0, SocketAddr::from(([127, 1, 2, 3], 6881)), false);
        }
        let bootstrap = swarm_dht.bootstrap.iter().map(SocketAddr::to_string);
        let arm = Libtorrent::open(&Settings {
            dht: Some(DhtSettings::new(bootstrap.collect())),
            ..Settings::loopback()
        })
        .unwrap();
        let (dht, owner) = Dht::open(&DhtLimits::none(), true);
        arm.serve_dht(owner);
        assert!(arm.dht_ready(Duration::from_secs(30)).await);
        let (hungry, wants) = watch::channel(1.0);
        let options = CrawlOptions {
            allow_local: true,
            ..options
        };
        let (crawl, hashes) = Crawl::start(dht, Vec::new(), options, wants);
        crawl.add_nodes(arm.dht_live_nodes().await);
        Self {
            swarm_dht,
            crawl,
            hashes,
            stored,
            found: HashSet::new(),
            arm,
            _swarm: swarm,
            _hungry: hungry,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a share of thousands")]
    fn share_found(&self) -> f64 {
        self.stored.intersection(&self.found).count() as f64 / self.stored.len() as f64
    }

    /// Takes hashes until `share` of what is stored is found, or for so long.
    async fn find(&mut self, share: f64, time: Duration) {
        let end = Instant::now() + time;
        while self.share_found() < share {
            // Those that the routing table began with may all be dead or lie: as the command does,
            // name more while few are known.
            if self.crawl.counters().nodes < 200 {
                self.crawl.add_nodes(self.arm.dht_live_nodes().await);
            }
            let second = (Instant::now() + Duration::from_secs(1)).min(end);
            let Ok(next) = timeout_at(second, self.hashes.recv()).await else {
                if Instant::now() >= end {
                    return;
                }
                continue;
            };
            let next = next.unwrap();
            assert_eq!(next.source, DiscoverySource::Sample);
            assert!(self.found.insert(next.infohash), "each comes once");
        }
    }

    /// What all can see afterwards: nobody was asked too soon, and few queries were useless.
    #[expect(clippy::cast_precision_loss, reason = "a share of thousands")]
    async fn check(&self) {
        let counters = self.crawl.counters();
        let false_hashes = self.found.difference(&self.stored).count();
        println!(
            "{:.1} % found, {false_hashes} false, {} queries\n{counters:#?}",
            100.0 * self.share_found(),
            counters.queries(),
        );
        assert_eq!(self.swarm_dht.sampled_too_soon(), 0);
        assert!((counters.useless_queries as f64) < 0.05 * counters.queries() as f64);
        // A liar is believed no more than once.
        assert!(false_hashes <= 8 * 20, "{false_hashes}");
        self.arm.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_torrents_of_a_dht_are_found_over_one_session() {
    let options = CrawlOptions {
        rate: 500.0,
        first_rate: 200.0,
        node_interval: Duration::from_secs(5),
        min_sample_interval: Duration::from_secs(5),
        ..CrawlOptions::default()
    };
    let mut run = Run::start(4_000, 5, options).await;
    // As long as the machine needs: what is judged is that all comes, and what was asked for it.
    run.find(0.95, Duration::from_secs(280)).await;
    assert!(run.share_found() >= 0.95, "{}", run.share_found());
    run.check().await;
}

/// `cargo nextest run --run-ignored only -E 'test(ten_minutes_at_the_default_pace)' --no-capture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes ten minutes"]
async fn ten_minutes_at_the_default_pace_find_95_of_100_of_20000_torrents() {
    let mut run = Run::start(20_000, 60, CrawlOptions::default()).await;
    run.find(1.1, Duration::from_secs(600)).await;
    assert!(run.share_found() >= 0.95, "{}", run.share_found());
    run.check().await;
}
