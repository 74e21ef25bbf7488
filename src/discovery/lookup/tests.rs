//! Lookups in an honest network, and among hostile nodes.

mod network;

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::mpsc;
use tokio::time::sleep;

use self::network::{HASH, Network, addr, answer, mixed, near, node, peer};
use super::*;
use crate::wire::krpc::NodeAddr;

/// All that a lookup says.
async fn all(mut lookup: Lookup) -> (HashMap<PeerAddr, u32>, Summary) {
    let mut peers = HashMap::new();
    while let Some(found) = lookup.next().await {
        peers.extend(found.iter().map(|peer| (peer.addr, peer.reports)));
    }
    (peers, lookup.summary())
}

#[tokio::test(start_paused = true)]
async fn every_stored_peer_is_found_and_ranked() {
    let mut network = Network::of(1000);
    network.peers = (1..=5).map(peer).collect();
    let closest = network.closest(&HASH, 1)[0].id.shared_bits(&HASH);
    let lookups = network.lookups(LookupOptions::default());
    let (peers, summary) = all(lookups.look_up(HASH)).await;
    assert_eq!(peers, (1..=5).map(|number| (peer(number), 8)).collect());
    assert!(summary.converged);
    assert_eq!((summary.peers, summary.closest), (5, Some(closest)));
    assert!((8..60).contains(&summary.asked), "{summary:?}");
    // Those that were still to answer when it was over were not waited for.
    assert!(summary.asked - summary.answered < 8, "{summary:?}");
    assert!(
        lookups.nodes().len() > 10,
        "those that answered are known now"
    );
}

#[tokio::test(start_paused = true)]
async fn that_nobody_has_it_is_known_at_once_and_for_a_while() {
    let network = Network::of(300);
    let asked = Arc::clone(&network.asked);
    let lookups = network.lookups(LookupOptions::default());
    let began = Instant::now();
    let (peers, summary) = all(lookups.look_up(HASH)).await;
    assert!(peers.is_empty() && summary.converged && summary.answered >= 8);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    let before = asked.load(Ordering::Relaxed);
    assert_eq!(all(lookups.look_up(HASH)).await, (peers, summary));
    assert_eq!(
        asked.load(Ordering::Relaxed),
        before,
        "nobody is asked again"
    );
    tokio::time::advance(Duration::from_secs(61)).await;
    all(lookups.look_up(HASH)).await;
    let after = asked.load(Ordering::Relaxed);
    assert!(after > before);
    lookups.forget(&HASH);
    all(lookups.look_up(HASH)).await;
    assert!(asked.load(Ordering::Relaxed) > after);
}

