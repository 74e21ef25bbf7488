//! The direct arm: our own peer-wire client over TCP.
//!
//! One attempt is one connection to one peer: dial, handshake (BEP 3), extension handshake
//! (BEP 10), metadata blocks through a request window (BEP 9). Each phase has its own deadline, and
//! each way to fail its own [`Reason`](crate::torrent::Reason). Choking does not gate
//! `ut_metadata`, so an attempt never waits for an unchoke.

mod clock;
mod dial;
mod encryption;
mod exchange;
mod fetch;
mod limits;
mod pieces;
mod pool;
mod stream;
mod swarm;
mod talk;
mod trace;
mod turns;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use self::clock::Clock;
pub use self::clock::PeerState;
use self::limits::Gates;
pub use self::limits::{Limits, Slot};
pub use self::swarm::{Named, Swarm};
use self::trace::Trace;
pub use self::trace::{Event, ExtensionsSeen, HandshakeSeen, Step};
use crate::proxy::Proxy;
use crate::telemetry::catalogue::DEADLINE_LATE;
use crate::torrent::{Encryption, Failure, Infohash, PeerAddr, Phase};

/// How peers are reached and what they are told, how long each phase of an attempt may take, and what may
/// be open at a time.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Until TCP is connected: the longest that a caller of [`Direct::fetch`] may ask for.
    pub connect_timeout: Duration,
    /// Until the peer's handshake is here.
    pub handshake_timeout: Duration,
    /// From there until its extension handshake is here.
    pub extension_timeout: Duration,
    /// From there until the first metadata block is here.
    pub first_block_timeout: Duration,
    /// From one metadata block to the next.
    pub block_timeout: Duration,
    /// The fewest bytes of metadata a second, from the first request on: it is looked at once
    /// `first_block_timeout` is over. 0 for none.
    pub min_rate: u32,
    /// All of it, from the first packet to the last.
    pub attempt_timeout: Duration,
    /// How long a peer that has no metadata to give may take to name other peers (BEP 11).
    pub pex_timeout: Duration,
    /// The largest info dictionary that is accepted, in bytes.
    pub max_metadata_size: u32,
    /// What may be open at a time.
    pub limits: Limits,
    /// Whether connections are encrypted.
    pub encryption: Encryption,
    /// Addresses to connect from, one of each family at the most; any where there are none. A peer of a
    /// family that has none is not connected to. Does not hold for what goes through a proxy.
    pub bind: Vec<IpAddr>,
    /// Peer ids that name no client, a new one for each connection; no name and no port in extension
    /// handshakes.
    pub anonymous: bool,
    /// What every connection goes through.
    pub proxy: Option<Proxy>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(5),
            extension_timeout: Duration::from_secs(5),
            first_block_timeout: Duration::from_secs(8),
            block_timeout: Duration::from_secs(10),
            min_rate: 2048,
            attempt_timeout: Duration::from_secs(120),
            pex_timeout: Duration::from_secs(3),
            max_metadata_size: 10 * 1024 * 1024,
            limits: Limits::default(),
            encryption: Encryption::default(),
            bind: Vec::new(),
            anonymous: false,
            proxy: None,
        }
    }
}

/// Which peer to ask, and how.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The peer.
    pub peer: PeerAddr,
    /// How long TCP may take to connect, no longer than [`Settings`] allow.
    pub connect_timeout: Duration,
    /// Whether it is known to want encryption, so that this is tried first.
    pub encrypted: bool,
}

/// What one attempt came to.
#[derive(Debug)]
pub struct Attempt {
    /// The peer that was asked.
    pub peer: PeerAddr,
    /// The raw info dictionary, its hash checked; or why there is none.
    pub result: Result<Vec<u8>, Failure>,
    /// Whether the connection was encrypted, or was to be.
    pub encrypted: bool,
    /// The client's name, from its extension handshake or its peer id.
    pub client: Option<String>,
    /// The metadata size the peer claimed, in bytes.
    pub metadata_size: Option<i64>,
    /// How long TCP took to connect; `None` where it did not.
    pub connect_time: Option<Duration>,
    /// From the first packet to the last, without what it `waited`.
    pub elapsed: Duration,
    /// How long it waited for leave to connect, by our own limits.
    pub waited: Duration,
    /// By how much the latest of the deadlines that it ran into fired too late.
    pub late: Duration,
}

/// The phase an attempt is in, for whoever watches it from outside.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    phase: AtomicU8,
    listens_on: AtomicBool,
    dialled: OnceLock<Instant>,
    connect_time: OnceLock<Duration>,
    /// In microseconds.
    late: AtomicU64,
    trace: Option<Trace>,
    clock: Clock,
}

impl Progress {
    const PHASES: [Phase; 6] = [
        Phase::Lookup,
        Phase::Connect,
        Phase::Handshake,
        Phase::Extension,
        Phase::Transfer,
        Phase::Verify,
    ];

    /// Of an attempt whose steps are to be kept: see [`Progress::steps`].
    #[must_use]
    pub fn traced() -> Self {
        Self(Arc::new(State {
            trace: Some(Trace::start()),
            ..State::default()
        }))
    }

