//! Serves a loopback swarm until killed, for benchmarks and by hand: writes a magnet link per line,
//! then `READY` to stderr.
//!
//! ```text
//! cargo run --release --example swarm -- --torrents 1000 --peers 50 --mix crawl --magnets links.txt
//! ```

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use swarm::wire::Random;
use swarm::{Behaviour, DhtMix, DhtOptions, Mix, Swarm, TestTorrent};

#[path = "../tests/swarm/mod.rs"]
mod swarm;

/// A BitTorrent swarm on loopback that serves metadata.
#[derive(Parser)]
struct Args {
    /// How many torrents there are.
    #[arg(long, default_value_t = 1000)]
    torrents: usize,
    /// How many peers listen; each holds many torrents.
    #[arg(long, default_value_t = 50)]
    peers: usize,
    /// How many of the peers each torrent has.
    #[arg(long, default_value_t = 5)]
    peers_per_torrent: usize,
    /// Bytes of each info dictionary.
    #[arg(long, default_value_t = 30_000)]
    metadata_size: usize,
    /// Which hashes identify the torrents.
    #[arg(long, value_enum, default_value = "v1")]
    kind: KindArg,
    /// How the peers behave.
    #[arg(long, value_enum, default_value = "honest")]
    mix: MixArg,
    /// How much later than what it answers each reply of an honest peer comes.
    #[arg(long, default_value = "0ms", value_parser = humantime::parse_duration)]
    latency: Duration,
    /// Where a client finds the peers.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "hints")]
    sources: Vec<Source>,
    /// How many nodes the DHT has, if it is among the sources.
    #[arg(long, default_value_t = 100)]
    dht_nodes: usize,
    /// How its nodes behave: `crawl` has dead, slow and lying ones, and some without samples.
    #[arg(long, value_enum, default_value = "honest")]
    dht_mix: DhtMixArg,
    /// How long its nodes ask to be left alone after they gave samples (BEP 51).
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    dht_interval: Duration,
    /// The median time after which its nodes answer.
    #[arg(long, default_value = "0ms", value_parser = humantime::parse_duration)]
    dht_latency: Duration,
    /// Its samples are hashes that nobody has, others each time.
    #[arg(long)]
    dht_endless: bool,
    /// Gives each peer an address of its own in 127.0.2.0/24 and above, rather than 127.0.0.1.
    #[arg(long)]
    own_ips: bool,
    /// The file for the magnet links; stdout without it.
    #[arg(long)]
    magnets: Option<PathBuf>,
    /// A file for the hashes that at least one peer serves, a line each.
    #[arg(long)]
    served: Option<PathBuf>,
    /// The same seed makes the same torrents and the same peers, on other ports.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum MixArg {
    Honest,
    Chatty,
    Crawl,
    Fresh,
    Half,
    Poisoned,
    PoisonedTenth,
    /// Every misbehaviour, one peer in twenty serves, and each torrent has one that does.
    Hostile,
    /// Peers that accept, and never say anything.
    Silent,
}

#[derive(Clone, Copy, ValueEnum)]
enum DhtMixArg {
    Honest,
    Crawl,
}

#[derive(Clone, Copy, ValueEnum)]
enum KindArg {
    V1,
    V2,
    Hybrid,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Source {
    /// `x.pe` in the magnet link.
    Hints,
    /// An HTTP tracker in the magnet link.
    Http,
    /// A UDP tracker in the magnet link.
    Udp,
    /// A DHT; its bootstrap nodes go to stderr, as `DHT host:port,…`.
    Dht,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )?;

    let torrents = torrents(&args);
    let mut held = vec![Vec::new(); args.peers];
    for (torrent, holders) in &torrents {
        for &holder in holders {
            held.get_mut(holder)
                .ok_or("no such peer")?
                .push(torrent.clone());
        }
    }

    let swarm = Swarm::start(args.seed);
    let mut addrs: Vec<SocketAddr> = Vec::with_capacity(args.peers);
    let mut serves = Vec::with_capacity(args.peers);
    for (behaviour, (number, held)) in args
        .mix()
        .behaviours(args.peers, args.seed)
        .into_iter()
        .zip((0_u32..).zip(&held))
    {
        let behaviour = match behaviour {
            Behaviour::Honest | Behaviour::Chatty if !args.latency.is_zero() => Behaviour::Slow {
                latency: args.latency,
            },
            other => other,
        };
        serves.push(behaviour.expected().is_empty());
        let ip = if args.own_ips {
            // 127.0.2.1 to 127.0.2.250, then 127.0.3.1, …
            let host = number % 250 + 1;
            Ipv4Addr::from_bits(0x7f00_0200 + number / 250 * 256 + host)
        } else {
            Ipv4Addr::LOCALHOST
        };
        addrs.push(swarm.peer_on(IpAddr::V4(ip), behaviour, held).await);
    }

