//! How large the database may be, its copies, and the end in full work.

use std::fmt::Write as _;
use std::fs::File;
use std::time::{Duration, SystemTime};

use metafetch::store::{Store, StoreUrl};
use rustix::process::Signal;

use crate::running::{Home, begun, until};
use crate::swarm::{Behaviour, Swarm, TestTorrent};

#[tokio::test]
async fn nothing_begins_while_the_database_is_too_large_and_all_goes_on_once_there_is_room() {
    let swarm = Swarm::start(81);
    let torrent = TestTorrent::v1(81_000, 2_000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let home = Home::new("store.size_limit = 1000");
    let running = home.start().await;
    running.says("nothing new begins: the database has").await;
    let problem = running.source("api").await["problem"].to_string();
    assert!(problem.contains("store.size_limit"), "{problem}");
    let magnet = torrent.magnet(&[peer], &[]);
    let body = serde_json::json!({ "hashes": [magnet] });
    let asked = running.api(reqwest::Method::POST, "/api/v1/resolve", body);
    let made_room = async {
        until(|| home.wanted() == 1, || running.stderr()).await;
        assert_eq!(running.source("api").await["in_work"], 0);
        home.configure("store.size_limit = \"1 GB\"");
        running.signal(Signal::HUP);
        running.says("there is room again").await;
    };
    let ((status, _), ()) = tokio::join!(asked, made_room);
    assert_eq!((status, home.resolved()), (200, 1));
}

#[tokio::test]
async fn copies_are_made_by_themselves_and_the_oldest_go() {
    let home = Home::new("daemon.backup_every = \"1m\"\ndaemon.backup_keep = 2");
    std::fs::create_dir(home.path("backups")).unwrap();
    for day in 1..4 {
        let name = format!("backups/metafetch-2026010{day}T000000Z.db");
        let file = File::create(home.path(&name)).unwrap();
        let modified = SystemTime::now() - Duration::from_secs(3600);
        file.set_modified(modified).unwrap();
    }
    let running = home.start().await;
    running.says("the database was copied to").await;
    let mut copies: Vec<_> = std::fs::read_dir(home.path("backups"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    copies.sort();
    let names: Vec<_> = copies.iter().filter_map(|path| path.file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(names[0], "metafetch-20260103T000000Z.db");
    let copy = Store::open(&StoreUrl::Sqlite(copies[1].clone())).unwrap();
    let sessions = copy.sessions(9).await.unwrap();
    assert!(sessions.len() <= 1);
    copy.close().await;
}

#[tokio::test]
async fn told_to_end_in_full_work_it_ends_in_time_and_puts_all_back() {
    const ALL: u64 = 200;
    let swarm = Swarm::start(82);
    let torrents: Vec<_> = (0..ALL)
        .map(|number| TestTorrent::v1(82_000 + number, 200))
        .collect();
    let peer = swarm.peer(Behaviour::Silent, &torrents).await;
    let home = Home::new(
        "engine.jobs = 200\ndaemon.stop_within = \"4s\"\ndirect.handshake_timeout = \"60s\"",
    );
    let mut running = home.start().await;
    let mut list = String::new();
    for torrent in &torrents {
        writeln!(list, "{}", torrent.magnet(&[peer], &[])).unwrap();
    }
    home.put("list.txt", list);
    begun(&running, ALL).await;
    running.signal(Signal::TERM);
    // It is 1 where it takes longer than it may.
    assert_eq!(running.ends().await, Some(0), "{}", running.stderr());
    running.says("hashes in work were put back").await;
    assert_eq!(home.wanted(), i64::try_from(ALL).unwrap());
}
