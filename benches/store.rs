//! What the store writes in a second, and what a torrent takes on disk.
//!
//! ```text
//! cargo bench --bench store -- speed URL [ATTEMPTS [BEFORE]]
//! cargo bench --bench store -- size  PATH [TORRENTS [FILES [PEERS]]]
//! cargo bench --bench store -- search URL [TORRENTS [FILES]]
//! ```
//!
//! `speed` writes attempts at random hashes and peers (100,000, unless told otherwise) into a store that
//! already has as many as `BEFORE` (1,000,000). `size` fills a SQLite file with torrents (50,000) of as many
//! files (30) and with as many peers for each (5), and then looks some up. `search` fills a store with as
//! many torrents (1,000,000) of as many files (3), unless it has them, of words that are as common as those
//! of a language (the word of rank n is n times rarer than the first), and looks for some of each kind.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "a program for who works on the store"
)]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use diesel::{Connection as _, RunQueryDsl as _, SqliteConnection};
use futures_util::{StreamExt as _, stream};
use metafetch::history::Attempt;
use metafetch::store::{
    Record, RecordResult, ResolvedTorrent, Store, StoreUrl, TorrentQuery, TorrentSort,
};
use metafetch::torrent::{Arm, Infohash, PeerAddr, PeerSource, Phase, Reason, Way};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng as _};
use sha1::{Digest as _, Sha1};

/// Attempts at one hash, as a run makes them.
const AT_ONE_HASH: usize = 10;
/// Records that wait together for the writer.
const TOGETHER: usize = 1_000;

const WORDS: [&str; 24] = [
    "season",
    "episode",
    "extended",
    "sample",
    "track",
    "cover",
    "readme",
    "disc",
    "part",
    "final",
    "the",
    "of",
    "and",
    "night",
    "river",
    "mountain",
    "chapter",
    "volume",
    "live",
    "remaster",
    "subtitles",
    "english",
    "archive",
    "collection",
];

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter(|one| one != "--bench");
    let what = arguments.next().unwrap_or_default();
    let place = arguments.next();
    let mut number = |default: usize| {
        arguments
            .next()
            .map_or(default, |text| text.parse().unwrap())
    };
    match (what.as_str(), place) {
        ("speed", Some(url)) => speed(&url, number(100_000), number(1_000_000)).await,
        ("size", Some(path)) => size(&path, number(50_000), number(30), number(5)).await,
        ("search", Some(url)) => search(&url, number(1_000_000), number(3)).await,
        _ => eprintln!(
            "say `speed URL`, `size PATH` or `search URL`; the head of benches/store.rs tells more"
        ),
    }
}

async fn speed(url: &str, attempts: usize, before: usize) {
    let url: StoreUrl = url.parse().unwrap();
    let store = Store::open(&url).unwrap();
    let mut random = StdRng::seed_from_u64(1);
    let there = usize::try_from(store.counts().await.unwrap().attempts).unwrap();
    let started = Instant::now();
    write_attempts(&store, &mut random, before.saturating_sub(there)).await;
    println!("{url}: filled in {:.1} s", started.elapsed().as_secs_f64());
    let mut random = StdRng::seed_from_u64(rand::rng().next_u64());
    let started = Instant::now();
    write_attempts(&store, &mut random, attempts).await;
    let elapsed = started.elapsed().as_secs_f64();
    println!(
        "{url}: {attempts} attempts in {elapsed:.2} s: {:.0} in a second",
        attempts as f64 / elapsed
    );
    store.close().await;
}

/// Writes attempts whose times go on, as they do in a run: two hashes a millisecond.
async fn write_attempts(store: &Store, random: &mut StdRng, count: usize) {
    let there = i64::try_from(store.counts().await.unwrap().attempts).unwrap();
    let records = (0..count.div_ceil(AT_ONE_HASH)).map(|at| {
        let since_ms = there / 20 + i64::try_from(at).unwrap() / 2;
        let size = AT_ONE_HASH.min(count - at * AT_ONE_HASH);
        let at_ms = 1_760_000_000_000 + since_ms;
        Record {
            infohash: Infohash::V1(random.random()),
            result: RecordResult::AttemptsOnly,
            attempts: (0..size).map(|_| attempt(random, at_ms)).collect(),
            tracker_replies: Vec::new(),
            at_ms,
        }
    });
    write_all(store, records).await;
}

/// Writes records, a thousand of them waiting at any time.
async fn write_all(store: &Store, records: impl Iterator<Item = Record>) {
    let mut answers =
        stream::iter(records.map(|record| store.record(record))).buffer_unordered(TOGETHER);
    while let Some(answer) = answers.next().await {
        answer.unwrap();
    }
}

