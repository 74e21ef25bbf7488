use proptest::prelude::*;

use super::*;
use crate::history::{Attempt, Weights};
use crate::torrent::Phase;

const NOW: i64 = 1_700_000_000_000;
const HOUR: i64 = 60 * 60_000;

fn nothing_known(source: PeerSource) -> Known<'static> {
    Known {
        source,
        reports: 1,
        state: None,
        pair: None,
        of_source: None,
        of_network: None,
        of_client: None,
        failed_ports: 0.0,
        only_utp: false,
        is_self: false,
    }
}

/// How attempts can end: each fact, by one of its reasons.
const ENDS: [(Option<Reason>, Phase); 8] = [
    (None, Phase::Verify),
    (Some(Reason::ConnectTimeout), Phase::Connect),
    (Some(Reason::HandshakeTimeout), Phase::Handshake),
    (Some(Reason::NoExtensionProtocol), Phase::Handshake),
    (Some(Reason::HashMismatch), Phase::Verify),
    (Some(Reason::EncryptionRequired), Phase::Handshake),
    (Some(Reason::Rejected), Phase::Transfer),
    (Some(Reason::Cancelled), Phase::Connect),
];

fn attempt(end: usize, started_at_ms: i64) -> Attempt {
    let (outcome, phase) = ENDS[end];
    Attempt {
        way: Way::plain(Arm::Direct),
        peer: "1.2.3.4:5".parse().unwrap(),
        source: PeerSource::Dht,
        started_at_ms,
        duration: Duration::from_millis(120),
        connect_time: (phase > Phase::Connect).then_some(Duration::from_millis(40)),
        phase,
        outcome,
        detail: String::new(),
        why: String::new(),
        metadata_size: None,
        client: None,
    }
}

/// The state after these attempts, one second apart, the last of them at `NOW`.
fn state(ends: &[usize]) -> PeerState {
    let start = NOW - 1_000 * i64::try_from(ends.len() - 1).unwrap();
    let mut attempts = ends.iter().zip((start..).step_by(1_000));
    let (&end, at_ms) = attempts.next().unwrap();
    let mut state = PeerState::new(&attempt(end, at_ms));
    attempts.for_each(|(&end, at_ms)| state.add(&attempt(end, at_ms)));
    state
}

fn estimate(known: &Known<'_>, now_ms: i64) -> Estimate {
    known.estimate(&Durations::default(), now_ms)
}

fn value(state: &PeerState, now_ms: i64) -> f64 {
    let known = Known {
        state: Some(state),
        ..nothing_known(PeerSource::Dht)
    };
    estimate(&known, now_ms).value
}

fn unknown() -> f64 {
    estimate(&nothing_known(PeerSource::Dht), NOW).value
}

#[test]
fn an_unknown_peer_is_worth_what_its_source_is() {
    let of = |source| estimate(&nothing_known(source), NOW);
    let dht = of(PeerSource::Dht);
    assert!((dht.probability - 0.05).abs() < 1e-9);
    // 5 % deliver in 0.5 s, 78 % take 1.5 s to fail, and 17 % take 2 s.
    assert!((dht.expected.as_secs_f64() - 1.535).abs() < 1e-6, "{dht:?}");
    assert!((dht.value - 0.05 / 1.535).abs() < 1e-9);
    assert_eq!(
        (dht.standing, dht.way, dht.hopeless),
        (Standing::Unknown, None, None)
    );
    assert!(dht.confidence.abs() < 1e-9);
    assert_eq!(dht.why.to_string(), "unknown; dht");
    assert!(of(PeerSource::Tracker).value > dht.value);
    assert!(of(PeerSource::Hint).value > of(PeerSource::Tracker).value);
}

#[test]
fn the_more_nodes_report_an_address_the_likelier_it_is_a_peer() {
    let of = |reports| {
        let known = Known {
            reports,
            ..nothing_known(PeerSource::Dht)
        };
        estimate(&known, NOW).value
    };
    assert!(of(1) < of(2) && of(2) < of(5));
    assert!((of(7) - of(u32::MAX)).abs() < 1e-9);
    assert!(of(0) < of(1), "a node of the DHT, named by its like");
}

