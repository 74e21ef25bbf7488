//! How much may be asked: requests of one client a second, requests and streams at a time. Whoever is beyond a
//! limit is told at once, and when to come again.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;
use crate::config::ApiKeys;

/// Clients that are remembered before those are forgotten who have been quiet: some 5 MB.
const CLIENTS: usize = 50_000;
/// Short questions to the store at a time.
const READS: u32 = 6;
/// Questions that go through much of the store at a time.
const LONG_READS: u32 = 2;
/// Connections of the store that all these questions may have at a time. A store has more, so that the service itself
/// always finds one.
pub(in crate::daemon) const CONNECTIONS: u32 = READS + LONG_READS;
/// Hashes of all batches that are looked up and written as lines at a time.
const LOOKUPS: usize = 4;
/// Answers of at most so many bytes are bounded by the number of requests alone.
pub(super) const SMALL: usize = 64 << 10;
/// The room for all larger ones, in KiB.
const ROOM: u32 = 192 << 10;

/// What the service can bear.
pub(super) struct Limits {
    rate: Mutex<Option<(u32, Arc<DefaultKeyedRateLimiter<IpAddr>>)>>,
    requests: Places,
    /// Listeners to events.
    pub(super) listeners: Places,
    /// Batches that are streamed.
    pub(super) batches: Places,
    /// Diagnoses.
    pub(super) diagnoses: Places,
    /// Short questions to the store.
    pub(super) reads: Arc<Semaphore>,
    /// Long ones.
    pub(super) long_reads: Arc<Semaphore>,
    /// Lookups of batches.
    pub(super) lookups: Semaphore,
    room: Arc<Semaphore>,
}

/// Room for the bytes of an answer, for as long as they are in memory; none is taken for a small one. Clones are the same
/// room.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    _taken: Option<Arc<OwnedSemaphorePermit>>,
}

/// So many at a time, by a number that may change.
pub(super) struct Places {
    taken: Arc<Semaphore>,
    what: &'static str,
}

/// A place that is taken.
pub(super) type Place = OwnedSemaphorePermit;

impl Places {
    fn new(what: &'static str) -> Self {
        let taken = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self { taken, what }
    }

    /// Takes one of `most` places, or says that there is none.
    pub(super) fn take(&self, most: u32) -> Result<Place, Problem> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let taken = self.taken();
        let place = self.taken.clone().try_acquire_owned();
        match place {
            Ok(place) if taken < most => Ok(place),
            _ => Err(Problem::busy(
                "busy",
                format!("{most} {} are being served, which is the most", self.what),
            )),
        }
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        Semaphore::MAX_PERMITS.saturating_sub(self.taken.available_permits())
    }
}

impl Limits {
    pub(super) fn new() -> Self {
        Self {
            rate: Mutex::new(None),
            requests: Places::new("requests"),
            listeners: Places::new("listeners to events"),
            batches: Places::new("batches"),
            diagnoses: Places::new("diagnoses"),
            reads: Arc::new(Semaphore::new(READS as usize)),
            long_reads: Arc::new(Semaphore::new(LONG_READS as usize)),
            lookups: Semaphore::new(LOOKUPS),
            room: Arc::new(Semaphore::new(ROOM as usize)),
        }
    }

    /// Room for so many bytes, or the answer that there is none.
    pub(super) fn room(&self, bytes: usize) -> Result<Room, Problem> {
        if bytes <= SMALL {
            return Ok(Room::default());
        }
        let taken = self.room.clone().try_acquire_many_owned(kib(bytes));
        let taken = taken.map_err(|_| {
            Problem::busy("busy", "too many large answers are being sent: ask again")
        })?;
        Ok(Room {
            _taken: Some(Arc::new(taken)),
        })
    }

    /// The same, once there is room.
    pub(super) async fn room_in_time(&self, bytes: usize) -> Room {
        if bytes <= SMALL {
            return Room::default();
        }
        // Never closed.
        let taken = self.room.clone().acquire_many_owned(kib(bytes)).await;
        Room {
            _taken: taken.ok().map(Arc::new),
        }
    }

