use super::*;
use crate::libtorrent::bridge::Verdict;

const PEER: &str = "127.0.0.1:7";
const PLAIN: torrent::Way = torrent::Way::plain(torrent::Arm::Libtorrent);

fn event(kind: EventKind) -> Event {
    Event {
        kind,
        torrent: 1,
        peer: PEER.parse::<PeerAddr>().unwrap().into(),
        micros: 5,
        verdict: Verdict::Disconnected,
        phase: 0,
        code: 0,
        category: String::new(),
        number: 0,
        text: String::new(),
        detail: String::new(),
        data: Vec::new(),
    }
}

fn failed(phase: u8, category: &str, code: i32) -> Event {
    Event {
        phase,
        code,
        category: category.to_owned(),
        ..event(EventKind::PeerFailed)
    }
}

/// The ways that are taken when each fails like this, and the last reason.
fn course(failures: &[(Way, Event)]) -> (Vec<Way>, Reason) {
    let (addr, now) = (PEER.parse().unwrap(), Instant::now());
    let mut ways = Ways::new(&[], false, Encryption::Prefer);
    assert_eq!(
        ways.add(&[(addr, PLAIN)], now, |_| true),
        [(Way::Tcp, vec![addr])]
    );
    let mut taken = vec![Way::Tcp];
    for (way, failure) in failures {
        let failure = failed(failure.phase, &failure.category, failure.code);
        taken.extend(ways.handle(*way, failure, now).map(|dial| dial.0));
    }
    ways.check_exhausted();
    assert_eq!(ways.out.pop_back(), Some(FetchEvent::Exhausted));
    let Some(FetchEvent::PeerFailed { failure, last, .. }) = ways.out.pop_back() else {
        panic!("no verdict");
    };
    assert!(last);
    (taken, failure.reason)
}

#[test]
fn each_failure_leads_to_the_way_that_may_help() {
    use Way::{Tcp, TcpMse, Utp, UtpMse};
    let refused = || failed(0, "system", 111);
    let timeout = || failed(0, "system", 110);
    let closed = || failed(1, "asio.misc", 2);
    let other = || failed(1, "libtorrent", 39);
    assert_eq!(
        course(&[(Tcp, refused()), (Utp, timeout())]),
        (vec![Tcp, Utp], Reason::Refused)
    );
    assert_eq!(
        course(&[(Tcp, other())]),
        (vec![Tcp], Reason::WrongInfohash)
    );
    assert_eq!(
        course(&[(Tcp, closed()), (TcpMse, other())]),
        (vec![Tcp, TcpMse], Reason::WrongInfohash)
    );
    assert_eq!(
        course(&[
            (Tcp, closed()),
            (TcpMse, closed()),
            (Utp, closed()),
            (UtpMse, timeout())
        ]),
        (vec![Tcp, TcpMse, Utp, UtpMse], Reason::Closed)
    );
}

#[test]
fn utp_joins_a_slow_connection_once() {
    let (addr, now) = (PEER.parse().unwrap(), Instant::now());
    let mut ways = Ways::new(&[], false, Encryption::Prefer);
    ways.add(&[(addr, PLAIN)], now, |_| true);
    assert_eq!(ways.next_due(), Some(now + UTP_JOINS_AFTER));
    assert_eq!(ways.due(now).1, []);
    assert_eq!(ways.due(now + UTP_JOINS_AFTER), (Way::Utp, vec![addr]));
    assert_eq!(ways.next_due(), None);
    // TCP fails meanwhile: uTP is under way, so that is neither the last word nor a new way.
    assert!(
        ways.handle(Way::Tcp, failed(0, "system", 111), now)
            .is_none()
    );
    assert!(matches!(
        ways.out.pop_back(),
        Some(FetchEvent::PeerFailed { last: false, .. })
    ));

    let mut ways = Ways::new(&[], false, Encryption::Prefer);
    ways.add(&[(addr, PLAIN)], now, |_| true);
    ways.handle(Way::Tcp, event(EventKind::Connected), now);
    assert_eq!(ways.due(now + UTP_JOINS_AFTER).1, [], "it is connected");
}

