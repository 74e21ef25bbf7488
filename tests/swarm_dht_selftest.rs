//! The swarm's DHT, driven with raw sockets: what the black-box tests rely on has to be so.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test client: a fault here is to fail the test"
)]

mod swarm;

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use swarm::wire::{self, Random, Value};
use swarm::{Conduct, DhtMix, DhtOptions, Lie, Swarm, TestTorrent};
use tokio::net::UdpSocket;
use tokio::time::timeout;

async fn ask(socket: &UdpSocket, to: SocketAddr, query: &str, args: Vec<(&str, Value)>) -> Value {
    let mut args = args;
    args.push(("id", Value::bytes([5; 20])));
    let query = Value::dict([
        ("a", Value::dict(args)),
        ("q", Value::bytes(query)),
        ("t", Value::bytes("tt")),
        ("y", Value::bytes("q")),
    ]);
    socket.send_to(&query.encode(), to).await.unwrap();
    let mut buffer = vec![0; 4096];
    let reply = timeout(Duration::from_secs(5), socket.recv_from(&mut buffer)).await;
    let (length, from) = reply.unwrap().unwrap();
    assert_eq!(from, to);
    Value::decode(&buffer[..length]).unwrap().0
}

#[tokio::test]
async fn a_lookup_in_the_dht_converges_on_the_announced_peer() {
    let swarm = Swarm::start(5);
    let dht = swarm.dht(100).await;
    let torrent = TestTorrent::v1(1, 1000);
    let peer: SocketAddr = "127.0.0.1:4711".parse().unwrap();
    dht.announce(&torrent, peer);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let infohash = || vec![("info_hash", Value::bytes(torrent.v1))];

    // The plain iterative lookup: always the closest one not yet asked, from one node on.
    let mut asked = BTreeSet::new();
    let mut candidates = BTreeSet::from([([0xff; 20], dht.bootstrap[0])]);
    let mut found = Vec::new();
    let mut closest = None;
    while found.is_empty() && asked.len() < 40 {
        let next = candidates
            .iter()
            .find(|(_, addr)| !asked.contains(addr))
            .copied();
        let Some((_, addr)) = next else { break };
        asked.insert(addr);
        let reply = ask(&socket, addr, "get_peers", infohash()).await;
        let reply = reply.get("r").unwrap();
        for node in reply.string("nodes").unwrap().chunks(26) {
            let distance: [u8; 20] = std::array::from_fn(|at| node[at] ^ torrent.v1[at]);
            candidates.insert((distance, wire::from_compact(&node[20..]).unwrap()));
        }
        found.extend(reply.list("values").unwrap_or_default().iter().cloned());
        closest = Some((addr, reply.string("token").unwrap().to_vec()));
    }
    assert_eq!(
        found,
        [Value::Bytes(wire::compact(peer))],
        "after {} nodes",
        asked.len()
    );

    let (addr, token) = closest.unwrap();
    let announce = |token: &[u8]| {
        let mut args = infohash();
        args.extend([("port", Value::Int(99)), ("token", Value::bytes(token))]);
        args
    };
    let refused = ask(&socket, addr, "announce_peer", announce(b"wrong")).await;
    assert_eq!(refused.list("e").unwrap()[0], Value::Int(203));
    assert_eq!((dht.announces(), dht.stored(&torrent).len()), (0, 1));
    ask(&socket, addr, "announce_peer", announce(&token)).await;
    assert_eq!(dht.announces(), 1);
    assert!(
        dht.stored(&torrent)
            .contains(&"127.0.0.1:99".parse().unwrap())
    );

    let target = vec![("target", Value::bytes([0; 20]))];
    let samples = ask(&socket, addr, "sample_infohashes", target).await;
    let samples = samples.get("r").unwrap();
    assert_eq!(samples.string("samples"), Some(&torrent.v1[..]));
    assert_eq!(samples.int("num"), Some(1));
    let pong = ask(&socket, addr, "ping", Vec::new()).await;
    assert_eq!(
        pong.get("r").and_then(|r| r.string("id")).map(<[u8]>::len),
        Some(20)
    );
    let unknown = ask(&socket, addr, "dance", Vec::new()).await;
    assert_eq!(unknown.list("e").unwrap()[0], Value::Int(204));
    assert_eq!(dht.queries(), asked.len() as u64 + 5);
}

fn crawl(nodes: usize, interval: Duration) -> DhtOptions {
    DhtOptions {
        nodes,
        mix: DhtMix::CRAWL,
        interval,
        ..DhtOptions::default()
    }
}

