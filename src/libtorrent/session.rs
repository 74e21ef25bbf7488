//! One libtorrent session: a thread that gives it its commands, and a task that pumps its events.
//!
//! Adding a torrent waits for libtorrent's network thread, which no worker of the runtime should.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::arm::SessionError;
use super::bridge::{
    DhtRequest, DhtStart, DhtTraffic, Event, EventKind, Peer, Setting, Torrent, ffi,
};
use super::dht::identity::{listen_of, start_of};
use super::dht::saved;
use super::node::Node;
use super::settings::{Settings, Way, session_settings};

/// What a session can be told.
pub(crate) enum Command {
    Add(Torrent),
    Connect(u64, Vec<Peer>),
    Remove(u64),
    Apply(Vec<Setting>),
    GetPeers([u8; 20]),
    Ask(Vec<DhtRequest>),
    Ping(Vec<Peer>),
    PostLiveNodes([u8; 20]),
    PostDhtNodes,
    ReopenSockets,
    DhtState(oneshot::Sender<Option<Vec<u8>>>),
    Close(Option<oneshot::Sender<()>>),
}

/// The sending end of a session's commands. A command to a closed session is lost, as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Commands(mpsc::Sender<Command>);

impl Commands {
    pub(crate) fn send(&self, command: Command) {
        let _ = self.0.send(command);
    }

    /// Commands that nobody carries out.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        Self(mpsc::channel().0)
    }
}

/// How long a session with a proxy may take until the proxy takes its datagrams: libtorrent does not say
/// when that is, and what it sends before fails at once.
const ASSOCIATED_WITHIN: Duration = Duration::from_millis(1500);
/// How long dropping a session may wait for its end.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// A running session. Dropping it closes it, and waits for that a short while.
pub(crate) struct Session {
    commands: Commands,
    thread: Option<thread::JoinHandle<()>>,
}

type Shared = Arc<cxx::UniquePtr<ffi::Session>>;

