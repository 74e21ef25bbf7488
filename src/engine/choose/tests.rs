use std::collections::HashMap;

use super::*;
use crate::discovery::Sources;
use crate::history::{History, Settings};
use crate::torrent::{Infohash, PeerSource};

fn addr(last: u8) -> PeerAddr {
    PeerAddr::new([8, 8, 8, last].into(), 6881)
}

fn known() -> Known {
    Known {
        source: PeerSource::Dht,
        sources: Sources::of(PeerSource::Dht),
        reports: 1,
        prefers_encryption: false,
    }
}

/// An estimate of a peer of whom nothing is known, with another value and way.
fn worth(value: f64, way: Option<Way>) -> Estimate {
    let history = History::new(Settings::default());
    let unknown = history.estimate(
        &Infohash::V1([1; 20]),
        &addr(1),
        PeerSource::Dht,
        1,
        1_000_000,
    );
    Estimate {
        value,
        way,
        hopeless: None,
        ..unknown
    }
}

struct Peer {
    estimate: Estimate,
    libtorrent: Option<Engaged>,
    direct: Option<Engaged>,
    overdue: bool,
    crowded: bool,
}

fn peer(value: f64) -> Peer {
    Peer {
        estimate: worth(value, None),
        libtorrent: None,
        direct: None,
        overdue: false,
        crowded: false,
    }
}

fn auto(first: Arm) -> Room {
    Room {
        strategy: Strategy::Auto,
        first,
        libtorrent_works: true,
        libtorrent: true,
        direct: true,
    }
}

fn choose(room: Room, peers: &[(PeerAddr, Peer)], explore: Option<f64>) -> Option<Choice> {
    let known = known();
    let candidates = peers.iter().map(|(addr, peer)| Candidate {
        addr: *addr,
        known: &known,
        estimate: &peer.estimate,
        libtorrent: peer.libtorrent,
        crowded: peer.crowded,
        direct: peer.direct,
        overdue: peer.overdue,
    });
    next(room, candidates, explore)
}

/// The order in which the peers are tried, and by which way, where each attempt goes on.
fn order(room: Room, mut peers: Vec<(PeerAddr, Peer)>) -> Vec<(PeerAddr, Way)> {
    let mut order = Vec::new();
    while let Some(choice) = choose(room, &peers, None) {
        let (_, peer) = peers
            .iter_mut()
            .find(|(addr, _)| *addr == choice.peer)
            .unwrap();
        let engaged = match choice.way.arm {
            Arm::Libtorrent => &mut peer.libtorrent,
            Arm::Direct => &mut peer.direct,
        };
        *engaged = Some(Engaged::In(Phase::Connect));
        order.push((choice.peer, choice.way));
    }
    order
}

#[test]
fn the_most_valuable_peer_comes_first_and_each_once() {
    let peers = vec![
        (addr(1), peer(0.1)),
        (addr(2), peer(9.0)),
        (addr(3), peer(1.0)),
    ];
    let direct = Way::plain(Arm::Direct);
    assert_eq!(
        order(auto(Arm::Direct), peers),
        [(addr(2), direct), (addr(3), direct), (addr(1), direct)]
    );
}

#[test]
fn a_way_that_has_worked_is_taken_again_and_waits_for_its_arm() {
    let utp = Way::new(Arm::Libtorrent, Transport::Utp, false);
    let with_utp = || {
        vec![(
            addr(1),
            Peer {
                estimate: worth(1.0, Some(utp)),
                ..peer(1.0)
            },
        )]
    };
    assert_eq!(order(auto(Arm::Direct), with_utp()), [(addr(1), utp)]);
    let busy = Room {
        libtorrent: false,
        ..auto(Arm::Direct)
    };
    assert_eq!(order(busy, with_utp()), [], "the direct arm has no uTP");
    let slow = || {
        let mut peers = with_utp();
        peers[0].1.libtorrent = Some(Engaged::In(Phase::Connect));
        peers[0].1.overdue = true;
        peers
    };
    assert_eq!(order(auto(Arm::Direct), slow()), [], "nor later");
    let alone = Room {
        libtorrent_works: false,
        ..busy
    };
    let tried = order(alone, with_utp());
    assert_eq!(
        tried,
        [(addr(1), Way::plain(Arm::Direct))],
        "better than nothing"
    );
    let forced = Room {
        strategy: Strategy::Direct,
        ..busy
    };
    let tried = order(forced, with_utp());
    assert_eq!(tried, [(addr(1), Way::plain(Arm::Direct))], "told to");
}

#[test]
fn what_one_arm_gave_up_the_other_tries_last_and_otherwise() {
    let gave_up = |reason| Peer {
        direct: Some(Engaged::Failed(reason)),
        ..peer(5.0)
    };
    let peers = vec![
        (addr(1), gave_up(Reason::ConnectTimeout)),
        (addr(2), gave_up(Reason::EncryptionRequired)),
        (addr(3), gave_up(Reason::NoUtMetadata)),
        (addr(4), peer(0.1)),
    ];
    assert_eq!(
        order(auto(Arm::Direct), peers),
        [
            (addr(4), Way::plain(Arm::Direct)),
            (addr(1), Way::new(Arm::Libtorrent, Transport::Utp, false)),
            (addr(2), Way::new(Arm::Libtorrent, Transport::Tcp, true)),
        ],
        "3 can't, whoever asks"
    );
}

