//! The blocks on metadata that came, or did not.

use std::time::Duration;

use crate::torrent::{ContentType, Failure};

/// What ends a block.
const DASHES: &str = "------------------------";
/// Files of a block with `--metadata_log`.
const FILES: usize = 5;

/// A torrent whose metadata came.
#[derive(Clone, Debug)]
pub(super) struct Received<'a> {
    pub(super) hash: &'a str,
    pub(super) name: &'a str,
    /// In bytes, padding too.
    pub(super) size: u64,
    /// Path and length in bytes.
    pub(super) files: &'a [(String, u64)],
    /// How many there are, those that are not listed too.
    pub(super) file_count: usize,
    pub(super) content_type: ContentType,
    pub(super) magnet_link: &'a str,
}

/// What stands in the block, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The layout of `--metadata_log`, whose prefix the caller adds.
    pub(super) log: bool,
    /// Whether it is in the database.
    pub(super) stored: bool,
}

/// The block of a torrent.
pub(super) fn received(torrent: &Received<'_>, layout: Layout) -> Vec<String> {
    let title = if layout.log { "DISCOVERED" } else { "RECEIVED" };
    let remark = if layout.stored { "" } else { " (TEST MODE)" };
    let mut lines = vec![
        format!("*** METADATA {title}{remark} ***"),
        format!("Hash: {}", torrent.hash),
        format!("Name: {}", torrent.name),
        format!("Size: {} bytes ({})", torrent.size, in_units(torrent.size)),
        format!("Files: {}", torrent.file_count),
        format!("Content Type: {}", torrent.content_type.as_str()),
    ];
    if layout.log {
        lines.push("File Details:".to_owned());
        for (number, (path, length)) in torrent.files.iter().take(FILES).enumerate() {
            lines.push(format!("  {}. {path} ({})", number + 1, in_units(*length)));
        }
        let more = torrent.file_count.saturating_sub(FILES);
        if more > 0 {
            lines.push(format!("  ... and {more} more files"));
        }
        lines.push("Trackers: 0".to_owned());
        lines.push(format!("Magnet: {}", torrent.magnet_link));
    } else {
        lines.push(format!("Magnet Link: {}", torrent.magnet_link));
        if let Some((path, _)) = torrent.files.first() {
            lines.push(format!("First file: {path}"));
        }
        lines.push("Trackers: 0".to_owned());
    }
    lines.push(DASHES.to_owned());
    lines
}

/// The block of a hash that was tried in vain.
pub(super) fn timed_out(
    hash: &str,
    failure: &Failure,
    elapsed: Duration,
    status: &str,
) -> Vec<String> {
    vec![
        "*** METADATA TIMEOUT ***".to_owned(),
        format!("Hash: {hash}"),
        format!(
            "Reason: Request timed out after {:.0} seconds: {failure}",
            elapsed.as_secs_f64()
        ),
        format!("Status: {status}"),
        DASHES.to_owned(),
    ]
}

/// A size with two decimals: `48.83 KB`.
pub(super) fn in_units(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    #[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
    let mut size = bytes as f64;
    let mut unit = UNITS[0];
    for larger in UNITS.into_iter().skip(1) {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    format!("{size:.2} {unit}")
}

/// The start of a hash, as the log on metadata names it.
pub(super) fn short(hash: &str) -> String {
    let start: String = hash.chars().take(8).collect();
    format!("{start}...")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torrent::{Phase, Reason};

    #[test]
    fn sizes_have_two_decimals_in_steps_of_1024() {
        for (bytes, text) in [
            (0, "0.00 B"),
            (500, "500.00 B"),
            (1000, "1000.00 B"),
            (1023, "1023.00 B"),
            (1024, "1.00 KB"),
            (50_000, "48.83 KB"),
            (51_000, "49.80 KB"),
            (5 << 30, "5.00 GB"),
            (3 << 40, "3.00 TB"),
            (2 << 50, "2048.00 TB"),
        ] {
            assert_eq!(in_units(bytes), text);
        }
    }

    fn torrent(files: &[(String, u64)]) -> Received<'_> {
        Received {
            hash: "68c5aa6ca268928b5a493ed1a6cf806a6b2a78d1",
            name: "Some.Movie.2021.mkv",
            size: 50_000,
            files,
            file_count: files.len(),
            content_type: ContentType::Video,
            magnet_link: "magnet:?xt=urn:btih:68c5",
        }
    }

    #[test]
    fn the_block_of_a_torrent() {
        let files = [("Some.Movie.2021.mkv".to_owned(), 50_000)];
        let plain = Layout {
            log: false,
            stored: true,
        };
        let expected = "\
*** METADATA RECEIVED ***
Hash: 68c5aa6ca268928b5a493ed1a6cf806a6b2a78d1
Name: Some.Movie.2021.mkv
Size: 50000 bytes (48.83 KB)
Files: 1
Content Type: video
Magnet Link: magnet:?xt=urn:btih:68c5
First file: Some.Movie.2021.mkv
Trackers: 0
------------------------";
        assert_eq!(received(&torrent(&files), plain).join("\n"), expected);
        let test = Layout {
            log: true,
            stored: false,
        };
        let title = received(&torrent(&files), test).swap_remove(0);
        assert_eq!(title, "*** METADATA DISCOVERED (TEST MODE) ***");
    }

    #[test]
    fn the_log_names_up_to_five_files() {
        let files: Vec<_> = (0..7).map(|n| (format!("a/{n}.mp3"), 30_000)).collect();
        let layout = Layout {
            log: true,
            stored: true,
        };
        let lines = received(&torrent(&files), layout);
        let from = lines.iter().position(|line| line == "File Details:");
        let details = &lines[from.unwrap() + 1..];
        assert_eq!(details[0], "  1. a/0.mp3 (29.30 KB)");
        assert_eq!(details[5], "  ... and 2 more files");
        assert_eq!(
            details[6..8],
            ["Trackers: 0", "Magnet: magnet:?xt=urn:btih:68c5"]
        );
    }

    #[test]
    fn the_block_of_a_time_out_tells_the_real_time() {
        let failure = Failure::new(Reason::NoPeers, Phase::Lookup, "asked the DHT");
        let lines = timed_out("68c5", &failure, Duration::from_secs(60), "Marked");
        assert_eq!(lines[0], "*** METADATA TIMEOUT ***");
        assert_eq!(
            lines[2],
            "Reason: Request timed out after 60 seconds: no_peers in lookup: asked the DHT"
        );
    }
}
