//! What may be open at a time: connections, in all and to one address and network; connection requests, and
//! how many a second; and memory for dictionaries that come in.
//!
//! ```text
//! per IP -> per network -> connections -> half-open -> connects a second -> dial -> first block -> memory
//! ```
//!
//! Whoever is over a limit waits for its turn, first come first served, and takes nothing of those behind
//! it meanwhile; or passes the peer over, where there are others. Connection requests have an order of their own:
//! see [`Turns`].

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::sleep;

use super::turns::Turns;
use crate::torrent::{Network, PeerAddr};

/// What the direct arm may have open at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections, 1 at least. Each is a file descriptor.
    pub connections: usize,
    /// Connection requests without an answer yet, 1 at least.
    pub half_open: usize,
    /// Connection requests a second; `None` for no limit.
    pub connects_per_second: Option<NonZeroU32>,
    /// Connections to one IP address, 1 at least.
    pub per_ip: usize,
    /// Connections to one network, a /24 of IPv4 or a /64 of IPv6, 1 at least.
    pub per_network: usize,
    /// Bytes of dictionaries that come in, taken when the first block of one comes. Claims above 1 MiB, which
    /// few torrents have and liars like, get half of it, those above 128 KiB a quarter and the others the
    /// rest; one of any allowed size is let in where there is no other.
    pub memory: u64,
    /// Whether loopback and private addresses, where they are allowed at all, are exempt from the limits of
    /// one address and one network: there are few of them, and their peers are many.
    pub exempts_local: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2000,
            half_open: 1000,
            connects_per_second: NonZeroU32::new(5000),
            per_ip: 16,
            per_network: 128,
            memory: 512 << 20,
            exempts_local: true,
        }
    }
}

/// Bytes above which a claim is a large one.
const LARGE: usize = 1 << 20;
/// Bytes up to which a claim is a small one, as most are.
const SMALL: usize = 128 << 10;

/// The limits at work.
#[derive(Debug)]
pub(super) struct Gates {
    exempts_local: bool,
    addresses: PerKey<IpAddr>,
    networks: PerKey<Network>,
    most_connections: usize,
    connections: Semaphore,
    /// Who waits for leave to send a connection request.
    turns: Turns,
    half_open: Semaphore,
    rate: Option<Rate>,
    /// For large claims, for small ones, and for those between.
    large: Memory,
    medium: Memory,
    small: Memory,
}

/// Leave to hold a connection; given back when dropped.
#[derive(Debug)]
pub struct Slot<'a> {
    _of_address: Option<Held<'a, IpAddr>>,
    _of_network: Option<Held<'a, Network>>,
    _connection: Option<SemaphorePermit<'a>>,
}

/// Leave to wait for the answer to a connection request.
#[derive(Debug)]
pub(super) struct Dialling<'a> {
    _half_open: Option<SemaphorePermit<'a>>,
}

/// Memory for a dictionary; given back when dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    _kib: Option<OwnedSemaphorePermit>,
}

