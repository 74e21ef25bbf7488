//! Every misbehaviour at once, and for each hash one peer that serves.

use metafetch::config::Config;
use metafetch::engine::{Engine, Options, Strategy};
use metafetch::torrent::{Infohash, PeerHint};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::swarm::{Behaviour, Swarm, TestTorrent};

const TORRENTS: u64 = 60;
/// Peers of each hash beside the one that serves.
const BAD: usize = 7;

fn options(strategy: Strategy) -> Options {
    let mut config = Config::default();
    config.network.listen = vec![([127, 0, 0, 1], 0).into()];
    config.network.allow_local_peers = true;
    config.engine.strategy = strategy;
    config.engine_options(None, None)
}

/// Resolves all of them in a runtime of its own, where no task may be left in the end.
fn each_hash_resolves(strategy: Strategy) {
    let swarm_runtime = Runtime::new().unwrap();
    let swarm = Swarm::start(91);
    let torrents: Vec<TestTorrent> = (0..TORRENTS)
        .map(|seed| TestTorrent::v1(9_100 + seed, 40_000))
        .collect();
    let (good, bad) = swarm_runtime.block_on(async {
        let mut good = Vec::new();
        for _ in 0..2 {
            good.push(swarm.peer(Behaviour::Honest, &torrents).await);
        }
        let mut bad = Vec::new();
        for (behaviour, _) in Behaviour::all_bad() {
            bad.push(swarm.peer(behaviour, &torrents).await);
        }
        (good, bad)
    });
    let runtime = Runtime::new().unwrap();
    let found = runtime.block_on(async {
        let engine = Engine::start(options(strategy), None).unwrap();
        let (intake, wanted) = mpsc::channel(8);
        let mut results = engine.run(wanted);
        let mut asked = Vec::new();
        for (number, torrent) in torrents.iter().enumerate() {
            let infohash: Infohash = torrent.hex().parse().unwrap();
            let mut wanted = metafetch::engine::Wanted::from(infohash);
            // The one that serves stands anywhere among the others.
            let mut peers: Vec<_> = (0..BAD)
                .map(|at| bad[(number * BAD + at) % bad.len()])
                .collect();
            peers.insert(number % (BAD + 1), good[number % good.len()]);
            wanted.peers = peers
                .into_iter()
                .map(|addr| PeerHint::Addr(addr.into()))
                .collect();
            asked.push(wanted);
        }
        tokio::spawn(async move {
            for wanted in asked {
                intake.send(wanted).await.unwrap();
            }
        });
        let mut found = Vec::new();
        while let Some(resolution) = results.recv().await {
            found.push(resolution);
        }
        engine.shutdown().await;
        found
    });
    assert_eq!(found.len(), torrents.len());
    for resolution in found {
        let hash = resolution.infohash.to_string();
        let torrent = torrents
            .iter()
            .find(|torrent| torrent.hex() == hash)
            .unwrap();
        let resolved = resolution
            .result
            .unwrap_or_else(|failure| panic!("{hash}: {failure:?}"));
        assert!(
            resolved.raw[..] == torrent.info[..],
            "{hash} has other bytes"
        );
    }
    // What was cancelled ends at its next step.
    let metrics = runtime.metrics();
    let began = std::time::Instant::now();
    while metrics.num_alive_tasks() > 0 {
        assert!(
            began.elapsed().as_secs() < 20,
            "{} tasks are left",
            metrics.num_alive_tasks()
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn each_hash_with_a_good_peer_resolves_by_the_direct_arm() {
    each_hash_resolves(Strategy::Direct);
}

#[test]
fn each_hash_with_a_good_peer_resolves_by_both_arms() {
    each_hash_resolves(Strategy::Auto);
}
