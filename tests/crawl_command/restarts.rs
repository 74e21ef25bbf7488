//! What one run leaves to the next: results, nodes, our own node's id.

use std::collections::HashSet;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, QueryableByName, RunQueryDsl as _, SqliteConnection};
use metafetch::store::SessionStatus;

use crate::network::{Network, Running, crawl, ended, resolved};

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    number: i64,
}

fn sql(network: &Network) -> SqliteConnection {
    SqliteConnection::establish(network.store_path().to_str().unwrap()).unwrap()
}

fn number(network: &Network, query: &str) -> i64 {
    let row: Number = diesel::sql_query(query)
        .get_result(&mut sql(network))
        .unwrap();
    row.number
}

#[tokio::test]
async fn a_killed_crawl_loses_nothing_and_fetches_nothing_twice() {
    let network = Network::start(11, 60, 100).await;
    let mut running = Running::start(network.crawl(&[]));
    let told: HashSet<String> = running.resolved(15).await.into_iter().collect();
    running.child.kill().await.unwrap();
    let stored = network.stored().await;
    assert!(stored >= 15, "{stored}");
    let killed = network.sessions().await.remove(0);
    assert_eq!(killed.status, SessionStatus::Running);

    // As if its last heartbeat were long ago.
    let long_ago = "UPDATE crawl_session SET heartbeat_at = heartbeat_at - 600000";
    sql(&network).batch_execute(long_ago).unwrap();
    // Not all that is left: which nodes answer in time is up to the load of this machine.
    let args = ["--limit", "15", "--format", "jsonl"];
    let run = ended(network.crawl(&args)).await;
    assert_eq!(run.code, 0, "{run:#?}");
    let again = resolved(&run);
    assert!(
        again.iter().all(|hash| !told.contains(hash)),
        "fetched twice"
    );
    let both = stored + u64::try_from(again.len()).unwrap();
    assert_eq!(network.stored().await, both, "none lost");
    let twice = "SELECT count(*) AS number FROM (SELECT infohash FROM metadata_request \
                 WHERE outcome = 'delivered' GROUP BY infohash HAVING count(*) > 1)";
    assert_eq!(number(&network, twice), 0);

    let sessions = network.sessions().await;
    let [latest, first] = sessions.as_slice() else {
        panic!("{sessions:#?}");
    };
    assert_eq!(latest.status, SessionStatus::Completed);
    assert_eq!(
        (&first.id, first.status),
        (&killed.id, SessionStatus::Failed)
    );
    assert!(first.error_message.contains("interrupted"), "{first:#?}");
}

#[tokio::test]
async fn the_next_run_needs_no_bootstrap() {
    let network = Network::start(12, 200, 100).await;
    let args = ["--limit", "10", "--format", "jsonl"];
    let run = ended(network.crawl(&args)).await;
    assert_eq!(run.code, 0, "{run:#?}");
    let first: HashSet<String> = resolved(&run).into_iter().collect();
    let nodes = network.nodes().await;
    assert!(!nodes.is_empty());
    let state = std::fs::read(network.path("metafetch.db.dht")).unwrap();
    assert!(state.starts_with(b"metafetch-dht-1 "), "{state:?}");

    // Nobody is there.
    let dead = ["127.0.0.1:1".parse().unwrap()];
    let run = ended(crawl(&network.store_path(), &dead, &args)).await;
    assert_eq!(run.code, 0, "{run:#?}");
    let second = resolved(&run);
    assert!(second.len() >= 10 && second.iter().all(|hash| !first.contains(hash)));
    let known: HashSet<_> = nodes.iter().map(|node| node.addr).collect();
    let now = network.nodes().await;
    assert!(
        known
            .iter()
            .all(|addr| now.iter().any(|node| node.addr == *addr))
    );
}

#[tokio::test]
async fn two_crawls_on_one_store_are_two_nodes() {
    let network = Network::start(13, 60, 20).await;
    let mut first = Running::start(network.crawl(&[]));
    first.resolved(1).await;
    let second = ended(network.crawl(&["--for", "1s"])).await;
    assert_eq!(second.code, 0, "{second:#?}");
    assert!(
        second.stderr.contains("a DHT node id of its own"),
        "{second:#?}"
    );
    first.signal("-TERM");
    assert_eq!(first.child.wait().await.unwrap().code(), Some(130));
    let sessions = network.sessions().await;
    assert_eq!(sessions.len(), 2);
    assert!(
        sessions
            .iter()
            .all(|session| session.status != SessionStatus::Failed)
    );
}

#[tokio::test]
async fn the_store_grows_by_what_was_resolved_alone() {
    let network = Network::start(14, 60, 20).await;
    // Nobody listens there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = nobody.local_addr().unwrap();
    drop(nobody);
    for number in 0..10 {
        let mut infohash = [0x3c; 20];
        infohash[..2].copy_from_slice(&[number * 25, 7]);
        network.dht.announce_id(infohash, peer, false);
    }
    let args = [
        "--keep-attempts",
        "1s",
        "--keep-failed",
        "1s",
        "--cooldown",
        "off",
    ];
    let mut running = Running::start(network.crawl(&args));
    let left = async {
        loop {
            let line = running.line().await.expect("it ended");
            let failed = line["total"]["failed"].as_u64().unwrap_or(0);
            let resolved = line["total"]["resolved"].as_u64().unwrap_or(0);
            let rows = || {
                ["metadata_request", "failed_torrent"].map(|table| {
                    number(&network, &format!("SELECT count(*) AS number FROM {table}"))
                })
            };
            if failed > 0 && resolved >= 10 && rows() == [0, 0] {
                return;
            }
        }
    };
    let patience = std::time::Duration::from_secs(60);
    tokio::time::timeout(patience, left)
        .await
        .expect("old rows stay");
    assert!(network.stored().await >= 10);
    running.end().await;
}
