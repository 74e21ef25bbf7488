//! How far a crawl is: what was counted, in all and in the last minute, as a screen, a line and JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::cli::listing::percent;
use crate::cli::rate::Minute;
use crate::cli::time;
use crate::torrent::Reason;

/// Reasons of failure that a screen names.
const REASONS: usize = 4;

/// What was counted since the start. In the order of the funnel: each stage is fed by the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Totals {
    /// DHT nodes that were met.
    pub(super) nodes: u64,
    /// DHT queries, of the crawl and of lookups.
    pub(super) queries: u64,
    /// Those that were answered.
    pub(super) answers: u64,
    /// Infohashes in samples, also repeated ones.
    pub(super) samples: u64,
    /// Distinct hashes that were discovered.
    pub(super) hashes: u64,
    /// Hashes for which peers were looked for.
    pub(super) lookups: u64,
    /// Peers that were found.
    pub(super) peers: u64,
    /// Attempts at peers.
    pub(super) attempts: u64,
    /// Hashes that were resolved, but for those that the store knew.
    pub(super) resolved: u64,
    /// Hashes that the store knew.
    pub(super) from_store: u64,
    /// Hashes that were not resolved; those that the end of the crawl cut short are not among them.
    pub(super) failed: u64,
}

impl Totals {
    /// The stages, by name.
    fn stages(&self) -> [(&'static str, u64); 11] {
        [
            ("nodes", self.nodes),
            ("queries", self.queries),
            ("answers", self.answers),
            ("samples", self.samples),
            ("hashes", self.hashes),
            ("lookups", self.lookups),
            ("peers", self.peers),
            ("attempts", self.attempts),
            ("resolved", self.resolved),
            ("from_store", self.from_store),
            ("failed", self.failed),
        ]
    }
}

/// How the crawl is just now.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Now {
    /// How the DHT node is.
    pub(super) dht: String,
    /// Nodes that are known.
    pub(super) known_nodes: usize,
    /// Of these, those that answered the last time.
    pub(super) good_nodes: usize,
    /// DHT queries a second that the crawl allows itself.
    pub(super) pace: f32,
    /// Hashes that wait.
    pub(super) waiting: usize,
    /// Hashes in work.
    pub(super) in_work: u64,
}

/// What is shown.
#[derive(Debug)]
pub(super) struct Funnel {
    started: Instant,
    totals: Totals,
    minutes: [Minute; 11],
    per_minute: BTreeMap<&'static str, u64>,
    reasons: BTreeMap<Reason, u64>,
    now: Now,
}

/// A line of `--format jsonl` that says how far the crawl is.
#[derive(Debug, Serialize)]
struct Line<'a> {
    status: &'a str,
    elapsed_ms: u64,
    total: &'a Totals,
    per_minute: &'a BTreeMap<&'static str, u64>,
    reasons: &'a BTreeMap<Reason, u64>,
    now: &'a Now,
}

