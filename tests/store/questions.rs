//! What an operator asks and changes: failures, the blocklist, peers, statistics.

use super::*;

use metafetch::store::{BlockEntry, FailedFilter, Funnel};

on_each_database!(
    failures_are_listed_removed_and_cleared,
    the_blocklist_holds_hashes_and_salted_digests,
    peers_and_statistics_add_up,
);

async fn failures_are_listed_removed_and_cleared(place: Place) {
    let store = place.open().unwrap();
    let v2 = Infohash::V2([7; 32]);
    for (infohash, at_ms) in [(hash(1), 3_000), (v2, 1_000), (hash(2), 2_000)] {
        store.record(failed(infohash, 1, at_ms)).await.unwrap();
    }
    let all = FailedFilter::default();
    let listed = store.failed_torrents(&all, 10).await.unwrap();
    let hashes: Vec<_> = listed.iter().map(|(infohash, _)| *infohash).collect();
    assert_eq!(hashes, [v2, hash(2), hash(1)], "the soonest retry first");
    assert_eq!(store.failed_torrents(&all, 2).await.unwrap().len(), 2);
    let first_retry = listed.first().unwrap().1.retry_at_ms;
    let cooling = FailedFilter {
        reason: Some(Reason::TransferTimeout),
        cooling_at_ms: Some(first_retry),
        ..all.clone()
    };
    assert_eq!(store.failed_torrents(&cooling, 10).await.unwrap().len(), 2);
    // By the form that the DHT has.
    let short = Infohash::V1(v2.wire_id());
    assert!(store.failed_torrent(&short).await.unwrap().is_some());
    let removed = store.remove_failed(&[short, hash(9)]).await;
    assert_eq!(removed, Ok(vec![hash(9)]));
    let old = FailedFilter {
        failed_before_ms: Some(3_000),
        ..all.clone()
    };
    assert_eq!(store.clear_failed(&old).await, Ok(1));
    assert_eq!(store.clear_failed(&all).await, Ok(1));
}

async fn the_blocklist_holds_hashes_and_salted_digests(place: Place) {
    use sha2::{Digest as _, Sha256};
    let store = place.open().unwrap();
    assert_eq!(store.is_blocked(&hash(1)).await, Ok(false));
    let entries: Vec<_> = (1..=1_200).map(hash).collect();
    let entries: Vec<_> = entries.iter().flat_map(BlockEntry::of_hash).collect();
    assert_eq!(store.block(entries.clone(), "a", 5).await, Ok(1_200));
    assert_eq!(store.block(entries, "b", 6).await, Ok(0));
    let row = store.blocked_by(&hash(1_200)).await.unwrap().unwrap();
    assert_eq!((row.list.as_str(), row.added_at_ms), ("a", 5));
    assert_eq!(row.value, hash(1_200).as_bytes());

    let salt = [0, 0xff, 0x20];
    let digest = |infohash: Infohash, salt: &[u8]| {
        let digest = Sha256::digest([salt, infohash.as_bytes()].concat());
        BlockEntry::of_digest(digest.into(), salt).unwrap()
    };
    let digests = vec![digest(hash(2_000), &salt), digest(hash(2_001), &[])];
    assert_eq!(store.block(digests, "b", 6).await, Ok(2));
    assert_eq!(store.block_salts().await, Ok(vec![salt.to_vec()]));
    // A store that is opened now knows the salt at once.
    let other = place.open().unwrap();
    for number in [2_000, 2_001] {
        assert_eq!(other.is_blocked(&hash(number)).await, Ok(true));
    }
    assert_eq!(other.is_blocked(&hash(2_002)).await, Ok(false));
    other.close().await;
    let removed = store.unblock(&[hash(2_000), hash(1), hash(2_002)]).await;
    assert_eq!(removed, Ok(vec![hash(2_002)]));
    assert_eq!(store.blocked(Some("b"), 10).await.unwrap().len(), 1);
    assert_eq!(store.blocked(None, 7).await.unwrap().len(), 7);
    assert_eq!(store.unblock_list("a").await, Ok(1_199));
    assert_eq!(store.counts().await.unwrap().blocked, 1);

    let salts = (0..=1_000_u32).map(|n| digest(hash(n), &n.to_be_bytes()));
    let too_many = store.block(salts.collect(), "c", 7).await.unwrap_err();
    assert!(too_many.to_string().contains("salts"), "{too_many}");
    assert_eq!(store.counts().await.unwrap().blocked, 1, "all or nothing");
}

async fn peers_and_statistics_add_up(place: Place) {
    let store = place.open().unwrap();
    let refused = |at_ms| Attempt {
        phase: Phase::Connect,
        connect_time: None,
        ..attempt(peer(9), at_ms, Some(Reason::Refused))
    };
    let record = |number, attempts| Record {
        infohash: hash(number),
        result: RecordResult::AttemptsOnly,
        attempts,
        tracker_replies: Vec::new(),
        at_ms: 9_000,
    };
    let delivered = |number, at_ms| Attempt {
        phase: Phase::Verify,
        ..attempt(peer(number), at_ms, None)
    };
    for record in [
        record(1, vec![delivered(1, 1_000), refused(1_000)]),
        record(2, vec![delivered(2, 3_000), refused(2_000)]),
        record(3, vec![refused(4_000)]),
        failed(hash(4), 1, 5_000),
    ] {
        store.record(record).await.unwrap();
    }
    let best = store.latest_deliverers(10).await.unwrap();
    let best: Vec<_> = best.iter().map(|(peer, _)| *peer).collect();
    assert_eq!(best, [peer(2), peer(1)]);
    let worst = store.most_failures(10).await.unwrap();
    let worst: Vec<_> = worst.iter().map(|(peer, _)| *peer).collect();
    assert_eq!(worst, [peer(9)]);
    let at = store.peers_at(peer(9).ip(), None, 10).await.unwrap();
    assert_eq!(at.first().map(|(peer, _)| *peer), Some(peer(9)));
    let attempts = store.attempts_at(peer(9).ip(), Some(6881), (1_000, 4_000), 2);
    let attempts = attempts.await.unwrap();
    assert_eq!(
        attempts,
        [(hash(3), refused(4_000)), (hash(2), refused(2_000))]
    );

    let funnel = store.funnel(i64::MIN).await.unwrap();
    let expected = Funnel {
        asked: 4,
        had_peers: 3,
        connected: 2,
        handshake: 2,
        extension: 2,
        transfer: 2,
        verified: 2,
    };
    assert_eq!(funnel, expected);
    let recent = store.funnel(2_500).await.unwrap();
    assert_eq!((recent.asked, recent.had_peers, recent.verified), (3, 2, 1));
    let groups = store.attempt_groups(i64::MIN).await.unwrap();
    let counts = groups.iter().map(|group| (group.outcome, group.attempts));
    let counts: HashSet<_> = counts.collect();
    assert_eq!(counts, [(None, 2), (Some(Reason::Refused), 3)].into());
    let latencies = store.latencies(i64::MIN, 10).await.unwrap();
    assert_eq!(latencies.deliveries_ms, [120, 120]);
    assert_eq!(latencies.connects_ms, [30, 30]);
    assert!(store.size().await.unwrap() > 0);
}
