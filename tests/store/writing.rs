//! The writer under load, locks, a full disk and records that are refused.

use super::*;

#[tokio::test]
async fn a_lock_of_another_is_waited_for_and_then_named() {
    let (_directory, path) = directory();
    let store = open(&path).unwrap();
    let mut other = raw(&path);
    other.batch_execute("BEGIN EXCLUSIVE").unwrap();
    assert!(matches!(error(&path), StoreError::Locked { .. }));

    let before = Instant::now();
    let refused = store.record(resolved(1)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
    assert!(before.elapsed() < Duration::from_secs(5));
    assert_eq!(store.counts().await, Ok(Counts::default()), "reads go on");

    other.batch_execute("COMMIT").unwrap();
    store.record(resolved(1)).await.unwrap();
    assert_eq!(store.counts().await.unwrap().torrents, 1);
}

#[tokio::test]
async fn a_lock_that_goes_away_in_time_costs_nothing() {
    let (_directory, path) = directory();
    let store = Store::open(&StoreUrl::Sqlite(path.clone())).unwrap();
    let mut other = raw(&path);
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let writing = tokio::spawn({
        let store = store.clone();
        async move { store.record(resolved(1)).await }
    });
    let refused = tokio::time::timeout(Duration::from_millis(50), async {
        while !writing.is_finished() {
            tokio::task::yield_now().await;
        }
    });
    assert!(refused.await.is_err(), "it must wait for the lock");
    other.batch_execute("COMMIT").unwrap();
    assert_eq!(writing.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_full_database_is_named_and_recovers() {
    let (_directory, path) = directory();
    let options = StoreOptions {
        size_limit: Some(1 << 20),
        ..impatient()
    };
    let store = Store::open_with(&StoreUrl::Sqlite(path), &options).unwrap();
    let large = ResolvedTorrent {
        info: vec![b'x'; 2 << 20],
        ..torrent(hash(1))
    };
    let large = Record {
        result: RecordResult::Resolved(Box::new(large)),
        ..resolved(1)
    };
    let refused = store.record(large).await.unwrap_err();
    assert!(matches!(refused, StoreError::Full { .. }), "{refused}");
    assert_eq!(
        store.counts().await,
        Ok(Counts::default()),
        "nothing is left of it"
    );
    store.record(resolved(2)).await.unwrap();
    assert!(store.torrent(&hash(2)).await.unwrap().is_some());
}

#[tokio::test]
async fn one_record_that_is_refused_does_not_take_its_batch_with_it() {
    let (_directory, path) = directory();
    let store = Store::open(&StoreUrl::Sqlite(path.clone())).unwrap();
    let mut other = raw(&path);
    other
        .batch_execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON torrent_metadata WHEN NEW.name = 'poison' \
             BEGIN SELECT RAISE(ABORT, 'poison is refused'); END; BEGIN IMMEDIATE;",
        )
        .unwrap();
    // The lock makes them wait for each other, and so go into few batches.
    let answers = join_all((0..200).map(|number| {
        let name = if number == 77 { "poison" } else { "fine" };
        store.record(named(number, name))
    }));
    let (answers, unlocked) = tokio::join!(answers, async { other.batch_execute("COMMIT") });
    unlocked.unwrap();
    for (number, answer) in answers.into_iter().enumerate() {
        if number == 77 {
            let refused = answer.unwrap_err();
            assert!(
                refused.to_string().contains("poison is refused"),
                "{refused}"
            );
        } else {
            assert_eq!(answer, Ok(()), "{number}");
        }
    }
}

#[tokio::test]
async fn five_thousand_at_once_are_all_acknowledged_and_there() {
    let (_directory, path) = directory();
    let store = Store::open(&StoreUrl::Sqlite(path.clone())).unwrap();
    let answers = join_all((0..5_000).map(|number| store.record(resolved(number)))).await;
    assert!(answers.iter().all(Result::is_ok));
    store.close().await;
    let log = path.with_extension("db-wal");
    assert!(
        fs::metadata(log).is_ok_and(|log| log.len() == 0)
            || !path.with_extension("db-wal").exists()
    );
    let counts = open(&path).unwrap().counts().await.unwrap();
    let expected = Counts {
        pending: 0,
        torrents: 5_000,
        files: 50_000,
        failed_torrents: 0,
        attempts: 15_000,
        peers: 5_002,
    };
    assert_eq!(counts, expected);
}

#[tokio::test]
async fn closing_writes_what_is_queued_and_refuses_what_comes_later() {
    let (_directory, path) = directory();
    let store = open(&path).unwrap();
    let clone = store.clone();
    // So few that all of them are queued within one turn of the runtime, before the close.
    let queued = join_all((0..25).map(|number| clone.record(resolved(number))));
    let (answers, ()) = tokio::join!(queued, store.close());
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(clone.record(resolved(1)).await, Err(StoreError::Closed));
    assert_eq!(clone.counts().await.unwrap().torrents, 25);
}
