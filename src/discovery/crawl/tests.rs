mod network;

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::network::{Conduct, Network, Shared};
use super::*;
use crate::discovery::dht::{AskError, DhtLimits, Observed, ObservedKind};
use crate::discovery::lookup::{Family, Nodes};
use crate::torrent::PeerAddr;
use crate::wire::krpc::KrpcError;

/// A crawl over a network in memory.
struct Run {
    network: Shared,
    dht: Dht,
    crawl: Crawl,
    hashes: mpsc::Receiver<Discovered>,
    found: HashSet<NodeId>,
    hungry: watch::Sender<f32>,
}

impl Run {
    fn start(network: Network, options: CrawlOptions) -> Self {
        let known = network.some_nodes(4);
        let (dht, network) = network.serve();
        let run = Self::over(dht, network, Vec::new(), options);
        run.crawl.add_nodes(known);
        run
    }

    fn over(dht: Dht, network: Shared, nodes: Vec<NodeRecord>, options: CrawlOptions) -> Self {
        let (hungry, wants) = watch::channel(1.0);
        let (crawl, hashes) = Crawl::start(dht.clone(), nodes, options, wants);
        Self {
            network,
            dht,
            crawl,
            hashes,
            found: HashSet::new(),
            hungry,
        }
    }

    /// Takes what is discovered for so long.
    async fn take_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Ok(Some(discovered)) = timeout_at(end, self.hashes.recv()).await {
            assert_eq!(discovered.source, DiscoverySource::Sample);
            assert!(self.found.insert(discovered.infohash), "each comes once");
        }
    }

    fn away(&self, away: bool) {
        self.network.lock().unwrap().away = away;
    }

    fn sample_queries(&self) -> usize {
        self.network.lock().unwrap().seen.sample_queries
    }

    /// The share of the torrents that can be found which were.
    #[expect(clippy::cast_precision_loss, reason = "a share of thousands")]
    fn share_found(&self) -> f64 {
        let findable = self.network.lock().unwrap().findable();
        findable.intersection(&self.found).count() as f64 / findable.len() as f64
    }
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

#[tokio::test(start_paused = true)]
#[expect(clippy::cast_precision_loss, reason = "a share of thousands")]
async fn nearly_all_of_a_network_of_2000_nodes_is_found_in_ten_minutes_politely() {
    let network = Network::new(2_000, 20_000, 1);
    let mut run = Run::start(network, CrawlOptions::default());
    run.take_for(minutes(10)).await;
    let found = run.share_found();
    let counters = run.crawl.counters();
    let network = run.network.lock().unwrap();
    let seen = &network.seen;
    let useless = seen.useless as f64 / seen.queries as f64;
    let missed = seen.handed_out.difference(&run.found).count();
    let lying = |node: &&network::Node| {
        !matches!(
            node.conduct,
            Conduct::Honest | Conduct::Slow | Conduct::Dead
        )
    };
    println!(
        "{:.1} % found, {missed} handed out but not found, {} queries, {:.2} % useless, {} to nowhere, {} \
         too early, {} liars\n{counters:#?}",
        100.0 * found,
        seen.queries,
        100.0 * useless,
        seen.nowhere,
        seen.too_early,
        network.nodes.iter().filter(lying).count(),
    );
    assert!(found > 0.95, "{found}");
    assert_eq!((seen.too_early, seen.unheard), (0, 0));
    assert!(useless < 0.05, "{useless}");
    assert!((counters.useless_queries as f64) < 0.05 * counters.queries() as f64);
    let invented = run.found.difference(&seen.handed_out).count();
    assert!(invented < 100, "{invented}");
}

#[tokio::test(start_paused = true)]
async fn a_network_that_is_away_for_five_minutes_costs_no_node() {
    let mut run = Run::start(Network::new(300, 3_000, 2), CrawlOptions::default());
    run.take_for(minutes(5)).await;
    let before = run.crawl.counters();
    assert!(before.good > 150, "{before:?}");

    run.away(true);
    run.take_for(minutes(1)).await;
    assert!(run.crawl.counters().away);
    let asked = run.sample_queries();
    run.take_for(minutes(4)).await;
    assert_eq!(
        run.sample_queries(),
        asked,
        "nobody's samples are put off in vain"
    );
    assert_eq!(run.crawl.counters().nodes, before.nodes);

    run.away(false);
    run.take_for(minutes(10)).await;
    let after = run.crawl.counters();
    assert!(!after.away);
    assert!(after.nodes + 10 >= before.nodes, "{after:?}");
    assert!(after.liars <= 6, "only those that lie: {after:?}");
    // Some of the slow ones answer too late too often.
    assert!(after.bad < 10, "{after:?}");
    assert!(run.share_found() > 0.95);
    assert_eq!(run.network.lock().unwrap().seen.too_early, 0);
}

