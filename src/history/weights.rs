//! Counts that fade: each kind of fact has a half-life of its own.

use super::Fact;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// How long until a delivery counts half, in milliseconds.
pub(super) const DELIVERED: i64 = 2 * DAY;
/// Of a connection that did not come about: whether a host answers changes by the minute.
pub(super) const UNREACHABLE: i64 = 10 * MINUTE;
/// Of a connection without metadata.
pub(super) const UNSERVED: i64 = 60 * MINUTE;
/// Of what its software can't do, or does wrong: that stays for days.
pub(super) const MISBEHAVED: i64 = 2 * DAY;

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

/// What is left of an observation after so many milliseconds; all of it before.
pub(super) fn fading(passed_ms: i64, half_life_ms: i64) -> f64 {
    if passed_ms <= 0 {
        return 1.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a lifetime fit")]
    let half_lives = passed_ms as f64 / half_life_ms as f64;
    (-half_lives).exp2()
}

impl Weights {
    /// The same, faded further up to `now_ms`; unchanged where that is earlier.
    #[must_use]
    pub fn faded(self, now_ms: i64) -> Self {
        let passed = now_ms.saturating_sub(self.at_ms);
        if passed <= 0 {
            return self;
        }
        // Most peers have facts of one kind only.
        let fade = |weight: f64, half_life| {
            if weight == 0.0 {
                return 0.0;
            }
            weight * fading(passed, half_life)
        };
        Self {
            delivered: fade(self.delivered, DELIVERED),
            unreachable: fade(self.unreachable, UNREACHABLE),
            unserved: fade(self.unserved, UNSERVED),
            misbehaved: fade(self.misbehaved, MISBEHAVED),
            at_ms: now_ms,
        }
    }

    /// Adds what was observed at `at_ms`. Observations may come in any order: an earlier one counts
    /// as much as is left of it.
    pub fn add(&mut self, fact: Fact, at_ms: i64) {
        *self = self.faded(at_ms);
        let late = self.at_ms.saturating_sub(at_ms);
        match fact {
            Fact::Delivered => self.delivered += fading(late, DELIVERED),
            Fact::Unreachable => self.unreachable += fading(late, UNREACHABLE),
            Fact::Silent | Fact::NotServed => self.unserved += fading(late, UNSERVED),
            Fact::Incapable | Fact::Misbehaved => self.misbehaved += fading(late, MISBEHAVED),
            Fact::NeedsEncryption | Fact::Nothing => {}
        }
    }
}
