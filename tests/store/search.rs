//! What is found by which words, in which order, and a page at a time.

use super::*;

use metafetch::store::{SearchError, TorrentQuery, TorrentSort};
use metafetch::torrent::ContentType;

on_each_database!(
    words_are_found_in_names_and_files,
    no_text_is_more_than_words,
    filters_and_orders_hold_on_every_page,
    what_changes_and_goes_is_found_anew_and_no_more,
    torrents_from_before_are_indexed_meanwhile,
    lists_are_read_by_pages,
    a_copy_is_made_of_a_file_only,
);

/// A torrent of this name with these files.
fn made(number: u32, name: &str, files: &[&str]) -> Record {
    let made = ResolvedTorrent {
        name: name.to_owned(),
        size: u64::from(number) * 10,
        files: files
            .iter()
            .map(|path| ((*path).to_owned(), u64::from(number)))
            .collect(),
        private: number % 2 == 1,
        ..torrent(hash(number))
    };
    Record {
        result: RecordResult::Resolved(Box::new(made)),
        attempts: Vec::new(),
        at_ms: 1_000 + i64::from(number),
        ..resolved(number)
    }
}

async fn fill(store: &Store, records: Vec<Record>) {
    for record in records {
        store.record(record).await.unwrap();
    }
}

fn asked(text: &str) -> TorrentQuery {
    TorrentQuery {
        text: text.to_owned(),
        ..TorrentQuery::default()
    }
}

/// The numbers of the torrents that are found, all pages of them.
async fn found(store: &Store, query: &TorrentQuery) -> Vec<u32> {
    let mut query = query.clone();
    let mut numbers = Vec::new();
    loop {
        let page = store.search(&query).await.unwrap();
        assert!(page.torrents.len() <= query.limit as usize);
        numbers.extend(page.torrents.iter().map(|torrent| {
            let bytes = torrent.infohash.as_bytes();
            u32::from_be_bytes(bytes[..4].try_into().unwrap())
        }));
        let Some(next) = page.next else {
            return numbers;
        };
        // As it goes over the wire.
        query.after = Some(next.to_string().parse().unwrap());
        assert_eq!(query.after, Some(next));
    }
}

async fn words_are_found_in_names_and_files(place: Place) {
    let store = place.open().unwrap();
    fill(
        &store,
        vec![
            made(
                1,
                "Ubuntu.22.04-Desktop_amd64",
                &["ubuntu-22.04-desktop-amd64.iso"],
            ),
            made(
                2,
                "ÜBERMÄSSIG große Hunde (2010)",
                &["Staffel.1/Folge 01.mkv"],
            ),
            made(3, "電影下載大全", &["第一集/がんばれ.mp4", "한국어.txt"]),
            made(4, "The Of And to is a", &["www.com.txt"]),
            made(
                5,
                "wallpapers",
                &["sample/Ubuntu wallpaper.png", "x/22.png"],
            ),
            made(6, "Война и мир", &["Том 1.fb2"]),
            made(
                7,
                "O'Reilly \"C++\" + - * ~ ( ) < > @ % \\ : & | ! NOT OR",
                &["c++.pdf"],
            ),
            made(8, &"x".repeat(200), &["\u{1F600}smile\u{20BB7}.txt"]),
        ],
    )
    .await;
    for (text, expected) in [
        ("ubuntu", &[1, 5][..]),
        ("UBUNTU 22", &[1, 5]),
        ("ubuntu desktop", &[1]),
        ("desktop,ubuntu", &[1]),
        ("ubuntu png", &[5]),
        ("04", &[1]),
        ("ubermassig", &[2]),
        ("übermässig", &[2]),
        // `ß` has no decomposition, and is no `ss`.
        ("Ubermassig GROSSE", &[]),
        ("ubermäsSig große hunde", &[2]),
        ("ubermassig hunde 2010", &[2]),
        ("folge 01", &[2]),
        ("staff*", &[2]),
        ("ubun* deskt*", &[1]),
        ("buntu", &[]),
        ("電影", &[3]),
        ("影下載", &[3]),
        ("全", &[3]),
        ("影電", &[]),
        ("一集 電", &[3]),
        ("がんばれ", &[3]),
        ("한국", &[]),
        ("한국어", &[3]),
        ("the of and", &[4]),
        ("is a to", &[4]),
        ("www com", &[4]),
        ("война", &[6]),
        ("МИР том", &[6]),
        ("вой*", &[6]),
        ("o'reilly", &[7]),
        ("c++", &[7]),
        ("not or", &[7]),
        ("c pdf", &[7]),
        ("smile", &[8]),
        ("𠮷", &[8]),
        ("-ubuntu", &[1, 5]),
        ("ubuntu -desktop", &[1]),
        ("a_ubuntu", &[]),
        ("_ubuntu", &[1, 5]),
        ("n_ubuntu", &[]),
        ("nowhere", &[]),
    ] {
        assert_eq!(found(&store, &asked(text)).await, expected, "{text}");
    }
    let long = "x".repeat(300);
    assert_eq!(found(&store, &asked(&long)).await, [8], "it is cut alike");
    let with_files = TorrentQuery {
        files: 1,
        ..asked("ubuntu wall*")
    };
    let page = store.search(&with_files).await.unwrap();
    let torrent = &page.torrents[0];
    assert_eq!(
        torrent.files,
        [("sample/Ubuntu wallpaper.png".to_owned(), 5)]
    );
    assert_eq!((torrent.files_count, torrent.size), (2, 50));
    assert_eq!(torrent.content_type, ContentType::Image);
    assert_eq!(torrent.resolved_at_ms, 1_005);
    assert!(!page.is_cut && !page.is_indexing);
}

