//! The writer under load, short locks, and records that are refused.

use super::*;

on_each_database!(
    a_lock_that_goes_away_in_time_costs_nothing,
    closing_writes_what_is_queued_and_refuses_what_comes_later,
    five_thousand_at_once_are_all_acknowledged_and_there,
    one_record_that_is_refused_does_not_take_its_batch_with_it,
);

async fn a_lock_that_goes_away_in_time_costs_nothing(place: Place) {
    let store = Store::open(&place.url()).unwrap();
    let lock = place.lock();
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
    drop(lock);
    assert_eq!(writing.await.unwrap(), Ok(()));
}

async fn one_record_that_is_refused_does_not_take_its_batch_with_it(place: Place) {
    let store = Store::open(&place.url()).unwrap();
    place.run(match &place {
        Place::Sqlite(..) => {
            "CREATE TRIGGER refuse BEFORE INSERT ON torrent_metadata WHEN NEW.name = 'poison' \
             BEGIN SELECT RAISE(ABORT, 'poison is refused'); END;"
        }
        Place::Server(database) => match database.server.kind {
            Kind::Mariadb => {
                "CREATE TRIGGER refuse BEFORE INSERT ON torrent_metadata FOR EACH ROW \
                 IF NEW.name = 'poison' THEN \
                 SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'poison is refused'; END IF"
            }
            Kind::Postgres => {
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF NEW.name = 'poison' THEN RAISE 'poison is refused'; END IF; \
                 RETURN NEW; END $$; \
                 CREATE TRIGGER refuse BEFORE INSERT ON torrent_metadata \
                 FOR EACH ROW EXECUTE FUNCTION refuse()"
            }
        },
    });
    let lock = place.lock();
    // The lock makes them wait for each other, and so go into few batches.
    let answers = join_all((0..200).map(|number| {
        let name = if number == 77 { "poison" } else { "fine" };
        store.record(named(number, name))
    }));
    let (answers, ()) = tokio::join!(answers, async { drop(lock) });
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

async fn five_thousand_at_once_are_all_acknowledged_and_there(place: Place) {
    let store = Store::open(&place.url()).unwrap();
    let answers = join_all((0..5_000).map(|number| store.record(resolved(number)))).await;
    assert!(answers.iter().all(Result::is_ok));
    store.close().await;
    if let Place::Sqlite(_, path) = &place {
        let log = path.with_extension("db-wal");
        assert!(fs::metadata(&log).is_ok_and(|meta| meta.len() == 0) || !log.exists());
    }
    let counts = place.open().unwrap().counts().await.unwrap();
    let expected = Counts {
        torrents: 5_000,
        files: 50_000,
        failed_torrents: 0,
        attempts: 15_000,
        peers: 5_002,
    };
    assert_eq!(counts, expected);
}

async fn closing_writes_what_is_queued_and_refuses_what_comes_later(place: Place) {
    let store = place.open().unwrap();
    let clone = store.clone();
    // So few that all of them are queued within one turn of the runtime, before the close.
    let queued = join_all((0..25).map(|number| clone.record(resolved(number))));
    let (answers, ()) = tokio::join!(queued, store.close());
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(clone.record(resolved(1)).await, Err(StoreError::Closed));
    assert_eq!(clone.counts().await.unwrap().torrents, 25);
}
