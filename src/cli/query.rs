//! `metafetch query`: one single step, to see what one peer or one DHT node says.

use std::time::Duration;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::diagnose::story;
use super::engine::EngineArgs;
use super::listing::{Column, print, print_json, print_table};
use super::store::StoreArgs;
use super::{Exit, Stop, input};
use crate::config::HostPort;
use crate::direct::{Direct, Progress, Request};
use crate::discovery::dht::{AskError, Reply};
use crate::engine::{Engine, Options, PeerStory, Strategy};
use crate::libtorrent::DhtHealth;
use crate::torrent::{Infohash, PeerAddr, PeerSource};
use crate::wire::krpc::{Answer, NodeId, Query};

/// How long the DHT node may take to be there.
const NODE_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether it is.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

/// Ask one peer, or one DHT node, one thing, and show what it says.
///
/// Exit codes: 0 it answered, 3 it did not, 2 wrong usage, 1 failed to run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Ask a peer over TCP for the metadata of a hash, and show each step
    Peer(Box<PeerArgs>),
    /// Ask a DHT node
    Dht(Box<NodeArgs>),
}

#[derive(Debug, clap::Args)]
struct PeerArgs {
    /// The peer: IP:PORT
    #[arg(value_name = "ADDR")]
    peer: PeerAddr,
    /// A magnet or infohash (hex, base32, btmh)
    #[arg(value_name = "HASH", value_parser = input::infohash)]
    infohash: Infohash,
    /// Begin with an encrypted connection (MSE)
    #[arg(long)]
    encrypted: bool,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct NodeArgs {
    /// The node: IP:PORT
    #[arg(value_name = "NODE")]
    node: PeerAddr,
    /// What to ask
    #[arg(value_enum)]
    method: Method,
    /// What to ask for: a hash, or a point of the key space as 40 hex digits; all but `ping` need one
    #[arg(value_name = "TARGET", value_parser = input::infohash)]
    target: Option<Infohash>,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// What a node can be asked without changing anything there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Method {
    /// Is it there? (BEP 5)
    Ping,
    /// Which nodes are close to the target? (BEP 5)
    FindNode,
    /// Which peers have this torrent? (BEP 5)
    GetPeers,
    /// Which torrents does it know? (BEP 51)
    SampleInfohashes,
    /// What is stored under the target? (BEP 44)
    Get,
}

impl Method {
    /// `None` where the target is missing.
    fn query(self, target: Option<NodeId>) -> Option<Query> {
        Some(match self {
            Self::Ping => Query::Ping,
            Self::FindNode => Query::FindNode { target: target? },
            Self::GetPeers => Query::GetPeers {
                infohash: target?,
                scrape: true,
            },
            Self::SampleInfohashes => Query::SampleInfohashes { target: target? },
            Self::Get => Query::Get { target: target? },
        })
    }
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<Exit, Stop> {
    match args.what {
        What::Peer(args) => peer(*args).await,
        What::Dht(args) => dht(*args).await,
    }
}

/// Neither a typo nor a script makes us talk to this host's own services.
fn check_address(addr: &PeerAddr, allow_local: bool) -> Result<(), Stop> {
    if addr.is_public() || allow_local && addr.is_local() {
        return Ok(());
    }
    let leave = if addr.is_local() {
        ": give --allow-local-peers to ask it all the same"
    } else {
        ""
    };
    let what = format!("{addr} is no public address{leave}");
    Err(Stop::new(Exit::Usage, what))
}

async fn peer(args: PeerArgs) -> Result<Exit, Stop> {
    let mut config = args.store.config()?;
    let proxy = args.engine.apply(&mut config)?;
    check_address(&args.peer, config.network.allow_local_peers)?;
    let settings = config.engine_options(None, proxy).direct;
    let request = Request {
        peer: args.peer,
        connect_timeout: settings.connect_timeout,
        encrypted: args.encrypted,
    };
    let progress = Progress::traced();
    let attempt = Direct::new(settings)
        .fetch(&args.infohash, request, &progress)
        .await;
    let story = PeerStory {
        addr: args.peer,
        source: PeerSource::Hint,
        sources: vec![PeerSource::Hint],
        reports: 1,
        steps: progress.steps(),
        client: attempt.client,
        encrypted: attempt.encrypted,
        result: attempt.result.map(|bytes| bytes.len()),
        elapsed: attempt.elapsed,
    };
    if args.json {
        print_json([story.json()])?;
    } else {
        print(|out| out.write_all(story::text(&story).trim_start().as_bytes()))?;
    }
    Ok(exit(story.result.is_ok()))
}

async fn dht(args: NodeArgs) -> Result<Exit, Stop> {
    let target = args.target.map(|target| NodeId(target.wire_id()));
    let query = args.method.query(target).ok_or_else(|| {
        let what = "this method asks for a TARGET: a hash, or 40 hex digits";
        Stop::new(Exit::Usage, what)
    })?;
    let mut config = args.store.config()?;
    let proxy = args.engine.apply(&mut config)?;
    check_address(&args.node, config.network.allow_local_peers)?;
    // Nobody else is asked, and nobody is answered.
    let node = HostPort::parse(&args.node.to_string());
    config.network.bootstrap = node.into_iter().collect();
    config.dht.read_only = true;
    config.dht.identities = 1;
    let options = Options {
        strategy: Strategy::Direct,
        ..config.engine_options(Some(config.dht_node(None)), proxy)
    };
    let failed = |why: String| Stop::new(Exit::Failed, why);
    let engine = Engine::start(options, None).map_err(|error| failed(error.to_string()))?;
    let reply = ask(&engine, args.node, &query).await;
    engine.shutdown().await;
    if let Err(AskError::Closed) = reply {
        return Err(failed("the DHT node of this host did not start".to_owned()));
    }
    if args.json {
        print_json([json(args.node, &query, &reply)])?;
    } else {
        let columns = [Column::Whole(""), Column::Text("")];
        print_table(&columns, rows(args.node, &query, &reply))?;
    }
    Ok(exit(reply.is_ok()))
}

async fn ask(engine: &Engine, node: PeerAddr, query: &Query) -> Result<Reply, AskError> {
    let dht = engine.dht().ok_or(AskError::Closed)?;
    // A node that is alive makes ours ready; one that is not is asked all the same.
    let until = Instant::now() + NODE_WITHIN;
    let is_ready = || {
        let health = engine.health();
        health.is_some_and(|health| !matches!(health.dht, DhtHealth::Starting))
    };
    while !is_ready() && Instant::now() < until {
        sleep(LOOKS_EVERY).await;
    }
    dht.ask(node, query).await
}

fn exit(answered: bool) -> Exit {
    if answered {
        Exit::Done
    } else {
        Exit::Unresolved
    }
}

fn hex(id: NodeId) -> String {
    id.to_string()
}

fn version(answer: &Answer) -> Option<String> {
    let version = answer.version?;
    Some(String::from_utf8_lossy(&version).into_owned())
}

/// What a node said, line by line.
fn rows(node: PeerAddr, query: &Query, reply: &Result<Reply, AskError>) -> Vec<Vec<String>> {
    let mut rows = vec![vec!["node".to_owned(), node.to_string()]];
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    row("query", query.name().to_owned());
    let Reply { answer, rtt } = match reply {
        Ok(reply) => reply,
        Err(error) => {
            row("answer", format!("none: {error}"));
            return rows;
        }
    };
    row("answer", format!("after {:.1} ms", rtt.as_secs_f64() * 1e3));
    row("id", hex(answer.id));
    if let Some(version) = version(answer) {
        row("version", version);
    }
    let several = |values: Vec<String>| match values.as_slice() {
        [] => "none".to_owned(),
        _ => values.join("\n"),
    };
    let peers = answer.peers.iter().map(ToString::to_string);
    if matches!(query, Query::GetPeers { .. }) {
        row("peers", several(peers.collect()));
    }
    if let Some(token) = &answer.token {
        row("token", HEXLOWER.encode(token));
    }
    for (name, filter) in [("seeds", &answer.seeds), ("leeches", &answer.leeches)] {
        if let Some(filter) = filter {
            row(name, format!("about {:.0}", filter.estimate()));
        }
    }
    if let Some(samples) = &answer.samples {
        row(
            "samples",
            several(samples.iter().copied().map(hex).collect()),
        );
    }
    if let Some(num) = answer.num {
        row("stores", format!("{num} infohashes"));
    }
    if let Some(interval) = answer.interval {
        row("interval", format!("{interval} s"));
    }
    if !matches!(query, Query::Ping) {
        let nodes = answer.nodes.iter();
        let nodes = nodes.map(|node| format!("{} {}", hex(node.id), node.addr));
        row("nodes", several(nodes.collect()));
    }
    rows
}

/// The same as one object.
fn json(node: PeerAddr, query: &Query, reply: &Result<Reply, AskError>) -> Value {
    let told = reply.as_ref().ok().map(|Reply { answer, rtt }| {
        let nodes = answer.nodes.iter();
        let nodes: Vec<_> = nodes
            .map(|node| json!({ "id": hex(node.id), "address": node.addr }))
            .collect();
        let samples = answer.samples.as_ref();
        json!({
            "rtt_ms": rtt.as_secs_f64() * 1e3,
            "id": hex(answer.id),
            "version": version(answer),
            "nodes": nodes,
            "peers": answer.peers,
            "token": answer.token.as_ref().map(|token| HEXLOWER.encode(token)),
            "samples": samples.map(|ids| ids.iter().copied().map(hex).collect::<Vec<_>>()),
            "num": answer.num,
            "interval": answer.interval,
            "seeds": answer.seeds.as_ref().map(|filter| filter.estimate().round()),
            "leeches": answer.leeches.as_ref().map(|filter| filter.estimate().round()),
        })
    });
    json!({
        "node": node,
        "query": query.name(),
        "answer": told,
        "error": reply.as_ref().err().map(ToString::to_string),
    })
}