fn attempt(random: &mut impl Rng, at_ms: i64) -> Attempt {
    // Most peers cannot be reached; few deliver.
    let outcome = match random.random_range(0..10) {
        0 => None,
        1 => Some(Reason::Rejected),
        2 | 3 => Some(Reason::Closed),
        _ => Some(Reason::ConnectTimeout),
    };
    let reached = !matches!(outcome, Some(Reason::ConnectTimeout));
    let way = Way::plain(Arm::Direct);
    Attempt {
        way,
        peer: peer(random),
        source: PeerSource::Dht,
        started_at_ms: at_ms - random.random_range(20..5_000),
        duration: Duration::from_millis(random.random_range(20..5_000)),
        phase: if reached {
            Phase::Transfer
        } else {
            Phase::Connect
        },
        outcome,
        connect_time: reached.then(|| Duration::from_millis(random.random_range(20..500))),
        detail: if reached {
            "the peer closed the connection"
        } else {
            "no answer in 3 s"
        }
        .to_owned(),
        why: "first of 40: untried".to_owned(),
        metadata_size: reached.then_some(30_000),
        client: reached.then(|| "qBittorrent 5.0.3".to_owned()),
    }
}

fn peer(random: &mut impl Rng) -> PeerAddr {
    let ip: [u8; 4] = random.random();
    PeerAddr::new(ip.into(), random.random_range(1024..=65_535))
}

async fn size(path: &str, torrents: usize, files: usize, peers: usize) {
    let store = Store::open(&StoreUrl::Sqlite(path.into())).unwrap();
    let mut random = StdRng::seed_from_u64(2);
    let (mut hashes, mut info_bytes) = (Vec::new(), 0);
    let started = Instant::now();
    for _ in 0..torrents.div_ceil(TOGETHER) {
        let records: Vec<Record> = (0..TOGETHER)
            .map(|_| {
                let torrent = torrent(&mut random, files);
                info_bytes += torrent.info.len();
                if hashes.len() < 1_000 {
                    hashes.push(torrent.infohash);
                }
                Record {
                    infohash: torrent.infohash,
                    result: RecordResult::Resolved(Box::new(torrent)),
                    attempts: Vec::new(),
                    tracker_replies: Vec::new(),
                    at_ms: 1_760_000_000_000,
                }
            })
            .collect();
        write_all(&store, records.into_iter()).await;
    }
    println!("torrents: {:.1} s", started.elapsed().as_secs_f64());
    write_attempts(&store, &mut random, torrents * peers).await;
    let mut times = Vec::new();
    for hash in &hashes {
        let asked = Instant::now();
        assert!(store.torrent(hash).await.unwrap().is_some());
        times.push(asked.elapsed());
        assert_eq!(store.files(hash).await.unwrap().len(), files);
    }
    times.sort_unstable();
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    store.close().await;
    let each = torrents as f64;
    println!(
        "dictionary {:.0} B for each torrent; a query {median:?} at the median, {slowest:?} the slowest; on disk, for each torrent:",
        info_bytes as f64 / each,
    );
    let mut connection = SqliteConnection::establish(path).unwrap();
    let tables: Vec<Table> = diesel::sql_query(
        "SELECT m.tbl_name AS name, CAST(sum(d.pgsize) AS BIGINT) AS bytes FROM dbstat AS d \
         JOIN sqlite_master AS m ON m.name = d.name GROUP BY m.tbl_name ORDER BY bytes DESC",
    )
    .load(&mut connection)
    .unwrap();
    for table in &tables {
        println!("{:20} {:6.0} B", table.name, table.bytes as f64 / each);
    }
    let of = |wanted: &dyn Fn(&str) -> bool| {
        let bytes = tables.iter().filter(|table| wanted(&table.name));
        bytes.map(|table| table.bytes).sum::<i64>() as f64 / each
    };
    println!("{:20} {:6.0} B", "all", of(&|_| true));
    println!(
        "{:20} {:6.0} B",
        "all but attempts",
        of(&|name| name != "metadata_request")
    );
}

/// Different words of the torrents of `search`.
const VOCABULARY: u64 = 100_000;
/// How often each kind of question is asked.
const ASKED: usize = 100;

/// A word, which is the rarer the higher its rank.
fn word(random: &mut impl Rng) -> String {
    let share: f64 = random.random();
    let rank = (share * (VOCABULARY as f64).ln()).exp();
    ranked(rank as u64)
}

fn ranked(rank: u64) -> String {
    let mut word = String::new();
    let mut rest = rank.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    while rest > 0 {
        word.push(char::from(
            b"bdfgklmnprstvz"[usize::try_from(rest % 14).unwrap()],
        ));
        word.push(char::from(
            b"aeiou"[usize::try_from(rest / 14 % 5).unwrap()],
        ));
        rest /= 70;
    }
    word
}