    /// What has happened so far, where it is kept.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        self.0.trace.as_ref().map(Trace::steps).unwrap_or_default()
    }

    fn note(&self, event: impl FnOnce() -> Event) {
        if let Some(trace) = &self.0.trace {
            trace.note(event());
        }
    }

    fn enter(&self, phase: Phase) {
        let index = Self::PHASES
            .iter()
            .position(|&p| p == phase)
            .unwrap_or_default();
        let index = u8::try_from(index).unwrap_or_default();
        if phase == Phase::Connect {
            // An attempt that connects again began with the first time.
            let _ = self.0.dialled.set(Instant::now());
        }
        let left = self.0.phase.swap(index, Ordering::Relaxed);
        if left < index {
            self.0.clock.entered(Self::phase_of(left));
        }
    }

    fn phase_of(index: u8) -> Phase {
        let phase = Self::PHASES.get(usize::from(index));
        phase.copied().unwrap_or(Phase::Lookup)
    }

    /// How the peer is.
    #[must_use]
    pub fn state(&self) -> PeerState {
        self.0.clock.state()
    }

    fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The phase that the attempt is in now; [`Phase::Lookup`] while it waits for a free connection.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Self::phase_of(self.0.phase.load(Ordering::Relaxed))
    }

    /// Whether the peer has failed, and may only still name others.
    #[must_use]
    pub fn listens_on(&self) -> bool {
        self.0.listens_on.load(Ordering::Relaxed)
    }

    fn listen_on(&self) {
        self.0.listens_on.store(true, Ordering::Relaxed);
    }

    /// How long TCP took to connect; `None` before it is.
    #[must_use]
    pub fn connect_time(&self) -> Option<Duration> {
        self.0.connect_time.get().copied()
    }

    /// How long ago its first connection request was sent; `None` before it was.
    #[must_use]
    pub fn dialled(&self) -> Option<Duration> {
        self.0.dialled.get().map(Instant::elapsed)
    }

    /// What was waited for since `began` has not come by `deadline`, which is over.
    fn time_over(&self, phase: Phase, began: Instant, deadline: Instant) {
        let late = deadline.elapsed();
        let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.0.late.fetch_max(micros, Ordering::Relaxed);
        DEADLINE_LATE.took([phase.as_str()], late);
        self.note(|| Event::TimeOver {
            phase,
            after: began.elapsed(),
            late,
        });
    }

    fn late(&self) -> Duration {
        Duration::from_micros(self.0.late.load(Ordering::Relaxed))
    }

    fn connected(&self, after: Duration) {
        // It is set once, since an attempt connects once.
        let _ = self.0.connect_time.set(after);
    }
}

/// The direct arm. Clones share its limits.
#[derive(Clone, Debug)]
pub struct Direct {
    settings: Arc<Settings>,
    gates: Arc<Gates>,
    /// Where this host listens for peers; 0 while that is not known.
    listen_port: Arc<AtomicU16>,
}

impl Direct {
    /// An arm with these settings; it opens no socket before the first [`Direct::fetch`].
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            gates: Arc::new(Gates::new(&settings.limits)),
            settings: Arc::new(settings),
            listen_port: Arc::default(),
        }
    }

    /// The port at which this host listens for peers, as they are told.
    #[must_use]
    pub fn listen_port(&self) -> Option<u16> {
        let port = self.listen_port.load(Ordering::Relaxed);
        (port != 0).then_some(port)
    }

    /// Says where this host listens for peers, once that is known.
    pub fn set_listen_port(&self, port: u16) {
        self.listen_port.store(port, Ordering::Relaxed);
    }

    /// Connections that can be opened right now.
    #[must_use]
    pub fn free_slots(&self) -> usize {
        self.gates.free()
    }

    /// The share of its connections that is taken, 0 to 1.
    #[must_use]
    pub fn load(&self) -> f64 {
        self.gates.load()
    }

    /// Asks one peer for the info dictionary of `infohash`, and takes nothing from others. Waits until the
    /// limits allow a connection to it, then as long as the deadlines allow. Dropping the future closes the
    /// connection.
    pub async fn fetch(
        &self,
        infohash: &Infohash,
        request: Request,
        progress: &Progress,
    ) -> Attempt {
        let alone = Swarm::default();
        let slot = self.gates.slot(request.peer).await;
        self.fetch_in(slot, &alone, infohash, request, progress)
            .await
    }

    /// Leave to hold a connection to this peer, if the limits allow one right now.
    #[must_use]
    pub fn try_slot(&self, peer: PeerAddr) -> Option<Slot<'_>> {
        self.gates.try_slot(peer)
    }

    /// Asks one peer of `swarm`, which is of this hash, for what is still missing of the info
    /// dictionary, as [`Direct::fetch`] does; the connection is the one that there is leave for.
    pub async fn fetch_in(
        &self,
        _slot: Slot<'_>,
        swarm: &Swarm,
        infohash: &Infohash,
        mut request: Request,
        progress: &Progress,
    ) -> Attempt {
        let cap = self.settings.connect_timeout;
        // What is known of how long peers take says nothing of a proxy.
        request.connect_timeout = match self.settings.proxy {
            Some(_) => cap,
            None => request.connect_timeout.min(cap),
        };
        fetch::fetch(self, infohash, request, swarm, progress).await
    }
}