#[tokio::test]
async fn two_thousand_nodes_keep_their_shares() {
    let swarm = Swarm::start(8);
    let began = std::time::Instant::now();
    let dht = swarm.dht_with(crawl(2000, Duration::from_secs(60))).await;
    println!("2000 nodes in {:?}", began.elapsed());
    let reports = dht.reports();
    let share = |is: &dyn Fn(Conduct) -> bool| reports.iter().filter(|r| is(r.conduct)).count();
    assert_eq!(share(&|conduct| conduct == Conduct::Dead), 240);
    assert_eq!(share(&|conduct| conduct == Conduct::Slow), 120);
    for lie in Lie::ALL {
        assert_eq!(share(&|conduct| conduct == Conduct::Liar(lie)), 8);
    }
    assert_eq!(reports.iter().filter(|report| report.samples).count(), 1600);
    let crowd = |conduct| conduct == Conduct::Liar(Lie::Crowd);
    let of_others = reports.iter().filter(|report| !crowd(report.conduct));
    let ips: HashSet<_> = of_others.map(|report| report.addr.ip()).collect();
    assert_eq!(ips.len(), 1992, "each on an address of its own");

    let began = std::time::Instant::now();
    let mut random = Random::new(1);
    for _ in 0..20_000 {
        dht.announce_id(random.id(), "127.0.0.1:5".parse().unwrap(), false);
    }
    println!("20000 announces in {:?}", began.elapsed());
    let stored: usize = dht.reports().iter().map(|report| report.stored).sum();
    assert_eq!(stored, 160_000);
}

#[tokio::test]
async fn samples_are_twenty_and_change_with_the_interval() {
    let swarm = Swarm::start(9);
    let interval = Duration::from_secs(1);
    let options = DhtOptions {
        nodes: 1,
        interval,
        ..DhtOptions::default()
    };
    let dht = swarm.dht_with(options).await;
    let mut random = Random::new(2);
    for _ in 0..50 {
        dht.announce_id(random.id(), "127.0.0.1:5".parse().unwrap(), true);
    }
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut seen = BTreeSet::new();
    while seen.len() < 50 {
        let target = vec![("target", Value::bytes([0; 20]))];
        let reply = ask(&socket, dht.bootstrap[0], "sample_infohashes", target).await;
        let reply = reply.get("r").unwrap();
        assert_eq!(
            (reply.int("num"), reply.int("interval")),
            (Some(50), Some(1))
        );
        let samples = reply.string("samples").unwrap();
        assert!(samples.len() <= 400 && samples.len() % 20 == 0);
        seen.extend(samples.chunks(20).map(<[u8]>::to_vec));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(dht.sampled_too_soon() > 0);
    let asked = dht.reports()[0].queries.sample_infohashes;
    assert_eq!(dht.reports()[0].sampled_at.len() as u64, asked);
}

#[tokio::test]
async fn liars_lie_and_a_network_that_is_away_is_silent() {
    let swarm = Swarm::start(10);
    let mix = DhtMix {
        lying: 1000,
        ..DhtMix::HONEST
    };
    let options = DhtOptions {
        nodes: 10,
        mix,
        ..DhtOptions::default()
    };
    let dht = swarm.dht_with(options).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for report in dht.reports() {
        let query = || {
            vec![
                ("target", Value::bytes([7; 20])),
                ("info_hash", Value::bytes([7; 20])),
            ]
        };
        let reply = ask(&socket, report.addr, "get_peers", query()).await;
        let reply = reply.get("r").unwrap();
        let nodes = reply.string("nodes").unwrap();
        match report.conduct {
            Conduct::Liar(Lie::OtherId) => assert_ne!(reply.string("id"), Some(&report.id[..])),
            Conduct::Liar(Lie::Nowhere) => assert_eq!(nodes[..16], [7; 16]),
            Conduct::Liar(Lie::Crowd) => assert_eq!(nodes[20..26], wire::compact(report.addr)),
            Conduct::Liar(Lie::Ghosts) => assert!(reply.list("values").unwrap().len() > 3),
            Conduct::Liar(Lie::Samples) => {
                let reply = ask(&socket, report.addr, "sample_infohashes", query()).await;
                assert_eq!(
                    reply.get("r").unwrap().string("samples").unwrap().len(),
                    400
                );
            }
            other => panic!("{other:?} is no lie"),
        }
    }
    dht.cut_off(true);
    socket
        .send_to(b"d1:ade1:q4:ping1:t1:a1:y1:qe", dht.addrs()[0])
        .await
        .unwrap();
    let mut buffer = [0; 100];
    let answer = socket.recv_from(&mut buffer);
    assert!(timeout(Duration::from_millis(200), answer).await.is_err());
    dht.cut_off(false);
    ask(&socket, dht.addrs()[0], "ping", Vec::new()).await;
}

#[tokio::test]
async fn a_scrape_counts_seeds_apart() {
    let swarm = Swarm::start(11);
    let dht = swarm.dht(1).await;
    for host in 1..=3 {
        dht.announce_id([4; 20], SocketAddr::from(([127, 0, 0, host], 5)), host == 1);
    }
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let query = vec![
        ("info_hash", Value::bytes([4; 20])),
        ("scrape", Value::Int(1)),
    ];
    let reply = ask(&socket, dht.bootstrap[0], "get_peers", query).await;
    let reply = reply.get("r").unwrap();
    let ones = |key| -> u32 {
        let filter = reply.string(key).unwrap();
        assert_eq!(filter.len(), 256);
        filter.iter().map(|byte| byte.count_ones()).sum()
    };
    assert_eq!((ones("BFsd"), ones("BFpe")), (2, 4));
}
