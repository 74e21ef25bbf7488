//! `metafetch stats`: what all attempts, hashes and tables add up to.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::listing::{Column, percent, print, print_json, table, width};
use super::store::StoreArgs;
use super::{Exit, Stop, time};
use crate::engine::timestamp;
use crate::store::{AttemptGroup, Counts, CrawlSession, Funnel, Latencies};

/// Runs that are shown, the latest ones.
const RUNS: u32 = 5;
/// How many of the latest attempts the quantiles are read from.
const SAMPLE: u32 = 10_000;

/// What all attempts add up to: rates, reasons, latencies, and how far hashes came.
///
/// Reads every attempt of the time that is asked for.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// Only what happened in this time, as in 24h or 7d
    #[arg(long, value_name = "TIME", value_parser = time::duration)]
    since: Option<Duration>,
    /// A JSON object
    #[arg(long)]
    json: bool,
}

/// Attempts that have something in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Tally {
    attempts: u64,
    delivered: u64,
}

/// Durations in milliseconds: each is an observed one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Spread {
    sample: usize,
    p50_ms: Option<u64>,
    p90_ms: Option<u64>,
    p99_ms: Option<u64>,
}

impl Spread {
    fn new(mut durations: Vec<u64>) -> Self {
        durations.sort_unstable();
        // The smallest that so many percent are not above.
        let at = |percent: usize| {
            let rank = (durations.len() * percent).div_ceil(100);
            durations.get(rank.saturating_sub(1)).copied()
        };
        Self {
            sample: durations.len(),
            p50_ms: at(50),
            p90_ms: at(90),
            p99_ms: at(99),
        }
    }
}

#[derive(Debug, Serialize)]
struct Statistics {
    since: Option<String>,
    first_attempt_at: Option<String>,
    last_attempt_at: Option<String>,
    hashes: BTreeMap<&'static str, u64>,
    attempts: Tally,
    by_arm: BTreeMap<&'static str, Tally>,
    by_way: BTreeMap<&'static str, Tally>,
    by_phase: BTreeMap<&'static str, u64>,
    by_reason: BTreeMap<&'static str, u64>,
    deliveries: Spread,
    connects: Spread,
    tables: BTreeMap<&'static str, u64>,
    database_bytes: u64,
    sessions: Vec<Session>,
}

/// A run of a command that fetches.
#[derive(Debug, Serialize)]
struct Session {
    id: String,
    command: String,
    status: &'static str,
    started_at: Option<String>,
    ended_at: Option<String>,
    duration_ms: i64,
    requested: u64,
    resolved: u64,
    from_store: u64,
    failed: u64,
    discovered: u64,
    queries: u64,
    answers: u64,
    attempts: u64,
    peak_resolved_per_minute: u64,
    peak_memory_kib: Option<u64>,
    cpu_ms: Option<u64>,
    errors: u64,
    error_message: String,
}

impl From<CrawlSession> for Session {
    fn from(row: CrawlSession) -> Self {
        let last_ms = row.ended_at_ms.unwrap_or(row.heartbeat_at_ms);
        Self {
            status: row.status.as_str(),
            started_at: timestamp(row.started_at_ms),
            ended_at: row.ended_at_ms.and_then(timestamp),
            duration_ms: last_ms.saturating_sub(row.started_at_ms).max(0),
            id: row.id,
            command: row.command,
            requested: row.requested,
            resolved: row.resolved,
            from_store: row.from_store,
            failed: row.failed,
            discovered: row.discovered,
            queries: row.queries,
            answers: row.answers,
            attempts: row.attempts,
            peak_resolved_per_minute: row.peak_resolved_per_minute,
            peak_memory_kib: row.peak_memory_kib,
            cpu_ms: row.cpu_ms,
            errors: row.errors,
            error_message: row.error_message,
        }
    }
}

