//! `metafetch doctor`: whether this host can do the work, and what to change where not.
//!
//! A check is a file: `ports`, `files`, `clock`, `database`, `disk`, `dht`.

mod clock;
mod database;
mod dht;
mod disk;
mod files;
mod ports;

use std::time::Duration;

use serde::Serialize;

use super::engine::NetworkArgs;
use super::listing::{Column, print_json, print_table};
use super::store::{self, StoreArgs};
use super::{Exit, Stop, say};
use crate::config::positive_duration;
use crate::libtorrent::DhtSettings;

/// Check this host: ports, open files, clock, database, disk space, the DHT, and whether others reach us.
///
/// Nothing is changed. Each line says what was seen, and what to change. Exit codes: 0 nothing failed
/// (there may be warnings), 1 something did, 2 wrong usage.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    /// Ask nobody: check only what is on this host
    #[arg(long, conflicts_with = "bootstrap")]
    no_dht: bool,
    /// How long the first DHT node may take to answer
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = positive_duration)]
    within: Duration,
    /// How long to wait for others to ask us something
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = positive_duration)]
    time: Duration,
    #[command(flatten)]
    store: StoreArgs,
    /// A JSON line for each check
    #[arg(long)]
    json: bool,
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but could work better.
    Warn,
    /// It does not work.
    Fail,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What was seen, and what to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    seen: String,
    /// Empty where nothing is to be changed.
    advice: String,
}

impl Finding {
    fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            seen: seen.into(),
            advice: String::new(),
        }
    }

    fn warn(check: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Warn,
            advice: advice.into(),
            ..Self::ok(check, seen)
        }
    }

    fn fail(check: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(check, seen, advice)
        }
    }
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<Exit, Stop> {
    let mut config = args.store.config()?;
    args.network.apply(&mut config);
    let url = store::url(&config)?;
    let pace = clock::Pace::start();
    let mut findings = ports::check(&config.network.listen);
    findings.push(files::check());
    let (database, latest_ms) = database::check(url.clone()).await;
    findings.push(database);
    findings.extend(url.as_ref().map(disk::check));
    if args.no_dht {
        findings.push(Finding::ok("dht", "not asked (--no-dht)"));
    } else {
        say(format_args!(
            "asking the DHT, and waiting for others to ask us: {} at the most",
            humantime::format_duration(args.within + args.time)
        ));
        let dht = DhtSettings {
            observe_all: true,
            ..config.dht_node(None)
        };
        let settings = config.session(Some(dht));
        findings.extend(dht::check(&settings, args.within, args.time).await);
    }
    findings.push(clock::check(latest_ms, &pace));
    let failed = findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Fail);
    if args.json {
        print_json(&findings)?;
    } else {
        print(&findings)?;
    }
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

fn print(findings: &[Finding]) -> Result<(), Stop> {
    let mut rows = Vec::new();
    for finding in findings {
        rows.push(vec![
            finding.verdict.as_str().to_owned(),
            finding.check.to_owned(),
            finding.seen.clone(),
        ]);
        if !finding.advice.is_empty() {
            rows.push(vec![
                String::new(),
                String::new(),
                format!("-> {}", finding.advice),
            ]);
        }
    }
    let columns = [Column::Whole(""), Column::Whole(""), Column::Text("")];
    print_table(&columns, rows)
}
