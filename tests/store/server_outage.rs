//! Servers that go away: connections that break in the middle of a commit, and that can't be made.

use super::databases::PASSWORD_IN_URL;
use super::databases::proxy::{Cut, Proxy};
use super::outage::{assert_each_once, replayed};
use super::*;

fn url(proxy: &Proxy, place: &Place) -> StoreUrl {
    let Place::Server(database) = place else {
        unreachable!("only servers are reached through a proxy");
    };
    let scheme = match database.server.kind {
        Kind::Mariadb => "mariadb",
        Kind::Postgres => "postgres",
    };
    let (port, name) = (proxy.port, &database.name);
    format!("{scheme}://metafetch:{PASSWORD_IN_URL}@127.0.0.1:{port}/{name}?tls=disable")
        .parse()
        .unwrap()
}

fn options(journals: &TempDir, spill_after: Duration) -> StoreOptions {
    StoreOptions {
        retry_for: Duration::from_secs(30),
        spill_after,
        journal_dir: Some(journals.path().to_owned()),
        ..StoreOptions::default()
    }
}

/// Whether it is tried again at once, or by way of a journal.
async fn what_was_cut_in_its_commit_is_stored_once(place: Place) {
    let Place::Server(database) = &place else {
        return;
    };
    let proxy = Proxy::start(database.server.port);
    let journals = tempfile::tempdir().unwrap();
    let mut number = 0;
    for spill_after in [Duration::from_secs(30), Duration::ZERO] {
        let options = options(&journals, spill_after);
        let store = Store::open_with(&url(&proxy, &place), &options).unwrap();
        for cut in [Cut::BeforeAnswer, Cut::BeforeCommit, Cut::BeforeAnswer] {
            store.record(resolved(number)).await.unwrap();
            proxy.cut_next(cut);
            store.record(resolved(number + 1)).await.unwrap();
            assert!(proxy.was_cut());
            number += 2;
            replayed(&store).await;
        }
        assert_each_once(&store, 0..number).await;
        store.close().await;
    }
    assert_eq!(fs::read_dir(journals.path()).unwrap().count(), 0);
}

/// So is a journal whose own commits are cut, and that is then read again.
async fn a_journal_that_was_cut_in_its_commit_is_stored_once(place: Place) {
    let Place::Server(database) = &place else {
        return;
    };
    let proxy = Proxy::start(database.server.port);
    let journals = tempfile::tempdir().unwrap();
    let options = options(&journals, Duration::ZERO);
    let store = Store::open_with(&url(&proxy, &place), &options).unwrap();
    proxy.stop();
    for number in 0..50 {
        store.record(resolved(number)).await.unwrap();
    }
    assert!(store.health().last_error.is_some());
    proxy.cut_next(Cut::BeforeAnswer);
    proxy.go_on();
    replayed(&store).await;
    assert!(proxy.was_cut());
    assert_each_once(&store, 0..50).await;
}

async fn a_server_that_goes_away_under_load_loses_nothing(place: Place) {
    let Place::Server(database) = &place else {
        return;
    };
    let proxy = Proxy::start(database.server.port);
    let journals = tempfile::tempdir().unwrap();
    let options = options(&journals, Duration::from_millis(50));
    let store = Store::open_with(&url(&proxy, &place), &options).unwrap();
    for round in 0..5 {
        let numbers = round * 200..(round + 1) * 200;
        let writing = tokio::spawn({
            let store = store.clone();
            async move { join_all(numbers.map(|number| store.record(resolved(number)))).await }
        });
        proxy.stop();
        let answers = writing.await.unwrap();
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        proxy.go_on();
    }
    replayed(&store).await;
    assert_each_once(&store, 0..1_000).await;
    store.close().await;
    assert_eq!(fs::read_dir(journals.path()).unwrap().count(), 0);
}

/// At the end of a run, and at the start of the next one.
async fn the_next_start_stores_what_waits_for_a_server(place: Place) {
    let Place::Server(database) = &place else {
        return;
    };
    let proxy = Proxy::start(database.server.port);
    let journals = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        retry_for: Duration::from_millis(100),
        ..options(&journals, Duration::ZERO)
    };
    let store = Store::open_with(&url(&proxy, &place), &options).unwrap();
    proxy.stop();
    join_all((0..20).map(|number| store.record(resolved(number)))).await;
    store.close().await;
    let left = fs::read_dir(journals.path()).unwrap().next().unwrap();
    let name = left.unwrap().file_name().into_string().unwrap();
    assert!(!name.contains(PASSWORD_IN_URL), "{name}");
    proxy.go_on();
    let store = Store::open_with(&url(&proxy, &place), &options).unwrap();
    assert_each_once(&store, 0..20).await;
    assert_eq!(fs::read_dir(journals.path()).unwrap().count(), 0);
}

macro_rules! on_each_server {
    ($($test:ident),+ $(,)?) => {
        mod mariadb {
            $(#[tokio::test] async fn $test() { super::$test(super::Place::mariadb()).await })+
        }
        mod postgres {
            $(#[tokio::test] async fn $test() { super::$test(super::Place::postgres()).await })+
        }
    };
}

on_each_server!(
    what_was_cut_in_its_commit_is_stored_once,
    a_journal_that_was_cut_in_its_commit_is_stored_once,
    a_server_that_goes_away_under_load_loses_nothing,
    the_next_start_stores_what_waits_for_a_server,
);