/// The stages of the funnel, in their order.
fn stages(funnel: &Funnel) -> [(&'static str, u64); 7] {
    [
        ("asked", funnel.asked),
        ("had_peers", funnel.had_peers),
        ("connected", funnel.connected),
        ("handshake", funnel.handshake),
        ("extension", funnel.extension),
        ("transfer", funnel.transfer),
        ("verified", funnel.verified),
    ]
}

impl Statistics {
    fn new(
        since_ms: Option<i64>,
        groups: &[AttemptGroup],
        funnel: &Funnel,
        latencies: Latencies,
        counts: Counts,
        database_bytes: u64,
    ) -> Self {
        let mut statistics = Self {
            since: since_ms.and_then(timestamp),
            first_attempt_at: None,
            last_attempt_at: None,
            hashes: stages(funnel).into(),
            attempts: Tally::default(),
            by_arm: BTreeMap::new(),
            by_way: BTreeMap::new(),
            by_phase: BTreeMap::new(),
            by_reason: BTreeMap::new(),
            deliveries: Spread::new(latencies.deliveries_ms),
            connects: Spread::new(latencies.connects_ms),
            tables: [
                ("torrents", counts.torrents),
                ("pending", counts.pending),
                ("files", counts.files),
                ("failed_torrents", counts.failed_torrents),
                ("attempts", counts.attempts),
                ("peers", counts.peers),
                ("blocked", counts.blocked),
            ]
            .into(),
            database_bytes,
            sessions: Vec::new(),
        };
        for group in groups {
            statistics.add(group);
        }
        let firsts = groups.iter().map(|group| group.started_at_ms.0);
        let lasts = groups.iter().map(|group| group.started_at_ms.1);
        statistics.first_attempt_at = firsts.min().and_then(timestamp);
        statistics.last_attempt_at = lasts.max().and_then(timestamp);
        statistics
    }

    fn add(&mut self, group: &AttemptGroup) {
        let tallies = [
            &mut self.attempts,
            self.by_arm.entry(group.way.arm.as_str()).or_default(),
            self.by_way.entry(group.way.as_str()).or_default(),
        ];
        for tally in tallies {
            tally.attempts += group.attempts;
            if group.outcome.is_none() {
                tally.delivered += group.attempts;
            }
        }
        if let Some(reason) = group.outcome {
            *self.by_phase.entry(group.phase.as_str()).or_default() += group.attempts;
            *self.by_reason.entry(reason.as_str()).or_default() += group.attempts;
        }
    }
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<Exit, Stop> {
    let store = args.store.open_existing()?;
    let since_ms = args.since.map(time::before_now);
    let from_ms = since_ms.unwrap_or(i64::MIN);
    let funnel = store.funnel(from_ms).await?;
    let mut statistics = Statistics::new(
        since_ms,
        &store.attempt_groups(from_ms).await?,
        &funnel,
        store.latencies(from_ms, SAMPLE).await?,
        store.counts().await?,
        store.size().await?,
    );
    let sessions = store.sessions(RUNS).await?;
    statistics.sessions = sessions.into_iter().map(Session::from).collect();
    if args.json {
        print_json([&statistics])?;
    } else {
        let text = tables(&statistics, &funnel, width());
        print(|out| writeln!(out, "{text}"))?;
    }
    store.close().await;
    Ok(Exit::Done)
}

fn tables(statistics: &Statistics, funnel: &Funnel, width: u16) -> String {
    use Column::{Number, Whole};
    let sections = [
        table(
            &[Whole("HASHES"), Number("COUNT"), Number("OF ASKED")],
            hash_rows(funnel),
            width,
        ),
        table(
            &[
                Whole("ATTEMPTS BY ARM AND WAY"),
                Number("COUNT"),
                Number("DELIVERED"),
                Number("RATE"),
            ],
            attempt_rows(statistics),
            width,
        ),
        table(
            &[Whole("FAILED IN"), Number("COUNT"), Number("OF ATTEMPTS")],
            failure_rows(&statistics.by_phase, statistics.attempts.attempts),
            width,
        ),
        table(
            &[Whole("FAILED FOR"), Number("COUNT"), Number("OF ATTEMPTS")],
            failure_rows(&statistics.by_reason, statistics.attempts.attempts),
            width,
        ),
        table(
            &[
                Whole("TOOK, OF THE LATEST"),
                Number("MEDIAN"),
                Number("90%"),
                Number("99%"),
                Number("SAMPLE"),
            ],
            vec![
                spread_row("deliveries", &statistics.deliveries),
                spread_row("connections", &statistics.connects),
            ],
            width,
        ),
        table(
            &[Whole("STORED"), Number("ROWS")],
            table_rows(statistics),
            width,
        ),
        table(
            &[
                Whole("RUNS"),
                Column::Text("STATUS"),
                Number("TOOK"),
                Number("HASHES"),
                Number("RESOLVED"),
                Number("FAILED"),
            ],
            session_rows(&statistics.sessions),
            width,
        ),
    ];
    sections.join("\n\n")
}

fn hash_rows(funnel: &Funnel) -> Vec<Vec<String>> {
    let row = |(stage, hashes): (&str, u64)| {
        let share = percent(hashes, funnel.asked);
        vec![stage.replace('_', " "), hashes.to_string(), share]
    };
    stages(funnel).map(row).to_vec()
}

fn attempt_rows(statistics: &Statistics) -> Vec<Vec<String>> {
    let named = statistics.by_arm.iter().chain(&statistics.by_way);
    [(&"all", &statistics.attempts)]
        .into_iter()
        .chain(named)
        .map(|(name, tally)| {
            vec![
                (*name).to_owned(),
                tally.attempts.to_string(),
                tally.delivered.to_string(),
                percent(tally.delivered, tally.attempts),
            ]
        })
        .collect()
}

/// The most frequent first.
fn failure_rows(counts: &BTreeMap<&'static str, u64>, attempts: u64) -> Vec<Vec<String>> {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let row = |(name, count): (&&str, &u64)| {
        let share = percent(*count, attempts);
        vec![(*name).to_owned(), count.to_string(), share]
    };
    counts.into_iter().map(row).collect()
}

fn spread_row(name: &str, spread: &Spread) -> Vec<String> {
    let ms = |value: Option<u64>| value.map_or("-".to_owned(), |value| format!("{value} ms"));
    vec![
        name.to_owned(),
        ms(spread.p50_ms),
        ms(spread.p90_ms),
        ms(spread.p99_ms),
        spread.sample.to_string(),
    ]
}

fn table_rows(statistics: &Statistics) -> Vec<Vec<String>> {
    let tables = statistics.tables.iter();
    let mut rows: Vec<_> = tables
        .map(|(name, rows)| vec![name.replace('_', " "), rows.to_string()])
        .collect();
    let size = indicatif::HumanBytes(statistics.database_bytes).to_string();
    rows.push(vec!["size of the database".to_owned(), size]);
    rows
}

/// The latest first.
fn session_rows(sessions: &[Session]) -> Vec<Vec<String>> {
    let row = |session: &Session| {
        vec![
            session.command.clone(),
            session.status.to_owned(),
            time::span(session.duration_ms),
            session.requested.to_string(),
            session.resolved.to_string(),
            session.failed.to_string(),
        ]
    };
    sessions.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torrent::{Arm, Phase, Reason, Transport, Way};

    #[test]
    fn quantiles_are_observed_durations() {
        assert_eq!(Spread::new(Vec::new()), Spread::default());
        let one = Spread::new(vec![7]);
        assert_eq!((one.p50_ms, one.p99_ms, one.sample), (Some(7), Some(7), 1));
        let hundred = Spread::new((1..=100).rev().collect());
        let quantiles = (hundred.p50_ms, hundred.p90_ms, hundred.p99_ms);
        assert_eq!(quantiles, (Some(50), Some(90), Some(99)));
    }

    #[test]
    fn groups_add_up_by_each_of_their_sides() {
        let group = |way, outcome: Option<Reason>, attempts| AttemptGroup {
            way,
            phase: outcome.map_or(Phase::Verify, |_| Phase::Connect),
            outcome,
            attempts,
            started_at_ms: (1_000, 2_000),
        };
        let utp = Way::new(Arm::Libtorrent, Transport::Utp, false);
        let groups = [
            group(Way::plain(Arm::Libtorrent), None, 3),
            group(utp, None, 2),
            group(utp, Some(Reason::Refused), 4),
            group(Way::plain(Arm::Direct), Some(Reason::Refused), 1),
        ];
        let funnel = Funnel::default();
        let latencies = Latencies::default();
        let statistics =
            Statistics::new(None, &groups, &funnel, latencies, Counts::default(), 4096);
        let tally = |attempts, delivered| Tally {
            attempts,
            delivered,
        };
        assert_eq!(statistics.attempts, tally(10, 5));
        assert_eq!(statistics.by_arm["libtorrent"], tally(9, 5));
        assert_eq!(statistics.by_way["libtorrent:utp"], tally(6, 2));
        assert_eq!(statistics.by_reason["refused"], 5);
        assert_eq!(statistics.by_phase["connect"], 5);
        for width in [60, 80, 200] {
            let text = tables(&statistics, &funnel, width);
            assert!(
                text.lines().all(|line| line.len() <= width.into()),
                "{text}"
            );
        }
    }
}
