//! `metafetch search`.

use super::*;

use metafetch::store::ResolvedTorrent;

fn torrent(number: u8, name: &str, files: &[&str]) -> Record {
    Record {
        infohash: hash(number),
        result: RecordResult::Resolved(Box::new(ResolvedTorrent {
            infohash: hash(number),
            infohash_v2: None,
            name: name.to_owned(),
            size: u64::from(number) * 1_000_000,
            piece_length: 16_384,
            pieces_count: 1,
            private: false,
            source: String::new(),
            info: b"de".to_vec(),
            trackers: vec!["udp://tracker.example:1".to_owned()],
            files: files
                .iter()
                .map(|path| ((*path).to_owned(), 1_000_000))
                .collect(),
            arm: "direct".to_owned(),
            peer: None,
        })),
        attempts: Vec::new(),
        tracker_replies: Vec::new(),
        at_ms: now_ms() - i64::from(number) * 24 * 60 * MINUTE_MS,
    }
}

async fn filled() -> (TempDir, PathBuf) {
    let (home, store) = home();
    fill(
        &store,
        vec![
            torrent(
                1,
                "Some Étude \x1b[31m",
                &["a/étude no 1.flac", "a/cover.jpg"],
            ),
            torrent(2, "Another etude", &["b.mkv"]),
            torrent(3, "no such word", &["x/the etude.txt"]),
        ],
    )
    .await;
    (home, store)
}

#[tokio::test]
async fn torrents_are_found_by_words_filters_and_pages() {
    let (_home, store) = filled().await;
    let found = async |args: &[&str]| {
        let args = [&["search", "--json"], args].concat();
        let run = command(&store, &args).await;
        assert_eq!(run.code, 0, "{run:#?}");
        let lines = run.lines();
        let hashes: Vec<String> = lines
            .iter()
            .map(|line| line["infohash"].as_str().unwrap().to_owned())
            .collect();
        (hashes, run)
    };
    let [one, two, three] = [1, 2, 3].map(|number| hash(number).to_string());
    let all = [two.clone(), one.clone(), three.clone()];
    assert_eq!(found(&["etude"]).await.0, all);
    assert_eq!(found(&["ÉTUDE", "som*"]).await.0, [&*one]);
    assert_eq!(found(&["etude", "--type", "video"]).await.0, [&*two]);
    assert_eq!(found(&["--min-size", "3MB"]).await.0, [&*three]);
    let recent = ["--max-files", "1", "--since", "60h"];
    assert_eq!(found(&recent).await.0, [&*two]);
    let by_size = ["--sort", "size", "--reverse"];
    assert_eq!(found(&by_size).await.0, [&*one, &*two, &*three]);
    let (first, run) = found(&["etude", "--limit", "2"]).await;
    assert_eq!(first, all[..2]);
    let cursor = run.stderr.split("--cursor ").nth(1).unwrap().trim();
    assert_eq!(found(&["etude", "--cursor", cursor]).await.0, all[2..]);

    let (_, run) = found(&["etude", "some", "--files=5"]).await;
    let line = run.line();
    assert_eq!(line["files"][0]["path"], "a/étude no 1.flac");
    assert_eq!(line["files"].as_array().unwrap().len(), 1);
    assert_eq!(line["content_type"], "audio");
    assert!(line["magnet"].as_str().unwrap().contains(&one), "{line}");

    let mut wide = metafetch(&store, &["search", "etude", "the*", "--files"]);
    let table = run_wide(&mut wide).await;
    assert!(
        table.contains(&three) && table.contains("x/the etude.txt"),
        "{table}"
    );
    assert!(
        !table.contains('\x1b') && !table.contains("cover.jpg"),
        "{table}"
    );
    let none = stdout(&store, &["search", "nowhere"]).await;
    assert_eq!(none.lines().count(), 1, "{none}");
}

/// What is printed on a wide terminal.
async fn run_wide(command: &mut tokio::process::Command) -> String {
    let run = run(command.env("COLUMNS", "200")).await;
    assert_eq!(run.code, 0, "{run:#?}");
    run.stdout
}

#[tokio::test]
async fn what_cannot_be_asked_is_said() {
    let (_home, store) = filled().await;
    for (args, said) in [
        (&["search", "!!!"][..], "no letter"),
        (&["search", "a*"], "3 characters"),
        (&["search", "etude", "--cursor", "x"], "not a cursor"),
        (&["search", "--type", "x"], "video"),
        (&["search", "--sort", "x"], "relevance"),
    ] {
        let run = command(&store, args).await;
        assert_eq!(run.code, 2, "{run:#?}");
        assert!(run.stderr.contains(said), "{run:#?}");
    }
}