async fn no_text_is_more_than_words(place: Place) {
    let store = place.open().unwrap();
    fill(&store, vec![made(1, "plain name", &["a.txt"])]).await;
    for text in [
        "' OR 1=1 --",
        "\" OR \"",
        "name\" OR \"x",
        "terms:name",
        "NEAR(plain name, 2)",
        "^plain",
        "plain NOT name",
        "(plain",
        "plain)",
        "+plain -name",
        "plain & !name",
        "plain:* | x",
        "@3 plain",
        "~plain <name",
        "plain\\",
        "%_",
        "\u{202e}plain",
        "$1",
        "?",
        "{}",
        "*",
        "***name***",
    ] {
        match store.search(&asked(text)).await {
            Ok(_) | Err(SearchError::Query(_)) => {}
            Err(error) => panic!("{text}: {error}"),
        }
    }
    assert_eq!(found(&store, &asked("\"plain' %name*")).await, [1]);
    assert_eq!(found(&store, &asked(" \t ")).await, [1], "all");
    for (text, said) in [
        ("!!!", "no letter"),
        ("ab*", "3 characters"),
        (&"a".repeat(501), "500 characters"),
        (
            &("a".repeat(400)
                + " "
                + &(0..20)
                    .map(|n| format!("w{n}"))
                    .collect::<Vec<_>>()
                    .join(" ")),
            "words",
        ),
    ] {
        let Err(SearchError::Query(why)) = store.search(&asked(text)).await else {
            panic!("{text} was answered");
        };
        assert!(why.contains(said), "{why}");
    }
}

#[expect(clippy::too_many_lines, reason = "each case is a few lines")]
async fn filters_and_orders_hold_on_every_page(place: Place) {
    let store = place.open().unwrap();
    let records: Vec<Record> = (1..=60)
        .map(|number| {
            let name = format!(
                "{} common {}",
                ["b", "a", "c"][number as usize % 3],
                number / 9
            );
            let file = ["x.mkv", "x.flac", "common.zip"][number as usize % 3];
            // Some have the word in a file only.
            let name = if number % 5 == 0 {
                name.replace("common", "rare")
            } else {
                name
            };
            made(number, &name, &["common/readme.nfo", file])
        })
        .collect();
    let names: Vec<String> = records
        .iter()
        .map(|record| match &record.result {
            RecordResult::Resolved(torrent) => torrent.name.clone(),
            _ => String::new(),
        })
        .collect();
    fill(&store, records).await;
    let all = || (1..=60_u32).collect::<Vec<_>>();
    let pages = async |query: &TorrentQuery, expected: &[u32]| {
        for limit in [1, 7, 59, 60, 61, 1_000] {
            let query = TorrentQuery {
                limit,
                ..query.clone()
            };
            assert_eq!(found(&store, &query).await, expected, "{query:?}");
        }
    };
    let newest: Vec<u32> = all().into_iter().rev().collect();
    // Those with the word in their names, then the others, of both the newest.
    let relevance: Vec<u32> = [false, true]
        .into_iter()
        .flat_map(|rest| newest.iter().copied().filter(move |n| (n % 5 == 0) == rest))
        .collect();
    pages(&asked("common"), &relevance).await;
    pages(&asked(""), &newest).await;
    let by_name = |number: &u32| (names[*number as usize - 1].clone(), *number);
    let mut sorted = all();
    sorted.sort_by_key(by_name);
    for text in ["", "common"] {
        for (sort, expected) in [
            (TorrentSort::ResolvedAt, &newest),
            (TorrentSort::Size, &newest),
            (TorrentSort::Name, &sorted),
        ] {
            let query = TorrentQuery {
                sort,
                ..asked(text)
            };
            pages(&query, expected).await;
            let reversed: Vec<u32> = expected.iter().rev().copied().collect();
            let query = TorrentQuery {
                reverse: true,
                ..query
            };
            pages(&query, &reversed).await;
            let filtered = TorrentQuery {
                content_types: vec![ContentType::Video, ContentType::Archive],
                min_size: Some(100),
                max_size: Some(500),
                min_files: Some(2),
                max_files: Some(2),
                private: Some(false),
                resolved_since_ms: Some(1_012),
                resolved_until_ms: Some(1_048),
                ..query
            };
            let passes = |n: &u32| n % 3 != 1 && n.is_multiple_of(2) && (12..48).contains(n);
            let passing: Vec<u32> = reversed.iter().copied().filter(passes).collect();
            assert!(passing.len() > 5);
            pages(&filtered, &passing).await;
        }
    }
    let passing: Vec<u32> = relevance.iter().copied().filter(|n| n % 3 == 1).collect();
    let audio = TorrentQuery {
        content_types: vec![ContentType::Audio],
        ..asked("common")
    };
    pages(&audio, &passing).await;
    let none = TorrentQuery {
        min_files: Some(3),
        ..asked("common")
    };
    pages(&none, &[]).await;
    // A cursor is of one question only.
    let first = TorrentQuery {
        limit: 5,
        ..asked("common")
    };
    let next = store.search(&first).await.unwrap().next;
    let other = TorrentQuery {
        after: next,
        ..asked("rare")
    };
    assert!(matches!(
        store.search(&other).await,
        Err(SearchError::Query(_))
    ));
}

