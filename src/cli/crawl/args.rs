//! The arguments of `metafetch crawl`.

use std::path::PathBuf;
use std::time::Duration;

use super::retention::Retention;
use crate::cli::engine::{EngineArgs, positive_duration};
use crate::cli::output::Format;
use crate::cli::store::StoreArgs;
use crate::cli::time;

/// Discover infohashes in the DHT, and resolve them, until stopped.
///
/// Hashes come from samples (BEP 51) and from what other nodes ask of ours. On a terminal a screen on
/// stderr shows how far it is, elsewhere a line now and then. Exit codes: 0 a limit was reached,
/// 130 stopped by Ctrl-C or SIGTERM (all that was fetched is stored, and the same command goes on),
/// 1 failed to run or results could not be kept, 2 wrong usage.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// End after this time
    #[arg(long = "for", value_name = "TIME", value_parser = long_duration)]
    pub(super) time: Option<Duration>,
    /// End when N torrents are resolved
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,
    /// End after N DHT queries
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) queries: Option<u64>,
    /// DHT queries a second to discover hashes, at the most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) rate: u16,
    /// DHT nodes to know at a time, and to remember
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub(super) nodes: u32,
    /// No DHT node is asked anything twice within this time
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = node_interval)]
    pub(super) node_interval: Duration,
    /// DHT nodes of one IP address to know at a time, at the most
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) nodes_per_ip: u16,
    /// The same of one network, a /24 of IPv4 or a /64 of IPv6
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) nodes_per_network: u16,
    /// Write DIR/{hash}.torrent; the last part may be a template with {hash} and {name}
    #[arg(short, long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// What goes to stdout: a row for each resolved torrent; or JSON lines, of those and of how far
    /// it is [default: none]
    #[arg(long, value_enum, default_value_t = Format::None, hide_default_value = true)]
    pub(super) format: Format,
    /// How often a line says how far it is, where there is no screen
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = positive_duration)]
    pub(super) every: Duration,
    /// The file that keeps our DHT node's id and table, or none [default: beside the store]
    #[arg(long, value_name = "FILE")]
    pub(super) state: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) engine: EngineArgs,
    #[command(flatten)]
    pub(super) retention: Retention,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// Show neither screen nor lines
    #[arg(short, long)]
    pub(super) quiet: bool,
}

/// Shorter than a second is no interval.
fn node_interval(text: &str) -> Result<Duration, String> {
    match positive_duration(text)? {
        short if short < Duration::from_secs(1) => Err("it must be a second or more".to_owned()),
        interval => Ok(interval),
    }
}

/// A time to run for: years, if need be.
fn long_duration(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    match time::duration(text)? {
        Duration::ZERO => Err("it must be longer than nothing".to_owned()),
        long if long > LONGEST => Err("it must not be longer than ten years".to_owned()),
        duration => Ok(duration),
    }
}
