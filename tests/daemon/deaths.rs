//! A hash that was in work each time when the process died.

use rustix::process::Signal;

use crate::running::{Home, begun, until};
use crate::swarm::{Behaviour, Swarm, TestTorrent};

const FAILED: &str = "SELECT count(*) AS number FROM failed_torrent WHERE reason = 'internal'";

#[tokio::test]
async fn a_hash_at_which_the_process_dies_again_and_again_fails_and_all_others_are_resolved() {
    let swarm = Swarm::start(76);
    let poison = TestTorrent::v1(76_000, 2_000);
    let silent = swarm
        .peer(Behaviour::Silent, std::slice::from_ref(&poison))
        .await;
    let torrents: Vec<_> = (1..4)
        .map(|number| TestTorrent::v1(76_000 + number, 2_000))
        .collect();
    let honest = swarm.peer(Behaviour::Honest, &torrents).await;
    let home = Home::new("engine.jobs = 4\ndirect.handshake_timeout = \"60s\"");
    home.put("poison.magnet", poison.magnet(&[silent], &[]));
    for (torrent, resolved) in torrents.iter().zip(1..) {
        let mut running = home.start().await;
        home.put("other.magnet", torrent.magnet(&[honest], &[]));
        // As a crash would.
        let is_in_work = || home.resolved() == resolved && home.wanted() == 1;
        until(is_in_work, || running.stderr()).await;
        begun(&running, 1).await;
        running.child.kill().await.unwrap();
    }
    let running = home.start().await;
    running
        .says("died 3 times while this hash was in work")
        .await;
    let is_given_up = || home.wanted() == 0 && home.number(FAILED) == 1;
    until(is_given_up, || running.stderr()).await;
    let path = format!("/api/v1/torrents/{}", poison.hex());
    let (status, said) = running
        .api(reqwest::Method::GET, &path, serde_json::Value::Null)
        .await;
    assert_eq!(status, 503, "{said}");
    assert!(said.to_string().contains("internal"), "{said}");
}

#[tokio::test]
async fn no_hash_is_to_blame_where_the_process_was_told_to_end() {
    let swarm = Swarm::start(77);
    let torrent = TestTorrent::v1(77_000, 2_000);
    let silent = swarm
        .peer(Behaviour::Silent, std::slice::from_ref(&torrent))
        .await;
    let home = Home::new("direct.handshake_timeout = \"60s\"");
    home.put("one.magnet", torrent.magnet(&[silent], &[]));
    for _ in 0..3 {
        let mut running = home.start().await;
        until(|| home.wanted() == 1, || running.stderr()).await;
        begun(&running, 1).await;
        running.signal(Signal::TERM);
        running.says("again to quit at once").await;
        running.signal(Signal::TERM);
        assert_eq!(running.ends().await, Some(130), "{}", running.stderr());
    }
    let running = home.start().await;
    begun(&running, 1).await;
    assert!(!running.stderr().contains("died"), "{}", running.stderr());
    assert_eq!((home.wanted(), home.number(FAILED)), (1, 0));
}
