//! What is said after the handshakes: messages in, bytes out, no I/O.

use std::sync::Arc;

use super::limits::Gates;
use super::pieces::{Pieces, Step};
use super::{Event, ExtensionsSeen, Progress, Settings, Swarm};
use crate::torrent::{Failure, PeerAddr, Phase, Reason};
use crate::wire::extension::ExtensionHandshake;
use crate::wire::message::{self, KEEP_ALIVE, Message, append_extended, encode_extended};
use crate::wire::ut_metadata::{self, UtMetadata};
use crate::wire::ut_pex::UtPex;

/// The extended message id of the extension handshake (BEP 10).
const HANDSHAKE: u8 = 0;
/// The ids under which peers are to send us `ut_metadata` and `ut_pex` messages.
const UT_METADATA: u8 = 1;
const UT_PEX: u8 = 2;
/// How many requests we queue: what libtorrent says by default. Each gets its reject at once.
const REQQ: u32 = 250;
/// Bytes that wait to be sent, above which requests get no answer.
const MOST_OUT: usize = 8 << 10;
/// `ut_pex` messages that are read of one peer. One a minute is allowed.
const MOST_PEX: u32 = 4;

/// How rTorrent (the libtorrent of Rakshasa, not the one of the other arm) begins its name. It lets
/// a request lie while it answers another one, until something more comes in.
const ONE_AT_A_TIME: &str = "libTorrent ";

#[expect(clippy::large_enum_variant, reason = "there is one of a connection")]
enum State {
    /// The peer's extension handshake has not come yet.
    Extension,
    /// Blocks are asked for under the peer's id for `ut_metadata`.
    Transfer { ut_metadata: u8, pieces: Pieces },
}

/// The conversation of one attempt, from the extension handshake to the last block.
pub(super) struct Exchange {
    progress: Progress,
    peer: PeerAddr,
    swarm: Swarm,
    gates: Arc<Gates>,
    max_metadata_size: u32,
    state: State,
    complete: Option<Vec<u8>>,
    /// The peer has `ut_pex`.
    has_pex: bool,
    pex_messages: u32,
    /// Bytes to be sent; the owner of the socket takes them.
    pub(super) out: Vec<u8>,
    /// The metadata size that the peer claimed, as it came.
    pub(super) metadata_size: Option<i64>,
    /// The client's name in the extension handshake.
    pub(super) client: Option<String>,
    /// All requests were rejected: call [`Exchange::resume`] after a while.
    pub(super) paused: bool,
    /// There was no memory for a block: call [`Exchange::until_room`].
    pub(super) lacks_room: bool,
}

/// Our extension handshake for this peer. An anonymous one has the ids of messages and nothing else.
fn ours(settings: &Settings, peer: PeerAddr, port: Option<u16>, wants_peers: bool) -> Vec<u8> {
    let is_named = !settings.anonymous;
    let handshake = ExtensionHandshake {
        ut_metadata: Some(UT_METADATA),
        ut_pex: wants_peers.then_some(UT_PEX),
        client: is_named.then(|| concat!("metafetch ", env!("CARGO_PKG_VERSION")).to_owned()),
        port: port.filter(|_| is_named),
        reqq: is_named.then_some(REQQ),
        yourip: is_named.then_some(peer.ip()),
        ..ExtensionHandshake::default()
    };
    encode_extended(HANDSHAKE, &handshake.encode())
}

impl Exchange {
    /// Begins with our extension handshake in [`Exchange::out`]. `port` is where we listen.
    pub(super) fn new(
        settings: &Settings,
        peer: PeerAddr,
        port: Option<u16>,
        swarm: Swarm,
        gates: Arc<Gates>,
        progress: Progress,
    ) -> Self {
        Self {
            out: ours(settings, peer, port, swarm.wants_peers()),
            progress,
            peer,
            swarm,
            gates,
            max_metadata_size: settings.max_metadata_size,
            state: State::Extension,
            complete: None,
            has_pex: false,
            pex_messages: 0,
            metadata_size: None,
            client: None,
            paused: false,
            lacks_room: false,
        }
    }

