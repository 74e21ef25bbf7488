//! One hash and the peers it can have.

use std::sync::atomic::Ordering;

use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use super::fake_peer::{FakePeer, Role, visit};
use super::*;

#[tokio::test]
async fn an_honest_peer_delivers_the_bytes_as_they_are() {
    for length in [20, 16 * 1024, 16 * 1024 + 1, 300_000] {
        let info = info(length);
        let arm = Libtorrent::open(&settings()).unwrap();
        let peer = FakePeer::start(Role::Honest, &info).await;
        let mut fetch = arm.fetch(request(v1(&info), &[peer.addr])).unwrap();
        let mut seen = Vec::new();
        while let Some(event) = fetch.next().await {
            seen.push(event);
        }
        let [
            FetchEvent::Connected { .. },
            FetchEvent::Handshake { client: id, .. },
            FetchEvent::Extension {
                metadata_size,
                client,
                ..
            },
            FetchEvent::Metadata { addr, bytes, .. },
        ] = &seen[..]
        else {
            panic!("{seen:?}");
        };
        assert_eq!(id.as_deref(), Some("FK0100"));
        assert_eq!(client.as_deref(), Some("fake"));
        assert_eq!(usize::try_from(*metadata_size).unwrap(), info.len());
        assert_eq!((*addr, bytes), (peer.addr, &info));
        assert_eq!(
            arm.free_slots(),
            3999,
            "the slot is held until the fetch is dropped"
        );
        drop(fetch);
        assert_eq!(arm.free_slots(), 4000);
    }
}

#[tokio::test]
async fn hashes_of_both_versions_are_checked() {
    let info = info(40_000);
    let v2: [u8; 32] = Sha256::digest(&info).into();
    let Infohash::V1(sha1) = v1(&info) else {
        unreachable!()
    };
    let arm = Libtorrent::open(&settings()).unwrap();
    let peer = FakePeer::start(Role::Honest, &info).await;
    for infohash in [
        Infohash::V2(v2),
        Infohash::V1(Infohash::V2(v2).wire_id()),
        Infohash::Hybrid { v1: sha1, v2 },
    ] {
        let mut fetch = arm.fetch(request(infohash, &[peer.addr])).unwrap();
        let outcome = follow(&mut fetch).await;
        assert_eq!(
            outcome.metadata,
            Some((peer.addr, info.clone())),
            "{infohash:?}"
        );
    }
    let liar = Infohash::Hybrid {
        v1: sha1,
        v2: [7; 32],
    };
    let mut fetch = arm.fetch(request(liar, &[peer.addr])).unwrap();
    let outcome = follow(&mut fetch).await;
    assert_eq!(outcome.failures, [(peer.addr, Reason::HashMismatch)]);
}

#[tokio::test]
async fn liars_do_not_hold_up_an_honest_peer() {
    let info = info(100_000);
    let arm = Libtorrent::open(&settings()).unwrap();
    let bigger = i64::try_from(info.len()).unwrap() + 1;
    let liars = [
        FakePeer::start(Role::Claims(bigger), &info).await,
        FakePeer::start(Role::WrongBytes, &info).await,
        FakePeer::start(Role::Silent, &info).await,
    ];
    let mut fetch = arm
        .fetch(request(v1(&info), &liars.each_ref().map(|liar| liar.addr)))
        .unwrap();
    while !matches!(
        fetch.next().await,
        Some(FetchEvent::PeerFailed { last: true, .. })
    ) {}
    let honest = FakePeer::start(Role::Honest, &info).await;
    fetch.connect(&[(honest.addr, Way::plain(Arm::Libtorrent))]);
    let outcome = follow(&mut fetch).await;
    assert_eq!(outcome.metadata, Some((honest.addr, info)));
    assert!(
        outcome.elapsed < Duration::from_millis(900),
        "{:?}",
        outcome.elapsed
    );
}

/// The one and final reason that a peer of this role gives.
async fn reason_of(role: Role) -> Reason {
    let info = info(50_000);
    let arm = Libtorrent::open(&settings()).unwrap();
    let peer = FakePeer::start(role, &info).await;
    let mut fetch = arm.fetch(request(v1(&info), &[peer.addr])).unwrap();
    let outcome = follow(&mut fetch).await;
    let [(addr, reason)] = outcome.failures[..] else {
        panic!("{:?}", outcome.failures);
    };
    assert_eq!(addr, peer.addr);
    assert!(outcome.metadata.is_none());
    assert!(
        peer.connections.load(Ordering::Relaxed) <= 2,
        "dialled again and again"
    );
    reason
}

