//! What the service is asked for, and what it remembers.

use super::*;

use metafetch::store::{NowWanted, WantedTorrent};

on_each_database!(
    what_is_wanted_comes_back_in_its_turn_until_it_is_not,
    a_hash_that_two_want_is_there_once,
    the_daemon_remembers,
);

fn wanted(number: u32, priority: i16, requested_at_ms: i64) -> WantedTorrent {
    WantedTorrent {
        infohash: hash(number),
        source: "api".to_owned(),
        priority,
        trackers: vec![format!("udp://t.example:{number}/\"é\"")],
        peers: vec![
            "1.2.3.4:5".parse().unwrap(),
            "host.example:6".parse().unwrap(),
        ],
        requested_at_ms,
    }
}

async fn what_is_wanted_comes_back_in_its_turn_until_it_is_not(place: Place) {
    let store = place.open().unwrap();
    // Some asked at the same moment, some urgent, some that may wait.
    let mut all: Vec<WantedTorrent> = (0..600)
        .map(|number| {
            let number_i64 = i64::from(number);
            let priority = i16::try_from(number % 3).unwrap() - 1;
            wanted(number, priority, 1_000 - number_i64 % 7)
        })
        .collect();
    let kept = |rows: &[WantedTorrent], is_new| -> Vec<NowWanted> {
        let kept = |row: &WantedTorrent| NowWanted {
            row: row.clone(),
            is_new,
        };
        rows.iter().map(kept).collect()
    };
    assert_eq!(store.want(all.clone()).await, Ok(kept(&all, true)));
    let again: Vec<WantedTorrent> = (all[..300].iter())
        .map(|row| WantedTorrent {
            source: "directory".to_owned(),
            requested_at_ms: 2_000,
            ..row.clone()
        })
        .collect();
    let rows = store.want(again).await;
    assert_eq!(rows, Ok(kept(&all[..300], false)), "as they are stored");
    let other = WantedTorrent {
        source: "directory".to_owned(),
        ..wanted(9_999, 5, 1)
    };
    store.want(vec![other.clone()]).await.unwrap();
    all.sort_by_key(|wanted| {
        let bytes = wanted.infohash.as_bytes().to_vec();
        (-wanted.priority, wanted.requested_at_ms, bytes)
    });
    for limit in [1, 7, 1_000] {
        let mut read: Vec<WantedTorrent> = Vec::new();
        loop {
            let page = store.wanted("api", read.last(), limit).await.unwrap();
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= limit as usize);
            read.extend(page);
            if limit == 1 && read.len() == 20 {
                break;
            }
        }
        assert_eq!(read, all[..read.len()]);
        assert!(limit == 1 || read.len() == all.len());
    }
    assert_eq!(store.wanted("directory", None, 9).await, Ok(vec![other]));
    assert_eq!(store.wanted("crawl", None, 9).await, Ok(Vec::new()));
    let counts = store.wanted_count().await.unwrap();
    assert_eq!(
        (counts["api"], counts["directory"], counts.len()),
        (600, 1, 2)
    );

    // Another process finds them.
    store.close().await;
    let store = place.open().unwrap();
    let first: Vec<Infohash> = all[..500].iter().map(|wanted| wanted.infohash).collect();
    assert_eq!(store.unwant(&first).await, Ok(500));
    assert_eq!(store.unwant(&first).await, Ok(0));
    assert_eq!(store.wanted("api", None, 1_000).await.unwrap(), all[500..]);
}

async fn a_hash_that_two_want_is_there_once(place: Place) {
    let store = place.open().unwrap();
    let hybrid = Infohash::Hybrid {
        v1: [1; 20],
        v2: [2; 32],
    };
    let with = |infohash, source: &str, priority, number| WantedTorrent {
        infohash,
        source: source.to_owned(),
        ..wanted(number, priority, number.into())
    };
    let v1 = Infohash::V1([1; 20]);
    let kept = store
        .want(vec![with(v1, "api", 0, 1), with(v1, "crawl", 1, 2)])
        .await
        .unwrap();
    let are_new: Vec<bool> = kept.iter().map(|kept| kept.is_new).collect();
    assert_eq!(are_new, [true, false]);
    assert_eq!(kept[0].row, kept[1].row, "both are one row");
    assert_eq!(
        (kept[1].row.source.as_str(), kept[1].row.priority),
        ("api", 1)
    );
    let kept = store.want(vec![with(hybrid, "directory", 3, 4)]).await;
    let found = store.wanted_torrent(&v1).await.unwrap().unwrap();
    let row = found.clone();
    assert_eq!(kept, Ok(vec![NowWanted { row, is_new: false }]));
    assert_eq!(found.infohash, hybrid, "what is known of it adds up");
    assert_eq!((found.source.as_str(), found.requested_at_ms), ("api", 1));
    assert_eq!(found.priority, 3);
    assert_eq!(found.peers.len(), 2);
    assert!(
        found
            .trackers
            .contains(&"udp://t.example:4/\"é\"".to_owned())
    );
    assert_eq!(store.wanted("api", None, 9).await.unwrap(), [found]);
    assert_eq!(store.wanted_torrent(&hash(7)).await, Ok(None));
    assert_eq!(store.unwant(&[hybrid]).await, Ok(1));
    assert_eq!(store.wanted_torrent(&v1).await, Ok(None));
}

async fn the_daemon_remembers(place: Place) {
    let store = place.open().unwrap();
    assert_eq!(store.daemon_state("a").await, Ok(None));
    for value in ["true", "", "é \" '"] {
        store.set_daemon_state("a", Some(value)).await.unwrap();
        assert_eq!(store.daemon_state("a").await, Ok(Some(value.to_owned())));
    }
    assert_eq!(store.daemon_state("b").await, Ok(None));
    store.set_daemon_state("a", None).await.unwrap();
    assert_eq!(store.daemon_state("a").await, Ok(None));
}
