//! `metafetch diagnose`: why one hash does not resolve, and what to do about it.
//!
//! | file | what lives there |
//! |---|---|
//! | `story` | the steps of each peer, as text |

pub(super) mod story;

use std::fmt::Write as _;

use super::engine::EngineArgs;
use super::listing::{Column, print, print_json, print_table, printable};
use super::signals::Signals;
use super::store::{self, StoreArgs};
use super::{Exit, Stop, input, say, time};
use crate::config::Config;
use crate::discovery::lookup::Summary;
use crate::engine::{Diagnosis, Engine, Options, Verdict, Wanted};
use crate::store::{Store, StoreUrl};
use crate::torrent::PeerHint;

/// Find out why a hash does not resolve: phase by phase, peer by peer, and what to do about it.
///
/// The DHT is asked who has it, then peers over TCP, with every step of each; where none delivers, it is
/// resolved by every way there is. A cooldown is shown, and does not stop it. Exit codes: 0 it
/// resolves, 3 it does not, 2 wrong usage, 1 failed to run, 130 interrupted.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A magnet or infohash (hex, base32, btmh)
    #[arg(value_name = "HASH", value_parser = input::wanted)]
    wanted: Wanted,
    /// A peer to ask: IP:PORT or HOST:PORT (repeatable)
    #[arg(long, value_name = "ADDR")]
    peer: Vec<PeerHint>,
    /// A tracker to ask: http, https or udp (repeatable)
    #[arg(long, value_name = "URL", value_parser = input::tracker)]
    tracker: Vec<String>,
    /// Do not ask the DHT for peers
    #[arg(long, conflicts_with = "bootstrap")]
    no_dht: bool,
    /// Do not ask trackers for peers
    #[arg(long, conflicts_with = "tracker")]
    no_trackers: bool,
    /// Peers whose steps are shown, at the most
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=200))]
    most: u16,
    #[command(flatten)]
    pub(super) engine: EngineArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<Exit, Stop> {
    let mut config = args.store.config()?;
    let proxy = args.engine.apply(&mut config)?;
    let store = open(&config)?;
    let mut wanted = args.wanted;
    wanted.peers.extend(args.peer);
    wanted.trackers.extend(args.tracker);
    let dht = (config.dht.enabled && !args.no_dht).then(|| config.dht_node(None));
    let options = Options {
        refetch: true,
        trackers: config.engine.trackers && !args.no_trackers,
        ..config.engine_options(dht, proxy)
    };
    let engine = Engine::start(options, store)
        .map_err(|error| Stop::new(Exit::Failed, error.to_string()))?;
    let mut signals = Signals::new();
    let diagnosis = tokio::select! {
        diagnosis = engine.diagnose(wanted, args.most.into()) => diagnosis,
        () = signals.next() => {
            say(format_args!("interrupted"));
            engine.shutdown().await;
            return Ok(Exit::Interrupted);
        }
    };
    let told = diagnosis
        .map_err(Stop::from)
        .and_then(|diagnosis| tell(&diagnosis, args.json));
    engine.shutdown().await;
    told
}

/// The store, where there is one: a diagnosis makes none.
fn open(config: &Config) -> Result<Option<Store>, Stop> {
    match store::url(config)? {
        Some(StoreUrl::Sqlite(path)) if !path.exists() => Ok(None),
        Some(url) => Ok(Some(Store::open(&url)?)),
        None => Ok(None),
    }
}

fn tell(diagnosis: &Diagnosis, json: bool) -> Result<Exit, Stop> {
    let verdict = Verdict::of(diagnosis);
    if json {
        print_json(&[diagnosis.json(&verdict)])?;
    } else {
        let rows = vec![
            vec!["hash".to_owned(), diagnosis.wanted.infohash.to_string()],
            vec!["store".to_owned(), remembered(diagnosis)],
            vec!["DHT".to_owned(), looked_up(diagnosis.lookup.as_ref())],
            vec!["peers".to_owned(), found(diagnosis)],
        ];
        let columns = [Column::Whole(""), Column::Text("")];
        print_table(&columns, rows)?;
        for peer in &diagnosis.peers {
            print(|out| out.write_all(story::text(peer).as_bytes()))?;
        }
        let mut rows = Vec::new();
        if let Some(resolution) = &diagnosis.resolution {
            rows.push(vec!["every way".to_owned(), story::every_way(resolution)]);
        }
        rows.push(vec!["verdict".to_owned(), verdict.sentence.clone()]);
        if !verdict.advice.is_empty() {
            rows.push(vec!["what to do".to_owned(), verdict.advice.to_owned()]);
        }
        print_table(&columns, rows)?;
    }
    Ok(if verdict.resolves {
        Exit::Done
    } else {
        Exit::Unresolved
    })
}

fn remembered(diagnosis: &Diagnosis) -> String {
    let Some(remembered) = &diagnosis.remembered else {
        return "no store".to_owned();
    };
    if remembered.blocked {
        return "on the blocklist".to_owned();
    }
    if remembered.resolved {
        return "its metadata is there".to_owned();
    }
    match &remembered.failed {
        None => "never failed".to_owned(),
        Some(failed) => format!(
            "failed {} times, the last time as {} in {}: {}; to be tried again {}",
            failed.failures,
            failed.reason,
            failed.phase,
            printable(&failed.detail),
            time::left(failed.retry_at_ms, time::now_ms()),
        ),
    }
}

fn looked_up(lookup: Option<&Summary>) -> String {
    let Some(lookup) = lookup else {
        return "not asked, or no node of it is alive".to_owned();
    };
    format!(
        "{} of {} nodes answered{}, {}; they name {} peers",
        lookup.answered,
        lookup.asked,
        match lookup.wrong_ids {
            0 => String::new(),
            lying => format!(", {lying} of them under a wrong id"),
        },
        if lookup.converged {
            "the closest ones to the hash too"
        } else {
            "but not all of the closest ones to the hash"
        },
        lookup.peers,
    )
}

fn found(diagnosis: &Diagnosis) -> String {
    let mut text = format!(
        "{} known, {} asked over TCP",
        diagnosis.found,
        diagnosis.peers.len()
    );
    if diagnosis.refused > 0 {
        let _ = write!(
            text,
            ", {} addresses refused (private, reserved, or without a port)",
            diagnosis.refused
        );
    }
    text
}
