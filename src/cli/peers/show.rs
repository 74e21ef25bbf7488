//! `metafetch peers show`: the whole story of one peer.

use std::net::IpAddr;
use std::str::FromStr;

use serde::Serialize;

use super::known::{self, Peer, PeerLine, milliseconds};
use crate::cli::listing::{Column, print, print_json, print_table, printable, table, width};
use crate::cli::{Exit, Stop, say, time};
use crate::engine::timestamp;
use crate::history::{Attempt, History};
use crate::store::Store;
use crate::torrent::{Infohash, PeerAddr, Phase};

/// The most ports of an address.
const PORTS: u32 = 65_536;
/// How many of them are shown.
const PORTS_SHOWN: usize = 100;

/// A peer, or all peers at an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    ip: IpAddr,
    port: Option<u16>,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(peer) = text.parse::<PeerAddr>() {
            return Ok(Self {
                ip: peer.ip(),
                port: Some(peer.port()),
            });
        }
        let ip = text.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
        ip.unwrap_or(text)
            .parse::<IpAddr>()
            .map(|ip| Self {
                ip: ip.to_canonical(),
                port: None,
            })
            .map_err(|_| "expected IP:PORT, [IPV6]:PORT or an IP".to_owned())
    }
}

/// Runs the command.
pub(super) async fn run(
    store: &Store,
    history: &History,
    address: Address,
    limit: u32,
    json: bool,
) -> Result<Exit, Stop> {
    let Address { ip, port } = address;
    let now_ms = time::now_ms();
    let states = store.peers_at(ip, port, PORTS).await?;
    let first = states.iter().map(|(_, state)| state.first_seen_at_ms).min();
    let last = states.iter().map(|(_, state)| state.last_seen_at_ms).max();
    let (Some(first), Some(last)) = (first, last) else {
        let what = port.map_or_else(
            || ip.to_string(),
            |port| PeerAddr::new(ip, port).to_string(),
        );
        say(format_args!(
            "{what} is not known: no attempt was made there"
        ));
        return Ok(Exit::Unresolved);
    };
    // No more than there are, so that the search ends with the last one.
    let made = states.iter().map(|(_, state)| state.attempts);
    let made = made.fold(0_u64, u64::saturating_add);
    let limit = u32::try_from(made).map_or(limit, |made| made.min(limit));
    let attempts = store.attempts_at(ip, port, (first, last), limit).await?;
    let peers = known::judged(history, states, now_ms);
    if json {
        print_json(peers.iter().map(|peer| {
            Line {
                peer: peer.line(),
                latest_attempts: attempts
                    .iter()
                    .filter(|(_, attempt)| attempt.peer == peer.addr)
                    .map(AttemptLine::new)
                    .collect(),
            }
        }))?;
        return Ok(Exit::Done);
    }
    for peer in peers.iter().take(PORTS_SHOWN) {
        print_peer(peer, now_ms)?;
    }
    if peers.len() > PORTS_SHOWN {
        say(format_args!(
            "{} further ports of {ip} are known: --json shows them all",
            peers.len() - PORTS_SHOWN
        ));
    }
    print_attempts(&attempts)?;
    Ok(Exit::Done)
}

