//! What is said after the handshakes: messages in, bytes out, no I/O.

use super::pieces::{Pieces, Step};
use super::{Event, ExtensionsSeen, Progress, Settings};
use crate::torrent::{Failure, Phase, Reason};
use crate::wire::extension::ExtensionHandshake;
use crate::wire::message::{self, KEEP_ALIVE, Message, encode_extended};
use crate::wire::ut_metadata::{self, UtMetadata};

/// The extended message id of the extension handshake (BEP 10).
const HANDSHAKE: u8 = 0;
/// The id under which peers are to send us `ut_metadata` messages.
const UT_METADATA: u8 = 1;

/// How rTorrent (the libtorrent of Rakshasa, not the one of the other arm) begins its name. It lets
/// a request lie while it answers another one, until something more comes in.
const ONE_AT_A_TIME: &str = "libTorrent ";

enum State {
    /// The peer's extension handshake has not come yet.
    Extension,
    /// Blocks are asked for under the peer's id for `ut_metadata`.
    Transfer { ut_metadata: u8, pieces: Pieces },
    /// Every block is here.
    Complete(Vec<u8>),
}

/// The conversation of one attempt, from the extension handshake to the last block.
pub(super) struct Exchange {
    progress: Progress,
    max_metadata_size: u32,
    state: State,
    /// Bytes to be sent; the owner of the socket takes them.
    pub(super) out: Vec<u8>,
    /// The metadata size that the peer claimed, as it came.
    pub(super) metadata_size: Option<i64>,
    /// The client's name in the extension handshake.
    pub(super) client: Option<String>,
    /// All requests were rejected: call [`Exchange::resume`] after a while.
    pub(super) paused: bool,
}

impl Exchange {
    /// Begins with our extension handshake in [`Exchange::out`].
    pub(super) fn new(settings: &Settings, progress: Progress) -> Self {
        let handshake = ExtensionHandshake {
            ut_metadata: Some(UT_METADATA),
            ..ExtensionHandshake::default()
        };
        Self {
            progress,
            max_metadata_size: settings.max_metadata_size,
            state: State::Extension,
            out: encode_extended(HANDSHAKE, &handshake.encode()),
            metadata_size: None,
            client: None,
            paused: false,
        }
    }

    /// [`Phase::Extension`] until the peer's extension handshake is here, then [`Phase::Transfer`].
    pub(super) fn phase(&self) -> Phase {
        match self.state {
            State::Extension => Phase::Extension,
            State::Transfer { .. } | State::Complete(_) => Phase::Transfer,
        }
    }

    /// How many blocks are here, and how many there are.
    pub(super) fn count(&self) -> (usize, usize) {
        match &self.state {
            State::Transfer { pieces, .. } => pieces.count(),
            State::Extension | State::Complete(_) => (0, 0),
        }
    }

