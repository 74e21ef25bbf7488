//! The modes from their title to the reason of their end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::args::Args;
use super::console::{Console, complain};
use super::fetch::Fetching;
use super::input::{self, Entry, Item};
use super::lines;
use super::normal::{self, Discovery};
use super::run::Run;
use crate::store::Holder;

/// How long the DHT is waited for.
const BOOTSTRAP: Duration = Duration::from_secs(30);
/// How often it is looked how the DHT is.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until the DHT node knows others.
pub(super) async fn bootstrap(run: &Run) {
    run.console.line(lines::BOOTSTRAP_WAITING).await;
    let started = Instant::now();
    let mut looks = interval(LOOK);
    let mut seconds = 0;
    loop {
        tokio::select! {
            () = run.stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        let works = run.engine.health().is_some_and(|health| health.dht.works());
        if works {
            run.console.debug(format_args!("Alert type: dht_bootstrap"));
            run.console.line(lines::BOOTSTRAP_COMPLETED).await;
            return;
        }
        let elapsed = started.elapsed();
        if elapsed.as_secs() > seconds {
            seconds = elapsed.as_secs();
            run.console
                .line(format!("Bootstrap wait: {seconds}s"))
                .await;
        }
        if elapsed >= BOOTSTRAP || !run.engine.options().dht {
            run.console.line(lines::BOOTSTRAP_TIMEOUT).await;
            return;
        }
    }
}

pub(super) async fn crawl(run: &Arc<Run>, discovery: Option<Discovery>) -> Result<(), String> {
    if run.database.is_none() {
        run.console.line(lines::NOT_CONNECTED).await;
    }
    match discovery {
        _ if run.stop.is_cancelled() => Ok(()),
        Some(discovery) => {
            normal::work(run, discovery).await;
            Ok(())
        }
        None => {
            Err("the DHT is off, or libtorrent did not start: nothing can be discovered".into())
        }
    }
}

/// The metadata modes.
pub(super) async fn fetch(
    args: &Args,
    run: &Arc<Run>,
    holder: &Holder,
    limit: Option<Duration>,
) -> Result<(), String> {
    if run.stop.is_cancelled() {
        return Ok(());
    }
    let _limit = limit
        .map(|limit| AbortOnDropHandle::new(tokio::spawn(end_after(run.ending.clone(), limit))));
    let console = &run.console;
    let mode = if args.metadata_database {
        "DATABASE"
    } else {
        "ONLY"
    };
    let title = format!("=== METADATA-{mode} MODE ===");
    console.lines(vec![String::new(), title]).await;
    if run.database.is_none() {
        console.line(lines::NOT_CONNECTED).await;
    }
    let mut list = Vec::new();
    if let Some(argument) = args.metadata.clone() {
        let read = tokio::task::spawn_blocking(move || input::items(&argument)).await;
        match read {
            Ok(Ok(items)) => list = wanted(console, items).await,
            Ok(Err(error)) => complain(format_args!("{error}")),
            Err(error) => return Err(error.to_string()),
        }
        let total = list.len();
        let line = format!("Total hashes to fetch metadata for: {total}");
        console.line(line).await;
    }
    let count = u64::try_from(list.len()).unwrap_or(u64::MAX);
    let mut fetching = Fetching::new(list);
    if args.metadata_database {
        let tables = run
            .database
            .as_ref()
            .map(|database| database.tables.clone());
        let total = match &tables {
            Some(tables) => run.in_time(tables.backlog_total()).await,
            None => Ok(0),
        };
        let total = match total {
            Ok(total) => total,
            Err(error) => {
                complain(format_args!("Error counting records: {error}"));
                let function = "MySQLConnection::getTotalTorrentsWithMissingMetadata";
                run.log(function, error.to_string(), None).await;
                0
            }
        };
        let line = format!("Found {total} records with missing metadata");
        console.line(line).await;
        match tables.filter(|_| total > 0) {
            Some(tables) => fetching = fetching.with_rows(tables, holder.clone(), total),
            None => console.line(lines::NO_RECORDS).await,
        }
        if total == 0 && count == 0 {
            return Ok(());
        }
        console.line("Starting metadata-database mode...").await;
    } else {
        console.line("Starting metadata-only mode...").await;
    }
    let outcome = fetching.work(run).await;
    if run.stop.is_cancelled() {
        return Ok(());
    }
    let mut said = vec![String::new()];
    if args.metadata_database {
        said.push(if outcome.is_whole {
            lines::ALL_PROCESSED.to_owned()
        } else {
            lines::TIMEOUT_REACHED.to_owned()
        });
        said.push(format!(
            "Processed {} records successfully",
            outcome.received
        ));
    } else if outcome.received == count {
        said.push(lines::ALL_FETCHED.to_owned());
    } else {
        said.push(lines::TIMEOUT_REACHED.to_owned());
    }
    console.lines(said).await;
    Ok(())
}

/// Lets nothing new begin after this time.
async fn end_after(ending: CancellationToken, limit: Duration) {
    sleep(limit).await;
    ending.cancel();
}

/// The entries that can be fetched; tells them, and the others.
async fn wanted(console: &Console, items: Vec<Item>) -> Vec<Entry> {
    let mut list = Vec::new();
    for item in items {
        let line = match item {
            Item::Wanted(entry) => {
                let line = format!("Added hash for metadata fetch: {}", entry.text);
                list.push(*entry);
                line
            }
            Item::Invalid(text, why) => format!("Skipped invalid hash: {text} ({why})"),
            Item::Duplicate(text) => format!("Skipped duplicate hash: {text}"),
        };
        console.line(line).await;
    }
    list
}
