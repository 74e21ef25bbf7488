//! Whether the DHT answers, and whether others ask us.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, interval, sleep_until, timeout};

use super::Finding;
use crate::discovery::dht::{Dht, DhtLimits};
use crate::libtorrent::{DhtHealth, Libtorrent, Settings};

/// Hosts that have to ask us, unasked: one may be an accident.
const ENOUGH: usize = 3;
/// Hosts that are told apart. Whoever forges more addresses than that tells us nothing.
const MOST_ASKERS: usize = 10_000;
/// How often it is looked whom we know.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a router's name may take to resolve.
const DNS_WITHIN: Duration = Duration::from_secs(5);

/// Opens a DHT node for as long as it takes.
pub(super) async fn check(settings: &Settings, within: Duration, time: Duration) -> Vec<Finding> {
    let libtorrent = match Libtorrent::open(settings) {
        Ok(libtorrent) => libtorrent,
        Err(error) => return vec![Finding::fail("dht", error.to_string(), "")],
    };
    let (dht, owner) = Dht::open(&DhtLimits::default(), settings.allow_local_peers);
    let mut observed = dht.observed();
    libtorrent.serve_dht(owner);
    let began = Instant::now();
    let mut findings = Vec::new();
    if libtorrent.dht_ready(within).await {
        let took = began.elapsed().as_secs_f64();
        findings.push(bootstrapped(&libtorrent, took));
        let waiting = Instant::now();
        let mut seen = Strangers::default();
        seen.know(routers(settings).await);
        let mut look = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = sleep_until(waiting + time) => break,
                // Those that we ask may answer by a question, whatever stands between us.
                _ = look.tick() => {
                    let nodes = libtorrent.dht_live_nodes().await;
                    seen.know(nodes.iter().map(|node| node.addr.ip()));
                    if seen.hosts().count() >= ENOUGH {
                        break;
                    }
                }
                query = observed.recv() => match query {
                    Ok(query) => seen.asked_by(query.from.ip()),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break,
                },
            }
        }
        findings.push(reached(&libtorrent, &seen, waiting.elapsed()));
    } else {
        findings.push(silent(&libtorrent, within));
    }
    libtorrent.shutdown().await;
    findings
}

fn bootstrapped(libtorrent: &Libtorrent, seconds: f64) -> Finding {
    match libtorrent.health().dht {
        DhtHealth::Degraded { nodes, reason } => Finding::warn(
            "dht",
            format!("the first node answered after {seconds:.1} s; {nodes} nodes: {reason}"),
            "wait a minute and look again; name further nodes with --bootstrap",
        ),
        DhtHealth::Ready { nodes } => Finding::ok(
            "dht",
            format!("the first node answered after {seconds:.1} s; {nodes} nodes"),
        ),
        _ => Finding::ok(
            "dht",
            format!("the first node answered after {seconds:.1} s"),
        ),
    }
}

fn silent(libtorrent: &Libtorrent, within: Duration) -> Finding {
    let health = libtorrent.health();
    let mut seen = format!(
        "no node has answered within {}",
        humantime::format_duration(within)
    );
    if let DhtHealth::Failed(error) = health.dht {
        seen = format!("{seen}: {error}");
    }
    if let Some(error) = health.listen_errors.first() {
        seen = format!("{seen}; {error}");
    }
    Finding::fail(
        "dht",
        seen,
        "is the network up, can names be resolved, may UDP leave this host? --bootstrap HOST:PORT names \
         a node that is known to be there",
    )
}

/// Who asked us, and whom we know: a node that we ask lets a door open through which it can ask us.
#[derive(Debug, Default)]
struct Strangers {
    askers: HashMap<IpAddr, u64>,
    known: HashSet<IpAddr>,
}

impl Strangers {
    /// Takes in hosts that are asked now. Who has asked before that is a stranger all the same: our node
    /// asks back whoever asks it.
    fn know(&mut self, hosts: impl IntoIterator<Item = IpAddr>) {
        let asked_first = hosts.into_iter().filter(|ip| !self.askers.contains_key(ip));
        self.known.extend(asked_first.collect::<Vec<_>>());
    }

    /// This host has asked us.
    fn asked_by(&mut self, host: IpAddr) {
        if self.askers.len() < MOST_ASKERS || self.askers.contains_key(&host) {
            *self.askers.entry(host).or_default() += 1;
        }
    }

    /// The hosts that asked unasked, and their queries.
    fn hosts(&self) -> impl Iterator<Item = u64> + '_ {
        let unknown = (self.askers.iter()).filter(|(ip, _)| !self.known.contains(ip));
        unknown.map(|(_, queries)| *queries)
    }
}

/// The routers, which were asked too.
async fn routers(settings: &Settings) -> Vec<IpAddr> {
    let names = settings.dht.as_ref().map(|dht| dht.bootstrap.clone());
    let mut ips = Vec::new();
    for name in names.unwrap_or_default() {
        if let Ok(Ok(addrs)) = timeout(DNS_WITHIN, lookup_host(name)).await {
            ips.extend(addrs.map(|addr| addr.ip()));
        }
    }
    ips
}

fn reached(libtorrent: &Libtorrent, seen: &Strangers, waited: Duration) -> Finding {
    let seconds = waited.as_secs_f64();
    let (hosts, queries) = (seen.hosts().count(), seen.hosts().sum::<u64>());
    let said = format!(
        "{queries} queries from {hosts} hosts that we had not asked, within {seconds:.1} s"
    );
    if hosts >= ENOUGH {
        return Finding::ok("reachable", said);
    }
    let ports: Vec<String> = libtorrent
        .health()
        .udp
        .iter()
        .map(|addr| addr.port().to_string())
        .collect();
    Finding::warn(
        "reachable",
        said,
        format!(
            "others can't reach us, or don't know us yet: listen on a fixed port (--listen), and let UDP \
             and TCP to it through the firewall and the router (just now it is {}), and wait longer \
             (--for). Without that, a crawl samples, but sees no announces",
            ports.join(", ")
        ),
    )
}