    /// A place for a request, for as long as its answer is not sent.
    pub(super) fn request(&self, keys: &ApiKeys) -> Result<Place, Problem> {
        self.requests.take(keys.requests)
    }

    /// Counts a request of this client.
    pub(super) fn count(&self, keys: &ApiKeys, client: IpAddr) -> Result<(), Problem> {
        let Some(limiter) = self.limiter(keys.rate) else {
            return Ok(());
        };
        let client = client.to_canonical();
        if client.is_loopback() && !keys.rate_loopback {
            return Ok(());
        }
        if limiter.len() > CLIENTS {
            limiter.retain_recent();
        }
        limiter.check_key(&network(client)).map_err(|early| {
            let wait = early.wait_time_from(DefaultClock::default().now());
            let detail = format!("more than {} requests a second (`api.rate`)", keys.rate);
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).after(wait)
        })
    }

    /// The limiter of this rate; `None` where there is no limit. Another rate begins anew.
    fn limiter(&self, rate: u32) -> Option<Arc<DefaultKeyedRateLimiter<IpAddr>>> {
        let rate = NonZeroU32::new(rate)?;
        let mut limiter = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, limiter)) = &*limiter
            && *of == rate.get()
        {
            return Some(limiter.clone());
        }
        let new = Arc::new(RateLimiter::keyed(Quota::per_second(rate)));
        *limiter = Some((rate.get(), new.clone()));
        Some(new)
    }
}

/// What is larger than all the room takes all of it.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).map_or(ROOM, |kib| kib.min(ROOM))
}

/// Whoever has one address of a /64 has all of them.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(ip) => {
            let prefix = ip.to_bits() & (u128::MAX << 64);
            Ipv6Addr::from_bits(prefix).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_a_network_and_others_are_not_held_up() {
        let limits = Limits::new();
        let keys = ApiKeys {
            rate: 3,
            ..ApiKeys::default()
        };
        let passed = |client: &str| {
            let client = client.parse().unwrap();
            (0..20)
                .filter(|_| limits.count(&keys, client).is_ok())
                .count()
        };
        assert_eq!(passed("192.0.2.1"), 3);
        assert_eq!(passed("192.0.2.2"), 3);
        assert_eq!(passed("::ffff:192.0.2.1"), 0);
        assert_eq!(passed("2001:db8::1"), 3);
        assert_eq!(passed("2001:db8::2"), 0);
        assert_eq!(passed("2001:db8:0:1::1"), 3);
        assert_eq!(passed("127.0.0.1"), 20);
    }

    #[test]
    fn a_rate_that_changes_holds_at_once() {
        let limits = Limits::new();
        let client = "192.0.2.1".parse().unwrap();
        let passed = |rate| {
            let keys = ApiKeys {
                rate,
                ..ApiKeys::default()
            };
            (0..20)
                .filter(|_| limits.count(&keys, client).is_ok())
                .count()
        };
        assert_eq!(passed(2), 2);
        assert_eq!(passed(5), 5);
        assert_eq!(passed(0), 20);
    }

    #[test]
    fn large_answers_share_the_room_until_they_are_gone() {
        let limits = Limits::new();
        let all = limits.room(usize::MAX).unwrap();
        assert_eq!(limits.room(SMALL + 1).unwrap_err().reason(), "busy");
        assert!(limits.room(SMALL).is_ok());
        let clone = all.clone();
        drop(all);
        assert!(limits.room(SMALL + 1).is_err());
        drop(clone);
        let halves: Vec<_> = (0..3)
            .map(|_| limits.room((ROOM as usize / 2) << 10).is_ok())
            .collect();
        assert_eq!(halves, [true, true, true]);
        let held: Vec<_> = (0..3)
            .map(|_| limits.room((ROOM as usize / 2) << 10))
            .collect();
        assert!(held[0].is_ok() && held[1].is_ok() && held[2].is_err());
    }

    #[test]
    fn places_come_back() {
        let places = Places::new("things");
        let first = places.take(2).unwrap();
        let _second = places.take(2).unwrap();
        assert_eq!(places.take(2).unwrap_err().reason(), "busy");
        drop(first);
        assert!(places.take(2).is_ok());
        assert!(places.take(1).is_err());
    }
}