#[test]
fn one_that_turns_bad_stops_costing_after_two_failures() {
    for failure in [1, 2] {
        let once_good = [0; 100];
        assert!(value(&state(&once_good), NOW) > 10.0 * unknown());
        let one = [&once_good[..], &[failure]].concat();
        let two = [&once_good[..], &[failure; 2]].concat();
        assert!(value(&state(&one), NOW) < value(&state(&once_good), NOW));
        assert!(value(&state(&two), NOW) < unknown());
        let known = state(&two);
        let estimate = estimate(
            &Known {
                state: Some(&known),
                ..nothing_known(PeerSource::Dht)
            },
            NOW,
        );
        assert_eq!(estimate.standing, Standing::Bad);
    }
}

#[test]
fn one_that_turns_good_is_found_again_within_its_half_life() {
    let never_good = state(&[1, 1]);
    let once_good = state(&[0, 1, 1]);
    assert!(value(&never_good, NOW) < unknown() && value(&once_good, NOW) < unknown());
    let later = NOW + weights::UNREACHABLE;
    assert!(value(&never_good, later) >= unknown() * 0.999_999);
    assert!(
        value(&once_good, later) > unknown(),
        "it is known to be one"
    );
    let restored = state(&[1, 1, 1, 1, 0]);
    assert!(value(&restored, NOW) > 2.0 * unknown(), "at once");
}

#[test]
fn what_is_gone_for_good_is_asked_ever_more_rarely() {
    let gone = state(&[1; 6]);
    assert!(value(&gone, NOW + 8 * weights::UNREACHABLE) < unknown());
    assert!(value(&gone, NOW + 16 * weights::UNREACHABLE) >= unknown() * 0.999_999);
    let for_ever = state(&[1; 200]);
    assert!(value(&for_ever, NOW + 6 * HOUR) >= unknown() * 0.999_999);
}

#[test]
fn who_lies_or_breaks_the_protocol_comes_last() {
    let liar = value(&state(&[0, 0, 0, 0, 4]), NOW);
    for other in [vec![1; 50], vec![2; 50], vec![1, 2, 1, 2], vec![6; 50]] {
        assert!(liar < value(&state(&other), NOW), "{other:?}");
    }
    assert!(value(&state(&[4]), NOW + 24 * HOUR) < value(&state(&[1; 50]), NOW));
}

#[test]
fn what_a_peer_can_not_do_is_not_asked_for_again_within_its_half_life() {
    let incapable = state(&[3]);
    let known = Known {
        state: Some(&incapable),
        ..nothing_known(PeerSource::Hint)
    };
    let now = estimate(&known, NOW);
    assert_eq!(now.hopeless, Some(Reason::NoExtensionProtocol));
    assert_eq!(now.standing, Standing::Bad);
    let why = now.why.to_string();
    assert!(why.contains("hopeless: no_extension_protocol"), "{why}");
    assert!(estimate(&known, NOW + 47 * HOUR).hopeless.is_some());
    assert_eq!(estimate(&known, NOW + 49 * HOUR).hopeless, None);
    let updated = state(&[3, 0]);
    let known = Known {
        state: Some(&updated),
        ..known
    };
    assert_eq!(estimate(&known, NOW).hopeless, None);
}

#[test]
fn a_peer_that_needs_encryption_is_as_good_and_asked_by_it() {
    let encrypted = state(&[5]);
    let known = Known {
        state: Some(&encrypted),
        ..nothing_known(PeerSource::Dht)
    };
    let estimate = estimate(&known, NOW);
    assert!(estimate.value >= unknown());
    assert_eq!(
        estimate.way,
        Some(Way::new(Arm::Libtorrent, Transport::Tcp, true))
    );
    assert_eq!(estimate.why.to_string(), "needs encryption");
}