macro_rules! verdicts {
    ($($name:ident: $role:expr => $reason:ident;)+) => {
        $(#[tokio::test]
        async fn $name() {
            assert_eq!(reason_of($role).await, Reason::$reason);
        })+
    };
}

verdicts! {
    a_size_of_zero_is_invalid: Role::Claims(0) => MetadataSizeInvalid;
    a_negative_size_is_invalid: Role::Claims(-1) => MetadataSizeInvalid;
    a_size_over_the_cap_is_invalid: Role::Claims((10 << 20) + 1) => MetadataSizeInvalid;
    a_huge_size_is_invalid: Role::Claims(i64::MAX) => MetadataSizeInvalid;
    another_size_than_the_data_has_is_a_violation: Role::Claims(50_001) => ProtocolViolation;
    a_silent_peer_times_out_in_the_handshake: Role::Silent => HandshakeTimeout;
    a_peer_that_hangs_up_is_closed: Role::HangsUp => Closed;
    another_torrent_is_a_wrong_infohash: Role::OtherTorrent => WrongInfohash;
    without_the_bit_there_is_no_extension_protocol: Role::NoExtensions => NoExtensionProtocol;
    without_extension_handshake_it_times_out: Role::NoExtensionHandshake => HandshakeTimeout;
    without_ut_metadata_there_is_none: Role::NoUtMetadata => NoUtMetadata;
    rejects_without_end_are_a_rejection: Role::Rejects => Rejected;
    a_piece_out_of_range_is_a_violation: Role::OutOfRange => ProtocolViolation;
    a_short_block_is_a_violation: Role::ShortBlock => ProtocolViolation;
    wrong_bytes_are_a_hash_mismatch: Role::WrongBytes => HashMismatch;
    a_stalled_transfer_times_out: Role::Stalls => TransferTimeout;
}

#[tokio::test]
async fn hostile_messages_are_violations() {
    for message in [
        &b""[..],
        b"i1e",
        b"d",
        b"d8:msg_typei1ee",
        b"d5:piecei0ee",
        b"d8:msg_type1:15:piecei0ee",
        b"d8:msg_typei1e5:piecei-1eex",
        b"d8:msg_typei1e5:piecei0e10:total_sizei-1eex",
        b"d8:msg_typei1e5:piecei9223372036854775807eex",
        b"d8:msg_typei1e5:piecei99999999999999999999999eex",
        b"d1:alllllllllllllllllllleeeeeeeeeeeeeeeeeeee8:msg_typei1e5:piecei0eex",
        Box::leak(vec![b'x'; 18 * 1024].into_boxed_slice()),
    ] {
        assert_eq!(
            reason_of(Role::Says(message)).await,
            Reason::ProtocolViolation
        );
    }
}

