//! `metafetch peers`: what is known of peers.

mod known;
mod show;

use std::cmp::Ordering;

use serde::Serialize;

use self::known::Peer;
use self::show::Address;
use super::listing::{Column, percent, print_json, print_table};
use super::store::StoreArgs;
use super::{Exit, Stop, time};
use crate::history::{Group, GroupState, History};
use crate::store::Store;

/// Among how many peers the best and the worst are looked for.
const CANDIDATES: u32 = 10_000;
/// How many groups of each kind history works with.
const GROUPS: u32 = 20_000;

/// What is known of peers.
///
/// Exit codes: 0 done, 3 the peer is not known, 2 wrong usage, 1 failed to run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    store: StoreArgs,
    /// A JSON object per line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The peers that are worth most to try, of the 10,000 that delivered last
    Best {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// The peers that are worth least to try, of the 10,000 that failed most often in a row (three
    /// times or more)
    Worst {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// How peers fared by their software, those with the most attempts first
    Clients {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        limit: u32,
    },
    /// How peers fared by their network (a /24 of IPv4, a /64 of IPv6), those with the most attempts
    /// first
    Networks {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        limit: u32,
    },
    /// The whole story of one peer, or of all at an IP address
    Show {
        /// IP:PORT, or an IP for all of its ports
        #[arg(value_name = "ADDR")]
        address: Address,
        /// Its latest attempts, at most so many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<Exit, Stop> {
    let store = args.store.open_existing()?;
    let json = args.json;
    let done = match args.what {
        What::Best { limit } => {
            let history = history(&store).await?;
            let states = store.latest_deliverers(CANDIDATES).await?;
            let mut peers = known::judged(&history, states, time::now_ms());
            peers.sort_by(|a, b| by_score(b, a));
            print_peers(&peers, limit, json)?;
            Exit::Done
        }
        What::Worst { limit } => {
            let history = history(&store).await?;
            let states = store.most_failures(CANDIDATES).await?;
            let mut peers = known::judged(&history, states, time::now_ms());
            peers.sort_by(by_score);
            print_peers(&peers, limit, json)?;
            Exit::Done
        }
        What::Clients { limit } => {
            let is_client = |group: &Group| matches!(group, Group::Client(_));
            print_groups(&store, "CLIENT", is_client, limit, json).await?;
            Exit::Done
        }
        What::Networks { limit } => {
            let is_network = |group: &Group| matches!(group, Group::Network(_));
            print_groups(&store, "NETWORK", is_network, limit, json).await?;
            Exit::Done
        }
        What::Show { address, limit } => {
            let history = history(&store).await?;
            show::run(&store, &history, address, limit, json).await?
        }
    };
    store.close().await;
    Ok(done)
}

/// A history that knows the groups of the store.
async fn history(store: &Store) -> Result<History, Stop> {
    let history = History::default();
    history.load_groups(store.groups(GROUPS).await?);
    Ok(history)
}

/// The lower score first; of equal ones the peer that failed more often.
fn by_score(a: &Peer, b: &Peer) -> Ordering {
    let by_value = a.estimate.value.total_cmp(&b.estimate.value);
    by_value.then(b.state.failures_in_a_row.cmp(&a.state.failures_in_a_row))
}

fn print_peers(peers: &[Peer], limit: u32, json: bool) -> Result<(), Stop> {
    let peers = peers.iter().take(limit as usize);
    if json {
        return print_json(peers.map(Peer::line));
    }
    let columns = [
        Column::Whole("PEER"),
        Column::Number("SCORE"),
        Column::Whole("STANDING"),
        Column::Number("DELIVERED"),
        Column::Number("MEDIAN"),
        Column::Text("CLIENT"),
        Column::Text("LAST SEEN"),
    ];
    let now_ms = time::now_ms();
    let rows = peers.map(|peer| {
        let state = &peer.state;
        vec![
            peer.addr.to_string(),
            format!("{:.2}", peer.estimate.value),
            peer.estimate.standing.to_string(),
            format!("{} of {}", state.deliveries, state.attempts),
            known::milliseconds(state.latencies.quantile(0.5)),
            state.client.clone().unwrap_or_default(),
            time::ago(state.last_seen_at_ms, now_ms),
        ]
    });
    print_table(&columns, rows.collect())
}

#[derive(Serialize)]
struct GroupLine {
    kind: &'static str,
    name: String,
    attempts: u64,
    connections: u64,
    deliveries: u64,
    latency_p50_ms: Option<u128>,
    latency_p90_ms: Option<u128>,
    connect_p50_ms: Option<u128>,
    connect_p90_ms: Option<u128>,
}

impl GroupLine {
    fn new((group, state): &(Group, GroupState)) -> Self {
        let ms = |time: Option<std::time::Duration>| time.map(|time| time.as_millis());
        Self {
            kind: group.kind(),
            name: group.to_string(),
            attempts: state.attempts,
            connections: state.connections,
            deliveries: state.deliveries,
            latency_p50_ms: ms(state.latencies.quantile(0.5)),
            latency_p90_ms: ms(state.latencies.quantile(0.9)),
            connect_p50_ms: ms(state.connect_times.quantile(0.5)),
            connect_p90_ms: ms(state.connect_times.quantile(0.9)),
        }
    }
}

async fn print_groups(
    store: &Store,
    name: &'static str,
    is_wanted: impl Fn(&Group) -> bool,
    limit: u32,
    json: bool,
) -> Result<(), Stop> {
    let mut groups = store.groups(limit).await?;
    groups.retain(|(group, _)| is_wanted(group));
    if json {
        return print_json(groups.iter().map(GroupLine::new));
    }
    let columns = [
        Column::Text(name),
        Column::Number("ATTEMPTS"),
        Column::Number("CONNECTED"),
        Column::Number("DELIVERED"),
        Column::Number("RATE"),
        Column::Number("MEDIAN"),
        Column::Number("90%"),
    ];
    let rows = groups.iter().map(|(group, state)| {
        vec![
            group.to_string(),
            state.attempts.to_string(),
            state.connections.to_string(),
            state.deliveries.to_string(),
            percent(state.deliveries, state.attempts),
            known::milliseconds(state.latencies.quantile(0.5)),
            known::milliseconds(state.latencies.quantile(0.9)),
        ]
    });
    print_table(&columns, rows.collect())
}
