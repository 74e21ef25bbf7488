//! The metrics for people.

use std::fmt::Write as _;

use super::Kind;
use super::catalogue::ALL;

/// The metrics of the process itself, which are those of every program that Prometheus knows.
const PROCESS: [(&str, &str); 8] = [
    ("process_cpu_seconds_total", "CPU time, user and system."),
    ("process_open_fds", "Open file descriptors."),
    ("process_max_fds", "How many may be open."),
    ("process_resident_memory_bytes", "Memory in use."),
    ("process_virtual_memory_bytes", "Memory that is mapped."),
    ("process_virtual_memory_max_bytes", "How much may be."),
    (
        "process_start_time_seconds",
        "When the process began, as seconds since 1970.",
    ),
    ("process_threads", "Threads."),
];

/// All metrics as a table in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics

<!-- Made of src/telemetry/catalogue.rs: `METAFETCH_WRITE_DOCS=1 cargo test --test observability`; a test fails where it is old. -->

`GET /metrics` of the daemon has these, in the text format of Prometheus. [Observability](observability.md) says how to use them.
Reasons and phases are those of [outcomes](outcomes.md). A series appears once it has a first value.

| metric | kind | labels | what it is |
|---|---|---|---|
",
    );
    for metric in ALL {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let labels: Vec<String> = metric.labels.iter().map(|it| format!("`{it}`")).collect();
        let _ = writeln!(
            text,
            "| `{}` | {kind} | {} | {} |",
            metric.name,
            labels.join(", "),
            metric.summary()
        );
    }
    for (name, meaning) in PROCESS {
        let kind = if name.ends_with("_total") {
            "counter"
        } else {
            "gauge"
        };
        let _ = writeln!(text, "| `{name}` | {kind} | | {meaning} |");
    }
    text
}
