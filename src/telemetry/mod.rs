//! What can be measured: one table of metrics, and how stations count in them.
//!
//! Whoever has a fact counts it where it is, with a [`Metric`] of the [`catalogue`]. Where nobody asked for metrics
//! ([`turn_on`]) that costs one relaxed load, so that `metafetch resolve` pays nothing for them.
//!
//! Values of labels are `&'static str`, names out of this program's own vocabulary. A hash, an address or a URL
//! can't become one, and the number of time series is bounded by that.

pub mod catalogue;
mod reference;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use metrics::{Key, Label, Level, Metadata, Unit};

pub use self::reference::markdown;

/// The target of the spans that say which hash a line of the log is about.
pub const HASH: &str = "metafetch::hash";

/// The target of spans within that one: stations and peers, for traces. The log has them only where traces are sent.
pub const TRACE: &str = "metafetch::trace";

/// Whether somebody asked for metrics.
static ON: AtomicBool = AtomicBool::new(false);

/// Where metrics come from, for recorders that filter by that.
static ORIGIN: Metadata<'static> =
    Metadata::new("metafetch", Level::INFO, Some("metafetch::telemetry"));

/// From now on metrics are counted by the recorder that was installed.
pub fn turn_on() {
    ON.store(true, Ordering::Release);
}

/// Whether metrics are counted.
#[must_use]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// It only grows, from 0 at the start of the process.
    Counter,
    /// How it is now.
    Gauge,
    /// How many values were at most so large, by these bounds.
    Histogram(&'static [f64]),
}

/// One metric of the [`catalogue`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Its name, with the unit at its end where it has one.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts, in lines.
    pub meaning: &'static [&'static str],
}

impl Metric {
    /// Counts `number` more. The values are those of [`Metric::labels`], in their order.
    pub fn add<const N: usize>(&self, values: [&'static str; N], number: u64) {
        if is_on() {
            let key = self.key(values);
            metrics::with_recorder(|to| to.register_counter(&key, &ORIGIN).increment(number));
        }
    }

    /// Says what a counter that is kept elsewhere has come to.
    pub fn reached<const N: usize>(&self, values: [&'static str; N], number: u64) {
        if is_on() {
            let key = self.key(values);
            metrics::with_recorder(|to| to.register_counter(&key, &ORIGIN).absolute(number));
        }
    }

    /// Says how a gauge is now.
    pub fn set<const N: usize>(&self, values: [&'static str; N], value: f64) {
        if is_on() {
            let key = self.key(values);
            metrics::with_recorder(|to| to.register_gauge(&key, &ORIGIN).set(value));
        }
    }

    /// Changes a gauge by so much.
    pub fn change<const N: usize>(&self, values: [&'static str; N], by: f64) {
        if is_on() {
            let key = self.key(values);
            metrics::with_recorder(|to| to.register_gauge(&key, &ORIGIN).increment(by));
        }
    }

    /// As [`set`](Self::set), of a count.
    pub fn set_count<const N: usize>(&self, values: [&'static str; N], count: u64) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "what is counted stays below 2^52"
        )]
        self.set(values, count as f64);
    }

    /// Puts a value into a histogram.
    pub fn observe<const N: usize>(&self, values: [&'static str; N], value: f64) {
        if is_on() {
            let key = self.key(values);
            metrics::with_recorder(|to| to.register_histogram(&key, &ORIGIN).record(value));
        }
    }

    /// Puts a time into a histogram of seconds.
    pub fn took<const N: usize>(&self, values: [&'static str; N], time: Duration) {
        self.observe(values, time.as_secs_f64());
    }

    /// Begins to measure a time; see [`Timer::ends`].
    #[must_use]
    pub fn starts(&'static self) -> Timer {
        Timer {
            metric: self,
            at: Instant::now(),
        }
    }

    fn key<const N: usize>(&self, values: [&'static str; N]) -> Key {
        debug_assert_eq!(self.labels.len(), N, "{}", self.name);
        let labels = self.labels.iter().zip(values);
        let labels = labels.map(|(name, value)| Label::from_static_parts(name, value));
        Key::from_parts(self.name, labels.collect::<Vec<_>>())
    }

    /// Tells the recorder what it means.
    pub fn describe(&self) {
        let name = self.name.into();
        let meaning = self.summary().into();
        let unit = if self.name.ends_with("_seconds") {
            Some(Unit::Seconds)
        } else if self.name.ends_with("_bytes") {
            Some(Unit::Bytes)
        } else {
            None
        };
        metrics::with_recorder(|to| match self.kind {
            Kind::Counter => to.describe_counter(name, unit, meaning),
            Kind::Gauge => to.describe_gauge(name, unit, meaning),
            Kind::Histogram(_) => to.describe_histogram(name, unit, meaning),
        });
    }

    /// What it counts, in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let lines = self.meaning.iter().map(|line| line.trim());
        lines.collect::<Vec<_>>().join(" ")
    }
}

/// A time that is being measured.
#[derive(Debug)]
pub struct Timer {
    metric: &'static Metric,
    at: Instant,
}

impl Timer {
    /// Puts the time since the start into the histogram.
    pub fn ends<const N: usize>(self, values: [&'static str; N]) {
        self.metric.took(values, self.at.elapsed());
    }
}
