//! What is killed in the middle of the work on rows: an instance, and the database server.

use std::fmt::Write as _;

use crate::databases::{Database, Server};
use crate::home::{Home, Running};
use crate::network::Network;
use crate::swarm::TestTorrent;

const TORRENTS: u64 = 150;
const DEAD: usize = 250;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_instance_and_a_killed_server_lose_nothing() {
    let network = Network::start(171, 60).await;
    let torrents = network.torrents(TORRENTS).await;
    let server = Server::alone();
    let mut home = Home::without_database(network.nodes());
    home.database = Some(Database::on(server));
    // Two processes, and the network in one: of more at a time answers would come too late.
    home.configure(network.nodes(), "jobs = 20");
    assert_eq!(home.run(&["--metadata", ","]).await.code, 0);
    let live = torrents.iter().map(TestTorrent::hex);
    let dead = (0..DEAD).map(|number| format!("{:040x}", 0xdead_0000 + number));
    let mut sql = "INSERT INTO discovered_torrents (info_hash, source) VALUES ".to_owned();
    for (number, hash) in live.chain(dead).enumerate() {
        let comma = if number == 0 { "" } else { "," };
        write!(sql, "{comma}('{hash}','DHT_ANNOUNCE')").unwrap();
    }
    home.execute(&sql);

    let mut killed = Running::start(home.command(&["--metadata_database"]));
    killed.until("Updated database record for hash: ").await;
    let holder = home
        .row("SELECT DISTINCT holder AS value FROM discovered_torrents_claim WHERE holder <> ''");
    let mut left = Running::start(home.command(&["--metadata_database"]));
    left.until("Updated database record for hash: ").await;
    killed.signal("-KILL");
    tokio::task::spawn_blocking(|| server.kill_and_start_again())
        .await
        .unwrap();
    left.until("Updated database record for hash: ").await;
    let held = home.row(&format!(
        "SELECT CAST(COUNT(*) AS CHAR) AS value FROM discovered_torrents_claim WHERE holder = '{holder}'"
    ));
    assert_ne!(held, "0", "it was killed while it held rows");
    // A minute later.
    home.execute(&format!(
        "UPDATE discovered_torrents_claim SET expires_at = CURRENT_TIMESTAMP - INTERVAL 1 SECOND \
         WHERE holder = '{holder}'"
    ));
    let (code, lines, stderr) = left.end().await;
    assert_eq!(code, 0, "{lines:#?} {stderr}");
    assert!(
        lines.contains(&"*** ALL DATABASE METADATA PROCESSED ***".to_owned()),
        "{lines:#?}"
    );
    let states = home.rows(
        "SELECT CONCAT_WS('|', metadata_received, timed_out, COUNT(*)) AS value \
         FROM discovered_torrents GROUP BY metadata_received, timed_out ORDER BY 1",
    );
    assert_eq!(states, [format!("0|1|{DEAD}"), format!("1|0|{TORRENTS}")]);
    let whole = home.row(
        "SELECT CAST(COUNT(*) AS CHAR) AS value FROM discovered_torrents t WHERE metadata_received = 1 \
         AND num_files = (SELECT COUNT(*) FROM torrent_files f WHERE f.torrent_hash = t.info_hash) \
         AND EXISTS (SELECT 1 FROM discovered_peers p WHERE p.torrent_hash = t.info_hash)",
    );
    assert_eq!(whole, TORRENTS.to_string());
}
