//! `--metadata_database`: the rows that lack their metadata.

use std::fmt::Write as _;

use crate::home::{Home, Running};
use crate::network::Network;
use crate::swarm::TestTorrent;

/// Makes the tables.
async fn with_tables(home: &Home) {
    assert_eq!(home.run(&["--metadata", ","]).await.code, 0);
}

/// Rows of the old program: those that were given, and others that nobody has.
fn insert(home: &Home, hashes: &[String], dead: usize, source: &str) {
    let mut sql = String::from("INSERT INTO discovered_torrents (info_hash, name, source) VALUES ");
    let all = hashes
        .iter()
        .cloned()
        .chain((0..dead).map(|number| format!("{:040x}", 0xdead_0000 + number)));
    for (number, hash) in all.enumerate() {
        let comma = if number == 0 { "" } else { "," };
        write!(sql, "{comma}('{hash}','x','{source}')").unwrap();
    }
    home.execute(&sql);
}

const STATES: &str = "SELECT CONCAT_WS('|', metadata_received, timed_out, COUNT(*)) AS value \
                      FROM discovered_torrents GROUP BY metadata_received, timed_out ORDER BY 1";

#[tokio::test(flavor = "multi_thread")]
async fn all_rows_are_paged_through_and_those_in_vain_are_marked() {
    let network = Network::start(121, 60).await;
    let torrents = network.torrents(60).await;
    let hashes: Vec<_> = torrents.iter().map(TestTorrent::hex).collect();
    let home = Home::new(network.nodes());
    with_tables(&home).await;
    insert(&home, &hashes, 90, "DHT_ANNOUNCE");
    let run = home.run(&["--metadata_database"]).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:#?}");
    let lines: Vec<_> = run.stdout.lines().collect();
    for line in [
        "=== METADATA-DATABASE MODE ===",
        "Found 150 records with missing metadata",
        "Starting metadata-database mode...",
        "Loaded batch of 100 records (offset: 0)",
        "Loaded batch of 50 records (offset: 100)",
        "No more records to process. All metadata fetched!",
        "*** ALL DATABASE METADATA PROCESSED ***",
        "Processed 60 records successfully",
        "- Total metadata fetched: 60",
        "- Timeouts: 90",
    ] {
        assert_eq!(
            lines.iter().filter(|it| **it == line).count(),
            1,
            "{line}: {run:#?}"
        );
    }
    let updated = |line: &&&str| line.starts_with("Updated database record for hash: ");
    assert_eq!(lines.iter().filter(updated).count(), 60);
    assert_eq!(home.rows(STATES), ["0|1|90", "1|0|60"]);
    // Files and peers are filled, and the format is that of the other modes.
    let whole = home.row(
        "SELECT CAST(COUNT(*) AS CHAR) AS value FROM discovered_torrents t WHERE metadata_received = 1 AND \
         num_files = (SELECT COUNT(*) FROM torrent_files f WHERE f.torrent_hash = t.info_hash) AND \
         EXISTS (SELECT 1 FROM discovered_peers p WHERE p.torrent_hash = t.info_hash) AND \
         file_sizes LIKE '[%]' AND magnet_link LIKE 'magnet:?xt=urn:btih:%&dn=%'",
    );
    assert_eq!(whole, "60");

    // Those that timed out are passed over; a row that is reset is tried again.
    let run = home.run(&["--metadata_database"]).await;
    assert!(
        run.stdout
            .contains("No records found with missing metadata. Exiting.")
    );
    assert_eq!(run.code, 0);
    home.execute(
        "UPDATE discovered_torrents SET timed_out = 0 WHERE metadata_received = 0 LIMIT 5",
    );
    let run = home.run(&["--metadata_database"]).await;
    assert!(
        run.stdout.contains("Found 5 records with missing metadata"),
        "{run:#?}"
    );
    assert_eq!(home.rows(STATES), ["0|1|90", "1|0|60"]);
}

