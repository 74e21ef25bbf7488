//! The picture of the dashboard in the documentation.

use serde_json::json;

use crate::browser::Browser;
use crate::daemon::{Daemon, Setup};
use crate::swarm::{Behaviour, Swarm, TestTorrent};

/// Hashes of each batch, and how many batches there are, one a second.
const BATCH: u64 = 40;
const BATCHES: u64 = 75;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes docs/dashboard.png: run it by its name, with --run-ignored only"]
async fn picture_for_the_documentation() {
    let swarm = Swarm::start(99);
    let torrents: Vec<_> = (0..BATCH * BATCHES)
        .map(|number| TestTorrent::v1(99_000 + number, 1_000))
        .collect();
    let peer = swarm.peer(Behaviour::Honest, &torrents).await;
    let daemon = Daemon::start(Setup::default()).await;
    let browser = Browser::start(1240, 940).await;
    browser.open(&daemon.page("")).await;
    browser
        .until("document.querySelector('#connection').textContent === 'Live'")
        .await;
    // Every seventh hash has a peer that is not there, every eleventh has none.
    let magnets: Vec<String> = torrents
        .iter()
        .enumerate()
        .map(|(number, torrent)| match number {
            number if number % 7 == 3 => torrent.magnet(&[([127, 0, 0, 1], 1).into()], &[]),
            number if number % 11 == 5 => torrent.magnet(&[], &[]),
            _ => torrent.magnet(&[peer], &[]),
        })
        .collect();
    let work = format!(
        "(async () => {{
            const magnets = {};
            while (magnets.length > 0) {{
                const hashes = magnets.splice(0, {BATCH} - 12 + Math.round(24 * Math.random()));
                fetch('api/v1/resolve', {{
                    method: 'POST',
                    headers: {{ 'content-type': 'application/json' }},
                    body: JSON.stringify({{ hashes }}),
                }});
                await new Promise((resolve) => setTimeout(resolve, 1000));
                if (magnets.length === 0 || performance.now() > 85_000) break;
            }}
            return true;
        }})()",
        json!(magnets)
    );
    browser.start_script(&work).await;
    browser
        .until_within("performance.now() > 80_000", 120)
        .await;
    let picture = browser.picture().await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/dashboard.png");
    std::fs::write(path, picture).unwrap();
}
