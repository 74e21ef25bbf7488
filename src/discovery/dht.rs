//! The DHT node of the process, borrowed: typed queries over its one socket, and what it sees.
//!
//! The node belongs to the libtorrent session. [`Dht`] is what everybody else holds: queries go to
//! the owner through a bounded channel, and answers come back to whoever asked. When the owner ends,
//! every query ends with [`AskError::Closed`].
//!
//! ```text
//! ask -> address -> per IP -> in flight -> packets/s, bytes/s -> owner -> answer or deadline
//! ```
//!
//! | file | what lives there |
//! |---|---|
//! | `limits` | [`DhtLimits`]: what may be sent; [`Purpose`]: lookups go before the crawl |
//! | `pace` | the buckets behind the limits |
//! | `presence` | whether the network is there |
//! | `deadline` | how long an answer may take, learnt from those that came |
//! | `counters` | [`DhtCounters`] |
//! | `observed` | [`Observed`]: what other nodes ask of ours |

mod counters;
mod deadline;
mod limits;
mod observed;
mod pace;
mod presence;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};
use tokio::time::{Instant, timeout};

pub use self::counters::DhtCounters;
pub use self::limits::{DhtLimits, Purpose};
pub use self::observed::{Observed, ObservedKind, ObservedSender};

use self::counters::Counters;
use self::deadline::{Deadline, LONGEST};
use self::pace::{Pace, Turn};
use self::presence::Presence;
use crate::torrent::PeerAddr;
use crate::wire::krpc::{Answer, KrpcError, NodeId, Query, Want};

/// Queries that may wait for the owner of the socket.
const QUEUE: usize = 1024;
/// Queries beyond their deadline whose answers are still listened for. Without late answers the
/// deadline would be learnt from those before the deadline alone, and shrink and shrink.
const LATE: usize = 256;
/// How late a deadline may be noticed before that says more of this process than of the node.
const HELD_UP: Duration = Duration::from_secs(1);

/// A query on its way to the owner of the socket.
#[derive(Debug)]
pub struct RawQuery {
    /// The node that is asked.
    pub to: PeerAddr,
    /// The point of the key space that is asked for. An owner with several node ids sends the query
    /// from the one that is closest.
    pub target: Option<NodeId>,
    /// The message as [`Query::encode`] makes it.
    pub message: Vec<u8>,
    /// Where the whole message of the answer goes. Dropped without one where the owner knows that
    /// none will come.
    pub reply: oneshot::Sender<Vec<u8>>,
}

/// What a node answered, and how long it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The answer.
    pub answer: Answer,
    /// From the query to the answer.
    pub rtt: Duration,
}

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Nothing came in time.
    #[error("the node did not answer within {0:?}")]
    Timeout(Duration),
    /// The node answered, but with an error or with what can't be read; or the system says that
    /// nobody is there. Comes before the deadline.
    #[error("the node answered with an error, or nobody is at its address")]
    Refused,
    /// What came is no answer.
    #[error(transparent)]
    Node(#[from] KrpcError),
    /// The address is private, reserved or has port 0: nothing was sent.
    #[error("{0} is no public address: asking it needs leave to talk to local addresses")]
    NotPublic(PeerAddr),
    /// This address has been asked as often as it may be for now: nothing was sent.
    #[error("{0} was asked too often: ask others first")]
    TooOften(PeerAddr),
    /// The DHT is off, or has ended.
    #[error("the DHT node has stopped")]
    Closed,
}

/// The owner's end: queries to send, and where to tell what other nodes ask.
#[derive(Debug)]
pub struct Owner {
    /// What is to be sent.
    pub queries: mpsc::Receiver<RawQuery>,
    /// What other nodes ask of ours, and that anything comes in.
    pub observed: ObservedSender,
}

/// A handle on the DHT node. Clones share it, and its limits.
#[derive(Clone, Debug)]
pub struct Dht {
    queries: mpsc::Sender<RawQuery>,
    purpose: Purpose,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    allow_local: bool,
    pace: Pace,
    deadline: Deadline,
    late: Arc<Semaphore>,
    counters: Arc<Counters>,
    observed: ObservedSender,
    presence: Arc<Presence>,
}

impl Dht {
    /// A handle for lookups, and the end for the owner of the socket. Loopback and private addresses
    /// are asked only with `allow_local`: an answer must not make us talk to this host's, or this
    /// network's, own services.
    #[must_use]
    pub fn open(limits: &DhtLimits, allow_local: bool) -> (Self, Owner) {
        let (sender, queries) = mpsc::channel(QUEUE);
        let dht = Self::with(sender, limits, allow_local);
        let observed = dht.shared.observed.clone();
        (dht, Owner { queries, observed })
    }

    /// A handle whose queries go to `queries`, without limits and to any address: for an owner that
    /// is no socket.
    #[must_use]
    pub fn new(queries: mpsc::Sender<RawQuery>) -> Self {
        Self::with(queries, &DhtLimits::none(), true)
    }

