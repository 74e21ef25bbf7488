//! Lookups on a loopback DHT of 2,000 nodes, of which 12 % are dead, 6 % slow and 2 % lie: the share of
//! stored peers that is found, queries and time for each lookup, and lookups for each second of
//! processor time. `cargo bench --bench lookup`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "a measurement: a fault here is to stop it"
)]

#[path = "../tests/swarm/mod.rs"]
mod swarm;
#[path = "../tests/udp_owner/mod.rs"]
mod udp_owner;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use metafetch::discovery::dht::Dht;
use metafetch::discovery::lookup::{LookupOptions, Lookups, Nodes};
use metafetch::wire::krpc::{NodeAddr, NodeId};
use swarm::wire::Random;
use swarm::{Conduct, DhtMix, DhtOptions, Swarm};
use tokio::sync::mpsc;

const NODES: usize = 2000;
const HASHES: usize = 2000;
/// Nodes that a routing table of this network has.
const KNOWN: usize = 70;

fn main() {
    // The network has a core of its own.
    let network = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let own = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let swarm = Swarm::start(1);
    for (latency_ms, at_once) in [(0, 1), (0, 100), (100, 20), (100, 200)] {
        let options = DhtOptions {
            nodes: NODES,
            mix: DhtMix::CRAWL,
            latency: Duration::from_millis(latency_ms),
            ..DhtOptions::default()
        };
        let dht = network.block_on(async { swarm.dht_with(options).await });
        let mut random = Random::new(2);
        let hashes: Vec<[u8; 20]> = (0..HASHES).map(|_| random.id()).collect();
        for hash in &hashes {
            for _ in 0..5 {
                let [a, b, c, port, ..] = random.id();
                let peer = ([127, a, b, c], 1024 + u16::from(port));
                dht.announce_id(*hash, SocketAddr::from(peer), false);
            }
        }
        let run = own.block_on(look_all_up(&dht, &hashes, at_once));
        println!("answers after {latency_ms} ms, {at_once} lookups at a time: {run}");
    }
    network.shutdown_background();
}

async fn look_all_up(dht: &swarm::Dht, hashes: &[[u8; 20]], at_once: usize) -> String {
    let (sender, queries) = mpsc::channel(1024);
    let owner = tokio::spawn(udp_owner::serve(queries));
    let known = Nodes::default();
    let reports = dht.reports();
    let live = reports
        .iter()
        .filter(|report| report.conduct != Conduct::Dead);
    for report in live.step_by(NODES / KNOWN) {
        known.add(NodeAddr {
            id: NodeId(report.id),
            addr: report.addr.into(),
        });
    }
    let options = LookupOptions {
        allow_local: true,
        ..LookupOptions::default()
    };
    let lookups = Lookups::new(Dht::new(sender), options, known);
    let (began, busy) = (Instant::now(), busy());
    let results: Vec<_> = futures_util::stream::iter(hashes)
        .map(|hash| {
            let lookups = lookups.clone();
            async move {
                let began = Instant::now();
                let mut lookup = lookups.look_up(NodeId(*hash));
                let mut found = BTreeSet::new();
                while let Some(peers) = lookup.next().await {
                    found.extend(peers.iter().map(|peer| peer.addr.socket_addr()));
                }
                (*hash, found, lookup.summary(), began.elapsed())
            }
        })
        .buffer_unordered(at_once)
        .collect()
        .await;
    let (wall, busy) = (began.elapsed(), self::busy().saturating_sub(busy));
    owner.abort();
    let (mut stored, mut found, mut asked, mut converged) = (0, 0, 0, 0);
    let mut times = Vec::new();
    for (hash, peers, summary, time) in results {
        let all = dht.stored_id(hash);
        stored += all.len();
        found += all.intersection(&peers).count();
        asked += summary.asked;
        converged += u32::from(summary.converged);
        times.push(time);
    }
    times.sort_unstable();
    let count = hashes.len() as f64;
    format!(
        "{:.2} % of peers found, {:.1} % converged, {:.1} queries each, {:.0?} median, {:.0?} p90, \
         {:.0} lookups/s, {:.0} lookups and {:.0} queries per second of processor time",
        100.0 * found as f64 / stored as f64,
        100.0 * f64::from(converged) / count,
        f64::from(asked) / count,
        times[times.len() / 2],
        times[times.len() * 9 / 10],
        count / wall.as_secs_f64(),
        count / busy.as_secs_f64(),
        f64::from(asked) / busy.as_secs_f64(),
    )
}

/// How long this thread has had the processor.
fn busy() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}