#[tokio::test(start_paused = true)]
async fn a_network_that_comes_and_goes_is_told_once_a_minute() {
    let mut state = State::new(Vec::new(), CrawlOptions::default());
    let mut said = 0;
    for _ in 0..60 {
        state.network(true);
        assert!(state.pace.is_away());
        said += u32::from(state.said_away);
        tokio::time::advance(Duration::from_secs(1)).await;
        state.network(false);
        assert!(!state.said_away, "the end is told with it");
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(said, 2);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_want_hashes_gets_none_and_who_does_not_take_them_stops_the_sampling() {
    let options = CrawlOptions {
        pending: 1_000,
        ..CrawlOptions::default()
    };
    let mut run = Run::start(Network::new(300, 20_000, 3), options);
    run.hungry.send(0.0).unwrap();
    run.take_for(minutes(3)).await;
    assert_eq!((run.sample_queries(), run.found.len()), (0, 0));
    let queries = run.network.lock().unwrap().seen.queries;
    assert!(
        (10..=200).contains(&queries),
        "{queries}: in touch, no more"
    );

    run.hungry.send(1.0).unwrap();
    sleep(minutes(1)).await;
    let asked = run.sample_queries();
    sleep(minutes(4)).await;
    assert_eq!(run.sample_queries(), asked, "what waits is enough");
    let counters = run.crawl.counters();
    assert!(
        (1_000..=2_000).contains(&counters.pending),
        "{}",
        counters.pending
    );
    assert_eq!(counters.overflowed, 0);

    run.take_for(minutes(5)).await;
    assert!(run.sample_queries() > asked);
}

#[tokio::test(start_paused = true)]
async fn a_restart_needs_no_other_nodes_and_asks_nobody_too_early() {
    let mut run = Run::start(Network::new(300, 3_000, 4), CrawlOptions::default());
    run.take_for(minutes(4)).await;
    let saved = run.crawl.nodes_to_save();
    let nodes = saved.len();
    assert!(nodes > 150, "{nodes}");
    let asked = run.sample_queries();
    let Run {
        network,
        dht,
        crawl,
        mut hashes,
        found,
        ..
    } = run;
    drop(crawl);
    while hashes.recv().await.is_some() {}

    let mut run = Run::over(dht, network, saved, CrawlOptions::default());
    run.take_for(minutes(6)).await;
    assert!(run.sample_queries() > asked);
    let counters = run.crawl.counters();
    assert!(counters.nodes + 10 >= nodes, "{counters:?}");
    run.found.extend(found);
    assert!(run.share_found() > 0.95);
    assert_eq!(run.network.lock().unwrap().seen.too_early, 0);
}

#[tokio::test(start_paused = true)]
async fn live_nodes_are_told_to_lookups() {
    let live = Nodes::new(10_000);
    let options = CrawlOptions {
        live: Some(live.clone()),
        ..CrawlOptions::default()
    };
    let mut run = Run::start(Network::new(300, 300, 5), options);
    run.take_for(minutes(5)).await;
    let point = NodeId([0x77; 20]);
    let closest = live.closest(&point, 8, Family::V4);
    assert_eq!(closest.len(), 8);
    let answering = run.crawl.closest(&point, 300);
    assert!(closest.iter().all(|node| answering.contains(node)));
    let network = run.network.lock().unwrap();
    let honest = |node: &&network::Node| {
        !matches!(node.conduct, Conduct::Dead | Conduct::OtherId)
            && closest
                .iter()
                .any(|near| near.addr == node.addr && near.id == node.id)
    };
    assert_eq!(network.nodes.iter().filter(honest).count(), 8);
}

#[tokio::test(start_paused = true)]
async fn announces_come_before_what_others_look_for_and_floods_are_cut_off() {
    let (dht, owner) = Dht::open(&DhtLimits::none(), false);
    let (_hungry, wants) = watch::channel(1.0);
    let (crawl, mut hashes) = Crawl::start(dht, Vec::new(), CrawlOptions::default(), wants);
    let observed = |number: u16, from: PeerAddr, id: u8, kind| {
        let mut infohash = [0x5a; 20];
        infohash[..2].copy_from_slice(&number.to_be_bytes());
        owner.observed.send(Observed {
            kind,
            infohash: NodeId(infohash),
            from,
            node: NodeId([id; 20]),
        });
    };
    for number in 0..1_000 {
        observed(
            number,
            "8.8.8.8:6881".parse().unwrap(),
            0xa5,
            ObservedKind::GetPeers,
        );
    }
    for ip in 0..50 {
        let from = PeerAddr::new([9, 9, ip, 9].into(), 6881);
        observed(
            2_000 + u16::from(ip),
            from,
            ip,
            ObservedKind::AnnouncePeer { port: 51413 },
        );
    }
    sleep(Duration::from_secs(1)).await;
    let mut sources = Vec::new();
    while let Ok(Some(next)) = timeout(Duration::from_secs(1), hashes.recv()).await {
        let peers = match next.source {
            DiscoverySource::Announce => vec![PeerAddr::new(next.from.ip(), 51413)],
            _ => Vec::new(),
        };
        assert_eq!(next.peers, peers);
        sources.push(next.source);
    }
    let of = |source| sources.iter().filter(|one| **one == source).count();
    assert_eq!(of(DiscoverySource::Announce), 50);
    assert_eq!(
        of(DiscoverySource::GetPeers),
        60,
        "of 1,000 from one address"
    );
    // Some had left before the first announce came.
    let early = sources
        .iter()
        .take(70)
        .filter(|one| **one == DiscoverySource::Announce);
    assert_eq!(early.count(), 50);
    let counters = crawl.counters();
    assert_eq!((counters.observed, counters.flood), (1_050, 940));
    assert_eq!(counters.nodes, 51, "whoever asks is a node");
    drop(owner);
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_dht_node_and_with_its_handle() {
    let (dht, owner) = Dht::open(&DhtLimits::none(), false);
    let (_hungry, wants) = watch::channel(1.0);
    let start = || {
        Crawl::start(
            dht.clone(),
            Vec::new(),
            CrawlOptions::default(),
            wants.clone(),
        )
    };
    let (crawl, mut hashes) = start();
    drop(crawl);
    assert_eq!(hashes.recv().await, None);

    let (crawl, mut hashes) = start();
    crawl.add_nodes([NodeAddr {
        id: NodeId([1; 20]),
        addr: "8.8.8.8:1".parse().unwrap(),
    }]);
    drop(owner);
    assert_eq!(hashes.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn without_samples_it_only_gets_to_know_nodes() {
    let options = CrawlOptions {
        samples: false,
        ..CrawlOptions::default()
    };
    let mut run = Run::start(Network::new(200, 1_000, 1), options);
    run.take_for(minutes(2)).await;
    assert_eq!((run.sample_queries(), run.found.len()), (0, 0));
    assert!(run.crawl.counters().nodes > 50);
}

#[tokio::test(start_paused = true)]
async fn nodes_without_samples_take_no_room_from_those_with_them_and_count_once() {
    let options = CrawlOptions {
        visited_nodes: 100,
        ..CrawlOptions::default()
    };
    let mut state = State::new(Vec::new(), options);
    let hour = 3_600_000;
    for number in 0..1_000_u16 {
        let [high, low] = number.to_be_bytes();
        let addr = PeerAddr::new([8, high, low, 8].into(), 6881);
        let mut id = [low; 20];
        id[1] = high;
        state.meet(
            NodeAddr {
                id: NodeId(id),
                addr,
            },
            None,
        );
        let now = state.clock.now_ms();
        let ask = state::Ask {
            addr,
            target: NodeId([9; 20]),
            kind: state::AskKind::Samples { at_ms: 0 },
            was_good: false,
            sent_ms: now,
        };
        let unknown = KrpcError::Error {
            code: 204,
            text: "method unknown".to_owned(),
        };
        state.result(&ask, Err(AskError::Node(unknown)));
        let node = state.frontier.get_mut(&addr).unwrap().clone();
        assert!(
            node.record.next_sample_at_ms - now > 71 * hour,
            "in the frontier"
        );
        assert!(state.visited.until_ms(&addr, &node.record.id, now).unwrap() - now < 2 * hour);
        state.frontier.remove(&addr);
        state.meet(node.addr(), None);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(state.visited.has_room(state.clock.now_ms()), "{number}");
    }
    let named = state.counters.named;
    assert_eq!((named.new, named.again), (1_000, 1_000));
}