    fn with(queries: mpsc::Sender<RawQuery>, limits: &DhtLimits, allow_local: bool) -> Self {
        let counters = Arc::new(Counters::default());
        let presence = Arc::new(Presence::new());
        let observed = ObservedSender::new(Arc::clone(&counters), Arc::clone(&presence));
        Self {
            queries,
            purpose: Purpose::Lookup,
            shared: Arc::new(Shared {
                allow_local,
                pace: Pace::new(limits),
                deadline: Deadline::default(),
                late: Arc::new(Semaphore::new(LATE)),
                counters,
                observed,
                presence,
            }),
        }
    }

    /// The same node, asked for another purpose.
    #[must_use]
    pub fn with_purpose(&self, purpose: Purpose) -> Self {
        Self {
            purpose,
            ..self.clone()
        }
    }

    /// What other nodes ask of ours, from now on. A receiver that lags loses the oldest, which is
    /// counted.
    #[must_use]
    pub fn observed(&self) -> broadcast::Receiver<Observed> {
        self.shared.observed.subscribe()
    }

    /// What has been done so far, for every purpose.
    #[must_use]
    pub fn counters(&self) -> DhtCounters {
        self.shared.counters.snapshot()
    }

    /// How long an answer may take at present: a high quantile of how long answers took, and some.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.shared.deadline.get()
    }

    /// Whether the owner has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queries.is_closed()
    }

    /// Whether the network seems to be away: for some seconds nothing has come in, whoever might have sent
    /// it, and many queries had no answer. Who waits for it to be back must see to it that somebody is
    /// asked now and then.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.shared.presence.is_away()
    }

    /// Whether the network has seemed to be away at this time or later, see [`is_away`](Self::is_away).
    #[must_use]
    pub fn was_away_since(&self, at: Instant) -> bool {
        self.shared.presence.was_away_since(at)
    }

    /// Waits until a query is answered that was sent at this time or later.
    pub async fn answered_since(&self, at: Instant) {
        self.shared.presence.answered_since(at).await;
    }

    /// Asks one node, when its turn has come. Cancel-safe: a dropped query's answer is ignored.
    pub async fn ask(&self, to: PeerAddr, query: &Query) -> Result<Reply, AskError> {
        let shared = &self.shared;
        if !(to.is_public() || shared.allow_local && to.is_local()) {
            shared.counters.refused.add(1);
            return Err(AskError::NotPublic(to));
        }
        let message = query.encode(Want::Both);
        let bytes = counters::query_on_the_wire(&to, message.len());
        let turn = self.turn(to, bytes).await?;
        let (reply, answer) = oneshot::channel();
        let raw = RawQuery {
            to,
            target: query.target(),
            message,
            reply,
        };
        self.queries.send(raw).await.map_err(|_| AskError::Closed)?;
        shared.counters.asked(self.purpose, bytes);
        let result = self.answer(to, answer).await;
        drop(turn);
        result
    }

    /// Waits for leave to send.
    async fn turn(&self, to: PeerAddr, bytes: u64) -> Result<Turn, AskError> {
        if let Some(turn) = self.shared.pace.turn_now(self.purpose, to) {
            return Ok(turn);
        }
        tokio::select! {
            turn = self.shared.pace.turn(self.purpose, to, bytes) => {
                turn.ok_or_else(|| {
                    self.shared.counters.refused.add(1);
                    AskError::TooOften(to)
                })
            }
            () = self.queries.closed() => Err(AskError::Closed),
        }
    }

    async fn answer(
        &self,
        to: PeerAddr,
        mut answer: oneshot::Receiver<Vec<u8>>,
    ) -> Result<Reply, AskError> {
        let Shared {
            deadline, counters, ..
        } = &*self.shared;
        let asked_at = Instant::now();
        let within = deadline.get();
        let message = match timeout(within, &mut answer).await {
            Ok(Ok(message)) => message,
            Ok(Err(_)) if self.queries.is_closed() => return Err(AskError::Closed),
            Ok(Err(_)) => {
                counters.errors.add(1);
                // Where a node has sent an error, the owner says that something came in. Where nothing can
                // be sent, this is all there is.
                self.shared.presence.unanswered(asked_at);
                return Err(AskError::Refused);
            }
            Err(_) => {
                counters.timeouts.add(1);
                // A timer that is late was held up itself: the answer may be there, unread.
                if asked_at.elapsed() < within + HELD_UP {
                    self.shared.presence.unanswered(asked_at);
                }
                self.listen_on(asked_at, answer);
                return Err(AskError::Timeout(within));
            }
        };
        self.shared.presence.answered(asked_at);
        let rtt = asked_at.elapsed();
        deadline.took(rtt);
        counters
            .bytes_in
            .add(counters::on_the_wire(&to, message.len()));
        match Answer::decode(&message) {
            Ok(answer) => {
                counters.answers.add(1);
                Ok(Reply { answer, rtt })
            }
            Err(error) => {
                counters.errors.add(1);
                Err(error.into())
            }
        }
    }

    /// Learns how late an answer is, if one comes after all.
    fn listen_on(&self, asked_at: Instant, answer: oneshot::Receiver<Vec<u8>>) {
        let Ok(permit) = Arc::clone(&self.shared.late).try_acquire_owned() else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let left = (LONGEST + LONGEST / 4).saturating_sub(asked_at.elapsed());
            if let Ok(Ok(_)) = timeout(left, answer).await {
                shared.presence.answered(asked_at);
                shared.deadline.took(asked_at.elapsed());
                shared.counters.late.add(1);
            }
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests;