impl Gates {
    pub(super) fn new(limits: &Limits) -> Self {
        let connections = limits.connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            exempts_local: limits.exempts_local,
            addresses: PerKey::new(limits.per_ip),
            networks: PerKey::new(limits.per_network),
            most_connections: connections,
            connections: Semaphore::new(connections),
            turns: Turns::default(),
            half_open: Semaphore::new(limits.half_open.clamp(1, Semaphore::MAX_PERMITS)),
            rate: limits.connects_per_second.map(Rate::new),
            large: Memory::new(limits.memory / 2),
            medium: Memory::new(limits.memory / 4),
            small: Memory::new(limits.memory / 4),
        }
    }

    /// Connections that can be opened right now.
    pub(super) fn free(&self) -> usize {
        self.connections.available_permits()
    }

    /// The share of the connections that is taken, 0 to 1.
    pub(super) fn load(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let free = self.free() as f64 / self.most_connections as f64;
        1.0 - free
    }

    /// Waits for leave to hold a connection to this peer.
    pub(super) async fn slot(&self, peer: PeerAddr) -> Slot<'_> {
        let (mut of_address, mut of_network) = (None, None);
        if !(self.exempts_local && peer.is_local()) {
            of_address = Some(self.addresses.hold(peer.ip()).await);
            of_network = Some(self.networks.hold(Network::of(&peer)).await);
        }
        Slot {
            _of_address: of_address,
            _of_network: of_network,
            // No semaphore here is ever closed; without a permit the limit is merely not kept.
            _connection: self.connections.acquire().await.ok(),
        }
    }

    /// Leave to hold a connection to this peer, if there is room for it at once.
    pub(super) fn try_slot(&self, peer: PeerAddr) -> Option<Slot<'_>> {
        let (mut of_address, mut of_network) = (None, None);
        if !(self.exempts_local && peer.is_local()) {
            of_address = Some(self.addresses.try_hold(peer.ip())?);
            of_network = Some(self.networks.try_hold(Network::of(&peer))?);
        }
        Some(Slot {
            _of_address: of_address,
            _of_network: of_network,
            _connection: Some(self.connections.try_acquire().ok()?),
        })
    }

    /// Waits for leave to send a connection request for a hash that has sent so many `before`. To be dropped once
    /// it is answered, or given up.
    pub(super) async fn dial(&self, before: u32) -> Dialling<'_> {
        let _turn = self.turns.turn(before).await;
        let half_open = self.half_open.acquire().await.ok();
        if let Some(rate) = &self.rate {
            rate.wait().await;
        }
        Dialling {
            _half_open: half_open,
        }
    }

    /// The memory for dictionaries of so many bytes.
    pub(super) fn memory(&self, bytes: usize) -> Memory {
        let memory = if bytes <= SMALL {
            &self.small
        } else if bytes <= LARGE {
            &self.medium
        } else {
            &self.large
        };
        memory.clone()
    }
}

/// Memory by the KiB. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    kib: Arc<Semaphore>,
    most: u32,
}

impl Memory {
    pub(super) fn new(bytes: u64) -> Self {
        // 2^31 KiB are 2 TiB.
        let most = u32::try_from(bytes / 1024)
            .unwrap_or(u32::MAX)
            .clamp(1, 1 << 31);
        Self {
            kib: Arc::new(Semaphore::new(most as usize)),
            most,
        }
    }

    fn kib(&self, bytes: usize) -> u32 {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        kib.min(self.most)
    }

    /// Waits for memory for a dictionary of so many bytes.
    pub(super) async fn reserve(&self, bytes: usize) -> Reserved {
        let kib = Arc::clone(&self.kib).acquire_many_owned(self.kib(bytes));
        Reserved {
            _kib: kib.await.ok(),
        }
    }

    /// The same, if it is there at once and nobody waits for it.
    pub(super) fn try_reserve(&self, bytes: usize) -> Option<Reserved> {
        let kib = Arc::clone(&self.kib).try_acquire_many_owned(self.kib(bytes));
        Some(Reserved {
            _kib: Some(kib.ok()?),
        })
    }

    /// Whether most of it is taken.
    pub(super) fn is_short(&self) -> bool {
        self.kib.available_permits() < self.most as usize / 2
    }
}

/// Connection requests a second.
#[derive(Debug)]
struct Rate {
    limiter: DefaultDirectRateLimiter,
    clock: DefaultClock,
}

impl Rate {
    fn new(per_second: NonZeroU32) -> Self {
        Self {
            limiter: RateLimiter::direct(Quota::per_second(per_second)),
            clock: DefaultClock::default(),
        }
    }

    /// To be called by one at a time, or all would wake for one request.
    async fn wait(&self) {
        while let Err(later) = self.limiter.check() {
            sleep(later.wait_time_from(self.clock.now())).await;
        }
    }
}

/// So many at a time of each key. Keys that nobody holds take no memory.
#[derive(Debug)]
struct PerKey<K> {
    most: usize,
    held: Mutex<HashMap<K, Entry>>,
}

#[derive(Debug)]
struct Entry {
    permits: Arc<Semaphore>,
    /// How many hold it or wait for it.
    users: usize,
}

impl<K: Copy + Eq + Hash> PerKey<K> {
    fn new(most: usize) -> Self {
        Self {
            most: most.clamp(1, Semaphore::MAX_PERMITS),
            held: Mutex::default(),
        }
    }

