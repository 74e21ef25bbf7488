//! Durations in few bytes, from which quantiles are read.

use std::time::Duration;

/// The upper bound of the first bucket, in milliseconds.
const FIRST_MS: f64 = 4.0;

/// A histogram of durations: the bounds of its buckets grow by √2 each, from 4 ms to 16 s. A bucket
/// that is full halves them all, so that old observations fade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles([u8; Self::BUCKETS]);

impl Quantiles {
    /// How many buckets there are, each a byte.
    pub const BUCKETS: usize = 24;

    /// From the bytes of [`Quantiles::as_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// As it is stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many observations count.
    #[must_use]
    pub fn count(&self) -> u32 {
        Self::sum([self].into_iter()).count()
    }

    /// Adds a duration.
    pub fn add(&mut self, duration: Duration) {
        let steps = 2.0 * (duration.as_secs_f64() * 1_000.0 / FIRST_MS).log2();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "clamped to the buckets"
        )]
        let bucket = steps.ceil().clamp(0.0, (Self::BUCKETS - 1) as f64) as usize;
        if self.0.get(bucket) == Some(&u8::MAX) {
            for count in &mut self.0 {
                *count /= 2;
            }
        }
        if let Some(count) = self.0.get_mut(bucket) {
            *count += 1;
        }
    }

    /// The bound that this share (0 to 1) of the observations is under; `None` without any.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        Self::sum([self].into_iter()).quantile(share)
    }

    /// All observations of several together.
    pub(super) fn sum<'a>(all: impl Iterator<Item = &'a Self>) -> Sum {
        let mut sum = Sum([0; Self::BUCKETS]);
        for one in all {
            for (to, from) in sum.0.iter_mut().zip(one.0) {
                *to += u32::from(from);
            }
        }
        sum
    }
}

/// The observations of several [`Quantiles`].
pub(super) struct Sum([u32; Quantiles::BUCKETS]);

impl Sum {
    /// How many observations count.
    pub(super) fn count(&self) -> u32 {
        self.0.iter().sum()
    }

    /// The bound that this share (0 to 1) of the observations is under; `None` without any.
    pub(super) fn quantile(&self, share: f64) -> Option<Duration> {
        let wanted = share * f64::from(self.count());
        let mut sum = 0.0;
        let bucket = self.0.iter().position(|&count| {
            sum += f64::from(count);
            count > 0 && sum >= wanted
        })?;
        #[expect(clippy::cast_precision_loss, reason = "below 24")]
        let bound = FIRST_MS * (bucket as f64 / 2.0).exp2();
        Some(Duration::from_secs_f64(bound / 1_000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_bounds_from_above_within_a_step() {
        let mut quantiles = Quantiles::default();
        assert_eq!(quantiles.quantile(0.5), None);
        for ms in 1..=100 {
            quantiles.add(Duration::from_millis(ms));
        }
        let median = quantiles.quantile(0.5).unwrap().as_secs_f64() * 1_000.0;
        assert!((50.0..=50.0 * 1.42).contains(&median), "{median}");
        let ninth = quantiles.quantile(0.9).unwrap().as_secs_f64() * 1_000.0;
        assert!((90.0..=90.0 * 1.42).contains(&ninth), "{ninth}");
    }

    #[test]
    fn the_latest_thousand_outweigh_what_was() {
        let mut quantiles = Quantiles::default();
        for _ in 0..1_000 {
            quantiles.add(Duration::from_secs(100));
        }
        for _ in 0..1_000 {
            quantiles.add(Duration::ZERO);
        }
        assert_eq!(quantiles.quantile(0.5), Some(Duration::from_millis(4)));
        assert_eq!(Quantiles::from_bytes(quantiles.as_bytes()), Some(quantiles));
    }
}