    let mut trackers = Vec::new();
    if args.sources.contains(&Source::Http) {
        trackers.push(swarm.http_tracker().await);
    }
    if args.sources.contains(&Source::Udp) {
        trackers.push(swarm.udp_tracker().await);
    }
    let dht = if args.sources.contains(&Source::Dht) {
        Some(swarm.dht_with(args.dht()).await)
    } else {
        None
    };
    let urls: Vec<String> = trackers.iter().map(|tracker| tracker.url.clone()).collect();
    let mut lines = String::new();
    for (torrent, holders) in &torrents {
        let peers: Vec<_> = holders
            .iter()
            .filter_map(|&at| addrs.get(at))
            .copied()
            .collect();
        for &peer in &peers {
            for tracker in &trackers {
                tracker.announce(torrent, peer);
            }
            if let Some(dht) = &dht {
                dht.announce(torrent, peer);
            }
        }
        let hints = if args.sources.contains(&Source::Hints) {
            &peers[..]
        } else {
            &[]
        };
        lines.push_str(&torrent.magnet(hints, &urls));
        lines.push('\n');
    }
    match &args.magnets {
        Some(path) => std::fs::write(path, lines)?,
        None => std::io::stdout().write_all(lines.as_bytes())?,
    }
    if let Some(path) = &args.served {
        let is_served = |holders: &[usize]| holders.iter().any(|&at| serves.get(at) == Some(&true));
        let hashes: String = torrents
            .iter()
            .filter(|(_, holders)| is_served(holders))
            .map(|(torrent, _)| torrent.hex() + "\n")
            .collect();
        std::fs::write(path, hashes)?;
    }
    if let Some(dht) = &dht {
        let nodes: Vec<_> = dht.bootstrap.iter().map(ToString::to_string).collect();
        eprintln!("DHT {}", nodes.join(","));
    }
    eprintln!("READY");
    std::future::pending().await
}

impl Args {
    fn dht(&self) -> DhtOptions {
        DhtOptions {
            nodes: self.dht_nodes,
            mix: match self.dht_mix {
                DhtMixArg::Honest => DhtMix::HONEST,
                DhtMixArg::Crawl => DhtMix::CRAWL,
            },
            interval: self.dht_interval,
            latency: self.dht_latency,
            endless: self.dht_endless,
        }
    }

    fn mix(&self) -> Mix {
        match self.mix {
            MixArg::Honest => Mix::Honest,
            MixArg::Chatty => Mix::Chatty,
            MixArg::Crawl => Mix::Crawl,
            MixArg::Fresh => Mix::Fresh,
            MixArg::Half => Mix::Half,
            MixArg::Poisoned => Mix::Poisoned,
            MixArg::PoisonedTenth => Mix::PoisonedTenth,
            MixArg::Hostile => Mix::Hostile,
            MixArg::Silent => Mix::Silent,
        }
    }
}

/// The torrents, each with the numbers of the peers that hold it.
fn torrents(args: &Args) -> Vec<(TestTorrent, Vec<usize>)> {
    let make = match args.kind {
        KindArg::V1 => TestTorrent::v1,
        KindArg::V2 => TestTorrent::v2,
        KindArg::Hybrid => TestTorrent::hybrid,
    };
    let serves = |behaviour: &Behaviour| behaviour.expected().is_empty();
    let behaviours = args.mix().behaviours(args.peers, args.seed);
    let good: Vec<usize> = (0..args.peers)
        .filter(|at| behaviours.get(*at).is_some_and(serves))
        .collect();
    let mut random = Random::new(args.seed);
    let torrents = (0..args.torrents).map(|_| {
        let torrent = make(random.next(), args.metadata_size);
        let mut holders: Vec<usize> = (0..args.peers).collect();
        for at in 0..args.peers_per_torrent.min(args.peers) {
            holders.swap(at, at + random.below(args.peers - at));
        }
        if args.mix == MixArg::Hostile && !good.is_empty() {
            // One that serves, anywhere among others that do not.
            let one = good
                .get(random.below(good.len()))
                .copied()
                .unwrap_or_default();
            holders.retain(|at| !good.contains(at));
            holders.truncate(args.peers_per_torrent.saturating_sub(1));
            holders.insert(random.below(holders.len() + 1), one);
        }
        holders.truncate(args.peers_per_torrent);
        (torrent, holders)
    });
    torrents.collect()
}