#[tokio::test(start_paused = true)]
async fn dead_nodes_are_passed_by() {
    let mut network = Network::of(500);
    network.peers = vec![peer(1)];
    let closest = network.closest(&HASH, 4);
    let number = |wanted: &NodeAddr| network.nodes.iter().position(|node| node == wanted);
    let closest: Vec<usize> = closest.iter().filter_map(number).collect();
    network.dead = (0..500)
        .filter(|number| mixed(*number).is_multiple_of(3))
        .chain(closest)
        .collect();
    let lookups = network.lookups(LookupOptions::default());
    let (peers, summary) = all(lookups.look_up(HASH)).await;
    assert!(
        summary.converged && summary.answered < summary.asked,
        "{summary:?}"
    );
    assert!(
        peers.get(&peer(1)).is_some_and(|reports| *reports >= 1),
        "{peers:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_network_without_answers_ends_too() {
    let mut network = Network::of(50);
    network.dead = (0..50).collect();
    let lookups = network.lookups(LookupOptions::default());
    let (_, summary) = all(lookups.look_up(HASH)).await;
    assert_eq!((summary.answered, summary.converged), (0, false));
    assert!(lookups.nodes().is_empty(), "the dead are forgotten");
    let (_, summary) = all(lookups.look_up(HASH)).await;
    assert_eq!(
        summary,
        Summary::default(),
        "and there is nobody left to ask"
    );
}

#[tokio::test(start_paused = true)]
async fn slow_nodes_hold_nothing_up_but_the_deadline_does() {
    let forever = |_: &NodeAddr| Some((Duration::from_millis(1900), Vec::new()));
    let network = Network::hostile(200, 200, forever);
    let options = LookupOptions {
        deadline: Duration::from_secs(3),
        ..LookupOptions::default()
    };
    let began = Instant::now();
    let (_, summary) = all(network.lookups(options).look_up(HASH)).await;
    assert!(!summary.converged && summary.answered == 0);
    assert!(began.elapsed() <= Duration::from_secs(3));
}

/// Nodes that name nodes closer still, each on an address of its own and as it says, without end.
fn closer_and_closer(from: u32, to: u32) -> Network {
    let count = AtomicU32::new(0);
    Network::hostile(500, 3, move |asked| {
        // A made-up node's address holds the bits that its id shares, and a number.
        let number = match asked.addr.ip() {
            std::net::IpAddr::V4(ip) => ip.octets(),
            std::net::IpAddr::V6(_) => [0; 4],
        };
        let made_up = number[0] >= 64;
        let bits = if made_up {
            u32::from(number[0]) - 64 + from
        } else {
            from
        };
        let salt = |number: [u8; 4]| u64::from(u32::from_be_bytes(number)) << 3;
        let id = if made_up {
            near(bits, salt(number))
        } else {
            asked.id
        };
        let next = (bits + u32::from(made_up)).min(to);
        let nodes: Vec<NodeAddr> = (0..8)
            .map(|_| {
                let [.., high, low] = count.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                let first = u8::try_from(next - from + 64).unwrap();
                let ip = [first, high, low, 1];
                NodeAddr {
                    id: near(next, salt(ip)),
                    addr: PeerAddr::new(ip.into(), 1),
                }
            })
            .collect();
        Some((Duration::from_millis(10), answer(id, &nodes, &[])))
    })
}

#[tokio::test(start_paused = true)]
async fn made_up_nodes_closer_and_closer_do_not_hide_the_honest_ones() {
    let mut network = closer_and_closer(50, 100);
    network.peers = vec![peer(1)];
    let (peers, summary) = all(network.lookups(LookupOptions::default()).look_up(HASH)).await;
    assert!(summary.converged && summary.asked < 100, "{summary:?}");
    assert_eq!(peers.keys().copied().collect::<Vec<_>>(), [peer(1)]);
}

#[tokio::test(start_paused = true)]
async fn an_endless_trail_ends() {
    let network = closer_and_closer(20, 47);
    let (_, summary) = all(network.lookups(LookupOptions::default()).look_up(HASH)).await;
    assert!(summary.asked <= 160, "{summary:?}");
}

#[tokio::test(start_paused = true)]
async fn nodes_that_name_only_themselves_or_one_host_are_asked_once() {
    let network = Network::hostile(300, 4, |asked| {
        let selves = (0..32_u8).map(|number| NodeAddr {
            id: near(30, number.into()),
            // Its own address, and others of one host.
            addr: match number {
                0..8 => asked.addr,
                _ => PeerAddr::new([66, 6, 6, 6].into(), 1000 + u16::from(number)),
            },
        });
        Some((
            Duration::ZERO,
            answer(asked.id, &selves.collect::<Vec<_>>(), &[]),
        ))
    });
    let asked = Arc::clone(&network.asked);
    let (_, summary) = all(network.lookups(LookupOptions::default()).look_up(HASH)).await;
    assert!(summary.converged, "{summary:?}");
    // That host answers under another id than any it was named as, and is asked twice.
    assert_eq!(summary.wrong_ids, 2);
    assert!(asked.load(Ordering::Relaxed) < 60);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_nodes_in_one_answer_are_a_few() {
    let network = Network::hostile(300, 2, |asked| {
        let nodes = (0..10_000_u16).map(|number| {
            let [high, low] = number.to_be_bytes();
            NodeAddr {
                id: near(30, number.into()),
                addr: PeerAddr::new([70, high, low, 1].into(), 1),
            }
        });
        let known = asked.id != NodeId([0; 20]);
        known.then(|| {
            (
                Duration::ZERO,
                answer(asked.id, &nodes.collect::<Vec<_>>(), &[]),
            )
        })
    });
    let (_, summary) = all(network.lookups(LookupOptions::default()).look_up(HASH)).await;
    assert!(summary.converged && summary.asked < 100, "{summary:?}");
}

#[tokio::test(start_paused = true)]
async fn who_answers_as_another_is_not_believed() {
    let mut network = Network::hostile(300, 3, |_| {
        let id = NodeId([0xee; 20]);
        Some((Duration::ZERO, answer(id, &[], &[peer(66)])))
    });
    network.peers = vec![peer(1)];
    let (peers, summary) = all(network.lookups(LookupOptions::default()).look_up(HASH)).await;
    assert_eq!(summary.wrong_ids, 3);
    assert_eq!(peers, HashMap::from([(peer(1), 5)]));
}

#[tokio::test(start_paused = true)]
async fn nodes_as_peers_come_last_and_impossible_addresses_not_at_all() {
    let ghost = node(0);
    let mut network = Network::of(10);
    network.peers = vec![
        peer(1),
        ghost.addr,
        addr("127.0.0.1:80"),
        addr("10.0.0.1:80"),
        addr("0.0.0.0:80"),
        addr("8.8.8.8:0"),
    ];
    let (peers, summary) = all(network.lookups(LookupOptions::default()).look_up(HASH)).await;
    assert_eq!(peers, HashMap::from([(peer(1), 8), (ghost.addr, 0)]));
    assert_eq!((summary.peers, summary.refused), (2, 32));
}

#[tokio::test(start_paused = true)]
async fn one_lookup_serves_all_who_ask() {
    let mut network = Network::of(300);
    network.peers = vec![peer(1)];
    let asked = Arc::clone(&network.asked);
    let lookups = network.lookups(LookupOptions::default());
    let mut first = lookups.look_up(HASH);
    let second = lookups.look_up(HASH);
    assert_eq!(first.next().await.map(|found| found.len()), Some(1));
    // One that comes late is told what was found.
    let mut third = lookups.look_up(HASH);
    assert_eq!(third.next().await.map(|found| found[0].addr), Some(peer(1)));
    drop(first);
    let (peers, summary) = all(second).await;
    assert_eq!(peers, all(third).await.0);
    assert!(summary.asked >= asked.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_nobody_waits_for_ends() {
    let network = Network::of(300);
    let asked = Arc::clone(&network.asked);
    let lookups = network.lookups(LookupOptions::default());
    let lookup = lookups.look_up(HASH);
    sleep(Duration::from_millis(5)).await;
    drop(lookup);
    let before = asked.load(Ordering::Relaxed);
    assert!((1..=4).contains(&before));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(asked.load(Ordering::Relaxed), before);
    assert!(lock(&lookups.shared.running).is_empty());
    assert!(all(lookups.look_up(HASH)).await.1.converged);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_dht_ends_lookups() {
    let (sender, queries) = mpsc::channel(1);
    drop(queries);
    let nodes = Nodes::default();
    nodes.add(node(1));
    let lookups = Lookups::new(Dht::new(sender), LookupOptions::default(), nodes);
    let (peers, summary) = all(lookups.look_up(HASH)).await;
    assert!(peers.is_empty() && !summary.converged);
}

#[tokio::test(start_paused = true)]
async fn both_address_families_converge() {
    let mut network = Network::of(400);
    // Every second node is on IPv6.
    for (number, node) in network.nodes.iter_mut().enumerate().skip(1).step_by(2) {
        let ip = std::net::Ipv6Addr::new(0x2a00, u16::try_from(number).unwrap(), 0, 0, 0, 0, 0, 1);
        node.addr = PeerAddr::new(ip.into(), 6881);
    }
    network.peers = vec![peer(1), addr("[2a00::77]:1")];
    let options = LookupOptions {
        ipv6: true,
        ..LookupOptions::default()
    };
    let of_v6 = NodeAddr {
        id: network.nodes[1].id,
        addr: network.nodes[1].addr,
    };
    let lookups = network.lookups(options);
    // Known are those of IPv4, and one of IPv6: the others are learnt from them.
    lookups.nodes().add(of_v6);
    let (peers, summary) = all(lookups.look_up(HASH)).await;
    assert!(summary.converged && peers.len() == 2, "{summary:?}");
    let known = |family| lookups.nodes().closest(&HASH, 8, family).len();
    assert_eq!((known(Family::V4), known(Family::V6)), (8, 8));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_lookup_does_not_take_out_the_next_one() {
    let (sender, _queries) = mpsc::channel(100);
    let lookups = Lookups::new(Dht::new(sender), LookupOptions::default(), Nodes::default());
    let infohash = NodeId([7; 20]);
    let _second = lookups.look_up(infohash);
    // As a task ends that was dropped, and whose place another one has by now.
    remove_own(&lookups.shared, &infohash, &Arc::new(Progress::default()));
    assert!(lock(&lookups.shared.running).contains_key(&infohash));
}
