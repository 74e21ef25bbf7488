//! Logins that may not do everything, without a password and by the socket.

use tokio::process::Command;

use crate::home::Home;
use crate::network::Network;

/// The program as a user who may only do what was granted.
fn poor(home: &Home, args: &[&str]) -> Command {
    let database = home.database.as_ref().unwrap();
    let login = [
        "--user",
        "poor",
        "--password",
        "",
        "--database",
        &database.name,
    ];
    let all: Vec<&str> = login.iter().chain(args).copied().collect();
    let mut command = home.bare(&all);
    command.env("MYSQL_UNIX_PORT", database.server.directory.join("socket"));
    command
}

#[tokio::test]
async fn without_the_right_to_make_tables_it_works_with_those_that_are_there() {
    let network = Network::start(181, 40).await;
    let torrent = network.torrents(1).await.remove(0);
    let home = Home::new(network.nodes());
    assert_eq!(home.run(&["--metadata", ","]).await.code, 0);
    let name = home.database.as_ref().unwrap().name.clone();
    for table in [
        "discovered_torrents",
        "discovered_peers",
        "torrent_files",
        "log",
    ] {
        home.database.as_ref().unwrap().server.run(&format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.{table} TO poor@localhost"
        ));
    }
    let run = home
        .ended(poor(&home, &["--metadata", &torrent.hex()]))
        .await;
    assert_eq!(run.code, 0, "{run:#?}");
    assert!(
        run.stdout
            .contains(&format!("Connected to MySQL database: {name}")),
        "{run:#?}"
    );
    let said = "Raw metadata and what is known of peers are not kept: ";
    assert_eq!(run.stderr.matches(said).count(), 1, "{run:#?}");
    assert!(
        run.stdout.contains("*** ALL METADATA FETCHED ***"),
        "{run:#?}"
    );
    let rows =
        home.rows("SELECT info_hash AS value FROM discovered_torrents WHERE metadata_received = 1");
    assert_eq!(rows, [torrent.hex()], "{run:#?}");
}

#[tokio::test]
async fn without_any_table_everything_is_told_and_the_run_goes_on() {
    let network = Network::start(182, 40).await;
    let torrent = network.torrents(1).await.remove(0);
    let home = Home::new(network.nodes());
    let database = home.database.as_ref().unwrap();
    let name = &database.name;
    database
        .server
        .run(&format!("GRANT SELECT ON {name}.* TO poor@localhost"));
    let run = home
        .ended(poor(&home, &["--metadata", &torrent.hex()]))
        .await;
    assert_eq!(run.code, 0, "{run:#?}");
    for table in ["torrents", "peers", "files", "log"] {
        let line = format!("Error creating {table} table: ");
        assert_eq!(run.stderr.matches(&line).count(), 1, "{run:#?}");
    }
    assert!(run.stderr.contains("Error storing torrent: "), "{run:#?}");
    assert!(
        run.stdout.contains("*** METADATA RECEIVED (TEST MODE) ***"),
        "{run:#?}"
    );
}
