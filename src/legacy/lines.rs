//! The lines that scripts know, in one place.

use crate::discovery::crawl::DiscoverySource;

pub(super) const TEST_MODE: &str = "Running in test mode without MySQL...";
pub(super) const STARTED: &str = "DHT Crawler started - Press Ctrl+C to stop";
pub(super) const INITIALIZING: &str = "Initializing DHT Torrent Crawler...";
pub(super) const CONNECTION_FAILED: &str =
    "MySQL connection failed - running in test mode without database storage";
pub(super) const NOT_CONNECTED: &str =
    "MySQL not connected, running in test mode without database storage";
pub(super) const CHECKING_PORT: &str = "Checking port forwarding status...";
pub(super) const BOOTSTRAP_WAITING: &str = "Waiting for DHT bootstrap...";
pub(super) const BOOTSTRAP_COMPLETED: &str = "*** DHT Bootstrap completed! ***";
pub(super) const BOOTSTRAP_TIMEOUT: &str = "DHT bootstrap timeout, continuing anyway...";
pub(super) const POOL_STARTED: &str = "Started metadata worker pool with 10 workers";
pub(super) const POOL_SHUT_DOWN: &str = "Metadata worker pool shutdown complete";
pub(super) const SHUTDOWN_COMPLETE: &str = "*** SHUTDOWN COMPLETE ***";

pub(super) const ALL_FETCHED: &str = "*** ALL METADATA FETCHED ***";
pub(super) const TIMEOUT_REACHED: &str = "*** METADATA TIMEOUT REACHED ***";
pub(super) const ALL_PROCESSED: &str = "*** ALL DATABASE METADATA PROCESSED ***";
pub(super) const NO_RECORDS: &str = "No records found with missing metadata. Exiting.";
pub(super) const NO_MORE_RECORDS: &str = "No more records to process. All metadata fetched!";

/// What a table is called where it was made, or found.
pub(super) fn table(name: &str) -> String {
    let kind = match name {
        "discovered_torrents" | "discovered_peers" => "enhanced ",
        _ => "",
    };
    format!("Created/verified {kind}{name} table")
}

/// Whether scripts know of this table: of what else is made they are not told.
pub(super) fn is_known_table(name: &str) -> bool {
    matches!(
        name,
        "discovered_torrents" | "discovered_peers" | "torrent_files" | "log"
    )
}

/// A table that could not be made.
pub(super) fn no_table(name: &str, why: &str) -> String {
    let what = match name {
        "discovered_torrents" => "torrents",
        "discovered_peers" => "peers",
        "torrent_files" => "files",
        other => other,
    };
    format!("Error creating {what} table: {why}")
}

/// The rows' source for a hash that was discovered so.
pub(super) fn source(source: DiscoverySource) -> &'static str {
    match source {
        DiscoverySource::Announce => "DHT_ANNOUNCE",
        DiscoverySource::GetPeers => "DHT_PEERS",
        DiscoverySource::Sample => "DHT_SAMPLE",
    }
}

/// A hash that was discovered, with so many peers.
pub(super) fn discovered(
    source: DiscoverySource,
    peers: usize,
    hash: &str,
    stored: bool,
) -> String {
    let (verb, mode) = if stored {
        ("Stored", "")
    } else {
        ("Found", " (test mode)")
    };
    match source {
        DiscoverySource::Announce => format!("{verb} announced torrent: {hash}{mode}"),
        DiscoverySource::GetPeers | DiscoverySource::Sample => {
            format!("{verb} torrent with {peers} peers: {hash}{mode}")
        }
    }
}

/// A hash whose metadata is going to be asked for.
pub(super) fn auto_queued(source: DiscoverySource, hash: &str) -> String {
    let of = match source {
        DiscoverySource::Announce => " announced torrent",
        DiscoverySource::GetPeers | DiscoverySource::Sample => "",
    };
    format!("Auto-queued metadata request for{of}: {hash}")
}

/// The counter line.
pub(super) fn counter(found: u64) -> String {
    format!("Hashes found - {found}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_discovered_is_told_as_scripts_know_it() {
        for (source, stored, line) in [
            (
                DiscoverySource::Announce,
                true,
                "Stored announced torrent: ab",
            ),
            (
                DiscoverySource::Announce,
                false,
                "Found announced torrent: ab (test mode)",
            ),
            (
                DiscoverySource::GetPeers,
                true,
                "Stored torrent with 3 peers: ab",
            ),
            (
                DiscoverySource::Sample,
                false,
                "Found torrent with 3 peers: ab (test mode)",
            ),
        ] {
            assert_eq!(discovered(source, 3, "ab", stored), line);
        }
        assert_eq!(
            auto_queued(DiscoverySource::Announce, "ab"),
            "Auto-queued metadata request for announced torrent: ab"
        );
        assert_eq!(
            auto_queued(DiscoverySource::Sample, "ab"),
            "Auto-queued metadata request for: ab"
        );
    }

    #[test]
    fn tables_have_the_names_that_scripts_know() {
        assert_eq!(
            table("discovered_peers"),
            "Created/verified enhanced discovered_peers table"
        );
        assert_eq!(table("log"), "Created/verified log table");
        assert_eq!(
            no_table("torrent_files", "no"),
            "Error creating files table: no"
        );
        assert_eq!(no_table("log", "no"), "Error creating log table: no");
    }
}