/// Far more rows than lookups at a time, so that most wait for their turn.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_may_be_noise_are_all_tried_within_the_usual_limits() {
    let network = Network::start(124, 60).await;
    let torrents = network.torrents(40).await;
    let hashes: Vec<_> = torrents.iter().map(TestTorrent::hex).collect();
    let home = Home::new(network.nodes());
    home.configure(network.nodes(), "noise_timeout = \"5s\"");
    with_tables(&home).await;
    insert(&home, &hashes, 400, "DHT_ITEM");
    let run = home.run(&["--metadata_database"]).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:#?}");
    assert!(
        run.stdout
            .contains("*** ALL DATABASE METADATA PROCESSED ***"),
        "{run:#?}"
    );
    assert_eq!(home.rows(STATES), ["0|1|400", "1|0|40"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_away_for_a_while_marks_nothing() {
    let network = Network::start(125, 60).await;
    let torrents = network.torrents(120).await;
    let hashes: Vec<_> = torrents.iter().map(TestTorrent::hex).collect();
    let home = Home::new(network.nodes());
    home.configure(network.nodes(), "jobs = 20");
    with_tables(&home).await;
    insert(&home, &hashes, 0, "DHT_ANNOUNCE");
    let mut running = Running::start(home.command(&["--metadata_database"]));
    running.until("Updated database record for hash: ").await;
    network.dht.cut_off(true);
    running.complains("The network seems to be away").await;
    network.dht.cut_off(false);
    let (code, lines, stderr) = running.end().await;
    assert_eq!(code, 0, "{stderr} {lines:#?}");
    assert!(stderr.contains("DHT nodes answer: it goes on"), "{stderr}");
    assert!(
        lines.contains(&"*** ALL DATABASE METADATA PROCESSED ***".to_owned()),
        "{stderr} {lines:#?}"
    );
    assert_eq!(home.rows(STATES), ["1|0|120"], "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_share_the_rows() {
    let network = Network::start(122, 60).await;
    let torrents = network.torrents(200).await;
    let hashes: Vec<_> = torrents.iter().map(TestTorrent::hex).collect();
    let home = Home::new(network.nodes());
    // Two processes, and the network in one: of more at a time answers would come too late.
    home.configure(network.nodes(), "jobs = 40");
    with_tables(&home).await;
    insert(&home, &hashes, 200, "DHT_ANNOUNCE");
    let (one, other) = tokio::join!(
        home.run(&["--metadata_database"]),
        home.run(&["--metadata_database"])
    );
    assert_eq!((one.code, other.code), (0, 0));
    let requested = |stdout: &str| {
        let lines = stdout.lines();
        let hashes = lines.filter_map(|line| line.strip_prefix("Requesting metadata for hash: "));
        hashes.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut all = requested(&one.stdout);
    all.extend(requested(&other.stdout));
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!((all.len(), count), (400, 400), "each once, by one of them");
    assert_eq!(home.rows(STATES), ["0|1|200", "1|0|200"]);
}

#[tokio::test]
async fn odd_rows_are_selected_as_documented_and_an_invalid_hash_holds_nothing_up() {
    let network = Network::start(123, 40).await;
    let torrents = network.torrents(4).await;
    let home = Home::new(network.nodes());
    with_tables(&home).await;
    let hash = |at: usize| torrents[at].hex();
    let base32 = data_encoding::BASE32.encode(&torrents[3].v1);
    home.execute(&format!(
        "INSERT INTO discovered_torrents (info_hash, num_files, timed_out, metadata_received, source) VALUES \
         ('{}', NULL, 0, 1, 'DHT'), ('{}', 0, NULL, 0, 'DHT'), ('{}', 3, 0, 0, 'DHT'), \
         ('nonsense', 0, 0, 0, 'DHT'), ('{base32}', 0, 0, 0, NULL)",
        hash(0).to_uppercase(),
        hash(1),
        hash(2),
    ));
    let run = home.run(&["--metadata_database"]).await;
    assert_eq!(run.code, 0, "{run:#?}");
    assert!(
        run.stdout.contains("Found 3 records with missing metadata"),
        "{run:#?}"
    );
    assert!(
        run.stdout.contains("Skipped invalid hash: nonsense ("),
        "{run:#?}"
    );
    assert!(
        run.stdout.contains("Processed 2 records successfully"),
        "{run:#?}"
    );
    let rows = home.rows("SELECT CONCAT_WS('|', info_hash, metadata_received, num_files > 0) AS value FROM discovered_torrents ORDER BY id");
    assert_eq!(
        rows,
        [
            format!("{}|1|1", hash(0).to_uppercase()),
            format!("{}|0|0", hash(1)),
            format!("{}|0|1", hash(2)),
            "nonsense|0|0".to_owned(),
            format!("{base32}|1|1"),
        ]
    );
}

#[tokio::test]
async fn a_list_and_the_rows_can_be_asked_for_together() {
    let network = Network::start(124, 40).await;
    let torrents = network.torrents(2).await;
    let home = Home::new(network.nodes());
    with_tables(&home).await;
    insert(&home, &[torrents[0].hex()], 1, "DHT_ITEM");
    let run = home
        .run(&["--metadata_database", "--metadata", &torrents[1].hex()])
        .await;
    assert_eq!(run.code, 0, "{run:#?}");
    assert!(run.stdout.contains("Total hashes to fetch metadata for: 1"));
    assert!(run.stdout.contains("Found 2 records with missing metadata"));
    assert!(
        run.stdout.contains("Processed 2 records successfully"),
        "{run:#?}"
    );
    assert_eq!(home.rows(STATES), ["0|1|1", "1|0|2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_work_when_it_was_stopped_is_fetched_by_the_next_run() {
    let network = Network::start(125, 60).await;
    let torrents = network.torrents(150).await;
    let hashes: Vec<_> = torrents.iter().map(TestTorrent::hex).collect();
    let home = Home::new(network.nodes());
    with_tables(&home).await;
    insert(&home, &hashes, 0, "DHT_ANNOUNCE");
    let mut running = Running::start(home.command(&["--metadata_database"]));
    running.until("*** METADATA RECEIVED ***").await;
    running.signal("-TERM");
    let (code, lines, _) = running.end().await;
    assert_eq!(code, 0, "{lines:#?}");
    let marked =
        "SELECT CAST(COUNT(*) AS CHAR) AS value FROM discovered_torrents WHERE timed_out = 1";
    assert_eq!(
        home.row(marked),
        "0",
        "nothing that was cut short is marked"
    );
    let run = home.run(&["--metadata_database"]).await;
    assert_eq!(run.code, 0, "{run:#?}");
    assert_eq!(home.rows(STATES), ["1|0|150"]);
}
