//! One hash: from the store, resolved, failed, cooling down, blocked.

use data_encoding::BASE32;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::home::{Home, problem};
use crate::swarm::TestTorrent;

const DEAD: &str = "00000000000000000000000000000000000000aa";

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_torrent_is_told_in_every_form() {
    let home = Home::start().await;
    let torrent = home.stored(TestTorrent::v1(4, 20_000)).await;
    let hex = torrent.hex();
    let path = format!("/api/v1/torrents/{hex}");
    let told = home.json(&path).await;
    assert_eq!(told["infohash"], hex);
    assert_eq!(told["name"], torrent.name);
    assert_eq!(told["arm"], "direct");
    assert_eq!(told["metadata_size"], torrent.info.len());
    let files = told["files"].as_array().unwrap();
    assert_eq!(files.len() as u64, told["files_count"].as_u64().unwrap());
    let sum: u64 = files
        .iter()
        .map(|file| file["length"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, told["size"].as_u64().unwrap());
    assert!(
        told["magnet"]
            .as_str()
            .unwrap()
            .starts_with(&format!("magnet:?xt=urn:btih:{hex}"))
    );
    assert!(told["resolved_at"].as_str().unwrap().ends_with('Z'));

    // The same by every form of the hash.
    for form in [hex.to_uppercase(), BASE32.encode(&torrent.v1)] {
        assert_eq!(home.json(&format!("/api/v1/torrents/{form}")).await, told);
    }
    // Byte for byte, and around it a torrent file.
    let info = home.get(&format!("{path}/info")).await;
    assert_eq!(info.headers()["content-type"], "application/octet-stream");
    assert_eq!(info.bytes().await.unwrap(), &*torrent.info);
    let file = home.get(&format!("{path}/torrent")).await;
    assert_eq!(file.headers()["content-type"], "application/x-bittorrent");
    let disposition = file.headers()["content-disposition"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        disposition.starts_with("attachment; filename=\"")
            && disposition.contains("; filename*=UTF-8''")
    );
    let file = file.bytes().await.unwrap();
    let (inside, _) = metafetch::torrent::split(&file).unwrap();
    assert_eq!(inside, &*torrent.info);
    // And how it came here.
    let attempts = home.json(&format!("{path}/attempts")).await;
    assert_eq!(attempts["items"][0]["reason"], json!(null));
    assert_eq!(attempts["items"][0]["arm"], "direct");
}

#[tokio::test(flavor = "multi_thread")]
async fn v2_torrents_are_found_by_their_hash_and_its_multihash() {
    let home = Home::start().await;
    let torrent = home.stored(TestTorrent::v2(5, 5_000)).await;
    let hex = torrent.hex();
    for form in [hex.clone(), format!("1220{hex}"), hex[..40].to_owned()] {
        let told = home.json(&format!("/api/v1/torrents/{form}")).await;
        assert_eq!(
            (&told["infohash"], &told["infohash_v2"]),
            (&json!(hex), &json!(hex)),
            "{form}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_hash_is_no_peers_then_cools_down_until_it_is_removed() {
    let home = Home::start().await;
    let path = format!("/api/v1/torrents/{DEAD}");
    assert_eq!(home.problem(&path).await, (404, "unknown".to_owned()));
    let asked = format!("{path}?wait=20s");
    assert_eq!(home.problem(&asked).await, (404, "no_peers".to_owned()));
    // At once, with or without waiting, for files too.
    for path in [
        asked.clone(),
        path.clone(),
        format!("{path}/torrent?wait=1s"),
        format!("{path}/info"),
    ] {
        let response = home.get(&path).await;
        let seconds: u64 = response.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=300).contains(&seconds), "{seconds}");
        assert_eq!(
            problem(response).await,
            (503, "cooldown".to_owned()),
            "{path}"
        );
    }
    let failed = home.json("/admin/failed-torrents").await;
    assert_eq!(failed["items"][0]["infohash"], DEAD);
    assert_eq!(failed["items"][0]["reason"], "no_peers");
    let remove = || {
        home.request(Method::DELETE, &format!("/admin/failed-torrents/{DEAD}"))
            .send()
    };
    assert_eq!(remove().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(
        problem(remove().await.unwrap()).await,
        (404, "not_found".to_owned())
    );
    // It is tried again.
    assert_eq!(home.problem(&asked).await, (404, "no_peers".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_that_takes_longer_is_told_to_wait_for() {
    let home = Home::start().await;
    let torrent = TestTorrent::v1(8, 2_000);
    let silent = home
        .swarm
        .peer(
            crate::swarm::Behaviour::Silent,
            std::slice::from_ref(&torrent),
        )
        .await;
    let body = json!({ "hashes": [torrent.magnet(&[silent], &[])], "wait": "0s" });
    let response = home.post("/api/v1/resolve", body).await;
    let lines = response.text().await.unwrap();
    assert!(lines.contains("\"pending\""), "{lines}");
    let path = format!("/api/v1/torrents/{}", torrent.hex());
    for asked in [
        path.clone(),
        format!("{path}?wait=10ms"),
        format!("{path}/torrent"),
    ] {
        let response = home.get(&asked).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{asked}");
        assert_eq!(response.headers()["location"], *path);
        let told: serde_json::Value = response.json().await.unwrap();
        assert_eq!(told["location"], path);
        assert_eq!(told["standing"]["source"], "api");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_blocked_is_neither_told_nor_fetched() {
    let home = Home::start().await;
    let torrent = home.stored(TestTorrent::v1(4, 1_000)).await;
    let hex = torrent.hex();
    let added = home
        .post(
            "/admin/blocklist",
            json!({ "hashes": [hex, DEAD], "list": "mine" }),
        )
        .await;
    assert_eq!(added.status(), StatusCode::OK);
    for path in [
        format!("/api/v1/torrents/{hex}"),
        format!("/api/v1/torrents/{hex}/torrent"),
        format!("/api/v1/torrents/{DEAD}?wait=20s"),
    ] {
        assert_eq!(
            home.problem(&path).await,
            (451, "blocked".to_owned()),
            "{path}"
        );
    }
    assert_eq!(home.json("/api/v1/torrents").await["items"], json!([]));
    let lines = home.resolve(std::slice::from_ref(&hex)).await;
    assert_eq!(
        (&lines[0]["status"], &lines[0]["reason"]),
        (&json!("failed"), &json!("blocked"))
    );
    let list = home.json("/admin/blocklist?list=mine").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let unblocked = home
        .request(Method::DELETE, &format!("/admin/blocklist/{hex}"))
        .send()
        .await
        .unwrap();
    assert_eq!(unblocked.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        home.json("/api/v1/torrents").await["items"][0]["infohash"],
        hex
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diagnosis_tells_each_step() {
    let home = Home::start().await;
    let torrent = TestTorrent::v1(4, 20_000);
    let peer = home
        .swarm
        .peer(
            crate::swarm::Behaviour::Honest,
            std::slice::from_ref(&torrent),
        )
        .await;
    let path = format!("/api/v1/torrents/{}/diagnose", torrent.hex());
    let told = home
        .post(&path, json!({ "peers": [peer.to_string()] }))
        .await;
    let told: serde_json::Value = told.json().await.unwrap();
    assert_eq!(told["resolves"], true, "{told}");
    assert_eq!(told["peers"][0]["delivered"], true);
    assert!(!told["peers"][0]["steps"].as_array().unwrap().is_empty());
    // Without a body it asks whom it finds: nobody.
    let told = home.request(Method::POST, &path).send().await.unwrap();
    let told: serde_json::Value = told.json().await.unwrap();
    assert_eq!(
        (&told["resolves"], &told["reason"]),
        (&json!(false), &json!("no_peers")),
        "{told}"
    );
    for wrong in [
        json!({ "peers": ["nonsense"] }),
        json!({ "trackers": ["file:///etc/passwd"] }),
        json!({ "most": 0 }),
    ] {
        assert_eq!(problem(home.post(&path, wrong).await).await.0, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_that_waits_in_the_store_alone_is_pending() {
    let home = Home::start().await;
    let infohash: metafetch::torrent::Infohash = "9".repeat(40).parse().unwrap();
    let source = metafetch::daemon::SourceName::Api;
    home.service.set_paused(source, true).await.unwrap();
    let row = metafetch::store::WantedTorrent {
        infohash,
        source: source.as_str().to_owned(),
        priority: 0,
        trackers: Vec::new(),
        peers: Vec::new(),
        requested_at_ms: 1_700_000_000_000,
    };
    home.service.store().want(vec![row]).await.unwrap();
    let response = home.get(&format!("/api/v1/torrents/{infohash}")).await;
    assert_eq!(response.status(), 202);
    let pending: serde_json::Value = response.json().await.unwrap();
    assert_eq!(pending["standing"]["standing"], "queued", "{pending}");
    let queue = home.json("/api/v1/queue").await;
    assert_eq!(
        queue["items"][0]["standing"]["standing"], "queued",
        "{queue}"
    );
}
