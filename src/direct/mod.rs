//! The direct arm: our own peer-wire client over TCP.
//!
//! One attempt is one connection to one peer: dial, handshake (BEP 3), extension handshake
//! (BEP 10), metadata blocks through a request window (BEP 9). Each phase has its own deadline, and
//! each way to fail its own [`Reason`](crate::torrent::Reason). Choking does not gate
//! `ut_metadata`, so an attempt never waits for an unchoke.

mod dial;
mod encryption;
mod exchange;
mod fetch;
mod pieces;
mod stream;
mod trace;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Semaphore;

pub use self::encryption::Encryption;
use self::trace::Trace;
pub use self::trace::{Event, ExtensionsSeen, HandshakeSeen, Step};
use crate::proxy::Proxy;
use crate::torrent::{Failure, Infohash, PeerAddr, Phase};

/// How peers are reached and what they are told, how long each phase of an attempt may take, and how
/// much memory it may use.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Until TCP is connected: the longest that a caller of [`Direct::fetch`] may ask for.
    pub connect_timeout: Duration,
    /// Until the peer's handshake is here, and again until its extension handshake is.
    pub handshake_timeout: Duration,
    /// Until the next metadata block is here. With blocks of 16 KiB this is also the slowest rate
    /// that is waited for.
    pub transfer_timeout: Duration,
    /// The largest info dictionary that is accepted, in bytes.
    pub max_metadata_size: u32,
    /// How many connections may be open at a time.
    pub max_connections: usize,
    /// Whether connections are encrypted.
    pub encryption: Encryption,
    /// Peer ids that name no client, a new one for each connection.
    pub anonymous: bool,
    /// What every connection goes through.
    pub proxy: Option<Proxy>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(5),
            transfer_timeout: Duration::from_secs(8),
            max_metadata_size: 10 * 1024 * 1024,
            max_connections: 2000,
            encryption: Encryption::default(),
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
    /// From the first packet to the last.
    pub elapsed: Duration,
}

/// The phase an attempt is in, for whoever watches it from outside.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    phase: AtomicU8,
    connect_time: OnceLock<Duration>,
    trace: Option<Trace>,
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
        self.0
            .phase
            .store(u8::try_from(index).unwrap_or_default(), Ordering::Relaxed);
    }

    /// The phase that the attempt is in now; [`Phase::Lookup`] while it waits for a free connection.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let index = usize::from(self.0.phase.load(Ordering::Relaxed));
        Self::PHASES.get(index).copied().unwrap_or(Phase::Lookup)
    }

    /// How long TCP took to connect; `None` before it is.
    #[must_use]
    pub fn connect_time(&self) -> Option<Duration> {
        self.0.connect_time.get().copied()
    }

    fn connected(&self, after: Duration) {
        // It is set once, since an attempt connects once.
        let _ = self.0.connect_time.set(after);
    }
}

/// The direct arm. Clones share its connection limit.
#[derive(Clone, Debug)]
pub struct Direct {
    settings: Arc<Settings>,
    connections: Arc<Semaphore>,
}

impl Direct {
    /// An arm with these settings; it opens no socket before the first [`Direct::fetch`].
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let connections = Arc::new(Semaphore::new(settings.max_connections.max(1)));
        Self {
            settings: Arc::new(settings),
            connections,
        }
    }

    /// Connections that can be opened right now.
    #[must_use]
    pub fn free_slots(&self) -> usize {
        self.connections.available_permits()
    }

    /// The share of its connections that is taken, 0 to 1.
    #[must_use]
    pub fn load(&self) -> f64 {
        let all = self.settings.max_connections.max(1);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let free = self.connections.available_permits() as f64 / all as f64;
        1.0 - free
    }

    /// Asks one peer for the info dictionary of `infohash`. Waits for a free connection, then as long
    /// as the deadlines allow. Dropping the future closes the connection.
    pub async fn fetch(
        &self,
        infohash: &Infohash,
        mut request: Request,
        progress: &Progress,
    ) -> Attempt {
        // The semaphore is never closed; without a permit the limit is merely not kept.
        let _permit = self.connections.acquire().await.ok();
        let cap = self.settings.connect_timeout;
        // What is known of how long peers take says nothing of a proxy.
        request.connect_timeout = match self.settings.proxy {
            Some(_) => cap,
            None => request.connect_timeout.min(cap),
        };
        fetch::fetch(&self.settings, infohash, request, progress).await
    }
}
