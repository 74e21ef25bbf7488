//! What was recorded comes back.

use super::*;

on_each_database!(
    sizes_that_no_column_holds_are_refused,
    every_field_comes_back,
    a_torrent_that_is_resolved_again_stays_one,
    failures_replace_each_other_and_leave_the_torrent,
    attempts_add_up_by_peer_and_name_the_deliverers,
);

async fn sizes_that_no_column_holds_are_refused(place: Place) {
    let store = place.open().unwrap();
    let huge = |torrent: ResolvedTorrent| Record {
        result: RecordResult::Resolved(Box::new(torrent)),
        ..resolved(1)
    };
    let mut long = torrent(hash(1));
    long.files[3].1 = u64::MAX;
    let size = ResolvedTorrent {
        size: 1 << 63,
        ..torrent(hash(1))
    };
    for (record, named) in [(huge(long), "folder/file 3"), (huge(size), "size")] {
        let refused = store.record(record).await.unwrap_err();
        assert!(
            matches!(&refused, StoreError::Value(text) if text.contains(named)),
            "{refused}"
        );
    }
    assert_eq!(store.counts().await, Ok(Counts::default()));
}

async fn every_field_comes_back(place: Place) {
    let store = place.open().unwrap();
    let (v1, v2) = ([1; 20], [2; 32]);
    let full = ResolvedTorrent {
        infohash_v2: Some(v2),
        name: "näme\0with NUL".to_owned(),
        size: i64::MAX.unsigned_abs(),
        piece_length: 1 << 24,
        pieces_count: 77,
        private: true,
        source: "A TRACKER".to_owned(),
        info: (0..=255).collect(),
        trackers: vec![
            "http://a.example/\"x\"".to_owned(),
            "udp://b.example:1".to_owned(),
        ],
        files: vec![("é/ü 🦀 ".to_owned(), 0), ("b".to_owned(), 7)],
        arm: "libtorrent".to_owned(),
        peer: Some("[2a00::1]:6881".parse().unwrap()),
        ..torrent(Infohash::V1(v1))
    };
    store
        .record(failed(Infohash::V1(v1), 2, 500))
        .await
        .unwrap();
    let record = Record {
        infohash: Infohash::V1(v1),
        result: RecordResult::Resolved(Box::new(full.clone())),
        attempts: vec![attempt(peer(9), 1_500, None)],
        tracker_replies: Vec::new(),
        at_ms: 2_000,
    };
    store.record(record).await.unwrap();
    let hybrid = Infohash::Hybrid { v1, v2 };
    let by_dht = Infohash::V1(Infohash::V2(v2).wire_id());
    for asked in [Infohash::V1(v1), Infohash::V2(v2), hybrid, by_dht] {
        let stored = store.torrent(&asked).await.unwrap().unwrap();
        assert_eq!(stored.infohash, hybrid);
        assert_eq!(stored.name, "näme\u{fffd}with NUL");
        assert_eq!(stored.size, full.size);
        assert_eq!(stored.piece_length, full.piece_length);
        assert_eq!(stored.pieces_count, 77);
        assert_eq!(stored.files_count, 2);
        assert!(stored.private);
        assert_eq!(stored.metadata_size, 256);
        assert_eq!(stored.trackers, full.trackers);
        assert_eq!(stored.source, full.source);
        assert_eq!(stored.arm, "libtorrent");
        assert_eq!(stored.peer, full.peer);
        assert_eq!(stored.discovered_at_ms, 1_500);
        assert_eq!(
            (stored.last_seen_at_ms, stored.resolved_at_ms),
            (2_000, 2_000)
        );
        assert_eq!(stored.info, full.info);
        assert_eq!(store.files(&asked).await.unwrap(), full.files);
        assert_eq!(
            store.failed_torrent(&asked).await,
            Ok(None),
            "it was resolved since"
        );
    }
    assert_eq!(store.torrent(&hash(5)).await, Ok(None));
    assert_eq!(store.files(&hash(5)).await, Ok(Vec::new()));
}