#[tokio::test]
async fn a_peer_that_hangs_up_is_tried_encrypted_at_once() {
    let arm = Libtorrent::open(&settings()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().into();
    let mut fetch = arm.fetch(request(Infohash::V1([6; 20]), &[addr])).unwrap();
    let followed = tokio::spawn(async move { follow(&mut fetch).await.failures });
    let mut starts = Vec::new();
    for _ in 0..2 {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut start = [0; 68];
        stream.read_exact(&mut start).await.unwrap();
        starts.push(start.starts_with(b"\x13BitTorrent protocol"));
    }
    assert_eq!(starts, [true, false], "plain first, then encrypted");
    assert_eq!(followed.await.unwrap(), [(addr, Reason::Closed)]);
}

#[tokio::test]
async fn a_peer_that_refuses_tcp_is_tried_over_utp_at_once() {
    let arm = Libtorrent::open(&settings()).unwrap();
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap().into();
    let mut fetch = arm.fetch(request(Infohash::V1([5; 20]), &[addr])).unwrap();
    let mut datagram = [0; 1500];
    let packet = async {
        tokio::select! {
            _ = follow(&mut fetch) => panic!("given up without uTP"),
            length = socket.recv(&mut datagram) => length.unwrap(),
        }
    };
    let length = tokio::time::timeout(Duration::from_millis(800), packet);
    // BEP 29: ST_SYN in version 1, in a header of 20 bytes.
    assert!(length.await.unwrap() >= 20);
    assert_eq!(datagram[0], 0x41);
}

#[tokio::test]
async fn a_peer_that_connects_to_us_is_used() {
    let info = info(70_000);
    let settings = Settings {
        incoming: true,
        ..settings()
    };
    let arm = Libtorrent::open(&settings).unwrap();
    until(&arm, |health| !health.tcp.is_empty()).await;
    let own = arm.health().tcp[0];
    let mut fetch = arm.fetch(request(v1(&info), &[])).unwrap();
    assert_eq!(fetch.next().await, Some(FetchEvent::Exhausted));
    let (hash, served) = (v1(&info).wire_id(), info.clone());
    tokio::spawn(async move {
        // It is turned away until the session has the torrent, and hung up on in the end.
        while visit(own, hash, &served).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut sources = Vec::new();
    let all = async {
        while let Some(event) = fetch.next().await {
            match event {
                FetchEvent::Peer { source, .. } => sources.push(source),
                FetchEvent::Metadata { bytes, .. } => assert_eq!(bytes, info),
                FetchEvent::PeerFailed { failure, .. } => panic!("{failure}"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all)
        .await
        .expect("nobody came");
    assert_eq!(sources, [PeerSource::Inbound]);
}

#[tokio::test]
async fn a_reject_means_later() {
    let info = info(50_000);
    let arm = Libtorrent::open(&settings()).unwrap();
    let peer = FakePeer::start(Role::RejectsOnce, &info).await;
    let mut fetch = arm.fetch(request(v1(&info), &[peer.addr])).unwrap();
    let outcome = follow(&mut fetch).await;
    assert_eq!(outcome.metadata, Some((peer.addr, info)));
}

#[tokio::test]
async fn a_refused_connection_is_refused_on_the_last_way_too() {
    let arm = Libtorrent::open(&settings()).unwrap();
    let peer = refusing();
    let mut fetch = arm.fetch(request(Infohash::V1([9; 20]), &[peer])).unwrap();
    let outcome = follow(&mut fetch).await;
    assert_eq!(outcome.failures, [(peer, Reason::Refused)]);
}

#[tokio::test]
async fn our_own_address_is_a_self_connection() {
    let settings = Settings {
        incoming: true,
        ..settings()
    };
    let arm = Libtorrent::open(&settings).unwrap();
    until(&arm, |health| !health.tcp.is_empty()).await;
    let own = PeerAddr::from(arm.health().tcp[0]);
    let mut fetch = arm.fetch(request(Infohash::V1([8; 20]), &[own])).unwrap();
    let outcome = follow(&mut fetch).await;
    assert!(
        outcome.failures.contains(&(own, Reason::SelfConnection)),
        "{:?}",
        outcome.failures
    );
}

#[tokio::test]
async fn local_addresses_are_blocked_unless_allowed() {
    let settings = Settings {
        allow_local_peers: false,
        ..settings()
    };
    let info = info(100);
    let arm = Libtorrent::open(&settings).unwrap();
    let peer = FakePeer::start(Role::Honest, &info).await;
    let mut fetch = arm.fetch(request(v1(&info), &[peer.addr])).unwrap();
    let outcome = follow(&mut fetch).await;
    assert_eq!(outcome.failures, [(peer.addr, Reason::Blocked)]);
    assert_eq!(peer.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_exhausted_fetch_comes_back_to_life() {
    let info = info(100);
    let arm = Libtorrent::open(&settings()).unwrap();
    let mut fetch = arm.fetch(request(v1(&info), &[])).unwrap();
    assert_eq!(fetch.next().await, Some(FetchEvent::Exhausted));
    let peer = FakePeer::start(Role::Honest, &info).await;
    fetch.connect(&[(peer.addr, Way::plain(Arm::Libtorrent))]);
    let outcome = follow(&mut fetch).await;
    assert_eq!(outcome.metadata, Some((peer.addr, info)));
    assert!(
        outcome.elapsed < Duration::from_millis(500),
        "{:?}",
        outcome.elapsed
    );
}

#[tokio::test]
async fn nothing_is_written_to_disk() {
    let info = info(20_000);
    let arm = Libtorrent::open(&settings()).unwrap();
    let peer = FakePeer::start(Role::Honest, &info).await;
    let mut fetch = arm.fetch(request(v1(&info), &[peer.addr])).unwrap();
    assert!(follow(&mut fetch).await.metadata.is_some());
    assert!(!std::path::Path::new("/nonexistent").exists());
}
