//! `metafetch failed`.

use super::*;

#[tokio::test]
async fn list_shows_what_cools_down_the_soonest_first() {
    let (_home, store) = home();
    fill(
        &store,
        vec![
            failed(hash(1), Reason::NoPeers, 90 * MINUTE_MS),
            failed(hash(2), Reason::Refused, 5 * MINUTE_MS),
            failed(hash(3), Reason::NoPeers, -MINUTE_MS),
            failed(hash(4), Reason::InvalidInfoDict, i64::MAX),
        ],
    )
    .await;
    let hashes = async |args: &[&str]| {
        let args = [&["failed", "list", "--json"], args].concat();
        let run = command(&store, &args).await;
        assert_eq!(run.code, 0, "{run:#?}");
        let lines = run.lines();
        let hashes = lines.iter().map(|line| line["infohash"].as_str().unwrap());
        hashes.map(str::to_owned).collect::<Vec<_>>()
    };
    let [one, two, three, four] = [1, 2, 3, 4].map(|n| hash(n).to_string());
    assert_eq!(hashes(&[]).await, [two.clone(), one.clone(), four.clone()]);
    assert_eq!(hashes(&["--all"]).await, [&*three, &*two, &*one, &*four]);
    assert_eq!(hashes(&["--reason", "no_peers"]).await, [&*one]);
    assert_eq!(hashes(&["--limit", "1"]).await, [&*two]);

    let run = command(&store, &["failed", "list", "--json", "--limit", "1"]).await;
    assert!(run.stderr.contains("there are more"), "{run:#?}");
    let line = run.line();
    assert_eq!(line["reason"], "refused");
    assert_eq!(line["phase"], "lookup");
    assert_eq!(line["failures"], 2);
    let left = line["seconds_left"].as_i64().unwrap();
    assert!((200..=300).contains(&left), "{line}");
    assert!(line["failed_at"].is_string() && line["retry_at"].is_string());

    let table = stdout(&store, &["failed", "list"]).await;
    assert!(table.contains(&two) && table.contains("refused"), "{table}");
    assert!(
        table.contains("in 4m") && table.contains("never"),
        "{table}"
    );
    let wrong = command(&store, &["failed", "list", "--reason", "gone"]).await;
    assert_eq!(wrong.code, 2, "{wrong:#?}");
    assert!(wrong.stderr.contains("no_peers"), "{wrong:#?}");
}

#[tokio::test]
async fn remove_forgets_hashes_and_says_which_were_not_there() {
    let (_home, store) = home();
    let v2 = Infohash::V2([7; 32]);
    let v2_too = Infohash::V2([8; 32]);
    let truncated = |v2: Infohash| Infohash::V1(v2.wire_id());
    fill(
        &store,
        vec![
            failed(hash(1), Reason::NoPeers, MINUTE_MS),
            failed(v2, Reason::NoPeers, MINUTE_MS),
            failed(truncated(v2_too), Reason::NoPeers, MINUTE_MS),
        ],
    )
    .await;
    let magnet = format!("magnet:?xt=urn:btih:{}", hash(1));
    let absent = hash(9).to_string();
    let run = command(&store, &["failed", "remove", &magnet, &absent]).await;
    assert_eq!(run.code, 3, "{run:#?}");
    assert!(run.stderr.contains(&absent), "{run:#?}");
    assert!(run.stderr.contains("1 removed"), "{run:#?}");
    // Each form of a v2 hash stands for the other.
    let (short, long) = (truncated(v2).to_string(), format!("1220{v2_too}"));
    let run = command(&store, &["failed", "remove", &short, &long]).await;
    assert_eq!(run.code, 0, "{run:#?}");
    assert_eq!(stdout(&store, &["failed", "list", "--json"]).await, "");
    let wrong = command(&store, &["failed", "remove", "no-hash"]).await;
    assert_eq!(wrong.code, 2, "{wrong:#?}");
}

#[tokio::test]
async fn clear_forgets_what_its_options_say_and_nothing_without() {
    let (_home, store) = home();
    let all = vec![
        failed(hash(1), Reason::NoPeers, MINUTE_MS),
        failed(hash(2), Reason::Refused, MINUTE_MS),
        failed(hash(3), Reason::Reset, MINUTE_MS),
    ];
    fill(&store, all).await;
    let clear = async |args: &[&str]| command(&store, &[&["failed", "clear"], args].concat()).await;
    assert_eq!(clear(&[]).await.code, 2);
    let run = clear(&["--older-than", "1d"]).await;
    assert!(run.stderr.contains("0 removed"), "{run:#?}");
    let run = clear(&["--reason", "refused", "--older-than", "10m"]).await;
    assert!(run.stderr.contains("1 removed"), "{run:#?}");
    let run = clear(&["--all"]).await;
    assert_eq!(run.code, 0, "{run:#?}");
    assert!(run.stderr.contains("2 removed"), "{run:#?}");
}
