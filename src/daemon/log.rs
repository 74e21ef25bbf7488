//! The log of the service: lines on stderr as text or JSON, with a filter that can change while it runs.

use std::io::{self, IsTerminal as _};

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

#[cfg(feature = "opentelemetry")]
use super::otlp::{self, Traces};
use crate::config::{LogFilter, LogFormat, LogKeys, TelemetryKeys};
use crate::telemetry::catalogue::LOG_LINES;

/// systemd says by this variable that stderr is its journal, which has a time for each line.
const JOURNAL: &str = "JOURNAL_STREAM";

/// The log of this process.
#[derive(Debug)]
pub struct Log {
    filter: reload::Handle<Targets, Registry>,
    has_traces: bool,
    #[cfg(feature = "opentelemetry")]
    traces: Option<Traces>,
}

/// Why there is no log as it was configured.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Traces can't be sent.
    #[error("traces can't be sent to `telemetry.otlp`: {0}")]
    Otlp(String),
}

/// Starts logging. The first start of a process stays; others change nothing of it.
///
/// # Errors
/// No traces can be sent, although they are to be.
pub fn start(keys: &LogKeys, telemetry: &TelemetryKeys) -> Result<Log, LogError> {
    #[cfg(feature = "opentelemetry")]
    let traces = (telemetry.otlp.as_ref())
        .map(|url| otlp::traces(url, telemetry.sample))
        .transpose()?;
    let has_traces = telemetry.otlp.is_some();
    let (filter, handle) = reload::Layer::new(keys.filter.targets(has_traces));
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(lines(keys.format, io::stderr))
        .with(Counted);
    #[cfg(feature = "opentelemetry")]
    let registry = registry.with(traces.as_ref().map(Traces::layer));
    let _ = registry.try_init();
    Ok(Log {
        filter: handle,
        has_traces,
        #[cfg(feature = "opentelemetry")]
        traces,
    })
}

impl Log {
    /// Shows other lines from now on.
    pub fn set_filter(&self, filter: &LogFilter) {
        // Fails only where nothing logs any more.
        let _ = self.filter.reload(filter.targets(self.has_traces));
    }

    /// Sends the traces that wait. Blocks for some seconds at most.
    pub fn end(&self) {
        #[cfg(feature = "opentelemetry")]
        if let Some(traces) = &self.traces {
            traces.end();
        }
    }
}

/// What writes lines.
fn lines<S, W>(format: LogFormat, to: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(to);
    match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
        LogFormat::Text => {
            let lines = lines.with_ansi(io::stderr().is_terminal());
            if std::env::var_os(JOURNAL).is_some() {
                lines.without_time().boxed()
            } else {
                lines.boxed()
            }
        }
    }
}

/// Counts lines that somebody should read.
struct Counted;

impl<S: tracing::Subscriber> Layer<S> for Counted {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        match *event.metadata().level() {
            Level::ERROR => LOG_LINES.add(["error"], 1),
            Level::WARN => LOG_LINES.add(["warn"], 1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Buffer {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn logged(format: LogFormat, filter: &str, change: Option<&str>) -> String {
        let buffer = Buffer::default();
        let to = buffer.clone();
        let filter = LogFilter::parse(filter).unwrap();
        let (layer, handle) = reload::Layer::new(filter.targets(false));
        let log = Log {
            filter: handle,
            has_traces: false,
            #[cfg(feature = "opentelemetry")]
            traces: None,
        };
        let registry = tracing_subscriber::registry()
            .with(layer)
            .with(lines(format, move || to.clone()));
        tracing::subscriber::with_default(registry, || {
            if let Some(change) = change {
                log.set_filter(&LogFilter::parse(change).unwrap());
            }
            let span = tracing::error_span!(target: "metafetch::hash", "hash", infohash = "ab12", id = "7f");
            let _entered = span.enter();
            tracing::debug!(target: "metafetch::engine", station = "gate", "detail");
            tracing::warn!(target: "metafetch::engine", peers = 3, "line\nwith \u{1b}[31m");
        });
        buffer.text()
    }

    #[test]
    fn lines_of_json_are_objects_that_name_the_hash() {
        let text = logged(LogFormat::Json, "info", None);
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 1, "{text}");
        let line = &lines[0];
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["peers"], 3);
        assert_eq!(line["span"]["infohash"], "ab12");
        assert_eq!(line["span"]["id"], "7f");
        assert!(line["timestamp"].is_string(), "{line}");
    }

    #[test]
    fn a_filter_changes_while_it_runs() {
        let before = logged(LogFormat::Text, "warn", None);
        assert!(!before.contains("detail"), "{before}");
        let after = logged(LogFormat::Text, "warn", Some("debug"));
        assert!(after.contains("detail"), "{after}");
        assert!(after.contains("ab12"), "{after}");
        let less = logged(LogFormat::Text, "debug", Some("off"));
        assert_eq!(less, "");
    }
}