#[test]
fn a_slow_attempt_is_joined_by_the_other_arm_when_nothing_else_is_left() {
    let slow = |overdue| Peer {
        libtorrent: Some(Engaged::In(Phase::Extension)),
        overdue,
        ..peer(5.0)
    };
    assert_eq!(order(auto(Arm::Direct), vec![(addr(1), slow(false))]), []);
    let peers = vec![(addr(1), slow(true)), (addr(2), peer(0.1))];
    let direct = Way::plain(Arm::Direct);
    assert_eq!(
        order(auto(Arm::Direct), peers),
        [(addr(2), direct), (addr(1), direct)]
    );
}

#[test]
fn in_a_race_both_arms_try_every_peer() {
    let race = Room {
        strategy: Strategy::Race,
        ..auto(Arm::Libtorrent)
    };
    let tried = order(race, vec![(addr(1), peer(1.0))]);
    let arms: HashMap<_, _> = tried
        .into_iter()
        .map(|(peer, way)| (way.arm, peer))
        .collect();
    assert_eq!(arms.len(), 2);
}

#[test]
fn a_peer_without_a_free_connection_is_passed_over_by_the_direct_arm_alone() {
    let peers = || {
        let mut crowded = peer(9.0);
        crowded.crowded = true;
        [(addr(1), crowded), (addr(2), peer(1.0))]
    };
    let only = |libtorrent, direct| Room {
        libtorrent,
        direct,
        ..auto(Arm::Direct)
    };
    let chosen = |room| choose(room, &peers(), None).map(|choice| choice.peer);
    assert_eq!(chosen(only(false, true)), Some(addr(2)));
    assert_eq!(chosen(only(true, false)), Some(addr(1)));
}

#[test]
fn without_room_nobody_is_tried() {
    let full = Room {
        libtorrent: false,
        direct: false,
        ..auto(Arm::Libtorrent)
    };
    assert_eq!(choose(full, &[(addr(1), peer(1.0))], None), None);
}

#[test]
fn exploring_may_choose_any_peer_that_was_not_tried() {
    let peers = [
        (addr(1), peer(9.0)),
        (addr(2), peer(0.1)),
        (addr(3), peer(0.2)),
    ];
    let chosen: Vec<_> = [0.0, 0.4, 0.99, 7.0]
        .iter()
        .map(|draw| choose(auto(Arm::Direct), &peers, Some(*draw)).unwrap().peer)
        .collect();
    assert_eq!(chosen, [1, 2, 3, 3].map(addr));
    assert_eq!(choose(auto(Arm::Direct), &[], Some(0.5)), None);
}

#[test]
fn the_failure_that_came_furthest_speaks_for_the_hash() {
    let failures = [
        (
            addr(1),
            Failure::new(Reason::ConnectTimeout, Phase::Connect, "a"),
        ),
        (addr(2), Failure::new(Reason::Closed, Phase::Handshake, "b")),
        (
            addr(3),
            Failure::new(Reason::EncryptionRequired, Phase::Handshake, "c"),
        ),
        (addr(4), Failure::new(Reason::Closed, Phase::Handshake, "d")),
    ];
    let verdict = verdict(failures.iter().map(|(peer, failure)| (*peer, failure))).unwrap();
    assert_eq!(verdict.reason, Reason::EncryptionRequired);
    assert_eq!(verdict.detail, "8.8.8.3:6881: c");
    assert_eq!(super::verdict(std::iter::empty()), None);
    let funnel = funnel(failures.iter().map(|(_, failure)| failure.reason));
    assert_eq!(funnel.get(&Reason::Closed), Some(&2));
}

#[test]
fn a_peer_that_echoes_us_does_not_speak_for_the_others() {
    let echo = Failure::new(Reason::SelfConnection, Phase::Handshake, "a");
    let other = Failure::new(Reason::ConnectTimeout, Phase::Connect, "b");
    let failures = [(addr(1), &echo), (addr(2), &other), (addr(3), &echo)];
    let reason = |failures: &[(PeerAddr, &Failure)]| {
        verdict(failures.iter().copied()).map(|failure| failure.reason)
    };
    assert_eq!(reason(&failures), Some(Reason::ConnectTimeout));
    assert_eq!(reason(&failures[..1]), Some(Reason::SelfConnection));
}

#[test]
fn an_attempt_cut_short_has_the_reason_of_its_phase() {
    let limit = Duration::from_secs(1);
    for (phase, reason) in [
        (Phase::Connect, Reason::ConnectTimeout),
        (Phase::Extension, Reason::HandshakeTimeout),
        (Phase::Transfer, Reason::TransferTimeout),
    ] {
        assert_eq!(out_of_time(phase, limit).reason, reason);
    }
}