    /// One more user of this key, also where it stops waiting.
    fn user(&self, key: K) -> (User<'_, K>, Arc<Semaphore>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = held.entry(key).or_insert_with(|| Entry {
            permits: Arc::new(Semaphore::new(self.most)),
            users: 0,
        });
        entry.users = entry.users.saturating_add(1);
        (User { of: self, key }, Arc::clone(&entry.permits))
    }

    async fn hold(&self, key: K) -> Held<'_, K> {
        let (user, permits) = self.user(key);
        Held {
            _permit: permits.acquire_owned().await.ok(),
            _user: user,
        }
    }

    fn try_hold(&self, key: K) -> Option<Held<'_, K>> {
        let (user, permits) = self.user(key);
        Some(Held {
            _permit: Some(permits.try_acquire_owned().ok()?),
            _user: user,
        })
    }
}

/// One of those that a key may have; given back when dropped.
#[derive(Debug)]
struct Held<'a, K: Copy + Eq + Hash> {
    _permit: Option<OwnedSemaphorePermit>,
    _user: User<'a, K>,
}

/// Whoever holds a key, or waits for it.
#[derive(Debug)]
struct User<'a, K: Copy + Eq + Hash> {
    of: &'a PerKey<K>,
    key: K,
}

impl<K: Copy + Eq + Hash> Drop for User<'_, K> {
    fn drop(&mut self) {
        let mut held = self.of.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = held.get_mut(&self.key) {
            entry.users = entry.users.saturating_sub(1);
            if entry.users == 0 {
                held.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use tokio::time::Instant;

    use super::*;

    fn gates(change: impl FnOnce(&mut Limits)) -> Gates {
        let mut limits = Limits::default();
        change(&mut limits);
        Gates::new(&limits)
    }

    fn addr(text: &str) -> PeerAddr {
        text.parse().unwrap()
    }

    /// Whether there is leave at once.
    fn has_leave<'a>(gates: &'a Gates, peer: &str) -> Option<Slot<'a>> {
        gates.slot(addr(peer)).now_or_never()
    }

    #[test]
    fn one_address_and_one_network_have_so_many_connections() {
        let gates = gates(|limits| (limits.per_ip, limits.per_network) = (2, 3));
        let first = has_leave(&gates, "8.8.8.8:1");
        let second = has_leave(&gates, "8.8.8.8:2");
        assert!(first.is_some() && second.is_some());
        assert!(
            has_leave(&gates, "8.8.8.8:3").is_none(),
            "two of the address"
        );
        let third = has_leave(&gates, "8.8.8.9:1");
        assert!(third.is_some());
        assert!(
            has_leave(&gates, "8.8.8.10:1").is_none(),
            "three of the network"
        );
        let others = ["8.8.9.8:1", "[2a00::1]:1"].map(|peer| has_leave(&gates, peer));
        assert!(others.iter().all(Option::is_some));
        drop(first);
        assert!(has_leave(&gates, "8.8.8.10:1").is_some());
        drop((second, third, others));
        assert!(gates.addresses.held.lock().unwrap().is_empty());
        assert!(gates.networks.held.lock().unwrap().is_empty());
        assert_eq!(gates.free(), Limits::default().connections);
    }

    #[test]
    fn whoever_does_not_wait_leaves_nothing_behind() {
        let gates = gates(|limits| (limits.per_ip, limits.connections) = (1, 2));
        let first = gates.try_slot(addr("8.8.8.8:1"));
        assert!(first.is_some() && gates.try_slot(addr("8.8.8.8:2")).is_none());
        let second = gates.try_slot(addr("9.9.9.9:1"));
        assert!(second.is_some() && gates.try_slot(addr("7.7.7.7:1")).is_none());
        drop((first, second));
        assert!(gates.addresses.held.lock().unwrap().is_empty());
        assert!(gates.networks.held.lock().unwrap().is_empty());
        assert_eq!(gates.free(), 2);
    }

    #[test]
    fn a_64_of_ipv6_is_one_network() {
        let gates = gates(|limits| limits.per_network = 1);
        let held = has_leave(&gates, "[2a00:1:2:3::1]:1");
        assert!(held.is_some());
        assert!(has_leave(&gates, "[2a00:1:2:3:ffff::9]:1").is_none());
        assert!(has_leave(&gates, "[2a00:1:2:4::1]:1").is_some());
    }

    #[test]
    fn local_addresses_are_exempt_unless_they_are_not() {
        let open = gates(|limits| limits.per_ip = 1);
        let slots: Vec<_> = (1..9)
            .map(|port| has_leave(&open, &format!("127.0.0.1:{port}")))
            .collect();
        assert!(slots.iter().all(Option::is_some));
        let strict = gates(|limits| (limits.per_ip, limits.exempts_local) = (1, false));
        let first = has_leave(&strict, "127.0.0.1:1");
        assert!(first.is_some() && has_leave(&strict, "127.0.0.1:2").is_none());
    }

    #[test]
    fn who_waits_for_an_address_takes_no_connection() {
        let gates = gates(|limits| (limits.per_ip, limits.connections) = (1, 2));
        let first = has_leave(&gates, "8.8.8.8:1");
        assert!(first.is_some());
        let mut waits = Box::pin(gates.slot(addr("8.8.8.8:2")));
        assert!((&mut waits).now_or_never().is_none());
        let other = has_leave(&gates, "9.9.9.9:1");
        assert!(other.is_some(), "there is a second connection");
        drop(other);
        drop(first);
        assert!(waits.now_or_never().is_some());
    }

    #[test]
    fn connection_requests_are_limited_at_a_time() {
        let gates = gates(|limits| limits.half_open = 1);
        let first = gates.dial(0).now_or_never();
        assert!(first.is_some() && gates.dial(0).now_or_never().is_none());
        drop(first);
        assert!(gates.dial(0).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_hash_does_not_wait_behind_the_many_requests_of_another() {
        let gates = gates(|limits| limits.half_open = 1);
        let holds = gates.dial(0).await;
        let mut next = Box::pin(gates.dial(8));
        let mut many: Vec<_> = (9..200)
            .map(|before| Box::pin(gates.dial(before)))
            .collect();
        let mut new = Box::pin(gates.dial(0));
        assert!((&mut next).now_or_never().is_none());
        assert!(many.iter_mut().all(|one| one.now_or_never().is_none()));
        assert!((&mut new).now_or_never().is_none());
        drop(holds);
        // It has had its turn, and waited for the answer to the one before it.
        let next = next.now_or_never();
        assert!(next.is_some());
        drop(next);
        assert!(many.iter_mut().all(|one| one.now_or_never().is_none()));
        assert!(new.now_or_never().is_some());
        assert!(many.remove(0).now_or_never().is_some());
    }

    #[tokio::test]
    async fn connection_requests_are_limited_by_the_second() {
        let gates = gates(|limits| limits.connects_per_second = NonZeroU32::new(100));
        let began = Instant::now();
        for _ in 0..120 {
            drop(gates.dial(0).await);
        }
        // The first hundred go at once, the others one each ten milliseconds.
        assert!(began.elapsed() >= Duration::from_millis(190));
    }

    #[test]
    fn memory_is_reserved_and_given_back() {
        let gates = gates(|limits| limits.memory = 4 << 20);
        let reserve = |bytes| gates.memory(bytes).try_reserve(bytes);
        let large = reserve(10 << 20);
        assert!(large.is_some(), "one of any size");
        assert!(reserve(2 << 20).is_none());
        let medium = reserve(1 << 20);
        assert!(medium.is_some(), "large claims leave room for others");
        assert!(gates.memory(1 << 20).is_short());
        assert!(reserve(129 << 10).is_none());
        let small: Vec<_> = (0..8).map(|_| reserve(128 << 10)).collect();
        assert!(small.iter().all(Option::is_some), "and so do medium ones");
        assert!(reserve(1).is_none());
        let memory = gates.memory(1);
        let mut waits = Box::pin(memory.reserve(1));
        assert!((&mut waits).now_or_never().is_none());
        drop((large, medium, small));
        assert!(waits.now_or_never().is_some());
        assert!(reserve(2 << 20).is_some() && reserve(30_000).is_some());
        assert!(!gates.memory(1 << 20).is_short());
    }
}
