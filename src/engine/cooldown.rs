//! How long a hash that failed is left alone.

use std::time::Duration;

use crate::torrent::{Category, Reason};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The least cooldown after the second, third, … failure in a row.
const GROWTH: [Duration; 5] = [
    Duration::from_secs(600),
    HOUR,
    Duration::from_secs(6 * 3600),
    DAY,
    Duration::from_secs(3 * 24 * 3600),
];

/// How long a hash cools down that failed for `reason`, for the `failures`th time in a row. `None`
/// where the failure says nothing about the hash.
#[must_use]
pub fn cooldown(reason: Reason, failures: u32) -> Option<Duration> {
    let first = match reason.category() {
        Category::NoPeers => 5 * MINUTE,
        Category::Timeout | Category::Capability | Category::Misbehaviour => 10 * MINUTE,
        Category::Connection => 2 * MINUTE,
        Category::Content => 3 * DAY,
        Category::Local => return None,
    };
    let grown = failures.checked_sub(2).map_or(Duration::ZERO, |index| {
        let index = usize::try_from(index)
            .unwrap_or(usize::MAX)
            .min(GROWTH.len() - 1);
        GROWTH.get(index).copied().unwrap_or_default()
    });
    Some(first.max(grown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cooldown_depends_on_the_reason_and_then_grows() {
        assert_eq!(cooldown(Reason::NoPeers, 1), Some(5 * MINUTE));
        assert_eq!(cooldown(Reason::ConnectTimeout, 1), Some(10 * MINUTE));
        assert_eq!(cooldown(Reason::Refused, 1), Some(2 * MINUTE));
        assert_eq!(cooldown(Reason::Cancelled, 1), None);
        let grown = [10 * MINUTE, HOUR, 6 * HOUR, DAY, 3 * DAY, 3 * DAY];
        for (failures, expected) in (2..).zip(grown) {
            assert_eq!(cooldown(Reason::Refused, failures), Some(expected));
        }
        assert_eq!(cooldown(Reason::InvalidInfoDict, 1), Some(3 * DAY));
    }
}
