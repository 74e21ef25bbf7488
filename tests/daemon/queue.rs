//! What is asked for is not lost, whatever happens to the process.

use std::fmt::Write as _;

use rustix::process::Signal;

use crate::running::{Home, until};
use crate::swarm::{Behaviour, Swarm, TestTorrent};

const TORRENTS: u64 = 300;

/// Magnets of torrents that a peer has.
async fn magnets(swarm: &Swarm) -> String {
    let mut list = String::new();
    let torrents: Vec<_> = (0..TORRENTS)
        .map(|number| TestTorrent::v1(70_000 + number, 2_000))
        .collect();
    for share in torrents.chunks(50) {
        let peer = swarm.peer(Behaviour::Honest, share).await;
        for torrent in share {
            writeln!(list, "{}", torrent.magnet(&[peer], &[])).unwrap();
        }
    }
    list
}

#[tokio::test]
async fn killed_twice_in_full_work_it_loses_no_hash_and_resolves_none_twice() {
    let swarm = Swarm::start(71);
    let list = magnets(&swarm).await;
    let home = Home::new("engine.jobs = 4");
    let mut running = home.start().await;
    home.put("list.txt", list);
    for share in [20, 60] {
        let is_at_work = || home.resolved() >= share;
        until(is_at_work, || running.stderr()).await;
        running.child.kill().await.unwrap();
        let (resolved, wanted) = (home.resolved(), home.wanted());
        // A row may be there still whose result is stored.
        assert!(
            resolved + wanted >= i64::try_from(TORRENTS).unwrap(),
            "{resolved}, {wanted}"
        );
        running = home.start().await;
    }
    let all = i64::try_from(TORRENTS).unwrap();
    let is_done = || home.resolved() == all && home.wanted() == 0;
    until(is_done, || {
        format!("{} of {all}, {}", home.resolved(), running.stderr())
    })
    .await;
    let twice = "SELECT count(*) AS number FROM (SELECT infohash FROM metadata_request \
                 WHERE outcome = 'delivered' GROUP BY infohash HAVING count(*) > 1)";
    assert_eq!(home.number(twice), 0);
    let sound =
        "SELECT count(*) AS number FROM pragma_integrity_check WHERE integrity_check <> 'ok'";
    assert_eq!(home.number(sound), 0);
    running.signal(Signal::TERM);
    assert_eq!(running.ends().await, Some(0), "{}", running.stderr());
}

#[tokio::test]
async fn what_is_in_work_at_the_end_is_put_back_and_goes_on() {
    let swarm = Swarm::start(72);
    let torrent = TestTorrent::v1(72_000, 2_000);
    let silent = swarm
        .peer(Behaviour::Silent, std::slice::from_ref(&torrent))
        .await;
    let honest = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let home = Home::new("daemon.stop_within = \"2s\"\nengine.timeout = \"60s\"");
    let mut running = home.start().await;
    home.put("one.magnet", torrent.magnet(&[silent], &[]));
    running.says("was taken in").await;
    running.signal(Signal::TERM);
    assert_eq!(running.ends().await, Some(0), "{}", running.stderr());
    assert_eq!(home.wanted(), 1, "{}", running.stderr());
    let stopped = "SELECT count(*) AS number FROM crawl_session WHERE command = 'daemon' AND status = 'stopped'";
    assert_eq!(home.number(stopped), 1);

    let again = home.start().await;
    home.put("two.magnet", torrent.magnet(&[honest], &[]));
    let is_done = || home.resolved() == 1 && home.wanted() == 0;
    until(is_done, || again.stderr()).await;
}