    /// The dictionary, once it is complete; its hash is not checked yet.
    pub(super) fn into_bytes(self) -> Option<Vec<u8>> {
        match self.state {
            State::Complete(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Whether every block is here.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete(_))
    }

    /// Takes in a message. Bitfields, haves, chokes and the like are expected, and say nothing
    /// about metadata.
    pub(super) fn on_message(&mut self, message: &Message<'_>) -> Result<(), Failure> {
        match message {
            Message::Extended {
                id: HANDSHAKE,
                payload,
            } => self.on_handshake(payload),
            Message::Extended {
                id: UT_METADATA,
                payload,
            } => self.on_ut_metadata(payload),
            // Messages of extensions that we did not announce are ignored, as BEP 10 has it.
            Message::Extended { payload, .. } => {
                self.saw("extended", payload.len());
                Ok(())
            }
            Message::Other { id, len } => {
                self.saw(message::name(*id), *len);
                Ok(())
            }
            Message::KeepAlive => {
                self.saw("keep_alive", 0);
                Ok(())
            }
        }
    }

    fn saw(&self, name: &'static str, bytes: usize) {
        self.progress.note(|| Event::Message { name, bytes });
    }

    /// Sends nothing that means anything: a peer may let a request lie until it hears from us.
    pub(super) fn nudge(&mut self) {
        self.out.extend(KEEP_ALIVE);
        self.progress.note(|| Event::Nudged);
    }

    /// Asks again after a pause.
    pub(super) fn resume(&mut self) {
        self.paused = false;
        self.request();
    }

    fn on_handshake(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let handshake = ExtensionHandshake::decode(payload)
            .map_err(|error| violation(Phase::Extension, error.to_string()))?;
        self.progress
            .note(|| Event::ExtensionHandshake(ExtensionsSeen::new(&handshake, payload)));
        if handshake.client.is_some() {
            self.client = handshake.client;
        }
        match &mut self.state {
            State::Extension => {
                self.metadata_size = handshake.metadata_size;
                let id = handshake
                    .ut_metadata
                    .ok_or_else(|| no_metadata("it has no ut_metadata"))?;
                let size = self.checked_size(handshake.metadata_size)?;
                let client = self.client.as_deref().unwrap_or_default();
                self.state = State::Transfer {
                    ut_metadata: id,
                    pieces: Pieces::new(size, client.starts_with(ONE_AT_A_TIME)),
                };
                self.request();
            }
            // A peer may send the handshake again to change its ids.
            State::Transfer { ut_metadata, .. } => {
                *ut_metadata = handshake.ut_metadata.unwrap_or(*ut_metadata);
            }
            State::Complete(_) => {}
        }
        Ok(())
    }

    fn checked_size(&self, claimed: Option<i64>) -> Result<usize, Failure> {
        let claimed = claimed.ok_or_else(|| no_metadata("it has no metadata itself yet"))?;
        let cap = self.max_metadata_size;
        match usize::try_from(claimed) {
            Ok(size) if size > 0 && claimed <= i64::from(cap) => Ok(size),
            _ => Err(Failure::new(
                Reason::MetadataSizeInvalid,
                Phase::Extension,
                format!("it claims {claimed} bytes of metadata; 1 to {cap} are accepted"),
            )),
        }
    }

    fn on_ut_metadata(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let phase = self.phase();
        let message =
            ut_metadata::decode(payload).map_err(|error| violation(phase, error.to_string()))?;
        let State::Transfer {
            ut_metadata,
            pieces,
        } = &mut self.state
        else {
            return match (&self.state, message) {
                (State::Extension, UtMetadata::Data { .. } | UtMetadata::Reject { .. }) => {
                    Err(violation(
                        phase,
                        "it sent metadata before its extension handshake".into(),
                    ))
                }
                _ => Ok(()),
            };
        };
        let step = match message {
            UtMetadata::Data {
                piece,
                total_size,
                block,
            } => {
                let bytes = block.len();
                self.progress.note(|| Event::Block { piece, bytes });
                pieces.data(piece, total_size, block)
            }
            UtMetadata::Reject { piece } => {
                self.progress.note(|| Event::Rejected { piece });
                pieces.reject(piece)
            }
            UtMetadata::Request { piece } => {
                // We have nothing to give yet. A piece out of range gets no answer.
                if let Ok(piece) = u32::try_from(piece) {
                    let reject = ut_metadata::encode_reject(piece);
                    self.out.extend(encode_extended(*ut_metadata, &reject));
                }
                return Ok(());
            }
            UtMetadata::Unknown { .. } => return Ok(()),
        };
        match step.map_err(|error| violation(phase, error.to_string()))? {
            Step::More => self.request(),
            Step::Wait => {}
            Step::Pause => self.paused = true,
            Step::Rejected => {
                return Err(Failure::new(
                    Reason::Rejected,
                    phase,
                    "it rejected every request for metadata",
                ));
            }
            Step::Complete => {
                if let State::Transfer { pieces, .. } =
                    std::mem::replace(&mut self.state, State::Extension)
                {
                    self.state = State::Complete(pieces.into_bytes());
                }
            }
        }
        Ok(())
    }

    fn request(&mut self) {
        if let State::Transfer {
            ut_metadata,
            pieces,
        } = &mut self.state
            && !self.paused
        {
            let requests = pieces.requests();
            if let Some(&first) = requests.first() {
                let blocks = requests.len();
                self.progress.note(|| Event::Requested { first, blocks });
            }
            for piece in requests {
                let request = ut_metadata::encode_request(piece);
                self.out.extend(encode_extended(*ut_metadata, &request));
            }
        }
    }
}

fn no_metadata(detail: &str) -> Failure {
    Failure::new(Reason::NoUtMetadata, Phase::Extension, detail)
}

/// The peer broke the protocol.
pub(super) fn violation(phase: Phase, detail: String) -> Failure {
    Failure::new(Reason::ProtocolViolation, phase, detail)
}