async fn a_torrent_that_is_resolved_again_stays_one(place: Place) {
    let store = place.open().unwrap();
    let v2 = Infohash::V2([2; 32]);
    let cut = Infohash::V1(v2.wire_id());
    let hybrid = ResolvedTorrent {
        infohash_v2: Some([2; 32]),
        ..torrent(hash(1))
    };
    // By its v2 hash, by that cut, and as a hybrid with files of another count.
    for (at_ms, torrent) in [
        (10, torrent(cut)),
        (20, torrent(v2)),
        (
            30,
            ResolvedTorrent {
                files: vec![("a".to_owned(), 1)],
                ..hybrid
            },
        ),
    ] {
        let record = Record {
            infohash: torrent.infohash,
            result: RecordResult::Resolved(Box::new(torrent)),
            attempts: Vec::new(),
            tracker_replies: Vec::new(),
            at_ms,
        };
        store.record(record).await.unwrap();
        let counts = store.counts().await.unwrap();
        assert_eq!(counts.torrents, 1, "at {at_ms}");
    }
    assert_eq!(store.counts().await.unwrap().files, 1);
    let stored = store.torrent(&v2).await.unwrap().unwrap();
    assert_eq!(stored.infohash, hash(1).merge(v2).unwrap());
    assert_eq!((stored.discovered_at_ms, stored.resolved_at_ms), (10, 30));
}

async fn failures_replace_each_other_and_leave_the_torrent(place: Place) {
    let store = place.open().unwrap();
    store.record(resolved(1)).await.unwrap();
    for failures in 1..=3 {
        store
            .record(failed(hash(1), failures, failures.into()))
            .await
            .unwrap();
    }
    let RecordResult::Failed(expected) = failed(hash(1), 3, 3).result else {
        panic!("not a failure");
    };
    assert_eq!(store.failed_torrent(&hash(1)).await, Ok(Some(expected)));
    assert!(store.torrent(&hash(1)).await.unwrap().is_some());
    let mut long = failed(hash(2), 1, 1);
    if let RecordResult::Failed(failed) = &mut long.result {
        failed.detail = "é".repeat(10_000);
    }
    store.record(long).await.unwrap();
    let stored = store.failed_torrent(&hash(2)).await.unwrap().unwrap();
    assert_eq!(stored.detail, "é".repeat(500));
}

