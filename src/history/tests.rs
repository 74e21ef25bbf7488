use proptest::prelude::*;

use super::*;
use crate::torrent::{Phase, Reason, Way};

const NOW: i64 = 1_700_000_000_000;
const HASH: Infohash = Infohash::V1([1; 20]);
const OTHER: Infohash = Infohash::V1([2; 20]);

fn addr(text: &str) -> PeerAddr {
    text.parse().unwrap()
}

fn attempt(peer: PeerAddr, outcome: Option<Reason>, phase: Phase) -> Attempt {
    Attempt {
        way: Way::plain(Arm::Direct),
        peer,
        source: PeerSource::Dht,
        started_at_ms: NOW,
        duration: Duration::from_millis(120),
        connect_time: (phase > Phase::Connect).then_some(Duration::from_millis(50)),
        phase,
        outcome,
        detail: String::new(),
        why: String::new(),
        metadata_size: None,
        client: None,
    }
}

fn delivered(peer: PeerAddr) -> Attempt {
    attempt(peer, None, Phase::Verify)
}

fn unreachable(peer: PeerAddr) -> Attempt {
    attempt(peer, Some(Reason::ConnectTimeout), Phase::Connect)
}

fn estimate(history: &History, infohash: &Infohash, peer: PeerAddr) -> Estimate {
    history.estimate(infohash, &peer, PeerSource::Dht, 1, NOW)
}

#[test]
fn what_is_learned_ranks_peers() {
    let history = History::default();
    let (good, bad, unknown) = (addr("1.1.1.1:1"), addr("2.2.2.2:2"), addr("3.3.3.3:3"));
    history.learn(&HASH, &delivered(good));
    history.learn(&HASH, &unreachable(bad));
    history.learn(&HASH, &unreachable(bad));
    let value = |peer| estimate(&history, &OTHER, peer).value;
    assert!(value(good) > value(unknown) && value(unknown) > value(bad));
    assert_eq!(estimate(&history, &OTHER, good).standing, Standing::Good);
    assert_eq!(estimate(&history, &OTHER, bad).standing, Standing::Bad);
    let way = estimate(&history, &OTHER, good).way;
    assert_eq!(way, Some(Way::plain(Arm::Direct)));
}

#[test]
fn a_rejection_counts_for_its_hash_alone() {
    let history = History::default();
    let (peer, unknown) = (addr("1.1.1.1:1"), addr("3.3.3.3:3"));
    history.learn(&OTHER, &delivered(peer));
    for reason in [
        Reason::Rejected,
        Reason::NoUtMetadata,
        Reason::WrongInfohash,
        Reason::Closed,
    ] {
        history.learn(&HASH, &attempt(peer, Some(reason), Phase::Extension));
    }
    assert!(estimate(&history, &HASH, peer).value < estimate(&history, &HASH, unknown).value);
    assert_eq!(estimate(&history, &OTHER, peer).standing, Standing::Good);
    let third = Infohash::V1([3; 20]);
    assert_eq!(estimate(&history, &third, peer).standing, Standing::Good);
}

#[test]
fn what_the_store_knows_is_asked_for_once() {
    let history = History::default();
    let (stored, unknown, learned) = (addr("1.1.1.1:1"), addr("2.2.2.2:2"), addr("3.3.3.3:3"));
    history.learn(&HASH, &unreachable(learned));
    let all = [stored, unknown, learned];
    assert_eq!(history.missing(&all), all);
    let states = HashMap::from([(stored, PeerState::new(&delivered(stored)))]);
    history.load(&all, states);
    assert_eq!(history.missing(&all), []);
    assert_eq!(estimate(&history, &HASH, stored).standing, Standing::Good);
    let why = estimate(&history, &HASH, learned).why.to_string();
    assert!(why.contains("1 failure in a row"), "{why}");
    let stale = HashMap::from([(stored, PeerState::new(&unreachable(stored)))]);
    history.load(&[stored], stale);
    assert_eq!(estimate(&history, &HASH, stored).standing, Standing::Good);
}

#[test]
fn past_attempts_are_facts_about_pairs_whatever_their_order() {
    let history = History::default();
    let peer = addr("1.1.1.1:1");
    let past = |outcome, at_ms| PastAttempt {
        peer,
        way: Way::plain(Arm::Direct),
        phase: Phase::Transfer,
        outcome,
        at_ms,
    };
    history.load_pairs(
        &HASH,
        &[
            past(Some(Reason::Cancelled), NOW),
            past(Some(Reason::Rejected), NOW - 1_000),
            past(None, NOW - 2_000),
        ],
    );
    let why = estimate(&history, &HASH, peer).why.to_string();
    assert_eq!(why, "rejected for this hash 1 s ago");
    assert_eq!(
        estimate(&history, &OTHER, peer).why.to_string(),
        "unknown; dht"
    );
}

