//! Whether the DHT answers, and whether others ask us.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Finding;
use crate::discovery::dht::{Dht, DhtLimits};
use crate::libtorrent::{DhtHealth, Libtorrent, Settings};

/// Others that have to ask us: one may be an accident.
const ENOUGH: usize = 3;

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
        let mut askers = HashSet::new();
        let mut queries = 0_u64;
        let waiting = Instant::now();
        while askers.len() < ENOUGH {
            match timeout_at(waiting + time, observed.recv()).await {
                Ok(Ok(query)) => {
                    queries += 1;
                    askers.insert(query.from.ip());
                }
                Ok(Err(tokio::sync::broadcast::error::RecvError::Lagged(_))) => {}
                Ok(Err(tokio::sync::broadcast::error::RecvError::Closed)) | Err(_) => break,
            }
        }
        findings.push(reached(
            &libtorrent,
            queries,
            askers.len(),
            waiting.elapsed(),
        ));
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

fn reached(libtorrent: &Libtorrent, queries: u64, askers: usize, waited: Duration) -> Finding {
    let seconds = waited.as_secs_f64();
    if askers > 0 {
        return Finding::ok(
            "reachable",
            format!("{queries} queries from {askers} hosts within {seconds:.1} s"),
        );
    }
    let ports: Vec<String> = libtorrent
        .health()
        .udp
        .iter()
        .map(|addr| addr.port().to_string())
        .collect();
    Finding::warn(
        "reachable",
        format!("nobody has asked us for a torrent within {seconds:.1} s"),
        format!(
            "others can't reach us, or don't know us yet: listen on a fixed port (--listen), and let UDP \
             and TCP to it through the firewall and the router (just now it is {}). Without that, a \
             crawl samples, but sees no announces",
            ports.join(", ")
        ),
    )
}
