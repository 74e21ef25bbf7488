//! The usage text.

use std::fmt::Write as _;

/// What stands behind the libraries.
const BEHIND: &str = "REQUIRED OPTIONS (without all three it runs in test mode, without a database):
  --user <username>       MySQL username
  --password <password>   MySQL password; '' for a login without one
  --database <name>       MySQL database, which must exist; the tables are created

OPTIONAL OPTIONS:
  --server <host>         MySQL server (default: localhost, by its socket first)
  --port <port>           MySQL port (default: 3306)
  --queries <n>           Stop after n DHT queries; 0 at once, below 0 never (default: -1)
  --metadata <list|file>  Fetch metadata of these hashes only: a comma list, or a .txt or .csv file
                          with one hash per line
  --metadata_database     Fetch the metadata that the database lacks
  --debug                 Print debug lines
  --verbose               Print progress blocks instead of the counter line
  --metadata_log          Print metadata lines with the prefix [METADATA_LOG], and no discovery lines
  --sequential            Query the DHT slowly: 10 queries per second
  --workers <n>           Pace of the DHT queries, 1 to 16: 25 per second each (default: 4)
  --no-bep51              Do not ask nodes for samples of infohashes (BEP 51)
  --config <file>         Settings for everything else, in TOML; METAFETCH_CONFIG names one, too
  --test-missing-libs     Print this text as if libraries were missing
  --help                  Print this text

OPERATION MODES:
  normal                  Discovers torrents in the DHT and fetches their metadata, until --queries
                          is reached or a signal comes
  --metadata              Fetches the hashes that were given, and ends
  --metadata_database     Fetches the rows without metadata, announced ones first, and ends. Rows that
                          time out are marked (timed_out = 1) and not selected again. Several instances
                          share the rows
";

/// What stands behind the examples.
const END: &str = "DATABASE TABLES (created where they are missing, never altered):
  discovered_torrents     One row per torrent
  discovered_peers        Peers of each torrent
  torrent_files           Files of each torrent
  log                     Errors
  Beside them metafetch keeps tables of its own: raw metadata, and what is known of peers.

CONTROL:
  Ctrl+C, SIGTERM         Stop: what was fetched is stored
  Ctrl+Z                  Stop as well; nothing is paused

docs/drop-in.md of metafetch tells what is different from the original dht_crawler.
";

/// The whole text, for a program of this name; with the libraries as they are, or as if they were
/// `missing`.
pub(super) fn text(program: &str, missing: bool) -> String {
    let mut text = format!(
        "Usage: {program} [OPTIONS]\n\
         DHT Torrent Discovery Tool with MySQL Storage\n\
         \n\
         DESCRIPTION:\n\
         \x20 Discovers BitTorrent infohashes in the DHT, fetches their metadata from peers, and\n\
         \x20 stores both in MySQL. This is metafetch {}, in place of the original dht_crawler.\n\
         \n",
        env!("CARGO_PKG_VERSION")
    );
    text.push_str(if missing { MISSING } else { PRESENT });
    text.push('\n');
    text.push_str(BEHIND);
    let _ = write!(
        text,
        "\nEXAMPLES:\n\
         \x20 {program} --user NAME --password PASSWORD --database torrents\n\
         \x20 {program} --user NAME --password PASSWORD --database torrents --queries 1000 --verbose\n\
         \x20 {program} --user NAME --password PASSWORD --database torrents --metadata hashes.txt\n\
         \x20 {program} --user NAME --password PASSWORD --database torrents --metadata_database\n\
         \x20 {program} --config /etc/metafetch.toml --metadata_database --metadata_log\n\
         \n"
    );
    text.push_str(END);
    text
}

const PRESENT: &str = "LIBRARY STATUS:
  ✅ libtorrent-rasterbar: FOUND
  ✅ MySQL client library: FOUND
";

const MISSING: &str = "LIBRARY STATUS:
  ❌ libtorrent-rasterbar: NOT FOUND
  ❌ MySQL client library: NOT FOUND

=== LIBRARY INSTALLATION INSTRUCTIONS ===
  Debian, Ubuntu:  apt install libtorrent-rasterbar2.0 libmariadb3
  Fedora:          dnf install rb_libtorrent mariadb-connector-c
  Arch Linux:      pacman -S libtorrent-rasterbar mariadb-libs
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_and_the_order_of_the_sections_are_those_that_scripts_know() {
        let text = text("./dht_crawler", false);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("Usage: ./dht_crawler [OPTIONS]"));
        assert_eq!(
            lines.next(),
            Some("DHT Torrent Discovery Tool with MySQL Storage")
        );
        let sections = [
            "DESCRIPTION",
            "LIBRARY STATUS",
            "REQUIRED OPTIONS",
            "OPTIONAL OPTIONS",
            "OPERATION MODES",
            "EXAMPLES",
            "DATABASE TABLES",
            "CONTROL",
        ];
        let places: Vec<_> = sections
            .iter()
            .map(|section| text.find(&format!("\n{section}")).expect(section))
            .collect();
        assert!(places.is_sorted(), "{places:?}");
    }

    #[test]
    fn every_flag_and_the_documents_are_named_and_no_login() {
        let text = text("dht_crawler", false);
        for named in [
            "--server",
            "--port",
            "--user",
            "--password",
            "--database",
            "--queries",
            "--metadata ",
            "--metadata_database",
            "--debug",
            "--verbose",
            "--metadata_log",
            "--sequential",
            "--workers",
            "--no-bep51",
            "--test-missing-libs",
            "--config",
            "docs/drop-in.md",
        ] {
            assert!(text.contains(named), "{named}");
        }
        assert!(!text.contains("192.168.") && !text.contains("NOT FOUND"));
    }

    #[test]
    fn missing_libraries_come_with_what_to_install() {
        let text = text("dht_crawler", true);
        assert_eq!(text.matches("❌").count(), 2);
        assert_eq!(text.matches("NOT FOUND").count(), 2);
        assert!(text.contains("=== LIBRARY INSTALLATION INSTRUCTIONS ==="));
    }
}
