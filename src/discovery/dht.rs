//! The DHT node of the process, borrowed: typed queries over its one socket, and what it sees.
//!
//! The node belongs to the libtorrent session. [`Dht`] is what everybody else holds: queries go to
//! the owner through a bounded channel, and answers come back to whoever asked. When the owner ends,
//! every query ends with [`AskError::Closed`].

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::torrent::PeerAddr;
use crate::wire::krpc::{Answer, KrpcError, Query, Want};

/// How long an answer may take before anything is known of how long answers take.
const FIRST_TIMEOUT: Duration = Duration::from_secs(2);

/// A query on its way to the owner of the socket.
#[derive(Debug)]
pub struct RawQuery {
    /// The node that is asked.
    pub to: PeerAddr,
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
    /// What came is no answer.
    #[error(transparent)]
    Node(#[from] KrpcError),
    /// The DHT is off, or has ended.
    #[error("the DHT node has stopped")]
    Closed,
}

/// A handle on the DHT node. Clones share it.
#[derive(Clone, Debug)]
pub struct Dht {
    queries: mpsc::Sender<RawQuery>,
}

impl Dht {
    /// A handle whose queries go to `queries`.
    #[must_use]
    pub fn new(queries: mpsc::Sender<RawQuery>) -> Self {
        Self { queries }
    }

    /// Asks one node. Cancel-safe: a dropped query's answer is ignored.
    pub async fn ask(&self, to: PeerAddr, query: &Query) -> Result<Reply, AskError> {
        let (reply, answer) = oneshot::channel();
        let message = query.encode(Want::Both);
        let raw = RawQuery { to, message, reply };
        self.queries.send(raw).await.map_err(|_| AskError::Closed)?;
        let asked_at = Instant::now();
        let message = timeout(FIRST_TIMEOUT, answer)
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or(AskError::Timeout(FIRST_TIMEOUT))?;
        Ok(Reply {
            answer: Answer::decode(&message)?,
            rtt: asked_at.elapsed(),
        })
    }
}
