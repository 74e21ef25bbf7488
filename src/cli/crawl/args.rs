//! The arguments of `metafetch crawl`.

use std::path::PathBuf;
use std::time::Duration;

use super::retention::Retention;
use crate::cli::engine::EngineArgs;
use crate::cli::given::Given;
use crate::cli::output::Format;
use crate::cli::store::StoreArgs;
use crate::cli::time;
use crate::config::{Config, positive_duration};

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
    #[command(flatten)]
    pub(super) crawl: CrawlArgs,
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

/// How the DHT is crawled.
#[derive(Debug, clap::Args)]
pub(super) struct CrawlArgs {
    #[command(flatten)]
    given: Given,
    /// DHT queries a second to discover hashes, at the most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    rate: u16,
    /// DHT nodes to know at a time, and to remember
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    nodes: u32,
    /// No DHT node is asked anything twice within this time
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = node_interval)]
    node_interval: Duration,
    /// DHT nodes of one IP address to know at a time, at the most
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    nodes_per_ip: u16,
    /// The same of one network, a /24 of IPv4 or a /64 of IPv6
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    nodes_per_network: u16,
}

impl CrawlArgs {
    /// Brings what was given into the configuration.
    pub(super) fn apply(&self, config: &mut Config) {
        let (given, crawl) = (&self.given, &mut config.crawl);
        if given.has("rate") {
            crawl.rate = self.rate;
        }
        if given.has("nodes") {
            crawl.nodes = self.nodes;
        }
        if given.has("node_interval") {
            crawl.node_interval = self.node_interval;
        }
        if given.has("nodes_per_ip") {
            crawl.nodes_per_ip = self.nodes_per_ip;
        }
        if given.has("nodes_per_network") {
            crawl.nodes_per_network = self.nodes_per_network;
        }
    }
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        crawl: CrawlArgs,
    }

    fn applied(args: &[&str], mut config: Config) -> Config {
        let args = std::iter::once("metafetch").chain(args.iter().copied());
        let crawl = Command::try_parse_from(args).unwrap().crawl;
        crawl.apply(&mut config);
        config
    }

    #[test]
    fn what_help_calls_the_default_is_the_default_and_changes_nothing() {
        let other = "[crawl]\nrate = 1\nnodes = 200\nnode_interval = \"3s\"\nnodes_per_ip = 4\n\
                     nodes_per_network = 5\n";
        let other = Config::parse(other).unwrap();
        assert_eq!(applied(&[], other.clone()), other);
        let defaults = [
            "--rate=100",
            "--nodes=100000",
            "--node-interval=60s",
            "--nodes-per-ip=4",
            "--nodes-per-network=64",
        ];
        assert_eq!(applied(&defaults, other), Config::default());
        let crawl = Command::try_parse_from(["metafetch"]).unwrap().crawl;
        let default = Config::default().crawl;
        assert_eq!((crawl.rate, crawl.nodes), (default.rate, default.nodes));
        assert_eq!(crawl.node_interval, default.node_interval);
        assert_eq!(
            (crawl.nodes_per_ip, crawl.nodes_per_network),
            (default.nodes_per_ip, default.nodes_per_network)
        );
    }
}
