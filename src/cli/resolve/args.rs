//! The arguments of `metafetch resolve`, and the engine options they stand for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::file_limit;
use crate::cli::output::Format;
use crate::engine::{Options, Strategy};
use crate::store::StoreUrl;
use crate::torrent::{PeerHint, is_tracker};
use crate::{direct, libtorrent};

/// Nodes that introduce a newcomer to the public DHT.
const ROUTERS: [&str; 4] = [
    "router.bittorrent.com:6881",
    "dht.transmissionbt.com:6881",
    "dht.libtorrent.org:25401",
    "relay.pkarr.org:6881",
];

/// Resolve magnets and infohashes into metadata.
///
/// Results go to stdout, everything else to stderr. Exit codes: 0 all resolved, 3 some are not,
/// 2 wrong usage or input, 1 failed to run, 130 interrupted.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(in crate::cli) struct Args {
    /// Magnets, infohashes (hex, base32, btmh), files with one of them per line, or - for stdin
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<String>,
    /// Write DIR/{hash}.torrent; the last part may be a template with {hash} and {name}
    #[arg(short, long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// What goes to stdout [default: table on a terminal, jsonl elsewhere]
    #[arg(long, value_enum)]
    pub(super) format: Option<Format>,
    /// A peer to try for every hash: IP:PORT or HOST:PORT (repeatable)
    #[arg(long, value_name = "ADDR")]
    peer: Vec<PeerHint>,
    /// A tracker to ask for every hash: http, https or udp (repeatable)
    #[arg(long, value_name = "URL", value_parser = tracker)]
    pub(super) tracker: Vec<String>,
    /// A DHT node to start from, instead of the public routers (repeatable)
    #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
    bootstrap: Vec<String>,
    /// Do not ask the DHT for peers
    #[arg(long, conflicts_with = "bootstrap")]
    no_dht: bool,
    /// Do not ask trackers for peers
    #[arg(long, conflicts_with = "tracker")]
    no_trackers: bool,
    /// Which arm fetches
    #[arg(long, value_enum, default_value_t)]
    strategy: Strategy,
    /// Hashes in work at a time
    #[arg(long, value_name = "N", default_value_t = 250, value_parser = clap::value_parser!(u16).range(1..=4000))]
    jobs: u16,
    /// The longest a try at one hash may take
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = positive_duration)]
    timeout: Duration,
    /// Try a hash that failed again, up to N times
    #[arg(long, value_name = "N", default_value_t = 0)]
    retry: u32,
    /// Fetch what is in the store already, and what cools down after a failure
    #[arg(long)]
    refetch: bool,
    /// Say on stderr which arm and peer was chosen, and why
    #[arg(long)]
    pub(in crate::cli) explain: bool,
    /// Take loopback and private addresses as peers
    #[arg(long)]
    allow_local_peers: bool,
    /// Address to listen on; port 0 takes any [default: 0.0.0.0:0 and [::]:0] (repeatable)
    #[arg(long, value_name = "ADDR")]
    listen: Vec<SocketAddr>,
    /// Where results are kept: a SQLite file, the URL of a MySQL or PostgreSQL database, or none [default:
    /// metafetch.db in the user's data directory]
    #[arg(long, value_name = "URL", env = STORE, hide_env_values = true)]
    store: Option<String>,
    /// Exit with 2 where a line of the input is malformed
    #[arg(long)]
    pub(super) strict: bool,
    /// Show no progress
    #[arg(short, long)]
    pub(super) quiet: bool,
}

/// The environment variable with the store's URL, where the command line has none.
const STORE: &str = "METAFETCH_STORE";

/// What the arguments come to.
pub(super) struct Run {
    pub(super) inputs: Vec<String>,
    pub(super) peers: Vec<PeerHint>,
    pub(super) trackers: Vec<String>,
    pub(super) options: Options,
}

impl Args {
    /// The store's URL; `None` where nothing is to be kept.
    pub(super) fn store_url(&self) -> Result<Option<StoreUrl>, String> {
        match self.store.as_deref() {
            Some("none") => Ok(None),
            Some(text) => {
                let url: StoreUrl = text.parse().map_err(|error| format!("--store: {error}"))?;
                if url.has_password() && std::env::var(STORE).as_deref() != Ok(text) {
                    tracing::warn!(
                        "the password in --store can be read in the list of processes: give it by \
                         METAFETCH_STORE_PASSWORD or `?password_file=PATH`, or all of the URL by {STORE}"
                    );
                }
                Ok(Some(url))
            }
            None => StoreUrl::default_path()
                .map(Some)
                .map_err(|error| error.to_string()),
        }
    }

    /// Whether results are kept in a store.
    pub(super) fn has_store(&self) -> bool {
        self.store.as_deref() != Some("none")
    }

    pub(super) fn into_run(self) -> Run {
        let connections = file_limit::connections();
        let listen = if self.listen.is_empty() {
            vec![([0u8; 4], 0).into(), ([0u16; 8], 0).into()]
        } else {
            self.listen
        };
        let bootstrap = if self.bootstrap.is_empty() {
            ROUTERS.map(str::to_owned).to_vec()
        } else {
            self.bootstrap
        };
        let direct = direct::Settings {
            max_connections: connections / 3,
            ..direct::Settings::default()
        };
        let libtorrent = libtorrent::Settings {
            listen,
            dht: (!self.no_dht).then_some(libtorrent::DhtSettings {
                bootstrap,
                state: None,
            }),
            allow_local_peers: self.allow_local_peers,
            pex: true,
            incoming: true,
            max_metadata_size: direct.max_metadata_size,
            connect_timeout: direct.connect_timeout,
            handshake_timeout: direct.handshake_timeout,
            transfer_timeout: direct.transfer_timeout,
            connections_limit: u32::try_from(connections / 4).unwrap_or(u32::MAX),
            ..libtorrent::Settings::loopback()
        };
        let options = Options {
            strategy: self.strategy,
            jobs: self.jobs.into(),
            timeout: self.timeout,
            retries: self.retry,
            refetch: self.refetch,
            fallback_after: Duration::from_millis(500),
            peers_at_once: 6,
            stagger: Duration::from_millis(200),
            lookup_timeout: Duration::from_secs(10),
            dht: !self.no_dht,
            trackers: !self.no_trackers,
            allow_local_peers: self.allow_local_peers,
            direct,
            libtorrent,
        };
        Run {
            inputs: self.inputs,
            peers: self.peer,
            trackers: self.tracker,
            options,
        }
    }
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("it must be longer than nothing".to_owned()),
        Ok(duration) if duration > Duration::from_secs(7 * 24 * 3600) => {
            Err("it must not be longer than a week".to_owned())
        }
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error}; write it as in 60s, 1m30s or 500ms")),
    }
}

fn tracker(text: &str) -> Result<String, String> {
    if is_tracker(text) {
        Ok(text.to_owned())
    } else {
        Err("expected the URL of an http, https or udp tracker".to_owned())
    }
}

fn host_port(text: &str) -> Result<String, String> {
    text.parse::<PeerHint>()
        .map(|hint| hint.to_string())
        .map_err(|error| error.to_string())
}