fn print_peer(peer: &Peer, now_ms: i64) -> Result<(), Stop> {
    let Peer {
        addr,
        state,
        estimate,
    } = peer;
    let yes_or_no = |fact: Option<bool>| match fact {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    };
    let quantiles = [0.5, 0.9, 0.99].map(|share| milliseconds(state.latencies.quantile(share)));
    let way = |way: Option<crate::torrent::Way>| way.map_or("none", |way| way.as_str());
    let seen = |at_ms: i64| format!("{} ({})", time::at(at_ms), time::ago(at_ms, now_ms));
    let lines = [
        (
            "score",
            format!(
                "{:.3}: {}, {:.0}% likely to deliver, {:.1} s each try",
                estimate.value,
                estimate.standing,
                estimate.probability * 100.0,
                estimate.expected.as_secs_f64()
            ),
        ),
        ("why", estimate.why.to_string()),
        (
            "hopeless",
            estimate
                .hopeless
                .map_or_else(|| "no".to_owned(), |reason| reason.to_string()),
        ),
        (
            "attempts",
            format!(
                "{}: {} connected, {} delivered, {} failed, {} in a row",
                state.attempts,
                state.connections,
                state.deliveries,
                state.failures,
                state.failures_in_a_row
            ),
        ),
        (
            "deliveries took",
            format!(
                "{} (median), {} (90%), {} (99%)",
                quantiles[0], quantiles[1], quantiles[2]
            ),
        ),
        (
            "client",
            state.client.clone().unwrap_or_else(|| "unknown".to_owned()),
        ),
        (
            "can do",
            format!(
                "extension protocol: {}, ut_metadata: {}, needs encryption: {}",
                yes_or_no(state.bep10_support),
                yes_or_no(state.bep9_support),
                yes_or_no(state.needs_encryption)
            ),
        ),
        (
            "ways",
            format!(
                "delivered by {}, next by {}",
                way(state.delivered_way),
                way(estimate.way)
            ),
        ),
        ("first seen", seen(state.first_seen_at_ms)),
        ("last seen", seen(state.last_seen_at_ms)),
        (
            "last delivered",
            state
                .last_delivered_at_ms
                .map_or_else(|| "never".to_owned(), seen),
        ),
        (
            "last outcome",
            format!(
                "{} ({})",
                state
                    .last_outcome
                    .map_or("delivered", |reason| reason.as_str()),
                state.last_arm
            ),
        ),
    ];
    let rows = lines
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect();
    let text = table(&[Column::Whole(""), Column::Text("")], rows, width());
    print(|out| writeln!(out, "{addr}\n{text}\n"))
}

fn print_attempts(attempts: &[(Infohash, Attempt)]) -> Result<(), Stop> {
    let longest = attempts.iter().map(|(hash, _)| 2 * hash.as_bytes().len());
    let columns = [
        Column::Fixed("STARTED, INFOHASH, DETAIL", longest.max().unwrap_or(40)),
        Column::Text("OUTCOME"),
        Column::Text("WAY"),
        Column::Number("TOOK"),
    ];
    let rows = attempts.iter().map(|(infohash, attempt)| {
        let outcome = match attempt.outcome {
            None => "delivered".to_owned(),
            Some(reason) => format!("{reason}\nin {}", attempt.phase),
        };
        let detail: String = printable(&attempt.detail).chars().take(120).collect();
        vec![
            format!(
                "{} :{}\n{infohash}\n{detail}",
                time::at(attempt.started_at_ms),
                attempt.peer.port()
            )
            .trim_end()
            .to_owned(),
            outcome,
            format!("{}\nfrom {}", attempt.way, attempt.source.as_str()),
            milliseconds(Some(attempt.duration)),
        ]
    });
    print_table(&columns, rows.collect())
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    peer: PeerLine<'a>,
    latest_attempts: Vec<AttemptLine<'a>>,
}

#[derive(Serialize)]
struct AttemptLine<'a> {
    infohash: String,
    started_at: Option<String>,
    duration_ms: u128,
    connect_ms: Option<u128>,
    way: &'static str,
    source: &'static str,
    phase: Phase,
    outcome: &'static str,
    detail: &'a str,
    why: &'a str,
}

impl<'a> AttemptLine<'a> {
    fn new((infohash, attempt): &'a (Infohash, Attempt)) -> Self {
        Self {
            infohash: infohash.to_string(),
            started_at: timestamp(attempt.started_at_ms),
            duration_ms: attempt.duration.as_millis(),
            connect_ms: attempt.connect_time.map(|time| time.as_millis()),
            way: attempt.way.as_str(),
            source: attempt.source.as_str(),
            phase: attempt.phase,
            outcome: attempt
                .outcome
                .map_or("delivered", |reason| reason.as_str()),
            detail: &attempt.detail,
            why: &attempt.why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_ip_with_or_without_a_port() {
        let address = |text: &str| text.parse::<Address>();
        let ip: IpAddr = [1, 2, 3, 4].into();
        assert_eq!(address("1.2.3.4"), Ok(Address { ip, port: None }));
        let port = Some(5);
        assert_eq!(address("1.2.3.4:5"), Ok(Address { ip, port }));
        assert_eq!(address("::ffff:1.2.3.4"), address("1.2.3.4"));
        assert_eq!(address("[::1]"), address("::1"));
        assert_eq!(address("[::1]:5").unwrap().port, port);
        for wrong in ["", "host", "1.2.3.4:x", "1.2.3"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