impl Session {
    /// Starts a session. Must be called inside a tokio runtime.
    pub(crate) fn open(
        settings: &Settings,
        way: Way,
        node: &Arc<Node>,
    ) -> Result<Self, SessionError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| SessionError::NoRuntime)?;
        let open_error = |error: &dyn std::fmt::Display| SessionError::Open(error.to_string());
        let list = session_settings(settings, way);
        let block_local = !settings.allow_local_peers;
        let dht = dht_start(settings, way);
        let session = ffi::open_session(&list, &settings.limits(), block_local, &dht)
            .map_err(|error| open_error(&error))?;
        let session: Shared = Arc::new(session);
        let events = event_file(&session).map_err(|error| open_error(&error))?;
        let events = {
            let _context = runtime.enter();
            // SAFETY: a `File` owns its descriptor, and this one is given to nobody else.
            unsafe { AsyncFd::register_with_interest(events, Interest::READABLE) }
                .map_err(|error| open_error(&error))?
        };

        let (sender, receiver) = mpsc::channel();
        let commands = Commands(sender);
        let (for_thread, for_commands) = (Arc::clone(&session), Arc::clone(node));
        let associated_at = (settings.proxy.as_ref()).map(|_| Instant::now() + ASSOCIATED_WITHIN);
        let thread = thread::Builder::new()
            .name(format!("lt-{way:?}").to_lowercase())
            .spawn(move || obey(&for_thread, way, &receiver, &for_commands, associated_at))
            .map_err(|error| open_error(&error))?;
        let (for_pump, own) = (Arc::clone(node), commands.clone());
        runtime.spawn(async move {
            if let Err(error) = pump(&session, &events, way, &own, &for_pump).await {
                tracing::error!(?way, %error, "the events of a libtorrent session can't be read");
            }
        });
        Ok(Self {
            commands,
            thread: Some(thread),
        })
    }

    pub(crate) fn commands(&self) -> &Commands {
        &self.commands
    }

    /// Dropping it will not wait for its end.
    pub(crate) fn leave_behind(&mut self) {
        self.thread = None;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // libtorrent's threads must be gone before the process runs its exit handlers, so this waits
        // for the session's thread: some milliseconds, or nothing after a shutdown.
        self.commands.send(Command::Close(None));
        let deadline = Instant::now() + CLOSE_WITHIN;
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

fn dht_start(settings: &Settings, way: Way) -> DhtStart {
    let number = way.identity().and_then(|at| u8::try_from(at).ok());
    let (Some(dht), Some(number)) = (&settings.dht, number) else {
        return DhtStart::default();
    };
    let states = saved::split(dht.state.as_deref().unwrap_or_default());
    start_of(dht, &listen_of(&settings.listen, number), &states, number)
}

/// The session's eventfd, as a descriptor of our own.
fn event_file(session: &Shared) -> io::Result<File> {
    // SAFETY: the descriptor belongs to `session`, which outlives this borrow.
    let fd = unsafe { BorrowedFd::borrow_raw(session.event_fd()) };
    fd.try_clone_to_owned().map(File::from)
}

/// Carries out commands until one says to close, or nobody is left to send any.
/// A torrent that is in need of datagrams is not added before `associated_at`.
fn obey(
    session: &Shared,
    way: Way,
    commands: &mpsc::Receiver<Command>,
    node: &Node,
    associated_at: Option<Instant>,
) {
    let close = || {
        if let Err(error) = session.close() {
            tracing::error!(?way, %error, "a libtorrent session did not close in good order");
        }
    };
    while let Ok(command) = commands.recv() {
        if let (Command::Add(torrent), Some(at)) = (&command, associated_at)
            && (way.is_utp() || !torrent.trackers.is_empty())
        {
            thread::sleep(at.saturating_duration_since(Instant::now()));
        }
        let result = match command {
            Command::Add(torrent) => session.add(&torrent).inspect_err(|error| {
                node.way_failed(torrent.key, way, &error.to_string());
            }),
            Command::Connect(key, peers) => session.connect(key, &peers).inspect_err(|error| {
                node.way_failed(key, way, &error.to_string());
            }),
            // The torrent is gone already where adding it failed.
            Command::Remove(key) => session.remove(key).or(Ok(())),
            Command::Apply(settings) => session.apply(&settings),
            Command::GetPeers(infohash) => session.get_peers(&infohash),
            Command::Ask(requests) => session.ask(&requests),
            Command::Ping(nodes) => session.ping(&nodes),
            Command::PostLiveNodes(id) => session.post_live_nodes(&id),
            Command::PostDhtNodes => session.post_dht_nodes(),
            Command::ReopenSockets => session.reopen_sockets(),
            Command::DhtState(reply) => {
                let _ = reply.send(session.dht_state().ok());
                Ok(())
            }
            Command::Close(reply) => {
                close();
                if let Some(reply) = reply {
                    let _ = reply.send(());
                }
                return;
            }
        };
        if let Err(error) = result {
            tracing::warn!(?way, %error, "libtorrent refused a command");
        }
    }
    close();
}

/// Hands on every event until the session is closed.
async fn pump(
    session: &Shared,
    ready: &AsyncFd<File>,
    way: Way,
    commands: &Commands,
    node: &Node,
) -> io::Result<()> {
    let mut events: Vec<Event> = Vec::new();
    let mut traffic = DhtTraffic::default();
    loop {
        let mut guard = ready.readable().await?;
        // The eventfd before the queue: what is pushed in between wakes us once more.
        let mut count = [0; 8];
        let read = guard.try_io(|fd| fd.get_ref().read(&mut count));
        if let Ok(Err(error)) = read {
            return Err(error);
        }
        session
            .drain(&mut events, &mut traffic)
            .map_err(io::Error::other)?;
        node.observed(&std::mem::take(&mut traffic));
        for event in events.drain(..) {
            if event.kind == EventKind::Closed {
                return Ok(());
            }
            node.handle(way, event, commands);
        }
    }
}
