//! Search and lists, page by page.

use serde_json::{Value, json};

use crate::home::Home;
use crate::swarm::TestTorrent;

/// All items of a list, read by pages of two.
async fn all(home: &Home, path: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = home.json(&format!("{path}limit=2{cursor}")).await;
        items.extend(page["items"].as_array().unwrap().clone());
        match page["next"].as_str() {
            None => return items,
            Some(next) => cursor = format!("&cursor={next}"),
        }
        assert!(items.len() < 100);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_tell_everything_once() {
    let home = Home::start().await;
    let mut hashes = Vec::new();
    for seed in 1..=5 {
        hashes.push(home.stored(TestTorrent::v1(seed, 1_000)).await.hex());
    }
    hashes.sort();
    for path in [
        "/api/v1/torrents?",
        "/api/v1/torrents?sort=size&",
        "/api/v1/torrents?sort=name&reverse=true&",
    ] {
        let items = all(&home, path).await;
        let mut found: Vec<_> = items
            .iter()
            .map(|item| item["infohash"].as_str().unwrap().to_owned())
            .collect();
        found.sort();
        assert_eq!(found, hashes, "{path}");
    }
    let dead: Vec<String> = (0..5).map(|n| format!("{n:040x}")).collect();
    home.resolve(&dead).await;
    let failed = all(&home, "/admin/failed-torrents?").await;
    let mut failed: Vec<_> = failed
        .iter()
        .map(|item| item["infohash"].as_str().unwrap().to_owned())
        .collect();
    failed.sort();
    assert_eq!(failed, dead);
    assert_eq!(all(&home, "/api/v1/peers?sort=address&").await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_find_by_words_and_filters_and_refuse_nonsense() {
    let home = Home::start().await;
    let torrent = home.stored(TestTorrent::v1(4, 1_000)).await;
    let word = torrent
        .name
        .split(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap()
        .to_owned();
    let count = async |query: &str| {
        let page = home.json(&format!("/api/v1/torrents?{query}")).await;
        page["items"].as_array().unwrap().len()
    };
    for query in [
        &format!("q={word}"),
        "min_size=1",
        "private=false",
        "since=2020-01-01T00:00:00Z",
        "files=3&sort=relevance",
    ] {
        assert_eq!(count(query).await, 1, "{query}");
    }
    // What databases read as a language of their own is text, in any script.
    for query in [
        "q=nothinglikethis",
        "private=true",
        "max_size=0",
        "min_files=9999",
        "q=%D0%BB%D0%B8%D1%81%20OR%20%E7%8C%AB",
        "until=2020-01-01T00:00:00Z",
        "q=%22a%22*%20NOT%20NEAR(b",
    ] {
        assert_eq!(count(query).await, 0, "{query}");
    }
    for query in [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=x",
        "type=nonsense",
        "sort=rank",
        "min_size=-1",
        "since=yesterday",
        "cursor=x",
        "cursor=%00",
        "files=101",
        "private=maybe",
    ] {
        assert_eq!(
            home.problem(&format!("/api/v1/torrents?{query}")).await,
            (400, "invalid_request".to_owned()),
            "{query}"
        );
    }
    for path in [
        "/api/v1/sessions",
        "/api/v1/queue",
        "/admin/failed-torrents",
        "/api/v1/peers?sort=address&",
    ] {
        let separator = if path.contains('?') { "" } else { "?" };
        let path = format!("{path}{separator}cursor=tampered");
        assert_eq!(
            home.problem(&path).await,
            (400, "invalid_request".to_owned()),
            "{path}"
        );
    }
    assert_eq!(home.json("/api/v1/queue").await["items"], json!([]));
}
