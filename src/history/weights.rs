//! Counts that fade: each kind of fact has a half-life of its own.

use crate::torrent::{Category, Phase, Reason};

const MINUTE_MS: f64 = 60_000.0;

/// How long until an observation counts half, in milliseconds, by kind.
///
/// Whether a host answers changes by the minute; what its software can do stays for days.
const DELIVERED: f64 = 2.0 * 24.0 * 60.0 * MINUTE_MS;
const UNREACHABLE: f64 = 10.0 * MINUTE_MS;
const UNSERVED: f64 = 60.0 * MINUTE_MS;
const MISBEHAVED: f64 = 2.0 * 24.0 * 60.0 * MINUTE_MS;

/// How often each kind of thing was observed, faded up to `at_ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weights {
    /// It delivered.
    pub delivered: f64,
    /// No connection came about.
    pub unreachable: f64,
    /// A connection, but no metadata: it closed, rejected, or fell silent.
    pub unserved: f64,
    /// It can't, by its software, or broke the protocol, or sent wrong bytes.
    pub misbehaved: f64,
    /// Up to when they are faded: UTC, milliseconds since 1970.
    pub at_ms: i64,
}

impl Weights {
    /// The same, faded further up to `now_ms`; unchanged where that is earlier.
    #[must_use]
    pub fn faded(self, now_ms: i64) -> Self {
        let passed = now_ms.saturating_sub(self.at_ms);
        if passed <= 0 {
            return self;
        }
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a lifetime fit")]
        let fade = |half_life: f64| (-(passed as f64) / half_life).exp2();
        Self {
            delivered: self.delivered * fade(DELIVERED),
            unreachable: self.unreachable * fade(UNREACHABLE),
            unserved: self.unserved * fade(UNSERVED),
            misbehaved: self.misbehaved * fade(MISBEHAVED),
            at_ms: now_ms,
        }
    }

    /// Adds what was observed at `at_ms`.
    pub(super) fn observe(&mut self, outcome: Option<Reason>, phase: Phase, at_ms: i64) {
        *self = self.faded(at_ms);
        let Some(reason) = outcome else {
            self.delivered += 1.0;
            return;
        };
        match reason.category() {
            Category::Local | Category::Content | Category::NoPeers => {}
            Category::Misbehaviour => self.misbehaved += 1.0,
            Category::Capability if reason == Reason::NoExtensionProtocol => self.misbehaved += 1.0,
            Category::Timeout | Category::Connection if phase <= Phase::Connect => {
                self.unreachable += 1.0;
            }
            Category::Timeout | Category::Connection | Category::Capability => self.unserved += 1.0,
        }
    }
}
