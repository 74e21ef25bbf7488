//! The arguments of `metafetch resolve`, and the engine options they stand for.

use std::path::PathBuf;

use crate::cli::engine::EngineArgs;
use crate::cli::input;
use crate::cli::output::Format;
use crate::cli::store::StoreArgs;
use crate::config::Config;
use crate::engine::Options;
use crate::proxy::Proxy;
use crate::torrent::PeerHint;

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
    #[arg(long, value_name = "URL", value_parser = input::tracker)]
    pub(super) tracker: Vec<String>,
    /// Do not ask the DHT for peers
    #[arg(long, conflicts_with = "bootstrap")]
    no_dht: bool,
    /// Do not ask trackers for peers
    #[arg(long, conflicts_with = "tracker")]
    no_trackers: bool,
    /// Fetch what is in the store already, and what cools down after a failure
    #[arg(long)]
    refetch: bool,
    #[command(flatten)]
    pub(in crate::cli) engine: EngineArgs,
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
    pub(super) fn into_run(self, config: &Config, proxy: Option<Proxy>) -> Run {
        let dht = (config.dht.enabled && !self.no_dht).then(|| config.dht_node(None));
        Run {
            inputs: self.inputs,
            peers: self.peer,
            trackers: self.tracker,
            options: Options {
                refetch: self.refetch,
                trackers: config.engine.trackers && !self.no_trackers,
                ..config.engine_options(dht, proxy)
            },
        }
    }
}