    /// [`Phase::Extension`] until the peer's extension handshake is here, then [`Phase::Transfer`].
    pub(super) fn phase(&self) -> Phase {
        match self.state {
            State::Extension => Phase::Extension,
            State::Transfer { .. } => Phase::Transfer,
        }
    }

    /// How many blocks it has sent, and how many there are.
    pub(super) fn count(&self) -> (usize, usize) {
        match &self.state {
            State::Transfer { pieces, .. } => pieces.count(),
            State::Extension => (0, 0),
        }
    }

    /// How many bytes of blocks it has sent.
    pub(super) fn received_bytes(&self) -> usize {
        match &self.state {
            State::Transfer { pieces, .. } => pieces.received_bytes(),
            State::Extension => 0,
        }
    }

    /// The dictionary, once every block is here; its hash is not checked yet.
    pub(super) fn take_complete(&mut self) -> Option<Vec<u8>> {
        self.complete.take()
    }

    /// Whether every block is here.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.is_some()
    }

    /// The dictionary that was complete is the hash's.
    pub(super) fn is_right(&mut self) {
        if let State::Transfer { pieces, .. } = &mut self.state {
            pieces.is_right();
        }
    }

    /// Waits for memory for its blocks, and asks for them again.
    pub(super) async fn until_room(&mut self) {
        if let State::Transfer { pieces, .. } = &mut self.state {
            pieces.until_room().await;
        }
        self.lacks_room = false;
        self.request();
    }

    /// Waits until there may be something to ask for, where there was nothing: see [`Exchange::ask`].
    pub(super) async fn until_news(&mut self) {
        match &mut self.state {
            State::Transfer { pieces, .. } if !self.paused => pieces.until_news().await,
            _ => std::future::pending().await,
        }
    }

    /// Asks for what there may be to ask for.
    pub(super) fn ask(&mut self) {
        self.request();
    }

    /// The dictionary that was complete is not the hash's. Whether this peer has sent all of it; if not,
    /// it is asked for what others have sent.
    pub(super) fn is_wrong(&mut self, bytes: Vec<u8>) -> bool {
        let State::Transfer { pieces, .. } = &mut self.state else {
            return true;
        };
        let is_all_its_own = pieces.is_wrong(bytes);
        if !is_all_its_own {
            self.request();
        }
        is_all_its_own
    }

    /// Whether this peer may still name others.
    pub(super) fn may_name_peers(&self) -> bool {
        self.has_pex && self.pex_messages == 0 && self.swarm.wants_peers()
    }

    /// Takes in a message of a peer that has failed already: only what it says of other peers.
    pub(super) fn on_last_words(&mut self, message: &Message<'_>) {
        if let Message::Extended {
            id: UT_PEX,
            payload,
        } = message
        {
            self.on_ut_pex(payload);
        }
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
            Message::Extended {
                id: UT_PEX,
                payload,
            } if self.swarm.wants_peers() => {
                self.on_ut_pex(payload);
                Ok(())
            }
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
        self.progress.clock().saw(name);
        self.progress.note(|| Event::Message { name, bytes });
    }

    /// Sends nothing that means anything: a peer may let a request lie until it hears from us. And asks
    /// for what others may have left since.
    pub(super) fn nudge(&mut self) {
        self.out.extend(KEEP_ALIVE);
        self.progress.note(|| Event::Nudged);
        self.request();
    }

    /// A message that can't be read costs the peers that it names, and no more.
    fn on_ut_pex(&mut self, payload: &[u8]) {
        self.pex_messages = self.pex_messages.saturating_add(1);
        let pex = UtPex::decode(payload).unwrap_or_default();
        let peers = pex.added.len();
        self.progress.note(|| Event::PeersNamed { peers });
        if self.pex_messages <= MOST_PEX {
            self.swarm.name(self.peer, pex);
        }
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
        self.has_pex |= handshake.ut_pex.is_some();
        match &mut self.state {
            State::Extension => {
                self.metadata_size = handshake.metadata_size;
                let id = handshake
                    .ut_metadata
                    .ok_or_else(|| no_metadata(Phase::Extension, "it has no ut_metadata"))?;
                let size = self.checked_size(handshake.metadata_size)?;
                let client = self.client.as_deref().unwrap_or_default();
                self.state = State::Transfer {
                    ut_metadata: id,
                    pieces: Pieces::new(
                        (self.swarm.pool()).dictionary(size, self.gates.memory(size)),
                        self.peer,
                        handshake.reqq,
                        client.starts_with(ONE_AT_A_TIME),
                    ),
                };
                self.request();
            }
            // A peer may send the handshake again to change its ids, or to take one back.
            State::Transfer { .. } if handshake.no_ut_metadata => {
                return Err(no_metadata(
                    Phase::Transfer,
                    "it has taken its ut_metadata back",
                ));
            }
            State::Transfer { ut_metadata, .. } => {
                *ut_metadata = handshake.ut_metadata.unwrap_or(*ut_metadata);
            }
        }
        Ok(())
    }

    fn checked_size(&self, claimed: Option<i64>) -> Result<usize, Failure> {
        let claimed = claimed
            .ok_or_else(|| no_metadata(Phase::Extension, "it has no metadata itself yet"))?;
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
            return match message {
                UtMetadata::Data { .. } | UtMetadata::Reject { .. } => Err(violation(
                    phase,
                    "it sent metadata before its extension handshake".into(),
                )),
                UtMetadata::Request { .. } | UtMetadata::Unknown { .. } => Ok(()),
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
                // We have nothing to give yet. A piece out of range gets no answer, nor does who asks for
                // more at once than anybody has a use for: what we say to it would fill our memory.
                if let Ok(piece) = u32::try_from(piece)
                    && self.out.len() < MOST_OUT
                {
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
            Step::NoRoom => self.lacks_room = true,
            Step::Rejected => {
                return Err(Failure::new(
                    Reason::Rejected,
                    phase,
                    "it rejected every request for metadata",
                ));
            }
            Step::Complete(bytes) => self.complete = Some(bytes),
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
            let (mut first, mut blocks) = (None, 0_usize);
            pieces.request(|piece| {
                first.get_or_insert(piece);
                blocks += 1;
                append_extended(&mut self.out, *ut_metadata, |out| {
                    ut_metadata::append_request(out, piece);
                });
            });
            if let Some(first) = first {
                self.progress.note(|| Event::Requested { first, blocks });
            }
        }
    }
}

