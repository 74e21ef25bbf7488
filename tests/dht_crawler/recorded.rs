//! Runs of the old program that were recorded, and the same run of this one: stdout compares equal, but for
//! times, numbers of its own network, and the faults that are fixed.

use crate::home::Home;
use crate::network::{Network, torrent};

/// Lines of the old program that are there no more, by the start, and why.
const FIXED: [(&str, &str); 4] = [
    ("[DEBUG] ", "debug lines come only with --debug"),
    ("Bootstrap wait: ", "a time"),
    (
        "Stored announced torrent: ",
        "it had found its own announce, which this one does not send",
    ),
    ("Configured to listen on: ", "true to the configuration"),
];

/// The lines that count, with hashes, numbers and names of databases made equal.
fn normalised(stdout: &str) -> Vec<String> {
    let hash = |word: &str| {
        let digits = word.trim_end_matches(['.', ',', ':']);
        let is_hash =
            matches!(digits.len(), 8 | 40) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash {
            word.replace(digits, "HASH")
        } else {
            word.to_owned()
        }
    };
    let mut lines = Vec::new();
    for line in stdout.lines() {
        if FIXED.iter().any(|(start, _)| line.starts_with(start)) {
            continue;
        }
        // Statistics have true numbers now.
        if line.starts_with("- ") {
            let (what, _) = line.split_once(": ").unwrap();
            lines.push(format!("{what}: N"));
            continue;
        }
        let line = match line.split_once("max: ") {
            Some((start, _)) => format!("{start}max: N)"),
            None => line.to_owned(),
        };
        let line = match line.split_once("database: ") {
            Some((start, _)) => format!("{start}database: NAME"),
            None => line,
        };
        let line = match line.split_once("btih:") {
            Some((start, rest)) => {
                let (_, end) = rest.split_once('&').unwrap();
                format!("{start}btih:HASH&{end}")
            }
            None => line,
        };
        let words: Vec<_> = line.split(' ').map(hash).collect();
        lines.push(words.join(" "));
    }
    lines
}

/// The recorded lines without what it said twice: the statistics, and with details the reception.
fn once(mut recorded: Vec<String>, with_details: bool) -> Vec<String> {
    let end = "*** SHUTDOWN COMPLETE ***";
    let at = recorded.iter().position(|line| line == end).unwrap();
    recorded.truncate(at + 1);
    if with_details {
        let received = "*** METADATA RECEIVED ***";
        let at = recorded.iter().position(|line| line == received).unwrap();
        recorded.remove(at);
    }
    recorded
}

#[tokio::test]
async fn one_hash_is_told_as_the_old_program_did() {
    let network = Network::start(101, 40).await;
    let movie = torrent("Some.Movie.2021.mkv", &[(&[], 50_000)]);
    network.serve(std::slice::from_ref(&movie)).await;
    let home = Home::new(network.nodes());
    let run = home.run(&["--metadata", &movie.hex()]).await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:#?}");
    let recorded = include_str!("recorded/meta_one_success.stdout");
    assert_eq!(normalised(&run.stdout), once(normalised(recorded), true));
    let row = home.row(
        "SELECT CONCAT_WS('|', info_hash, name, size, num_files, file_names, file_sizes, \
         piece_length, num_pieces, trackers, source, metadata_received, timed_out, content_type, \
         seeders_count) AS value FROM discovered_torrents",
    );
    let hash = movie.hex();
    assert_eq!(
        row,
        format!(
            "{hash}|Some.Movie.2021.mkv|50000|1|Some.Movie.2021.mkv|[50000]|16384|4|[]|\
             METADATA_ONLY|1|0|video|0"
        )
    );
    let files = home.rows(
        "SELECT CONCAT_WS('|', file_index, file_path, file_size) AS value FROM torrent_files",
    );
    assert_eq!(files, ["0|Some.Movie.2021.mkv|50000"]);
    let peers = home.rows(
        "SELECT CONCAT_WS('|', torrent_hash, peer_address, connection_type, source) AS value \
         FROM discovered_peers",
    );
    assert_eq!(peers, [format!("{hash}|127.0.0.1|tcp|DHT_PEERS")]);
}

#[tokio::test]
async fn the_log_on_metadata_is_told_as_the_old_program_did() {
    let network = Network::start(102, 40).await;
    let album = torrent(
        "Älbum, “quoted”",
        &[
            (&["01 - It's a \"test\".MP3"], 30_000),
            (&["02 – naïve, parttwo.mp3"], 20_000),
            (&["cover", "front.jpg"], 1_000),
        ],
    );
    network.serve(std::slice::from_ref(&album)).await;
    let home = Home::new(network.nodes());
    let run = home
        .run(&["--metadata", &album.hex(), "--metadata_log"])
        .await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:#?}");
    let recorded = include_str!("recorded/meta_log_success.stdout");
    assert_eq!(normalised(&run.stdout), once(normalised(recorded), false));
    let row = home.row("SELECT CONCAT_WS('|', name, file_names, file_sizes, content_type) AS value FROM discovered_torrents");
    let name = "Älbum, “quoted”";
    assert_eq!(
        row,
        format!(
            "{name}|{name}/01 - It's a \"test\".MP3, {name}/02 – naïve, parttwo.mp3, \
             {name}/cover/front.jpg|[30000, 20000, 1000]|audio"
        )
    );
}
