//! The tables are made as the old crawler made them, and where they are there, nothing of them is touched.

use metafetch::store::{LegacyTables, Store, StoreError, StoreOptions};

use crate::databases::PASSWORD;
use crate::fixture::{Legacy, discovered, hash, received};

const NAMES: [&str; 4] = [
    "discovered_torrents",
    "discovered_peers",
    "torrent_files",
    "log",
];

#[derive(diesel::QueryableByName)]
struct Shown {
    #[diesel(sql_type = diesel::sql_types::Text, column_name = "Create Table")]
    text: String,
}

fn shown(legacy: &Legacy, table: &str) -> String {
    use diesel::prelude::*;
    let mut connection = MysqlConnection::establish(&legacy.database.diesel_url()).unwrap();
    let shown: Shown = diesel::sql_query(format!("SHOW CREATE TABLE {table}"))
        .get_result(&mut connection)
        .unwrap();
    // A table that has had rows tells the next id.
    shown
        .text
        .split(" AUTO_INCREMENT=")
        .next()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn tables_are_made_as_the_old_crawler_made_them() {
    let legacy = Legacy::new();
    let (tables, made) = LegacyTables::open(&legacy.login()).await.unwrap();
    let names: Vec<&str> = made.iter().map(|(name, _)| *name).collect();
    assert_eq!(names[..4], NAMES);
    assert_eq!(names[4..], ["discovered_torrents_claim"]);
    assert!(made.iter().all(|(_, wrong)| wrong.is_none()), "{made:?}");
    let expected = include_str!("../db/legacy.sql");
    let expected = expected
        .split("\n;")
        .filter(|sql| sql.contains("CREATE TABLE"));
    for (name, expected) in NAMES.into_iter().zip(expected) {
        let expected = expected[expected.find("CREATE TABLE").unwrap()..].trim();
        assert_eq!(shown(&legacy, name), expected, "{name}");
    }
    tables.close().await;
    // The second time they are there.
    legacy.tables().await.close().await;
}

#[tokio::test]
async fn a_login_by_tcp_needs_its_password_and_never_shows_it() {
    let legacy = Legacy::new();
    let mut login = legacy.login();
    login.host = "127.0.0.1".to_owned();
    login.port = legacy.database.server.port;
    login.password = PASSWORD.to_owned();
    let (tables, _) = LegacyTables::open(&login).await.unwrap();
    tables.discovered(discovered(1, &[])).await.unwrap();
    // The socket is not there: localhost is TCP then.
    login.host = "localhost".to_owned();
    login.socket = Some("/nowhere/socket".into());
    LegacyTables::open(&login).await.unwrap();
    for wrong in ["wr0ng-one", ""] {
        login.password = wrong.to_owned();
        let error = LegacyTables::open(&login).await.unwrap_err();
        assert!(matches!(error, StoreError::AccessDenied { .. }), "{error}");
        assert!(!format!("{error} {error:?} {login:?}").contains("wr0ng"));
    }
    login.database = "no_such_database".to_owned();
    login.password = PASSWORD.to_owned();
    let error = LegacyTables::open(&login).await.unwrap_err();
    assert!(matches!(error, StoreError::NoDatabase { .. }), "{error}");
    login.port = 1;
    let error = LegacyTables::open(&login).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn without_the_right_to_make_tables_what_is_there_is_used() {
    let legacy = Legacy::with_tables();
    legacy.run("DROP TABLE log, torrent_files");
    let name = &legacy.database.name;
    legacy.database.server.run(&format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO poor@localhost"
    ));
    let mut login = legacy.login();
    login.user = "poor".to_owned();
    let (tables, made) = LegacyTables::open(&login).await.unwrap();
    let wrong: Vec<&str> = made
        .iter()
        .filter_map(|(name, wrong)| wrong.as_ref().map(|_| *name))
        .collect();
    assert_eq!(wrong, ["torrent_files", "log", "discovered_torrents_claim"]);
    tables
        .discovered(discovered(1, &["1.2.3.4:5"]))
        .await
        .unwrap();
    tables.received(received(2, &[("a", 1)])).await.unwrap();
    assert_eq!(legacy.count("discovered_torrents", "TRUE"), 2);
    assert_eq!(legacy.count("discovered_peers", "TRUE"), 1);
    // Rows are given out without a table of claims, each once.
    let holder = metafetch::store::Holder::new();
    let claimed = tables.claim(&holder, 10).await.unwrap();
    assert_eq!(claimed.rows.len(), 1);
    let ids = claimed.rows.iter().map(|row| row.id).collect();
    tables.release(&holder, ids, true).await.unwrap();
    assert_eq!(tables.claim(&holder, 10).await.unwrap().rows.len(), 1);
    assert!(tables.claim(&holder, 10).await.unwrap().is_end());
    tables.close().await;
}

#[tokio::test]
async fn our_own_store_stands_beside_the_old_tables() {
    let legacy = Legacy::with_tables();
    let tables = legacy.tables().await;
    let url = legacy.login().store_url();
    let refused = Store::open(&url).unwrap_err();
    assert!(matches!(refused, StoreError::Foreign { .. }), "{refused}");
    let beside = StoreOptions {
        beside_others: true,
        ..StoreOptions::default()
    };
    let store = Store::open_with(&url, &beside).unwrap();
    tables
        .received(received(20_000, &[("a", 1)]))
        .await
        .unwrap();
    assert_eq!(store.torrent(&hash(20_000)).await.unwrap(), None);
    // What the others take is not counted as ours, and no quota deletes for it.
    legacy.run("DELETE FROM discovered_torrents");
    legacy.fill(10_000, |_| "'MANUAL'");
    legacy.run("ANALYZE TABLE discovered_torrents");
    let others = legacy.lines(
        "SELECT CAST(SUM(data_length + index_length) AS CHAR) AS line FROM information_schema.tables \
         WHERE table_schema = DATABASE() AND table_name = 'discovered_torrents'",
    );
    let others: u64 = others[0].as_ref().unwrap().parse().unwrap();
    let ours = store.size().await.unwrap();
    assert!(others > 4 << 20 && ours < 3 << 20, "{others} {ours}");
    store.close().await;
    // It is ours now, whoever opens it.
    Store::open(&url).unwrap().close().await;
    tables.close().await;

    let taken = Legacy::with_tables();
    taken.run("CREATE TABLE peer_state (a INT)");
    let refused = Store::open_with(&taken.login().store_url(), &beside).unwrap_err();
    assert!(matches!(refused, StoreError::Foreign { .. }), "{refused}");
}
