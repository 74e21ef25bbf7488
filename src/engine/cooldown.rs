//! How long a hash that failed is left alone.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::torrent::{Category, Reason};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long hashes cool down. [`Default`] is what [`Cooldowns`]' fields say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cooldowns {
    /// After no source knew a peer: 5 minutes.
    pub no_peers: Duration,
    /// After a peer was too slow: 10 minutes.
    pub timeout: Duration,
    /// After a connection failed or ended: 2 minutes.
    pub connection: Duration,
    /// After a peer could not serve metadata, or would not: 10 minutes.
    pub capability: Duration,
    /// After a peer broke the protocol or sent wrong bytes: 10 minutes.
    pub misbehaviour: Duration,
    /// After the right bytes were no torrent: 3 days.
    pub content: Duration,
    /// Instead of the above, for single reasons. Zero: the reason has no cooldown, however often.
    pub reasons: BTreeMap<Reason, Duration>,
    /// The least cooldown after the second, third, … failure in a row; the last one stays: 10 minutes,
    /// 1 hour, 6 hours, 1 day, 3 days. Without any the cooldown does not grow.
    pub growth: Vec<Duration>,
    /// No hash cools down, not even those that the store says should.
    pub off: bool,
}

impl Default for Cooldowns {
    fn default() -> Self {
        Self {
            no_peers: 5 * MINUTE,
            timeout: 10 * MINUTE,
            connection: 2 * MINUTE,
            capability: 10 * MINUTE,
            misbehaviour: 10 * MINUTE,
            content: 3 * DAY,
            reasons: BTreeMap::new(),
            growth: vec![10 * MINUTE, HOUR, 6 * HOUR, DAY, 3 * DAY],
            off: false,
        }
    }
}

impl Cooldowns {
    /// How long a hash cools down at the most.
    #[must_use]
    pub fn longest(&self) -> Duration {
        if self.off {
            return Duration::ZERO;
        }
        let of_categories = [
            self.no_peers,
            self.timeout,
            self.connection,
            self.capability,
            self.misbehaviour,
            self.content,
        ];
        let all = of_categories.iter().chain(self.reasons.values());
        all.chain(&self.growth).copied().max().unwrap_or_default()
    }

    /// How long a hash cools down that failed for `reason`, for the `failures`th time in a row. `None`
    /// where the failure says nothing about the hash.
    #[must_use]
    pub fn after(&self, reason: Reason, failures: u32) -> Option<Duration> {
        let of_category = match reason.category() {
            Category::NoPeers => self.no_peers,
            Category::Timeout => self.timeout,
            Category::Connection => self.connection,
            Category::Capability => self.capability,
            Category::Misbehaviour => self.misbehaviour,
            Category::Content => self.content,
            Category::Local => return None,
        };
        let first = self.reasons.get(&reason).copied().unwrap_or(of_category);
        if self.off || first.is_zero() {
            return Some(Duration::ZERO);
        }
        let grown = failures.checked_sub(2).and_then(|index| {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            self.growth.get(index).or(self.growth.last())
        });
        Some(first.max(grown.copied().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cooldown_depends_on_the_reason_and_then_grows() {
        let cooldowns = Cooldowns::default();
        assert_eq!(cooldowns.after(Reason::NoPeers, 1), Some(5 * MINUTE));
        assert_eq!(
            cooldowns.after(Reason::ConnectTimeout, 1),
            Some(10 * MINUTE)
        );
        assert_eq!(cooldowns.after(Reason::Refused, 1), Some(2 * MINUTE));
        assert_eq!(cooldowns.after(Reason::Cancelled, 1), None);
        let grown = [10 * MINUTE, HOUR, 6 * HOUR, DAY, 3 * DAY, 3 * DAY];
        for (failures, expected) in (2..).zip(grown) {
            assert_eq!(cooldowns.after(Reason::Refused, failures), Some(expected));
        }
        assert_eq!(cooldowns.after(Reason::Refused, u32::MAX), Some(3 * DAY));
        assert_eq!(cooldowns.after(Reason::InvalidInfoDict, 1), Some(3 * DAY));
        assert_eq!(cooldowns.longest(), 3 * DAY);
    }

    #[test]
    fn a_reason_goes_before_its_category_and_zero_means_none() {
        let cooldowns = Cooldowns {
            reasons: [(Reason::Refused, HOUR), (Reason::Reset, Duration::ZERO)].into(),
            ..Cooldowns::default()
        };
        assert_eq!(cooldowns.after(Reason::Refused, 1), Some(HOUR));
        assert_eq!(cooldowns.after(Reason::Refused, 4), Some(6 * HOUR));
        assert_eq!(cooldowns.after(Reason::Reset, 9), Some(Duration::ZERO));
        assert_eq!(cooldowns.after(Reason::Closed, 1), Some(2 * MINUTE));
    }

    #[test]
    fn without_growth_it_stays_and_off_is_none_at_all() {
        let flat = Cooldowns {
            growth: Vec::new(),
            ..Cooldowns::default()
        };
        assert_eq!(flat.after(Reason::NoPeers, 9), Some(5 * MINUTE));
        let off = Cooldowns {
            off: true,
            ..Cooldowns::default()
        };
        assert_eq!(off.after(Reason::NoPeers, 9), Some(Duration::ZERO));
        assert_eq!(off.longest(), Duration::ZERO);
        assert_eq!(off.after(Reason::Internal, 9), None);
    }
}