#[test]
fn groups_from_the_store_are_priors() {
    let history = History::default();
    let mut group = GroupState::default();
    (0..50).for_each(|_| group.add(&delivered(addr("9.9.9.9:9"))));
    let network = Network::of(&addr("1.1.1.1:1"));
    let way = Group::Way(Way::plain(Arm::Direct));
    history.load_groups(vec![(Group::Network(network), group), (way, group)]);
    let neighbour = estimate(&history, &HASH, addr("1.1.1.200:5")).value;
    let stranger = estimate(&history, &HASH, addr("1.1.2.200:5")).value;
    assert!(neighbour > 5.0 * stranger);
    // 50 ms are in the bucket up to 64 ms.
    let cap = Duration::from_secs(3);
    let timeout = |transport, explores| history.connect_timeout(transport, cap, explores);
    assert_eq!(timeout(Transport::Tcp, false), Duration::from_millis(300));
    assert_eq!(timeout(Transport::Tcp, true), cap);
    assert_eq!(timeout(Transport::Utp, false), cap);
    let latency = history.latency_of(Arm::Direct).unwrap();
    assert!((120..180).contains(&latency.as_millis()), "{latency:?}");
    assert_eq!(history.latency_of(Arm::Libtorrent), None);
}

#[test]
fn many_ports_that_fail_speak_against_their_address_and_never_against_a_good_one() {
    let history = History::default();
    let port = |port| PeerAddr::new([1, 2, 3, 4].into(), port);
    (1..=8).for_each(|n| history.learn(&HASH, &unreachable(port(n))));
    let neighbour = estimate(&history, &HASH, addr("1.2.3.5:9")).value;
    let on_it = estimate(&history, &HASH, port(9)).value;
    assert!(on_it < neighbour / 2.0, "{on_it} {neighbour}");
    history.learn(&HASH, &delivered(port(10)));
    (11..=30).for_each(|n| history.learn(&HASH, &unreachable(port(n))));
    assert_eq!(estimate(&history, &HASH, port(10)).standing, Standing::Good);
    let on_it = estimate(&history, &HASH, port(9)).value;
    let neighbour = estimate(&history, &HASH, addr("1.2.3.5:9")).value;
    assert!((on_it - neighbour).abs() < 1e-9, "a peer lives there");
}

#[test]
fn a_peer_reached_by_utp_alone_is_tried_by_it() {
    let history = History::default();
    let peer = addr("1.1.1.1:1");
    let utp = Way::new(Arm::Libtorrent, Transport::Utp, false);
    history.learn(&HASH, &unreachable(peer));
    assert_eq!(estimate(&history, &OTHER, peer).way, None);
    let closed = attempt(peer, Some(Reason::Closed), Phase::Handshake);
    history.learn(&HASH, &Attempt { way: utp, ..closed });
    assert_eq!(estimate(&history, &OTHER, peer).way, Some(utp));
    history.learn(
        &HASH,
        &attempt(peer, Some(Reason::Closed), Phase::Handshake),
    );
    assert_eq!(estimate(&history, &OTHER, peer).way, None);
}

#[test]
fn we_do_not_call_ourselves_twice() {
    let history = History::default();
    let us = addr("1.1.1.1:1");
    history.learn(
        &HASH,
        &attempt(us, Some(Reason::SelfConnection), Phase::Handshake),
    );
    let estimate = estimate(&history, &OTHER, us);
    assert_eq!(estimate.hopeless, Some(Reason::SelfConnection));
    assert!(estimate.value < 0.01);
}

#[test]
fn a_share_of_attempts_explores() {
    for (exploration, expected) in [
        (0.08, 80),
        (0.0, 0),
        (1.0, 1_000),
        (f64::NAN, 0),
        (7.0, 1_000),
    ] {
        let history = History::new(Settings {
            exploration,
            ..Settings::default()
        });
        let explored = (0..1_000).filter(|_| history.explores()).count();
        assert_eq!(explored, expected, "{exploration}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn memory_is_bounded(
        capacity in 0..100_usize,
        seeds in prop::collection::vec((any::<[u8; 4]>(), any::<u16>(), any::<u8>(), "\\PC{0,40}"), 1..400),
    ) {
        let history = History::new(Settings { capacity, ..Settings::default() });
        for (ip, port, hash, client) in seeds {
            let peer = PeerAddr::new(ip.into(), port);
            let infohash = Infohash::V1([hash; 20]);
            let attempt = Attempt { client: Some(client), ..delivered(peer) };
            history.learn(&infohash, &attempt);
            history.load(&[PeerAddr::new(ip.into(), !port)], HashMap::new());
            let estimate = estimate(&history, &infohash, peer);
            prop_assert!(estimate.value > 0.0);
        }
        let [peers, pairs, ips, groups] = history.memory().lens();
        prop_assert!(peers <= capacity.max(1) && pairs <= capacity.max(1));
        prop_assert!(ips <= capacity / 4 + 32 && groups <= capacity / 4 + 32);
    }
}