fn no_metadata(phase: Phase, detail: &str) -> Failure {
    Failure::new(Reason::NoUtMetadata, phase, detail)
}

/// The peer broke the protocol.
pub(super) fn violation(phase: Phase, detail: String) -> Failure {
    Failure::new(Reason::ProtocolViolation, phase, detail)
}

#[cfg(test)]
mod tests {
    use super::super::limits::Limits;
    use super::*;
    use crate::wire::ut_pex::PexFlags;

    fn peer(port: u16) -> PeerAddr {
        PeerAddr::new([8, 8, 8, 8].into(), port)
    }

    #[test]
    fn a_peer_that_has_failed_is_heard_on_other_peers_alone() {
        let swarm = Swarm::new();
        let gates = Arc::new(Gates::new(&Limits::default()));
        let settings = Settings::default();
        let progress = Progress::default();
        let mut exchange = Exchange::new(&settings, peer(1), None, swarm.clone(), gates, progress);
        let none = ExtensionHandshake {
            ut_pex: Some(1),
            ..ExtensionHandshake::default()
        };
        let all = ExtensionHandshake {
            ut_metadata: Some(3),
            metadata_size: Some(40_000),
            ..ExtensionHandshake::default()
        };
        let (none, all) = (none.encode(), all.encode());
        let said = |id, payload| Message::Extended { id, payload };
        assert!(exchange.on_message(&said(HANDSHAKE, &none)).is_err());
        let sent = exchange.out.len();
        exchange.on_last_words(&said(HANDSHAKE, &all));
        assert_eq!(exchange.phase(), Phase::Extension);
        assert_eq!(exchange.out.len(), sent);
        assert!(exchange.may_name_peers());
        let pex = UtPex {
            added: vec![(peer(2), PexFlags(0))],
            ..UtPex::default()
        };
        exchange.on_last_words(&said(UT_PEX, &pex.encode()));
        assert_eq!(swarm.named().len(), 1);
        assert!(!exchange.may_name_peers());
    }
}