async fn what_changes_and_goes_is_found_anew_and_no_more(place: Place) {
    let store = place.open().unwrap();
    fill(
        &store,
        vec![
            made(1, "first name", &["one.mkv"]),
            made(2, "second", &["two.mkv"]),
            failed(hash(3), 1, 5),
        ],
    )
    .await;
    fill(&store, vec![made(1, "other name", &["three.flac"])]).await;
    assert_eq!(found(&store, &asked("first")).await, [0_u32; 0]);
    assert_eq!(found(&store, &asked("one")).await, [0_u32; 0]);
    assert_eq!(found(&store, &asked("other three")).await, [1]);
    assert_eq!(found(&store, &asked("")).await, [1, 2].map(|n| 3 - n));
    place.run("DELETE FROM torrent_metadata WHERE name = 'other name'");
    assert_eq!(found(&store, &asked("other")).await, [0_u32; 0]);
    assert_eq!(found(&store, &asked("name")).await, [0_u32; 0]);
    assert_eq!(found(&store, &asked("second")).await, [2]);
    fill(&store, vec![made(1, "back again", &["one.mkv"])]).await;
    assert_eq!(found(&store, &asked("one")).await, [1]);
}

async fn torrents_from_before_are_indexed_meanwhile(place: Place) {
    let store = place.open().unwrap();
    let records = (1..=350).map(|number| made(number, &format!("old {number}"), &["a.mkv"]));
    join_all(records.map(|record| store.record(record))).await;
    store.close().await;
    // As the migration leaves a database that had torrents.
    place.run("DELETE FROM torrent_search");
    place.run(
        "INSERT INTO import_progress (source, table_name, last_id, rows_read, rows_taken, updated_at) \
         VALUES ('torrent_metadata', 'torrent_search', 0, 0, 0, 0)",
    );
    let store = place.open().unwrap();
    // What comes meanwhile is indexed at once, and once.
    fill(&store, vec![made(400, "new", &["a.mkv"])]).await;
    assert_eq!(found(&store, &asked("new")).await, [400]);
    for _ in 0..600 {
        if store.indexing().await.unwrap().is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.indexing().await, Ok(None));
    assert_eq!(found(&store, &asked("old")).await.len(), 350);
    assert_eq!(found(&store, &asked("mkv")).await.len(), 351);
    assert_eq!(found(&store, &asked("350")).await, [350]);
    // Another start has nothing to do.
    store.close().await;
    let store = place.open().unwrap();
    assert_eq!(store.indexing().await, Ok(None));
    assert_eq!(found(&store, &asked("mkv")).await.len(), 351);
}

