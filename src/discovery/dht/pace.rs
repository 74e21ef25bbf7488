//! The buckets behind [`DhtLimits`].
//!
//! A bucket hands out turns in advance: who comes is told how long to wait, once, and no crowd wakes
//! up for one token. That, and that lookups go before the crawl, is what rate limiting crates do not
//! have.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as TurnMutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use super::limits::{DhtLimits, Purpose};
use crate::torrent::PeerAddr;

/// What a bucket saves up: timers have a grain of a millisecond, and at thousands a second turns must
/// come several at once.
const BURST: Duration = Duration::from_millis(100);
/// Queries that may go to one address at once.
const PER_IP_BURST: u32 = 4;
/// How long a query waits for the limit of its address before it is refused.
const PER_IP_WAIT: Duration = Duration::from_secs(1);
/// Addresses that are remembered. Those whose limit is not used are forgotten first.
const MAX_IPS: usize = 65_536;

/// A token bucket by time: what is taken moves the time at which the bucket is even again.
#[derive(Debug)]
struct Bucket {
    /// What one token costs.
    cost: Duration,
    burst: Duration,
    even_at: Mutex<Option<Instant>>,
}

impl Bucket {
    fn new(per_second: u32, burst: Duration) -> Self {
        let cost = Duration::from_secs(1) / per_second.max(1);
        Self {
            cost,
            burst: burst.max(cost),
            even_at: Mutex::new(None),
        }
    }

    fn cost_of(&self, tokens: u64) -> Duration {
        self.cost
            .saturating_mul(u32::try_from(tokens).unwrap_or(u32::MAX))
    }

    /// How long until there is something to take.
    fn wait(&self, now: Instant) -> Duration {
        let even_at = lock(&self.even_at).unwrap_or(now);
        (even_at.saturating_duration_since(now) + self.cost).saturating_sub(self.burst)
    }

    /// Takes tokens, and says how long to wait before they are used.
    fn take(&self, now: Instant, tokens: u64) -> Duration {
        let mut even_at = lock(&self.even_at);
        let ahead = even_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let ahead = ahead + self.cost_of(tokens);
        *even_at = Some(now + ahead);
        ahead.saturating_sub(self.burst)
    }
}

/// When each address may be asked again.
#[derive(Debug)]
struct PerIp {
    cost: Duration,
    even_at: Mutex<HashMap<IpAddr, Instant>>,
}

impl PerIp {
    /// How long to wait before this address is asked; `None` where that is too long.
    fn take(&self, addr: &PeerAddr, now: Instant) -> Option<Duration> {
        if addr.is_local() {
            return Some(Duration::ZERO);
        }
        let mut all = lock(&self.even_at);
        if all.len() >= MAX_IPS {
            all.retain(|_, even_at| *even_at > now);
        }
        if all.len() >= MAX_IPS {
            // So many addresses are at their limit only where there is no other one.
            return Some(Duration::ZERO);
        }
        let even_at = all.entry(network(addr.ip())).or_insert(now);
        let ahead = even_at.saturating_duration_since(now) + self.cost;
        let wait = ahead.saturating_sub(self.cost * PER_IP_BURST);
        if wait > PER_IP_WAIT {
            return None;
        }
        *even_at = now + ahead;
        Some(wait)
    }
}

/// What one host has: an address of IPv4, a /64 of IPv6.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

/// Leave to send one query; holds its place among those in flight.
#[derive(Debug)]
pub(super) struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_crawl: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
pub(super) struct Pace {
    per_ip: Option<PerIp>,
    in_flight: Arc<Semaphore>,
    crawl_in_flight: Arc<Semaphore>,
    packets: Option<Bucket>,
    crawl_packets: Option<Bucket>,
    bytes: Option<Bucket>,
    /// Held by the one query of the crawl that waits for tokens; the others wait for it.
    crawl_turn: TurnMutex<()>,
}

