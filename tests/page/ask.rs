//! Hashes that are asked for in the page: resolved from a swarm, or failed, forgotten and tried again.

use crate::browser::Browser;
use crate::daemon::{Daemon, Setup};
use crate::swarm::{Behaviour, Swarm, TestTorrent};

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_is_asked_for_resolved_and_shown() {
    let swarm = Swarm::start(91);
    let torrents = [
        TestTorrent::v1(9_100, 40_000),
        TestTorrent::hybrid(9_101, 20_000),
        TestTorrent::v2(9_102, 20_000),
    ];
    let peer = swarm.peer(Behaviour::Honest, &torrents).await;
    let daemon = Daemon::start(Setup::default()).await;
    let browser = Browser::start(1280, 900).await;
    browser.open(&daemon.page("#/ask")).await;
    let magnets: Vec<String> = torrents
        .iter()
        .map(|torrent| torrent.magnet(&[peer], &[]))
        .collect();
    browser.fill("textarea", &magnets.join("\n")).await;
    browser.click("Ask").await;
    browser.sees("3 asked for: 3 resolved, 0 failed.").await;
    for torrent in &torrents {
        browser.sees(&torrent.name).await;
    }
    browser.click(&torrents[0].name).await;
    browser.sees(&torrents[0].hex()).await;
    browser.sees(&format!("from {peer}")).await;
    // What was asked for outlives a reload, and is found by a search.
    browser.open("about:blank").await;
    browser.open(&daemon.page("#/ask")).await;
    browser.sees("3 asked for: 3 resolved, 0 failed.").await;
    browser.click("Overview").await;
    browser.until("[...document.querySelectorAll('.tile')].some((tile) => tile.innerText.startsWith('Resolved\\n3'))").await;
    assert_eq!(browser.complaints(), [""; 0], "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_shows_its_reason_and_can_be_forgotten_and_tried_again() {
    let daemon = Daemon::start(Setup::default()).await;
    let browser = Browser::start(1280, 900).await;
    let hash = "1".repeat(40);
    browser.open(&daemon.page("#/ask")).await;
    browser.fill("textarea", &hash).await;
    browser.click("Ask").await;
    browser.sees("1 asked for: 0 resolved, 1 failed.").await;
    browser.sees("no peers").await;

    // Its own page says why, and when it is tried again.
    browser
        .run(&format!("location.hash = '#/torrents/{hash}'"))
        .await;
    browser.sees("This hash is not resolved.").await;
    browser.sees("No source knew any peer.").await;

    browser.click("Failed").await;
    let row = format!("document.querySelector('main a.hash[title=\"{hash}\"]')");
    browser.until(&row).await;
    browser
        .run(&format!(
            "document.querySelector('[aria-label=\"Forget that {hash} failed\"]').click()"
        ))
        .await;
    browser.sees("Forgotten.").await;
    browser.until(&format!("!{row}")).await;
    browser
        .sees("No hash is left alone for a failure now.")
        .await;

    // Nothing cools down now: it is worked on again, and fails again.
    browser
        .run(&format!("location.hash = '#/torrents/{hash}'"))
        .await;
    browser
        .sees("is not stored, and nobody has asked for it")
        .await;
    browser.click("Ask for it").await;
    browser.sees("1 asked for: 0 resolved, 1 failed.").await;

    // All of a reason go at once, after a question.
    browser
        .run("location.hash = '#/failed?reason=no_peers'")
        .await;
    browser.until(&row).await;
    browser.click("Forget all of “no peers”").await;
    browser.click("Cancel").await;
    assert_eq!(browser.run(&format!("Boolean({row})")).await, true);
    browser.click("Forget all of “no peers”").await;
    browser.click("Forget them").await;
    browser.sees("1 forgotten.").await;
    browser
        .sees("No hash is left alone for a failure now.")
        .await;
    assert_eq!(browser.complaints(), [""; 0], "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_is_diagnosed_peer_by_peer() {
    let swarm = Swarm::start(92);
    let torrent = TestTorrent::v1(9_200, 40_000);
    let peer = swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let daemon = Daemon::start(Setup::default()).await;
    let browser = Browser::start(1280, 900).await;
    browser.open(&daemon.page("#/diagnose")).await;
    browser.fill("main form input", &torrent.hex()).await;
    browser.click("Peers to ask as well").await;
    browser.fill("main details input", &peer.to_string()).await;
    browser.click("Diagnose").await;
    // The menu has a link of that name, too.
    browser
        .run("document.querySelector('main form').requestSubmit()")
        .await;
    browser.sees("it resolves").await;
    browser
        .run("document.querySelector('details.peer summary').click()")
        .await;
    for step in [
        "We open a connection.",
        "Handshake:",
        "We ask for 3 blocks, from block 0 on.",
        "Delivered 39.1 KiB",
    ] {
        browser.sees(step).await;
    }
    assert_eq!(browser.complaints(), [""; 0], "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_paused_and_hashes_blocked() {
    let daemon = Daemon::start(Setup::default()).await;
    let browser = Browser::start(1280, 900).await;
    browser.open(&daemon.page("#/queue")).await;
    let button = |word: &str| format!("document.querySelector('[aria-label=\"{word} API\"]')");
    browser.until(&button("Pause")).await;
    browser.run(&format!("{}.click()", button("Pause"))).await;
    browser.until(&button("Resume")).await;
    browser.sees("API is paused.").await;
    browser.run(&format!("{}.click()", button("Resume"))).await;
    browser.until(&button("Pause")).await;

    let hash = "2".repeat(40);
    browser.click("Blocklist").await;
    browser.fill("textarea", &hash).await;
    browser.click("Block").await;
    browser.sees("1 blocked.").await;
    browser.sees(&hash).await;
    browser
        .run(&format!("location.hash = '#/torrents/{hash}'"))
        .await;
    browser.sees("The hash is on the blocklist.").await;
    browser.click("Blocklist").await;
    browser.run("void 0").await;
    browser
        .until(&format!(
            "document.querySelector('[aria-label=\"Take {hash} off the blocklist\"]')"
        ))
        .await;
    browser
        .run(&format!(
            "document.querySelector('[aria-label=\"Take {hash} off the blocklist\"]').click()"
        ))
        .await;
    browser.click("Take it off").await;
    browser.sees("No hash is blocked.").await;
    assert_eq!(browser.complaints(), [""; 0], "{}", daemon.log());
}