#[expect(clippy::too_many_lines, reason = "each case is a few lines")]
async fn lists_are_read_by_pages(place: Place) {
    use metafetch::store::{CrawlSession, FailedFilter};
    let store = place.open().unwrap();
    // Many fail at the same moment.
    let records: Vec<Record> = (0..30)
        .map(|number| failed(hash(number), 1, i64::from(number / 7)))
        .collect();
    fill(&store, records).await;
    let all = FailedFilter::default();
    let listed = store.failed_torrents(&all, 100).await.unwrap();
    assert_eq!(listed.len(), 30);
    let mut read = Vec::new();
    loop {
        let after = read
            .last()
            .map(|(hash, failed): &(Infohash, FailedTorrent)| (failed.retry_at_ms, *hash));
        let page = store.failed_torrents_after(&all, after, 4).await.unwrap();
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert_eq!(read, listed);
    let due = FailedFilter {
        due_at_ms: Some(600_001),
        ..all
    };
    assert_eq!(store.failed_torrents(&due, 100).await.unwrap().len(), 14);

    let attempts: Vec<Attempt> = (0..25)
        .map(|number| attempt(peer(number), i64::from(number / 4), None))
        .collect();
    let record = Record {
        attempts,
        ..resolved(77)
    };
    store.record(record).await.unwrap();
    let mut read: Vec<(i64, Attempt)> = Vec::new();
    loop {
        let after = read
            .last()
            .map(|(id, attempt)| (attempt.started_at_ms, *id));
        let page = store.attempts_of(&hash(77), after, 4).await.unwrap();
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert_eq!(read.len(), 25);
    assert!(read.is_sorted_by_key(|(id, attempt)| (-attempt.started_at_ms, -id)));

    let mut peers: Vec<PeerAddr> = Vec::new();
    loop {
        let page = store.peers_after(peers.last().copied(), 4).await.unwrap();
        if page.is_empty() {
            break;
        }
        peers.extend(page.iter().map(|(peer, _)| *peer));
    }
    let distinct: HashSet<PeerAddr> = peers.iter().copied().collect();
    assert_eq!((peers.len(), distinct.len()), (25, 25));

    for number in 0..10 {
        let session = CrawlSession::start("daemon", number / 3);
        store.save_session(&session).await.unwrap();
    }
    let listed = store.sessions(100).await.unwrap();
    let mut read: Vec<CrawlSession> = Vec::new();
    loop {
        let after = read
            .last()
            .map(|session| (session.started_at_ms, session.id.clone()));
        let page = store.sessions_after(after, 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert_eq!(read, listed);

    for number in 0..9_u8 {
        let bytes = match &place {
            Place::Server(database) if database.server.kind == Kind::Postgres => "'\\x",
            _ => "X'",
        };
        let no = if bytes == "X'" { "0" } else { "FALSE" };
        place.run(&format!(
            "INSERT INTO torrent_metadata (infohash, name, size, piece_length, pieces_count, files_count, \
             private, metadata_size, trackers, source, arm, discovered_at, last_seen_at, resolved_at, info, \
             validation_status, comment, created_by, encoding) VALUES ({bytes}{}', '', 0, 0, 0, 0, {no}, 0, \
             '[\"udp://t.example:1\"]', '', '', {}, 1, 0, {bytes}', 'pending', '', '', '')",
            format!("{number:02x}").repeat(20),
            number / 4,
        ));
    }
    let mut after = None;
    let mut hashes = Vec::new();
    loop {
        let page = store.pending(after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.discovered_at_ms, last.id));
        assert_eq!(last.trackers, ["udp://t.example:1"]);
        hashes.extend(page.iter().map(|torrent| torrent.infohash));
    }
    let expected: Vec<Infohash> = (0..9).map(|number| Infohash::V1([number; 20])).collect();
    assert_eq!(hashes, expected);
    assert_eq!(found(&store, &asked("")).await, [77], "they are not found");
}

async fn a_copy_is_made_of_a_file_only(place: Place) {
    let (_directory, path) = directory();
    let store = place.open().unwrap();
    fill(&store, vec![made(1, "a name", &["one.mkv"])]).await;
    let copied = store.backup(&path).await;
    if matches!(place, Place::Server(_)) {
        let said = copied.unwrap_err().to_string();
        assert!(said.contains("db export") && !path.exists(), "{said}");
        return;
    }
    copied.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let copy = open(&path).unwrap();
    assert_eq!(found(&copy, &asked("one")).await, [1]);
    fill(&copy, vec![made(2, "another name", &["two.mkv"])]).await;
    assert_eq!(found(&copy, &asked("name")).await, [2, 1]);
    assert_eq!(found(&store, &asked("name")).await, [1]);
    let again = store.backup(&path).await.unwrap_err().to_string();
    assert!(again.contains("already"), "{again}");
    assert_eq!(
        fs::read_dir(path.parent().unwrap())
            .unwrap()
            .filter(|entry| {
                let name = entry.as_ref().unwrap().file_name();
                name.to_string_lossy().starts_with(".metafetch-")
            })
            .count(),
        0
    );
}
