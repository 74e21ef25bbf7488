//! The arguments of `metafetch resolve`, and the engine options they stand for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::cooldown::Cooldown;
use crate::cli::file_limit;
use crate::cli::output::Format;
use crate::cli::store::StoreArgs;
use crate::engine::{Options, Strategy};
use crate::torrent::{PeerHint, is_tracker};
use crate::{direct, history, libtorrent};

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
    /// How long a hash cools down after a failure: REASON=TIME, REASON=off, growth=TIME,TIME,… after
    /// the second, third, … in a row, or off for no cooldown at all (repeatable)
    #[arg(long, value_name = "REASON=TIME", value_parser = Cooldown::parse)]
    cooldown: Vec<Cooldown>,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// Exit with 2 where a line of the input is malformed
    #[arg(long)]
    pub(super) strict: bool,
    /// Show no progress
    #[arg(short, long)]
    pub(super) quiet: bool,
}

/// What the arguments come to.
pub(super) struct Run {
    pub(super) inputs: Vec<String>,
    pub(super) peers: Vec<PeerHint>,
    pub(super) trackers: Vec<String>,
    pub(super) options: Options,
}

impl Args {
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
            cooldowns: Cooldown::apply(self.cooldown),
            fallback_after: Duration::from_millis(500),
            peers_at_once: 6,
            stagger: Duration::from_millis(200),
            lookup_timeout: Duration::from_secs(10),
            dht: !self.no_dht,
            trackers: !self.no_trackers,
            allow_local_peers: self.allow_local_peers,
            history: history::Settings::default(),
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