/// Fills a store with torrents of such words, up to so many.
async fn fill_with_words(store: &Store, torrents: usize, files: usize) {
    let there = usize::try_from(store.counts().await.unwrap().torrents).unwrap();
    let mut random = StdRng::seed_from_u64(there as u64);
    let started = Instant::now();
    let left = torrents.saturating_sub(there);
    for chunk in 0..left.div_ceil(TOGETHER) {
        let records: Vec<Record> = (0..TOGETHER)
            .map(|number| {
                let mut torrent = torrent(&mut random, files);
                let mut text = || {
                    let words: Vec<String> = (0..5).map(|_| word(&mut random)).collect();
                    words.join(".")
                };
                torrent.name = text();
                for file in &mut torrent.files {
                    file.0 = format!("{}/{}.mkv", text(), text());
                }
                torrent.size = random.random_range(0..1 << 36);
                Record {
                    infohash: torrent.infohash,
                    result: RecordResult::Resolved(Box::new(torrent)),
                    attempts: Vec::new(),
                    tracker_replies: Vec::new(),
                    at_ms: i64::try_from(there + chunk * TOGETHER + number).unwrap(),
                }
            })
            .collect();
        write_all(store, records.into_iter()).await;
    }
    let elapsed = started.elapsed().as_secs_f64();
    println!(
        "{left} torrents in {elapsed:.1} s: {:.0} in a second",
        left as f64 / elapsed
    );
}

/// Makes up a question.
type Question<'a> = &'a dyn Fn(&mut StdRng) -> TorrentQuery;

async fn search(url: &str, torrents: usize, files: usize) {
    let store = Store::open(&url.parse().unwrap()).unwrap();
    fill_with_words(&store, torrents, files).await;
    let mut random = StdRng::seed_from_u64(3);
    let rare = |random: &mut StdRng| ranked(random.random_range(10_000..VOCABULARY));
    let common = |random: &mut StdRng| ranked(random.random_range(1..20));
    let sorted = |sort, text: String| TorrentQuery {
        sort,
        text,
        ..TorrentQuery::default()
    };
    let text = |text: String| sorted(TorrentSort::Relevance, text);
    let narrow = |query: TorrentQuery| TorrentQuery {
        min_size: Some(1 << 30),
        max_size: Some((1 << 30) + (1 << 26)),
        ..query
    };
    let kinds: [(&str, Question<'_>); 10] = [
        ("a rare word", &|random| text(rare(random))),
        ("a common word", &|random| text(common(random))),
        ("two common words", &|random| {
            text(format!("{} {}", common(random), common(random)))
        }),
        ("a common and a rare word", &|random| {
            text(format!("{} {}", common(random), rare(random)))
        }),
        ("the beginning of a word", &|random| {
            text(format!("{:.4}*", rare(random)))
        }),
        ("a common word, one size of 1,000", &|random| {
            narrow(text(common(random)))
        }),
        ("a common word, by size", &|random| {
            sorted(TorrentSort::Size, common(random))
        }),
        ("the newest", &|_| text(String::new())),
        ("the largest", &|_| sorted(TorrentSort::Size, String::new())),
        ("by name, one size of 1,000", &|_| {
            narrow(sorted(TorrentSort::Name, String::new()))
        }),
    ];
    for (kind, query) in kinds {
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..ASKED {
            let mut query = query(&mut random);
            // The first page and the second.
            for _ in 0..2 {
                let asked = Instant::now();
                let page = store.search(&query).await.unwrap();
                times.push(asked.elapsed());
                found += page.torrents.len();
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
            }
        }
        times.sort_unstable();
        println!(
            "{kind:34} p50 {:>9.1?} p99 {:>9.1?} of {} pages, {:.0} torrents each",
            times[times.len() / 2],
            times[times.len() * 99 / 100],
            times.len(),
            found as f64 / times.len() as f64
        );
    }
    println!("{} bytes in all", store.size().await.unwrap());
    store.close().await;
}

#[derive(diesel::QueryableByName)]
struct Table {
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    bytes: i64,
}

/// A torrent of one piece, with names of words and numbers.
fn torrent(random: &mut impl Rng, count: usize) -> ResolvedTorrent {
    let mut word = || WORDS[random.random_range(0..WORDS.len())];
    let name = format!("{}.{}.{}-{}", word(), word(), word(), word());
    let files: Vec<(String, u64)> = (0..count)
        .map(|number| {
            let folder = word();
            let path = format!(
                "{folder}/{number:02} - {} {} {}.mkv",
                word(),
                word(),
                word()
            );
            (path, 1_000_000 + u64::try_from(number).unwrap())
        })
        .collect();
    let mut list = String::new();
    for (path, length) in &files {
        let _ = write!(list, "d6:lengthi{length}e4:pathl");
        for part in path.split('/') {
            let _ = write!(list, "{}:{part}", part.len());
        }
        list += "ee";
    }
    let mut info = format!(
        "d5:filesl{list}e4:name{}:{name}12:piece lengthi33554432e6:pieces20:",
        name.len()
    )
    .into_bytes();
    info.extend(random.random::<[u8; 20]>());
    info.push(b'e');
    let infohash = Infohash::V1(Sha1::digest(&info).into());
    ResolvedTorrent {
        infohash,
        infohash_v2: None,
        name,
        size: files.iter().map(|(_, length)| length).sum(),
        piece_length: 1 << 25,
        pieces_count: 1,
        private: false,
        source: String::new(),
        info,
        trackers: vec!["udp://tracker.example.org:1337/announce".to_owned()],
        files,
        arm: "direct".to_owned(),
        peer: Some(peer(random)),
    }
}
