//! `metafetch doctor`: what it sees, what it advises, and how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fault here is to fail the test"
)]

#[path = "../resolve/command.rs"]
mod command;
#[path = "../swarm/mod.rs"]
mod swarm;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use metafetch::store::{CrawlSession, Store, StoreUrl};
use serde_json::Value;
use tokio::net::UdpSocket;
use tokio::process::Command;

use command::{Run, run};
use swarm::Swarm;
use swarm::wire::Value as Bencode;

/// `metafetch doctor`, which talks to nobody unless it is told to.
fn doctor(store: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metafetch"));
    command.args(["doctor", "--json", "--store"]).arg(store);
    if !args.contains(&"--bootstrap") {
        command.arg("--no-dht");
    }
    if !args.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn examined(store: &Path, args: &[&str]) -> Run {
    run(&mut doctor(store, args)).await
}

/// The finding of this check.
fn finding(run: &Run, check: &str) -> Value {
    let lines = run.lines();
    let found = lines.iter().find(|line| line["check"] == check);
    found.unwrap_or_else(|| panic!("{run:#?}")).clone()
}

#[tokio::test]
async fn a_host_without_a_database_is_well_and_stays_without() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("new/metafetch.db");
    let run = examined(&store, &[]).await;
    assert_eq!(run.code, 0, "{run:#?}");
    for check in ["ports", "files", "database", "disk", "dht", "clock"] {
        assert_ne!(finding(&run, check)["verdict"], "fail", "{run:#?}");
    }
    assert!(!home.path().join("new").exists());
    let mut as_table = Command::new(env!("CARGO_BIN_EXE_metafetch"));
    as_table.args(["doctor", "--no-dht", "--store", "none"]);
    as_table
        .args(["--listen", "127.0.0.1:0"])
        .env("COLUMNS", "100");
    let output = as_table.output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("ok  "), "{text}");
    assert!(text.contains("none (--store none)"), "{text}");
}

#[tokio::test]
async fn a_taken_port_fails_and_is_named() {
    let home = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let run = examined(&home.path().join("a.db"), &["--listen", &addr]).await;
    assert_eq!(run.code, 1, "{run:#?}");
    let ports = finding(&run, "ports");
    assert_eq!(ports["verdict"], "fail");
    assert_eq!(ports["seen"], format!("UDP {addr} is taken"));
    assert!(ports["advice"].as_str().unwrap().contains("--listen"));
}

#[tokio::test]
async fn a_database_is_judged_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.db");
    let url = StoreUrl::Sqlite(path.clone());
    Store::open(&url).unwrap().close().await;
    let run = examined(&path, &[]).await;
    assert_eq!(run.code, 0, "{run:#?}");
    let seen = finding(&run, "database")["seen"].to_string();
    assert!(seen.contains("can be written to"), "{seen}");

    // A time of tomorrow.
    let store = Store::open(&url).unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let tomorrow = i64::try_from(now).unwrap() + 24 * 3_600_000;
    let session = CrawlSession::start("crawl", tomorrow);
    store.save_session(&session).await.unwrap();
    store.close().await;
    let run = examined(&path, &[]).await;
    assert_eq!(run.code, 1, "{run:#?}");
    assert_eq!(finding(&run, "clock")["verdict"], "fail", "{run:#?}");

    // Locked by another process.
    let mut other = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let run = examined(&path, &[]).await;
    assert_eq!(finding(&run, "database")["verdict"], "fail", "{run:#?}");
    drop(other);

    // What is no database at all.
    let other = home.path().join("b.db");
    std::fs::write(&other, "this is a text".repeat(1_000)).unwrap();
    let run = examined(&other, &[]).await;
    assert_eq!(run.code, 1, "{run:#?}");
    assert_eq!(finding(&run, "database")["verdict"], "fail", "{run:#?}");
}

/// What doctor says of our reachability when hosts with these addresses ask us.
async fn asked_by(swarm: &Swarm, hosts: impl FnOnce(&[IpAddr]) -> Vec<IpAddr>) -> Run {
    let dht = swarm.dht(30).await;
    let routers: Vec<_> = dht.bootstrap.iter().map(SocketAddr::ip).collect();
    let home = tempfile::tempdir().unwrap();
    let node = swarm::free_address();
    let hosts = hosts(&routers);
    let asking = tokio::spawn(async move {
        let mut sockets = Vec::new();
        for host in hosts {
            sockets.push(UdpSocket::bind((host, 0)).await.unwrap());
        }
        let query = Bencode::dict([
            ("a", Bencode::dict([("id", Bencode::bytes([9; 20]))])),
            ("q", Bencode::bytes("ping")),
            ("t", Bencode::bytes("aa")),
            ("y", Bencode::bytes("q")),
        ]);
        loop {
            // Nobody may listen there yet.
            for socket in &sockets {
                let _ = socket.send_to(&query.encode(), node).await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    let listen = node.to_string();
    let bootstrap: Vec<_> = dht.bootstrap.iter().map(ToString::to_string).collect();
    let mut args = vec!["--listen", &listen, "--allow-local-peers", "--for", "4s"];
    for router in &bootstrap {
        args.extend(["--bootstrap", router]);
    }
    let run = examined(&home.path().join("a.db"), &args).await;
    asking.abort();
    assert_eq!(run.code, 0, "{run:#?}");
    assert_eq!(finding(&run, "dht")["verdict"], "ok", "{run:#?}");
    run
}

#[tokio::test]
async fn the_dht_answers_and_strangers_reach_us() {
    let strangers = |_: &[IpAddr]| (1..=3).map(|host| [127, 9, 9, host].into()).collect();
    let run = asked_by(&Swarm::start(41), strangers).await;
    assert_eq!(finding(&run, "reachable")["verdict"], "ok", "{run:#?}");
}

#[tokio::test]
async fn whoever_we_asked_is_no_proof_that_others_reach_us() {
    let run = asked_by(&Swarm::start(42), <[IpAddr]>::to_vec).await;
    assert_eq!(finding(&run, "reachable")["verdict"], "warn", "{run:#?}");
}

#[tokio::test]
async fn a_dht_that_is_silent_fails() {
    let home = tempfile::tempdir().unwrap();
    let args = [
        "--bootstrap",
        "127.0.0.1:1",
        "--allow-local-peers",
        "--within",
        "500ms",
    ];
    let run = examined(&home.path().join("a.db"), &args).await;
    assert_eq!(run.code, 1, "{run:#?}");
    let dht = finding(&run, "dht");
    assert_eq!(dht["verdict"], "fail", "{run:#?}");
    assert!(dht["advice"].as_str().unwrap().contains("--bootstrap"));
}