impl Funnel {
    pub(super) fn start() -> Self {
        Self {
            started: Instant::now(),
            totals: Totals::default(),
            minutes: std::array::from_fn(|_| Minute::default()),
            per_minute: BTreeMap::new(),
            reasons: BTreeMap::new(),
            now: Now::default(),
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// A hash failed.
    pub(super) fn failed(&mut self, reason: Reason) {
        *self.reasons.entry(reason).or_default() += 1;
    }

    /// Takes new counts; about once a second.
    pub(super) fn note(&mut self, totals: Totals, now: Now) {
        let at = Instant::now();
        for (minute, (name, total)) in self.minutes.iter_mut().zip(totals.stages()) {
            self.per_minute.insert(name, minute.note(at, total));
        }
        self.totals = totals;
        self.now = now;
    }

    fn rate(&self, name: &str) -> u64 {
        self.per_minute.get(name).copied().unwrap_or(0)
    }

    /// The reasons of failure, the most frequent first.
    fn reasons(&self) -> String {
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let rest: u64 = reasons.iter().skip(REASONS).map(|(_, count)| **count).sum();
        let mut named: Vec<_> = reasons
            .iter()
            .take(REASONS)
            .map(|(reason, count)| format!("{} {reason}", grouped(**count)))
            .collect();
        if rest > 0 {
            named.push(format!("{} other", grouped(rest)));
        }
        named.join(", ")
    }

    fn span(&self) -> String {
        time::span(i64::try_from(self.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    /// What a terminal shows: lines of `width` characters at most.
    pub(super) fn screen(&self, width: usize) -> String {
        let Self { totals, now, .. } = self;
        let about = |name| match name {
            "nodes" => format!(
                "{} known, {} answered lately",
                grouped(count(now.known_nodes)),
                grouped(count(now.good_nodes))
            ),
            "queries" => format!("up to {:.0} a second just now", now.pace),
            "answers" => format!("{} of the queries", percent(totals.answers, totals.queries)),
            "hashes" => format!("{} wait", grouped(count(now.waiting))),
            "lookups" => format!("{} in work", grouped(now.in_work)),
            "resolved" => format!(
                "{} of the lookups",
                percent(totals.resolved, totals.lookups)
            ),
            "failed" => self.reasons(),
            _ => String::new(),
        };
        let mut lines = vec![
            format!("crawling for {}   the DHT: {}", self.span(), now.dht),
            format!("{:<10} {:>12} {:>15}", "", "last minute", "in all"),
        ];
        for (name, total) in totals.stages() {
            let shown = name.replace('_', " ");
            let rate = grouped(self.rate(name));
            let line = format!(
                "{shown:<10} {rate:>12} {:>15}   {}",
                grouped(total),
                about(name)
            );
            lines.push(line.trim_end().to_owned());
        }
        let cut = |line: &String| line.chars().take(width).collect::<String>();
        lines.iter().map(cut).collect::<Vec<_>>().join("\n")
    }

    /// One line for those who have no terminal.
    pub(super) fn line(&self) -> String {
        let part = |(name, total): (&str, u64)| {
            let name = name.replace('_', " ");
            format!("{total} {name} (+{})", self.rate(&name.replace(' ', "_")))
        };
        let stages: Vec<_> = self.totals.stages().map(part).into();
        let reasons = self.reasons();
        let reasons = if reasons.is_empty() {
            reasons
        } else {
            format!(": {reasons}")
        };
        format!(
            "{}: {}{reasons}; {} wait, {} in work; the DHT: {}",
            self.span(),
            stages.join(", "),
            self.now.waiting,
            self.now.in_work,
            self.now.dht
        )
    }

    /// The same as JSON.
    pub(super) fn json(&self, status: &str) -> String {
        let line = Line {
            status,
            elapsed_ms: u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX),
            total: &self.totals,
            per_minute: &self.per_minute,
            reasons: &self.reasons,
            now: &self.now,
        };
        // Strings, numbers and maps of them never fail to serialise.
        serde_json::to_string(&line).unwrap_or_default()
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn funnel() -> Funnel {
        let mut funnel = Funnel::start();
        for (reason, times) in [
            (Reason::NoPeers, 5),
            (Reason::ConnectTimeout, 3),
            (Reason::Refused, 2),
            (Reason::Closed, 2),
            (Reason::Reset, 1),
        ] {
            for _ in 0..times {
                funnel.failed(reason);
            }
        }
        let totals = Totals {
            nodes: 14_203,
            queries: 1_203_332,
            answers: 1_000_000,
            resolved: 9,
            failed: 13,
            lookups: 22,
            ..Totals::default()
        };
        let now = Now {
            dht: "312 nodes".to_owned(),
            waiting: 1_234,
            ..Now::default()
        };
        funnel.note(totals, now);
        funnel
    }

    #[test]
    fn the_screen_fits_and_says_what_there_is() {
        let funnel = funnel();
        let wide = funnel.screen(120);
        for part in ["1,203,332", "83.1%", "5 no_peers", "1 other", "1,234 wait"] {
            assert!(wide.contains(part), "{part}: {wide}");
        }
        for line in funnel.screen(40).lines() {
            assert!(line.chars().count() <= 40, "{line}");
        }
    }

    #[test]
    fn a_line_is_one_line_and_json_says_the_same() {
        let funnel = funnel();
        let line = funnel.line();
        assert!(!line.contains('\n'), "{line}");
        assert!(line.contains("9 resolved (+9)"), "{line}");
        let json: serde_json::Value = serde_json::from_str(&funnel.json("running")).unwrap();
        assert_eq!(json["status"], "running");
        assert_eq!(json["total"]["queries"], 1_203_332);
        assert_eq!(json["per_minute"]["resolved"], 9);
        assert_eq!(json["reasons"]["no_peers"], 5);
        assert_eq!(json["now"]["dht"], "312 nodes");
    }
}
