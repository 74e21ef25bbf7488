//! What happens on a connection, and when: for whoever wants to know why a peer does not deliver.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::torrent::Phase;
use crate::wire::extension::ExtensionHandshake;
use crate::wire::handshake::Handshake;
use crate::wire::mse::Method;

/// Steps that are kept of one attempt. A dictionary of 10 MiB has 640 blocks.
const MOST: usize = 2_000;

/// A step of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// From the beginning of the attempt.
    #[serde(rename = "ms", serialize_with = "milliseconds")]
    pub at: Duration,
    /// How often it happened in a row, up to then.
    pub times: u32,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

fn milliseconds<S: serde::Serializer>(at: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((at.as_secs_f64() * 1e6).round() / 1e3)
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// We open a connection, to speak in the clear or encrypted.
    Dialling {
        /// By MSE/PE.
        encrypted: bool,
    },
    /// TCP is connected.
    Connected,
    /// It did not answer the way in which we spoke to it, and there is another one.
    Unanswered {
        /// How it ended.
        why: String,
    },
    /// The key exchange of MSE/PE is over.
    KeysExchanged {
        /// Whether what follows is encrypted, too.
        rc4: bool,
    },
    /// Its handshake came (BEP 3).
    Handshake(HandshakeSeen),
    /// Its extension handshake came (BEP 10).
    ExtensionHandshake(ExtensionsSeen),
    /// Another message came.
    Message {
        /// Such as `unchoke` or `bitfield`.
        name: &'static str,
        /// What it carries.
        bytes: usize,
    },
    /// We asked for blocks of the dictionary (BEP 9).
    Requested {
        /// The first of them.
        first: u32,
        /// How many.
        blocks: usize,
    },
    /// A block came.
    Block {
        /// Its number, as it came.
        piece: i64,
        /// Its length.
        bytes: usize,
    },
    /// A request was rejected.
    Rejected {
        /// The number of the block, as it came.
        piece: i64,
    },
    /// The dictionary that it completed is not this torrent's, and was not all its own: it is asked for
    /// the rest.
    WrongMixture,
    /// It named other peers (BEP 11).
    PeersNamed {
        /// How many.
        peers: usize,
    },
    /// We sent a keep-alive to a peer that lets us wait.
    Nudged,
    /// Its time for what was due in this phase is over.
    TimeOver {
        /// The phase.
        phase: Phase,
        /// How long it had.
        #[serde(rename = "after_ms", serialize_with = "milliseconds")]
        after: Duration,
        /// How much of that was more than it was to have.
        #[serde(rename = "late_ms", serialize_with = "milliseconds")]
        late: Duration,
    },
}

/// A handshake that came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HandshakeSeen {
    /// The client, by its peer id.
    pub client: Option<String>,
    /// The peer id, what is not printable escaped.
    pub peer_id: String,
    /// The reserved bytes, in hex.
    pub reserved: String,
    /// What they say it supports.
    pub supports: Vec<&'static str>,
}

impl HandshakeSeen {
    pub(super) fn new(handshake: &Handshake) -> Self {
        Self {
            client: handshake.peer_id.client(),
            peer_id: handshake.peer_id.0.escape_ascii().to_string(),
            reserved: data_encoding::HEXLOWER.encode(&handshake.reserved),
            supports: handshake.supports(),
        }
    }
}

/// An extension handshake that came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExtensionsSeen {
    /// Name and version of the client.
    pub client: Option<String>,
    /// Its id for `ut_metadata`.
    pub ut_metadata: Option<u8>,
    /// Its id for `ut_pex`.
    pub ut_pex: Option<u8>,
    /// The size of the dictionary that it claims to have.
    pub metadata_size: Option<i64>,
    /// The port where it listens.
    pub port: Option<u16>,
    /// Requests that it queues.
    pub reqq: Option<u32>,
    /// Our address, as it sees us.
    pub yourip: Option<std::net::IpAddr>,
    /// All of it, what is not printable escaped, 2,000 characters at most.
    pub whole: String,
}

impl ExtensionsSeen {
    pub(super) fn new(handshake: &ExtensionHandshake, payload: &[u8]) -> Self {
        Self {
            client: handshake.client.clone(),
            ut_metadata: handshake.ut_metadata,
            ut_pex: handshake.ut_pex,
            metadata_size: handshake.metadata_size,
            port: handshake.port,
            reqq: handshake.reqq,
            yourip: handshake.yourip,
            whole: payload.escape_ascii().take(2_000).map(char::from).collect(),
        }
    }
}

/// The steps of one attempt.
#[derive(Debug)]
pub(super) struct Trace {
    start: Instant,
    steps: Mutex<Vec<Step>>,
}

impl Trace {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
            steps: Mutex::default(),
        }
    }

    pub(super) fn note(&self, event: Event) {
        let at = self.start.elapsed();
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = steps.len() < MOST;
        match steps.last_mut() {
            // A peer that tells what it has in a thousand messages takes one line.
            Some(last) if same(&last.event, &event) => {
                last.at = at;
                last.times = last.times.saturating_add(1);
            }
            _ if has_room => steps.push(Step {
                at,
                times: 1,
                event,
            }),
            _ => {}
        }
    }

    pub(super) fn steps(&self) -> Vec<Step> {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.clone()
    }
}

impl Event {
    pub(super) fn keys(method: Method) -> Self {
        Self::KeysExchanged {
            rc4: method == Method::Rc4,
        }
    }
}

fn same(one: &Event, another: &Event) -> bool {
    match (one, another) {
        (Event::Message { name, .. }, Event::Message { name: other, .. }) => name == other,
        (Event::Nudged, Event::Nudged) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_messages_in_a_row_are_one_step() {
        let trace = Trace::start();
        for name in ["have", "have", "unchoke", "have"] {
            trace.note(Event::Message { name, bytes: 4 });
        }
        let times: Vec<u32> = trace.steps().iter().map(|step| step.times).collect();
        assert_eq!(times, [2, 1, 1]);
    }

    #[test]
    fn steps_are_bounded() {
        let trace = Trace::start();
        for piece in 0..5_000 {
            trace.note(Event::Rejected { piece });
        }
        assert_eq!(trace.steps().len(), MOST);
    }
}