#[test]
fn the_way_that_delivered_is_taken_first_until_it_fails() {
    let way = |state: Option<&PeerState>, only_utp| {
        let known = Known {
            state,
            only_utp,
            ..nothing_known(PeerSource::Dht)
        };
        estimate(&known, NOW).way
    };
    let utp = Some(Way::new(Arm::Libtorrent, Transport::Utp, false));
    assert_eq!(way(None, false), None);
    assert_eq!(way(None, true), utp);
    assert_eq!(
        way(Some(&state(&[0, 1])), true),
        Some(Way::plain(Arm::Direct))
    );
    assert_eq!(way(Some(&state(&[0, 1, 1])), false), None);
}

#[test]
fn a_hash_that_a_peer_does_not_serve_says_nothing_of_another() {
    let good = state(&[0, 0, 0, 6]);
    assert!((value(&good, NOW) - value(&state(&[0, 0, 0]), NOW - 1_000)).abs() < 1e-3);
    let rejected = Known {
        state: Some(&good),
        pair: Some(Pair {
            outcome: Some(Reason::Rejected),
            at_ms: NOW,
        }),
        ..nothing_known(PeerSource::Dht)
    };
    let fresh = estimate(&rejected, NOW);
    assert!(fresh.value < unknown(), "{fresh:?}");
    assert!(fresh.hopeless.is_none());
    let why = fresh.why.to_string();
    assert_eq!(
        why,
        "delivered 3 of 4, 120 ms; rejected for this hash 0 s ago"
    );
    assert!(estimate(&rejected, NOW + HOUR).value > unknown());
}

#[test]
fn a_hash_that_a_peer_delivered_is_asked_of_it_again() {
    let delivered = |at_ms| Known {
        pair: Some(Pair {
            outcome: None,
            at_ms,
        }),
        ..nothing_known(PeerSource::Dht)
    };
    let fresh = estimate(&delivered(NOW), NOW);
    assert_eq!(fresh.standing, Standing::Good);
    assert_eq!(fresh.why.to_string(), "delivered this hash 0 s ago");
    assert!(estimate(&delivered(NOW - 48 * HOUR), NOW).value < fresh.value);
}

#[test]
fn the_likes_of_a_peer_speak_until_it_speaks_for_itself() {
    let group = |end: usize, count: usize| {
        let mut group = GroupState::default();
        (0..count).for_each(|_| group.add(&attempt(end, NOW)));
        group
    };
    let (serving, dead) = (group(0, 30), group(1, 30));
    let of = |of_network, state| {
        let known = Known {
            of_network: Some(of_network),
            state,
            ..nothing_known(PeerSource::Dht)
        };
        estimate(&known, NOW)
    };
    assert!(of(&serving, None).value > 5.0 * unknown());
    assert!(of(&dead, None).value < unknown());
    assert_eq!(
        of(&dead, None).standing,
        Standing::Unknown,
        "by no doing of its own"
    );
    let why = of(&dead, None).why.to_string();
    assert_eq!(why, "unknown; dht; network with 0 of 30");
    let (good, bad) = (state(&[0; 5]), state(&[1; 5]));
    assert!(of(&dead, Some(&good)).value > of(&serving, Some(&bad)).value);
    assert!(of(&dead, Some(&good)).confidence > 0.7);
}

#[test]
fn a_port_that_delivered_is_not_judged_by_its_address() {
    let of = |failed_ports, state| {
        let known = Known {
            state,
            failed_ports,
            ..nothing_known(PeerSource::Dht)
        };
        estimate(&known, NOW)
    };
    assert!(
        (of(3.0, None).value - unknown()).abs() < 1e-9,
        "too few to say anything"
    );
    assert!(of(8.0, None).value < unknown() / 2.0);
    let why = of(8.0, None).why.to_string();
    assert_eq!(why, "unknown; dht; IP with 8 failed ports and no other");
    let good = state(&[0]);
    assert_eq!(of(1e6, Some(&good)), of(0.0, Some(&good)));
}

#[test]
fn times_are_said_as_people_say_them() {
    for (ms, text) in [
        (0, "0 s ago"),
        (119_999, "119 s ago"),
        (120_000, "2 min ago"),
        (3 * HOUR, "3 h ago"),
        (100 * HOUR, "4 days ago"),
    ] {
        assert_eq!(ago(ms), text);
    }
}

