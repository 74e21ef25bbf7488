//! How long to wait for a connection.

use std::time::Duration;

use super::Quantiles;

/// Fewer observations than these say nothing.
const OBSERVATIONS: u32 = 20;
/// How long is waited until there are as many: a packet that got lost is sent again after 1 and 3 s.
const AT_FIRST: Duration = Duration::from_secs(5);
/// The share of peers that delivered whose connection came about in that time.
const SHARE: f64 = 0.9;
/// The room above that.
const MARGIN: f64 = 1.5;

/// From the connect times of peers that delivered: one and a half times their 90th percentile,
/// between `floor` and `cap`; 5 s, or `cap` where that is less, while there are few.
///
/// A connection that takes longer is not observed, so each timeout is made of those that the one before
/// let through. The margin keeps it from shrinking onto itself, and the attempts that explore wait for
/// the whole of `cap`: they see the slow peers, and widen it where there are many.
pub(super) fn connect_timeout<'a>(
    connect_times: impl Iterator<Item = &'a Quantiles>,
    floor: Duration,
    cap: Duration,
) -> Duration {
    let sum = Quantiles::sum(connect_times);
    let Some(bound) = sum.quantile(SHARE).filter(|_| sum.count() >= OBSERVATIONS) else {
        return cap.min(AT_FIRST);
    };
    bound.mul_f64(MARGIN).max(floor).min(cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Duration = Duration::from_millis(300);
    const CAP: Duration = Duration::from_secs(3);

    #[test]
    fn few_observations_say_nothing_and_many_are_bounded() {
        let of = |count: u32, ms| {
            let mut times = Quantiles::default();
            (0..count).for_each(|_| times.add(Duration::from_millis(ms)));
            connect_timeout([times].iter(), FLOOR, CAP)
        };
        assert_eq!(of(19, 10), CAP);
        assert_eq!(of(20, 10), FLOOR);
        assert_eq!(of(200, 10_000), CAP);
        assert_eq!(of(200, 512), Duration::from_millis(768));
        let first = connect_timeout([].iter(), FLOOR, Duration::from_secs(10));
        assert_eq!(first, AT_FIRST);
        let none = connect_timeout([].iter(), FLOOR, Duration::from_millis(100));
        assert_eq!(
            none,
            Duration::from_millis(100),
            "the cap is below the floor"
        );
    }

    /// Connect times of peers that serve: lognormal, half within 130 ms, 90 % within 450 ms.
    fn connect_times() -> impl Iterator<Item = Duration> {
        let mut state = 1_u64;
        let mut uniform = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            f64::from(u32::try_from(state >> 33).unwrap() + 1) / f64::from(1_u32 << 31)
        };
        std::iter::repeat_with(move || {
            let radius = (-2.0 * uniform().ln()).sqrt();
            let normal = radius * (std::f64::consts::TAU * uniform()).cos();
            Duration::from_secs_f64(0.130 * (0.969 * normal).exp())
        })
    }

    #[test]
    fn the_timeout_does_not_shrink_onto_itself() {
        let mut observed = Quantiles::default();
        let (mut lost, mut waited) = (0, Duration::ZERO);
        for (nth, time) in connect_times().take(20_000).enumerate() {
            let timeout = match nth % 12 {
                0 => CAP,
                _ => connect_timeout([observed].iter(), FLOOR, CAP),
            };
            waited += timeout;
            if time <= timeout {
                observed.add(time);
            } else {
                lost += 1;
            }
        }
        assert!(lost < 20_000 / 20, "{lost} of 20,000");
        assert!(waited < CAP * 20_000 / 2, "{waited:?}");
    }
}
