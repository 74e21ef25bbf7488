//! The documentation, the dashboard and the alerts know only metrics that there are.

use std::path::{Path, PathBuf};

use metafetch::telemetry::{Kind, Metric, catalogue, markdown};

/// With this variable the documentation is written anew.
const WRITE: &str = "METAFETCH_WRITE_DOCS";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

#[test]
fn the_table_of_metrics_is_that_of_the_code() {
    let file = "docs/metrics.md";
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(path(file), markdown()).unwrap();
    }
    assert!(
        read(file) == markdown(),
        "{file} is old: {WRITE}=1 cargo test --test observability"
    );
}

/// Names of metrics and what stands in the braces behind them.
fn uses(text: &str) -> Vec<(String, String)> {
    let mut uses = Vec::new();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = text;
    while let Some(at) = rest.find("metafetch_") {
        let before = rest[..at].chars().next_back();
        rest = &rest[at..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if before.is_none_or(|c| !is_name(c)) {
            let labels = after.strip_prefix('{').and_then(|it| it.split_once('}'));
            let labels = labels.map_or("", |(labels, _)| labels);
            uses.push((name.to_owned(), labels.to_owned()));
        }
        rest = after;
    }
    uses
}

fn metric_of(name: &str) -> Option<&'static Metric> {
    catalogue::ALL.iter().copied().find(|metric| {
        let rest = name.strip_prefix(metric.name);
        match metric.kind {
            Kind::Histogram(_) => matches!(rest, Some("_bucket" | "_sum" | "_count")),
            Kind::Counter | Kind::Gauge => rest == Some(""),
        }
    })
}

/// Whether all metrics that are used in there exist, with these labels.
fn check(file: &str, text: &str, at_least: usize) {
    let uses = uses(text);
    assert!(uses.len() >= at_least, "{file}: {uses:?}");
    for (name, labels) in uses {
        let metric = metric_of(&name).unwrap_or_else(|| panic!("{file}: there is no {name}"));
        for matcher in labels
            .split(',')
            .filter(|matcher| !matcher.trim().is_empty())
        {
            let label = matcher.split(['=', '!']).next().unwrap().trim();
            assert!(
                metric.labels.contains(&label) || ["instance", "job", "le"].contains(&label),
                "{file}: {name} has no label {label}"
            );
        }
    }
}

#[test]
fn alerts_use_metrics_that_there_are() {
    let file = "contrib/prometheus/alerts.yml";
    // What is no rule may say more than names of metrics.
    check(file, &read(file), 15);
}

#[test]
fn the_dashboard_is_json_and_uses_metrics_that_there_are() {
    let file = "contrib/grafana/metafetch.json";
    let dashboard: serde_json::Value = serde_json::from_str(&read(file)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let expressions: Vec<&str> = targets
        .flatten()
        .map(|target| target["expr"].as_str().unwrap())
        .collect();
    check(file, &expressions.join("\n"), 50);
    // Whatever is counted can be seen.
    for metric in catalogue::ALL {
        let is_used = expressions.iter().any(|it| it.contains(metric.name));
        let is_minor = [
            "metafetch_build_info",
            "metafetch_lookups_total",
            "metafetch_libtorrent_alerts_dropped_total",
        ];
        assert!(
            is_used || is_minor.contains(&metric.name),
            "{}",
            metric.name
        );
    }
    let ids: std::collections::HashSet<u64> =
        panels.iter().map(|it| it["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
}

#[test]
fn the_check_of_these_files_can_fail() {
    assert!(metric_of("metafetch_no_such_total").is_none());
    // A histogram has no series of its own name.
    assert!(metric_of("metafetch_resolve_seconds").is_none());
    assert!(metric_of("metafetch_resolve_seconds_bucket").is_some());
    let found = uses("sum(rate(metafetch_a{x=\"1\", y!=\"2\"}[5m])) + metafetch_b");
    let labels = "x=\"1\", y!=\"2\"".to_owned();
    assert_eq!(
        found,
        [
            ("metafetch_a".to_owned(), labels),
            ("metafetch_b".to_owned(), String::new())
        ]
    );
}