fn hostile_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        prop::num::f64::ANY,
        Just(f64::NAN),
        Just(f64::INFINITY),
        -10.0..1e12,
    ]
}

prop_compose! {
    fn hostile_weights()(
        delivered in hostile_number(),
        unreachable in hostile_number(),
        unserved in hostile_number(),
        misbehaved in hostile_number(),
        at_ms in prop_oneof![any::<i64>(), NOW - 10 * HOUR..NOW + HOUR],
    ) -> Weights {
        Weights { delivered, unreachable, unserved, misbehaved, at_ms }
    }
}

proptest! {
    #[test]
    fn a_delivery_never_lowers_and_a_failure_never_raises(
        ends in prop::collection::vec(0..ENDS.len(), 1..12),
        passed in 0..3 * HOUR,
    ) {
        let before = state(&ends);
        let at_ms = NOW + passed;
        let value_before = value(&before, at_ms);
        for end in 0..ENDS.len() {
            let mut after = before.clone();
            after.add(&attempt(end, at_ms));
            let value_after = value(&after, at_ms);
            if end == 0 {
                prop_assert!(value_after >= value_before - 1e-12, "{value_before} {value_after}");
            } else {
                prop_assert!(value_after <= value_before + 1e-12, "{end}: {value_before} {value_after}");
            }
        }
    }

    #[test]
    fn facts_of_one_kind_fade_toward_what_is_expected(
        end in 0..5_usize,
        count in 1..10_usize,
        steps in prop::collection::vec(0..24 * HOUR, 1..20),
    ) {
        let known = state(&vec![end; count]);
        let mut now_ms = NOW;
        let mut distance = (value(&known, now_ms) - unknown()).abs();
        for step in steps {
            now_ms += step;
            let further = (value(&known, now_ms) - unknown()).abs();
            prop_assert!(further <= distance + 1e-12, "{distance} {further}");
            distance = further;
        }
        let years = NOW + 1_000 * 24 * HOUR;
        prop_assert!((value(&known, years) - unknown()).abs() < unknown() / 100.0);
    }

    #[test]
    fn an_estimate_is_sane_whatever_the_database_says(
        weights in hostile_weights(),
        group in hostile_weights(),
        avg_latency_ms in prop::option::of(hostile_number()),
        in_a_row in any::<u32>(),
        counts in any::<(u64, u64, u64)>(),
        times in any::<(i64, i64, i64)>(),
        pair in prop::option::of((any::<bool>(), any::<i64>())),
        failed_ports in 0.0..1e9,
        reports in any::<u32>(),
    ) {
        let known = PeerState {
            weights,
            avg_latency_ms,
            failures_in_a_row: in_a_row,
            attempts: counts.0,
            deliveries: counts.1,
            failures: counts.2,
            last_seen_at_ms: times.0,
            bep10_support: Some(false),
            ..state(&[0])
        };
        let group = GroupState { attempts: counts.0, weights: group, ..GroupState::default() };
        let known = Known {
            reports,
            state: Some(&known),
            pair: pair.map(|(delivered, at_ms)| Pair {
                outcome: (!delivered).then_some(Reason::Closed),
                at_ms,
            }),
            of_source: Some(&group),
            of_network: Some(&group),
            of_client: Some(&group),
            failed_ports,
            ..nothing_known(PeerSource::Dht)
        };
        for now_ms in [NOW, times.1, times.2] {
            let estimate = estimate(&known, now_ms);
            prop_assert!(estimate.value.is_finite() && estimate.value > 0.0, "{estimate:?}");
            prop_assert!((0.0..=1.0).contains(&estimate.probability), "{estimate:?}");
            prop_assert!((0.0..=1.0).contains(&estimate.confidence), "{estimate:?}");
            prop_assert!(estimate.expected <= Duration::from_secs(600), "{estimate:?}");
            prop_assert!(!estimate.why.to_string().is_empty());
        }
    }
}