async fn attempts_add_up_by_peer_and_name_the_deliverers(place: Place) {
    let store = place.open().unwrap();
    let record = |attempts| Record {
        infohash: hash(1),
        result: RecordResult::AttemptsOnly,
        attempts,
        tracker_replies: Vec::new(),
        at_ms: 9_000,
    };
    let v6: PeerAddr = "[2a00::1]:1".parse().unwrap();
    store
        .record(record(vec![
            attempt(peer(1), 1_000, None),
            attempt(peer(2), 1_000, Some(Reason::Rejected)),
            attempt(v6, 3_000, None),
        ]))
        .await
        .unwrap();
    store
        .record(record(vec![
            attempt(peer(1), 2_000, None),
            attempt(peer(1), 4_000, Some(Reason::Closed)),
        ]))
        .await
        .unwrap();
    let mut asked: Vec<PeerAddr> = (0..250).map(peer).collect();
    asked.push(v6);
    let states = store.peer_states(&asked).await.unwrap();
    assert_eq!(states.len(), 3);
    let state = &states[&peer(1)];
    assert_eq!(
        (state.attempts, state.deliveries, state.failures),
        (3, 2, 1)
    );
    assert_eq!(
        (state.first_seen_at_ms, state.last_seen_at_ms),
        (1_000, 4_000)
    );
    assert_eq!(state.last_outcome, Some(Reason::Closed));
    assert_eq!(state.last_delivered_at_ms, Some(2_000));
    assert!((state.avg_latency_ms.unwrap() - 120.0).abs() < 1e-9);
    assert_eq!(states[&peer(2)].bep9_support, Some(true));
    assert_eq!(
        store
            .recall(&hash(1), vec![], false)
            .await
            .unwrap()
            .deliverers,
        [v6, peer(1)]
    );
    let other = store.recall(&hash(2), vec![peer(1)], false).await.unwrap();
    assert_eq!(other.deliverers, []);
    assert_eq!(other.peers.len(), 1);
    assert_eq!(store.peer_states(&[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn groups_of_peers_add_up_the_heaviest_first() {
    let (_directory, path) = directory();
    let store = open(&path).unwrap();
    // Two of the three peers are in one network; each batch adds to the rows of the one before.
    let near = |n| PeerAddr::new([1, 2, 3, n].into(), 6881);
    for at_ms in [1_000, 2_000] {
        let record = Record {
            attempts: vec![
                attempt(near(1), at_ms, Some(Reason::HashMismatch)),
                attempt(near(2), at_ms, None),
                attempt(peer(1), at_ms, Some(Reason::Rejected)),
                attempt(peer(1), at_ms, Some(Reason::Cancelled)),
            ],
            ..resolved(1)
        };
        store.record(record).await.unwrap();
    }
    let groups = store.groups(1).await.unwrap();
    let names: Vec<(&str, String)> = groups
        .iter()
        .map(|(group, _)| (group.kind(), group.to_string()))
        .collect();
    let expected = [
        ("client", "a"),
        ("network", "1.2.3.0/24"),
        ("source", "dht"),
        ("way", "direct:tcp"),
    ];
    assert_eq!(names, expected.map(|(kind, name)| (kind, name.to_owned())));
    let counts: Vec<_> = groups
        .iter()
        .map(|(_, state)| (state.attempts, state.connections, state.deliveries))
        .collect();
    assert_eq!(counts, [(6, 6, 2), (4, 4, 2), (6, 6, 2), (6, 6, 2)]);
    let network = groups[1].1;
    assert!(
        (network.weights.delivered - 2.0).abs() < 1e-4,
        "{network:?}"
    );
    assert!(
        (network.weights.misbehaved - 2.0).abs() < 1e-4,
        "{network:?}"
    );
    assert_eq!(
        (network.latencies.count(), network.connect_times.count()),
        (2, 2)
    );
    let all = store.groups(10).await.unwrap();
    assert_eq!(all.len(), 4, "a network where nobody delivered has no row");
}

#[tokio::test]
async fn attempts_at_a_hash_come_back_the_latest_first() {
    let (_directory, path) = directory();
    let store = open(&path).unwrap();
    let utp = Way::new(Arm::Libtorrent, Transport::Utp, true);
    let by_utp = Attempt {
        way: utp,
        ..attempt(peer(7), 5_000, Some(Reason::Closed))
    };
    let record = Record {
        attempts: vec![by_utp, attempt(peer(8), 4_000, None)],
        ..resolved(1)
    };
    store.record(record).await.unwrap();
    store.record(resolved(2)).await.unwrap();
    let past = |peer, way, outcome, at_ms| PastAttempt {
        peer,
        way,
        phase: Phase::Transfer,
        outcome,
        at_ms,
    };
    let expected = [
        past(peer(7), utp, Some(Reason::Closed), 5_000),
        past(peer(8), Way::plain(Arm::Direct), None, 4_000),
    ];
    let known = store.recall(&hash(1), Vec::new(), false).await.unwrap();
    assert!(known.torrent.is_some() && known.attempts.is_empty());
    let again = store.recall(&hash(1), Vec::new(), true).await.unwrap();
    assert_eq!((again.torrent, again.attempts), (None, expected.to_vec()));
    let other = store.recall(&hash(3), Vec::new(), true).await.unwrap();
    assert_eq!(other.attempts, []);
}