#[test]
fn a_tracker_that_has_not_answered_is_waited_for() {
    let url = "udp://t:1/announce".to_owned();
    let mut ways = Ways::new(std::slice::from_ref(&url), true, Encryption::Prefer);
    ways.check_exhausted();
    assert!(ways.out.is_empty());
    let mut reply = event(EventKind::TrackerReply);
    reply.text.clone_from(&url);
    ways.handle(Way::Lookup, reply, Instant::now());
    ways.check_exhausted();
    assert_eq!(ways.out.pop_back(), Some(FetchEvent::Exhausted));
    let result = Ok(0);
    assert_eq!(
        ways.out.pop_back(),
        Some(FetchEvent::Tracker {
            url,
            result,
            answered: true
        })
    );
}

/// libtorrent announces from every address it listens at; the first failure is not the answer.
#[test]
fn a_tracker_that_failed_at_one_address_may_answer_at_another() {
    let url = "http://t/announce".to_owned();
    let told = |kind| Event {
        text: url.clone(),
        ..event(kind)
    };
    let now = Instant::now();
    let mut ways = Ways::new(std::slice::from_ref(&url), true, Encryption::Prefer);
    ways.handle(Way::Lookup, told(EventKind::TrackerError), now);
    ways.check_exhausted();
    assert!(!ways.out.contains(&FetchEvent::Exhausted));
    assert_eq!(ways.next_due(), Some(now + TRACKER_GRACE));
    ways.due(now + TRACKER_GRACE / 2);
    ways.check_exhausted();
    assert!(!ways.out.contains(&FetchEvent::Exhausted));
    ways.due(now + TRACKER_GRACE);
    ways.check_exhausted();
    assert_eq!(ways.out.pop_back(), Some(FetchEvent::Exhausted));
}

#[test]
fn a_way_that_is_closed_to_us_leaves_no_peer_open() {
    let (addr, now) = (PEER.parse().unwrap(), Instant::now());
    for way in [Way::Tcp, Way::TcpMse] {
        let mut ways = Ways::new(&[], false, Encryption::Prefer);
        ways.add(&[(addr, PLAIN)], now, |_| true);
        if way == Way::TcpMse {
            assert!(
                ways.handle(Way::Tcp, failed(1, "asio.misc", 2), now)
                    .is_some()
            );
        }
        ways.way_failed(way, "no file descriptor is left");
        assert!(matches!(
            ways.out.pop_back(),
            Some(FetchEvent::PeerFailed { last: true, .. })
        ));
        ways.check_exhausted();
        assert_eq!(ways.out.pop_back(), Some(FetchEvent::Exhausted));
    }
}

#[test]
fn a_connection_that_nobody_asked_for_is_not_told() {
    let mut ways = Ways::new(&[], false, Encryption::Prefer);
    ways.handle(Way::Tcp, event(EventKind::Connected), Instant::now());
    assert!(ways.out.is_empty());
}

#[test]
fn a_way_that_has_worked_is_taken_first_and_the_others_after_it() {
    let (addr, now) = (PEER.parse().unwrap(), Instant::now());
    let utp = torrent::Way::new(torrent::Arm::Libtorrent, torrent::Transport::Utp, false);
    let mut ways = Ways::new(&[], false, Encryption::Prefer);
    assert_eq!(
        ways.add(&[(addr, utp)], now, |_| true),
        [(Way::Utp, vec![addr])]
    );
    let timeout = failed(0, "system", 110);
    let next = ways.handle(Way::Utp, timeout, now);
    assert_eq!(next, Some((Way::Tcp, vec![addr])));
    assert_eq!(ways.due(now + UTP_JOINS_AFTER).1, [], "uTP was tried");
}

#[test]
fn where_every_way_is_encrypted_or_none_is_the_other_kind_is_not_tried() {
    let (addr, now) = (PEER.parse().unwrap(), Instant::now());
    for encryption in [Encryption::Require, Encryption::Off] {
        let mut ways = Ways::new(&[], false, encryption);
        let mse = torrent::Way::new(torrent::Arm::Libtorrent, torrent::Transport::Tcp, true);
        let first = ways.add(&[(addr, mse)], now, |_| true);
        assert_eq!(first, [(Way::Tcp, vec![addr])]);
        ways.handle(Way::Tcp, event(EventKind::Connected), now);
        let Some(FetchEvent::Connected { way, .. }) = ways.out.pop_back() else {
            panic!("it is connected");
        };
        assert_eq!(way.encrypted, encryption == Encryption::Require);
        let closed = || failed(1, "asio.misc", 2);
        let next = ways.handle(Way::Tcp, closed(), now);
        assert_eq!(next, Some((Way::Utp, vec![addr])));
        assert_eq!(ways.handle(Way::Utp, closed(), now), None);
    }
}
