//! `metafetch resolve --cooldown`.

use crate::command::Resolve;
use crate::swarm::{Behaviour, Swarm, TestTorrent};

use super::*;

#[tokio::test]
async fn cooldowns_are_as_long_as_they_are_told_to_be() {
    let swarm = Swarm::start(60);
    let torrent = TestTorrent::v1(1, 1_000);
    let refused = swarm
        .peer(Behaviour::Refused, std::slice::from_ref(&torrent))
        .await;
    let (_home, store) = home();
    let resolve = async |args: &[&str]| {
        let resolve = Resolve::new().store(&store).peer(refused);
        let resolve = args.iter().fold(resolve, Resolve::arg);
        resolve.arg(torrent.hex()).run().await
    };
    let seconds_left = async || {
        let run = command(&store, &["failed", "list", "--all", "--json"]).await;
        run.line()["seconds_left"].as_i64().unwrap()
    };
    let run = resolve(&["--cooldown", "refused=3h", "--cooldown", "no_peers=1s"]).await;
    assert_eq!(run.reason(), "refused");
    assert!((10_000..=10_800).contains(&seconds_left().await));
    // It lasts whatever a later run says, except that it is off.
    assert_eq!(resolve(&[]).await.reason(), "cooldown");
    assert_eq!(resolve(&["--cooldown", "off"]).await.reason(), "refused");
    assert_eq!(seconds_left().await, 0);
    assert_eq!(
        resolve(&["--cooldown", "growth=2h"]).await.reason(),
        "refused"
    );
    assert!((7_000..=7_200).contains(&seconds_left().await));
    let wrong = resolve(&["--cooldown", "refused"]).await;
    assert_eq!(wrong.code, 2, "{wrong:#?}");

    // Forgotten by hand, it is tried again at once.
    let forgotten = command(&store, &["failed", "remove", &torrent.hex()]).await;
    assert_eq!(forgotten.code, 0, "{forgotten:#?}");
    assert_eq!(resolve(&[]).await.reason(), "refused");
}
