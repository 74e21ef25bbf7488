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

/// The most that a count is taken for, whatever the database says.
const MOST: f64 = 1e9;
/// The latest time that is believed: in the year 2248.
const LATEST: i64 = 1 << 43;

impl Weights {
    /// The same, faded further up to `now_ms`; unchanged where that is earlier. What can't be is
    /// made to be: counts between 0 and 10^9, at a time that may have come.
    #[must_use]
    pub fn faded(self, now_ms: i64) -> Self {
        let is_time = (0..=LATEST).contains(&self.at_ms);
        let at_ms = if is_time {
            self.at_ms.max(now_ms)
        } else {
            now_ms
        };
        let passed = if is_time {
            now_ms.saturating_sub(self.at_ms)
        } else {
            0
        };
        // Most peers have facts of one kind only.
        let fade = |weight: f64, half_life| match weight {
            weight if weight > 0.0 => weight.min(MOST) * fading(passed, half_life),
            _ => 0.0,
        };
        Self {
            delivered: fade(self.delivered, DELIVERED),
            unreachable: fade(self.unreachable, UNREACHABLE),
            unserved: fade(self.unserved, UNSERVED),
            misbehaved: fade(self.misbehaved, MISBEHAVED),
            at_ms,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FACTS: [Fact; 8] = [
        Fact::Delivered,
        Fact::Unreachable,
        Fact::Silent,
        Fact::Incapable,
        Fact::Misbehaved,
        Fact::NeedsEncryption,
        Fact::NotServed,
        Fact::Nothing,
    ];

    #[test]
    fn each_kind_fades_at_its_own_pace() {
        let mut weights = Weights::default();
        for fact in FACTS {
            weights.add(fact, 1_000);
        }
        let later = weights.faded(1_000 + UNSERVED);
        assert!((later.unserved - 1.0).abs() < 1e-9, "two, halved");
        assert!((later.unreachable - 1.0 / 64.0).abs() < 1e-9);
        assert!(later.misbehaved > 1.9 && later.delivered > 0.9);
        assert_eq!(later.faded(0), later, "time does not go back");
    }

    #[test]
    fn what_no_program_wrote_is_made_to_be() {
        let hostile = Weights {
            delivered: f64::NAN,
            unreachable: -1.0,
            unserved: f64::INFINITY,
            misbehaved: 1e300,
            at_ms: i64::MAX,
        };
        let expected = Weights {
            delivered: 0.0,
            unreachable: 0.0,
            unserved: MOST,
            misbehaved: MOST,
            at_ms: 5,
        };
        assert_eq!(hostile.faded(5), expected);
    }

    proptest! {
        #[test]
        fn counts_do_not_depend_on_the_order(
            observed in prop::collection::vec((0..FACTS.len(), 0..3 * DAY), 1..20),
        ) {
            let sum = |observed: &mut dyn Iterator<Item = &(usize, i64)>| {
                let mut weights = Weights::default();
                observed.for_each(|&(fact, at_ms)| weights.add(FACTS[fact], at_ms));
                weights
            };
            let one = sum(&mut observed.iter());
            let other = sum(&mut observed.iter().rev());
            prop_assert_eq!(one.at_ms, other.at_ms);
            for (one, other) in [
                (one.delivered, other.delivered),
                (one.unreachable, other.unreachable),
                (one.unserved, other.unserved),
                (one.misbehaved, other.misbehaved),
            ] {
                prop_assert!((one - other).abs() < 1e-9, "{one} {other}");
            }
        }
    }
}
