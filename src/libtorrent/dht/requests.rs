//! Queries that wait for their answer.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::discovery::dht::RawQuery;
use crate::libtorrent::bridge::DhtRequest;
use crate::libtorrent::lock;
use crate::torrent::PeerAddr;

/// libtorrent gives up on a query after 15 s; after this it has forgotten it for certain.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(20);

struct Waiting {
    to: PeerAddr,
    since: Instant,
    reply: oneshot::Sender<Vec<u8>>,
}

/// Every query that libtorrent has and that has no answer yet.
#[derive(Default)]
pub(crate) struct Requests {
    next_key: AtomicU64,
    waiting: Mutex<HashMap<u64, Waiting>>,
}

impl Requests {
    /// What crosses the bridge for this query.
    pub(crate) fn begin(&self, query: RawQuery) -> DhtRequest {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting {
            to: query.to,
            since: Instant::now(),
            reply: query.reply,
        };
        lock(&self.waiting).insert(key, waiting);
        DhtRequest {
            key,
            to: query.to.into(),
            message: query.message,
        }
    }

    /// Takes in an answer. libtorrent has checked the transaction and the IP address that it came
    /// from, but not the port.
    pub(crate) fn answered(&self, key: u64, from: PeerAddr, message: Vec<u8>) {
        let Some(waiting) = lock(&self.waiting).remove(&key) else {
            return;
        };
        if !message.is_empty() && waiting.to == from {
            let _ = waiting.reply.send(message);
        }
    }

    /// Forgets the queries whose askers have gone, and those of which libtorrent knows nothing.
    pub(crate) fn sweep(&self, now: Instant) {
        lock(&self.waiting).retain(|_, waiting| {
            !waiting.reply.is_closed() && now.duration_since(waiting.since) < FORGOTTEN_AFTER
        });
    }

    /// Ends every query without an answer.
    pub(crate) fn end_all(&self) {
        lock(&self.waiting).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(to: &str) -> (RawQuery, oneshot::Receiver<Vec<u8>>) {
        let (reply, answer) = oneshot::channel();
        let to = to.parse().unwrap();
        let (target, message) = (None, b"de".to_vec());
        (
            RawQuery {
                to,
                target,
                message,
                reply,
            },
            answer,
        )
    }

    #[tokio::test]
    async fn answers_go_to_their_askers_and_only_from_whom_was_asked() {
        let requests = Requests::default();
        let (first, first_answer) = query("127.0.0.1:1");
        let (second, second_answer) = query("127.0.0.1:2");
        let (third, third_answer) = query("127.0.0.1:3");
        let (first, second) = (requests.begin(first), requests.begin(second));
        let third = requests.begin(third);
        requests.answered(second.key, second.to.into(), b"2".to_vec());
        requests.answered(first.key, second.to.into(), b"1".to_vec());
        requests.answered(third.key, third.to.into(), Vec::new());
        requests.answered(99, third.to.into(), b"3".to_vec());
        assert_eq!(second_answer.await, Ok(b"2".to_vec()));
        assert!(first_answer.await.is_err());
        assert!(third_answer.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_for_nobody() {
        let requests = Requests::default();
        let (kept, answer) = query("127.0.0.1:1");
        let (dropped, _) = query("127.0.0.1:2");
        requests.begin(kept);
        requests.begin(dropped);
        requests.sweep(Instant::now());
        assert_eq!(lock(&requests.waiting).len(), 1);
        requests.sweep(Instant::now() + FORGOTTEN_AFTER);
        assert!(lock(&requests.waiting).is_empty());
        assert!(answer.await.is_err());
    }
}
