//! Batches.

use reqwest::Method;
use serde_json::json;

use crate::home::{Home, until};
use crate::swarm::{Behaviour, TestTorrent};

#[tokio::test(flavor = "multi_thread")]
async fn each_hash_of_a_batch_has_its_line() {
    let home = Home::start().await;
    let torrent = TestTorrent::v1(4, 20_000);
    let hybrid = TestTorrent::hybrid(5, 20_000);
    let both = [torrent.clone(), hybrid.clone()];
    let peer = home.swarm.peer(Behaviour::Honest, &both).await;
    let batch = format!(
        "# a comment\n{}\n\n  {}  \nnonsense\n{}\n{}\n",
        torrent.magnet(&[peer], &[]),
        hybrid.magnet(&[peer], &[]),
        "d".repeat(40),
        torrent.magnet(&[peer], &[]),
    );
    let request = home.request(Method::POST, "/api/v1/resolve?wait=20s&priority=3");
    let response = request
        .header("content-type", "text/plain; charset=utf-8")
        .body(batch)
        .send()
        .await
        .unwrap();
    let text = response.text().await.unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 4, "{text}");
    let of = |status: &str| {
        lines
            .iter()
            .filter(|line| line["status"] == status)
            .collect::<Vec<_>>()
    };
    assert_eq!(of("resolved").len(), 2, "{text}");
    assert_eq!(of("failed")[0]["reason"], "no_peers");
    assert_eq!(
        (&of("malformed")[0]["index"], &of("malformed")[0]["input"]),
        (&json!(2), &json!("nonsense"))
    );
    // From then on the store answers.
    let again = home.resolve(&[torrent.hex(), "d".repeat(40)]).await;
    assert!(
        again
            .iter()
            .any(|line| line["arm"] == "store" && line["name"] == torrent.name),
        "{again:?}"
    );
    assert!(
        again.iter().any(|line| line["reason"] == "cooldown"),
        "{again:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_of_a_client_that_hangs_up_stay_wanted() {
    let home = Home::start().await;
    let hashes: Vec<String> = (0..300).map(|n| format!("{n:040x}")).collect();
    let response = home
        .post("/api/v1/resolve", json!({ "hashes": hashes }))
        .await;
    drop(response);
    let store = home.service.store();
    until(async || store.counts().await.unwrap().failed_torrents == 300).await;
}
