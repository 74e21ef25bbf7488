//! Lookups over UDP, in a DHT of 2,000 nodes of which many are dead, slow, or lie.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a fault here is to fail the test"
)]

mod swarm;
mod udp_owner;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use futures_util::StreamExt as _;
use metafetch::discovery::dht::Dht;
use metafetch::discovery::lookup::{LookupOptions, Lookups, Nodes, Ranked, Summary};
use metafetch::wire::krpc::{NodeAddr, NodeId};
use swarm::wire::Random;
use swarm::{Conduct, DhtMix, DhtOptions, Swarm};
use tokio::sync::mpsc;

/// Lookups that know a few nodes of this DHT.
fn lookups(dht: &swarm::Dht, scrape: bool) -> Lookups {
    let (sender, queries) = mpsc::channel(1024);
    tokio::spawn(udp_owner::serve(queries));
    let known = Nodes::default();
    let reports = dht.reports();
    let live = reports
        .iter()
        .filter(|report| report.conduct == Conduct::Honest);
    for report in live.step_by(reports.len() / 50) {
        known.add(NodeAddr {
            id: NodeId(report.id),
            addr: report.addr.into(),
        });
    }
    let options = LookupOptions {
        allow_local: true,
        scrape,
        ..LookupOptions::default()
    };
    Lookups::new(Dht::new(sender), options, known)
}

async fn all(lookups: &Lookups, hash: [u8; 20]) -> (Vec<Ranked>, Summary) {
    let mut lookup = lookups.look_up(NodeId(hash));
    let mut found: Vec<Ranked> = Vec::new();
    while let Some(peers) = lookup.next().await {
        found.retain(|known| peers.iter().all(|peer| peer.addr != known.addr));
        found.extend(peers);
    }
    (found, lookup.summary())
}

#[tokio::test(flavor = "multi_thread")]
async fn ninety_eight_of_a_hundred_stored_peers_are_found() {
    let swarm = Swarm::start(30);
    let options = DhtOptions {
        nodes: 2000,
        mix: DhtMix::CRAWL,
        ..DhtOptions::default()
    };
    let dht = swarm.dht_with(options).await;
    let lookups = lookups(&dht, false);
    let mut random = Random::new(1);
    let hashes: Vec<_> = (0..300).map(|_| random.id()).collect();
    for (at, hash) in hashes.iter().enumerate().filter(|(at, _)| at % 3 != 0) {
        for host in 1..=5 {
            let at = u8::try_from(at % 256).unwrap();
            dht.announce_id(*hash, SocketAddr::from(([127, 1, at, host], 6881)), false);
        }
    }
    let (mut stored, mut found, mut asked, mut wrong_ids) = (0, 0, 0, 0);
    let mut results = futures_util::stream::iter(&hashes)
        .map(|hash| {
            let lookups = lookups.clone();
            async move { (*hash, all(&lookups, *hash).await) }
        })
        .buffer_unordered(20);
    while let Some((hash, (peers, summary))) = results.next().await {
        assert!(summary.converged && summary.answered >= 8, "{summary:?}");
        let all = dht.stored_id(hash);
        let real = |peer: &&Ranked| peer.reports > 0;
        let peers: BTreeSet<_> = peers
            .iter()
            .filter(real)
            .map(|p| p.addr.socket_addr())
            .collect();
        stored += all.len();
        found += all.intersection(&peers).count();
        asked += summary.asked;
        wrong_ids += summary.wrong_ids;
    }
    println!("{found} of {stored} peers, {asked} queries, {wrong_ids} wrong ids");
    assert!(found * 100 >= stored * 98, "{found} of {stored} peers");
    assert!(asked < 300 * 40, "{asked} queries");
    assert!(wrong_ids > 0, "liars were met");
    assert_eq!(dht.announces(), 0, "looking for peers does not announce us");
    assert!(
        dht.reports()
            .iter()
            .all(|report| report.queries.all() == report.queries.get_peers)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_counts_the_peers_of_all_nodes() {
    let swarm = Swarm::start(31);
    let dht = swarm.dht(200).await;
    let lookups = lookups(&dht, true);
    for host in 1..=40 {
        dht.announce_id(
            [3; 20],
            SocketAddr::from(([127, 1, 1, host], 1)),
            host <= 10,
        );
    }
    let (peers, summary) = all(&lookups, [3; 20]).await;
    assert_eq!((peers.len(), summary.peers), (40, 40));
    let close = |estimate: Option<u32>, real: u32| estimate.is_some_and(|e| e.abs_diff(real) <= 2);
    assert!(
        close(summary.seeds, 10) && close(summary.leeches, 30),
        "{summary:?}"
    );
    let (_, summary) = all(&lookups, [4; 20]).await;
    assert_eq!(
        (summary.seeds, summary.leeches),
        (None, None),
        "nobody said"
    );
}
