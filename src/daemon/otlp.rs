//! Traces: what each hash went through, sent to an OpenTelemetry collector by OTLP over HTTP.
//!
//! Spans wait in a bounded queue for a thread of their own. A collector that is slow or away costs spans, and nothing else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

use super::log::LogError;
use crate::config::OtlpUrl;

/// How long the collector may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// The way of spans to the collector.
#[derive(Debug)]
pub(super) struct Traces(SdkTracerProvider);

/// Sends one of `sample` traces there. Opens no connection before the first one.
pub(super) fn traces(url: &OtlpUrl, sample: u32) -> Result<Traces, LogError> {
    let wrong = |error: String| LogError::Otlp(error);
    // It brings a runtime of its own, which must not begin or end inside of another one.
    let client = thread::spawn(|| {
        reqwest::blocking::Client::builder()
            // Not where the environment's proxy leads.
            .no_proxy()
            .timeout(ANSWERS_WITHIN)
            .build()
    });
    let client = client
        .join()
        .map_err(|_| wrong("its HTTP client did not start".to_owned()))?
        .map_err(|error| wrong(error.to_string()))?;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(url.as_str())
        .with_timeout(ANSWERS_WITHIN)
        .build()
        .map_err(|error| wrong(error.to_string()))?;
    let resource = Resource::builder()
        .with_service_name("metafetch")
        .with_attribute(opentelemetry::KeyValue::new(
            "service.version",
            env!("CARGO_PKG_VERSION"),
        ));
    let share = Sampler::TraceIdRatioBased(1.0 / f64::from(sample.max(1)));
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(Told {
            exporter,
            failed: AtomicBool::new(false),
        })
        .with_sampler(Sampler::ParentBased(Box::new(share)))
        .with_resource(resource.build())
        .build();
    Ok(Traces(provider))
}

impl Traces {
    /// What turns spans of the log into spans of traces.
    pub(super) fn layer<S>(&self) -> OpenTelemetryLayer<S, opentelemetry_sdk::trace::SdkTracer>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("metafetch"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
    }

    /// Sends what waits.
    pub(super) fn end(&self) {
        // What could not be sent was said.
        let _ = self.0.shutdown_with_timeout(ANSWERS_WITHIN);
    }
}

/// Says once that the collector does not take spans, and once that it does again.
#[derive(Debug)]
struct Told<E> {
    exporter: E,
    failed: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Told<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let sent = self.exporter.export(batch).await;
        let had_failed = self.failed.swap(sent.is_err(), Ordering::Relaxed);
        match &sent {
            Err(error) if !had_failed => {
                tracing::warn!("the collector of `telemetry.otlp` takes no traces: {error}");
            }
            Ok(()) if had_failed => tracing::warn!("the collector of traces takes them again"),
            _ => {}
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// A collector that takes one request, and hands on its path and body.
    fn collector() -> (OtlpUrl, mpsc::Receiver<(String, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::channel();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = Vec::new();
            let mut chunk = [0; 4096];
            loop {
                let read = stream.read(&mut chunk).unwrap();
                bytes.extend(&chunk[..read]);
                let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
                    continue;
                };
                let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
                let length = text
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .unwrap();
                let length: usize = length.trim().parse().unwrap();
                if bytes.len() >= head + 4 + length {
                    let path = text.split(' ').nth(1).unwrap().to_owned();
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(answer).unwrap();
                    let _ = sender.send((path, bytes.split_off(head + 4)));
                    return;
                }
            }
        });
        (OtlpUrl::parse(&url).unwrap(), requests)
    }

    fn has(bytes: &[u8], text: &str) -> bool {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    }

    // In a runtime, as the daemon has one.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_collector_is_sent_the_spans_of_a_hash() {
        let (url, requests) = collector();
        let traces = traces(&url, 1).unwrap();
        let registry = tracing_subscriber::registry().with(traces.layer());
        tracing::subscriber::with_default(registry, || {
            let hash = tracing::error_span!(target: "metafetch::hash", "hash", infohash = "ab12cd", id = "0badcafe");
            let _entered = hash.enter();
            let station = tracing::error_span!(target: "metafetch::trace", "gate");
            station.in_scope(|| tracing::info!(outcome = "open"));
        });
        let ended = tokio::task::spawn_blocking(move || traces.end());
        ended.await.unwrap();
        let (path, body) = requests.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(path, "/v1/traces");
        for text in ["metafetch", "hash", "ab12cd", "0badcafe", "gate", "open"] {
            assert!(has(&body, text), "{text}");
        }
    }
}