impl Pace {
    pub(super) fn new(limits: &DhtLimits) -> Self {
        let in_flight = limits.in_flight.clamp(1, Semaphore::MAX_PERMITS);
        let crawl_packets = limits.packets_per_second.map(|all| {
            let part = limits.crawl_part(usize::try_from(all).unwrap_or(usize::MAX));
            Bucket::new(u32::try_from(part).unwrap_or(all), BURST)
        });
        Self {
            per_ip: limits.per_ip_per_second.map(|per_second| PerIp {
                cost: Duration::from_secs(1) / per_second.max(1),
                even_at: Mutex::default(),
            }),
            in_flight: Arc::new(Semaphore::new(in_flight)),
            crawl_in_flight: Arc::new(Semaphore::new(limits.crawl_part(in_flight))),
            packets: limits.packets_per_second.map(|all| Bucket::new(all, BURST)),
            crawl_packets,
            bytes: limits.bytes_per_second.map(|all| Bucket::new(all, BURST)),
            crawl_turn: TurnMutex::new(()),
        }
    }

    /// A turn, where nothing has to be waited for and no limit is set.
    pub(super) fn turn_now(&self, purpose: Purpose, to: PeerAddr) -> Option<Turn> {
        let unlimited = self.packets.is_none()
            && self.bytes.is_none()
            && (self.per_ip.is_none() || to.is_local());
        if !unlimited {
            return None;
        }
        let of_crawl = match purpose {
            Purpose::Crawl => Some(Arc::clone(&self.crawl_in_flight).try_acquire_owned().ok()?),
            Purpose::Lookup => None,
        };
        let of_all = Arc::clone(&self.in_flight).try_acquire_owned().ok()?;
        Some(Turn {
            _of_all: of_all,
            _of_crawl: of_crawl,
        })
    }

    /// Waits for a turn; `None` where this address was asked too often. Cancel-safe: what was taken
    /// from a bucket by then is lost to it.
    pub(super) async fn turn(&self, purpose: Purpose, to: PeerAddr, bytes: u64) -> Option<Turn> {
        if let Some(per_ip) = &self.per_ip {
            let wait = per_ip.take(&to, Instant::now())?;
            if wait > Duration::ZERO {
                sleep(wait).await;
            }
        }
        // The semaphores are never closed.
        let of_crawl = match purpose {
            Purpose::Crawl => Some(
                Arc::clone(&self.crawl_in_flight)
                    .acquire_owned()
                    .await
                    .ok()?,
            ),
            Purpose::Lookup => None,
        };
        let of_all = Arc::clone(&self.in_flight).acquire_owned().await.ok()?;
        let wait = match purpose {
            Purpose::Lookup => self.take(bytes),
            Purpose::Crawl => {
                let _turn = self.crawl_turn.lock().await;
                self.wait_for_leftovers().await;
                if let Some(bucket) = &self.crawl_packets {
                    bucket.take(Instant::now(), 1);
                }
                self.take(bytes)
            }
        };
        if wait > Duration::ZERO {
            sleep(wait).await;
        }
        Some(Turn {
            _of_all: of_all,
            _of_crawl: of_crawl,
        })
    }

    fn take(&self, bytes: u64) -> Duration {
        let now = Instant::now();
        let wait = |bucket: &Option<Bucket>, tokens| {
            (bucket.as_ref()).map_or(Duration::ZERO, |bucket| bucket.take(now, tokens))
        };
        wait(&self.packets, 1).max(wait(&self.bytes, bytes))
    }

    /// Waits until every bucket has something that no lookup has taken.
    async fn wait_for_leftovers(&self) {
        loop {
            let now = Instant::now();
            let wait = [&self.packets, &self.crawl_packets, &self.bytes]
                .into_iter()
                .flatten()
                .map(|bucket| bucket.wait(now))
                .max()
                .unwrap_or_default();
            if wait.is_zero() {
                return;
            }
            sleep(wait).await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
