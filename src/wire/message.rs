//! Length-prefixed messages of the peer wire (BEP 3), of which we read the extended ones (BEP 10).

use std::fmt;

/// Id of extended messages (BEP 10).
const EXTENDED: u8 = 20;

/// The longest message of other kinds that is skipped. Bitfields of the largest torrents take
/// 2 MiB, blocks of payload 16 KiB to 1 MiB; nothing honest comes near this.
const MAX_SKIPPED: usize = 16 << 20;

/// How much is read from the socket at a time, in bytes.
const CHUNK: usize = 16 << 10;

/// Length of the length prefix.
const PREFIX: usize = 4;

/// The message without anything, which says that the sender is still there (BEP 3).
pub const KEEP_ALIVE: [u8; PREFIX] = [0; PREFIX];

/// One message of a peer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// Nothing, to keep the connection open.
    KeepAlive,
    /// A message of the extension protocol.
    Extended {
        /// 0 for the extension handshake, else what the receiver's handshake assigned.
        id: u8,
        /// What comes after the id.
        payload: &'a [u8],
    },
    /// Any other message. Its payload is skipped: choke state, bitfields and the like come before
    /// the extension handshake, and a metadata fetch has no use for them.
    Other {
        /// The kind, see [`name`].
        id: u8,
        /// Length of the payload in bytes.
        len: usize,
    },
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeepAlive => f.write_str("KeepAlive"),
            Self::Extended { id, payload } => write!(f, "Extended({id}, {} bytes)", payload.len()),
            Self::Other { id, len } => write!(f, "Other({}, {len} bytes)", name(*id)),
        }
    }
}

/// The name of a message id, for diagnosis (BEP 3, 5, 6, 10, 52).
#[must_use]
pub fn name(id: u8) -> &'static str {
    match id {
        0 => "choke",
        1 => "unchoke",
        2 => "interested",
        3 => "not_interested",
        4 => "have",
        5 => "bitfield",
        6 => "request",
        7 => "piece",
        8 => "cancel",
        9 => "port",
        13 => "suggest_piece",
        14 => "have_all",
        15 => "have_none",
        16 => "reject_request",
        17 => "allowed_fast",
        20 => "extended",
        21 => "hash_request",
        22 => "hashes",
        23 => "hash_reject",
        _ => "unknown",
    }
}

/// A stream of messages that can't be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length prefix beyond what is allowed for that kind of message.
    #[error("the peer announced a {} message of {len} bytes, and {max} are allowed", name(*.id))]
    TooLong {
        /// The kind.
        id: u8,
        /// The announced length, in bytes, with the id.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// An extended message that ends before its extended id.
    #[error("the peer sent an extended message without an extended id")]
    NoExtendedId,
}

/// Cuts the byte stream of a connection into messages.
///
/// Read into [`spare_mut`](Self::spare_mut), say how much with [`advance`](Self::advance), and take
/// messages from [`next`](Self::next) until there are none: then memory stays at what the longest
/// extended message allowed takes, or at 16 KiB. Messages of other kinds are not buffered.
///
/// ```
/// # use metafetch::wire::message::{FrameDecoder, Message, encode_extended};
/// # fn read(buffer: &mut [u8]) -> usize {
/// #     let bytes = encode_extended(0, b"de");
/// #     buffer[..bytes.len()].copy_from_slice(&bytes);
/// #     bytes.len()
/// # }
/// let mut frames = FrameDecoder::new(64 << 10);
/// let n = read(frames.spare_mut()); // or `stream.read(frames.spare_mut()).await?`
/// frames.advance(n);
/// while let Some(message) = frames.next()? {
///     assert_eq!(message, Message::Extended { id: 0, payload: b"de" });
/// }
/// # Ok::<(), metafetch::wire::message::FrameError>(())
/// ```
#[derive(Debug)]
pub struct FrameDecoder {
    max: usize,
    /// Bytes `start..end` have been read and not consumed; the rest is room.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// How many bytes of a message that nobody wants are still to come.
    skip: usize,
}

impl FrameDecoder {
    /// A decoder that refuses extended messages longer than `max` bytes (id and extended id
    /// included).
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            max,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            skip: 0,
        }
    }

    /// Room to read into: never empty.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end = self.end.saturating_sub(self.start);
            self.start = 0;
        }
        // No more than the longest message takes, unless that is here and was not taken out.
        let longest = self.max.saturating_add(PREFIX).max(CHUNK);
        let wanted = self.end.saturating_add(CHUNK);
        let wanted = if self.end < longest {
            wanted.min(longest)
        } else {
            wanted
        };
        if let Some(missing) = wanted.checked_sub(self.buffer.len()) {
            self.buffer.reserve_exact(missing);
            self.buffer.resize(wanted, 0);
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Notes that `n` bytes were read into [`spare_mut`](Self::spare_mut).
    pub fn advance(&mut self, n: usize) {
        self.end = self.end.saturating_add(n).min(self.buffer.len());
        self.drop_skipped();
    }

    /// Feeds bytes that were read elsewhere, with a copy.
    pub fn extend(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let spare = self.spare_mut();
            let (now, later) = bytes.split_at(bytes.len().min(spare.len()));
            for (to, from) in spare.iter_mut().zip(now) {
                *to = *from;
            }
            self.advance(now.len());
            bytes = later;
        }
    }

    /// The next message, or `None` until more bytes come. A message of another kind than extended
    /// is told as soon as its kind is known. After an error the stream is lost, and the error
    /// comes again.
    #[expect(
        clippy::should_implement_trait,
        reason = "the message borrows from the decoder, which an iterator's items can't"
    )]
    pub fn next(&mut self) -> Result<Option<Message<'_>>, FrameError> {
        self.drop_skipped();
        let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some((prefix, rest)) = unread.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let len = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        if len == 0 {
            self.start = self.start.saturating_add(PREFIX);
            return Ok(Some(Message::KeepAlive));
        }
        let Some((&id, rest)) = rest.split_first() else {
            return Ok(None);
        };
        let max = if id == EXTENDED {
            self.max
        } else {
            MAX_SKIPPED
        };
        if len > max {
            return Err(FrameError::TooLong { id, len, max });
        }
        let payload_len = len.saturating_sub(1);
        if id != EXTENDED {
            self.start = self.start.saturating_add(PREFIX).saturating_add(1);
            self.skip = payload_len;
            let len = payload_len;
            return Ok(Some(Message::Other { id, len }));
        }
        if payload_len == 0 {
            return Err(FrameError::NoExtendedId);
        }
        let Some((&id, payload)) = rest.get(..payload_len).and_then(<[u8]>::split_first) else {
            return Ok(None);
        };
        self.start = self.start.saturating_add(PREFIX).saturating_add(len);
        Ok(Some(Message::Extended { id, payload }))
    }

    /// Forgets what belongs to a message that nobody wants.
    fn drop_skipped(&mut self) {
        let dropped = self.skip.min(self.end.saturating_sub(self.start));
        self.skip = self.skip.saturating_sub(dropped);
        self.start = self.start.saturating_add(dropped);
    }
}

/// An extended message for the wire: `id` is 0 for the extension handshake, else what the
/// receiver's extension handshake assigned.
#[must_use]
pub fn encode_extended(id: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len().saturating_add(6));
    append_extended(&mut bytes, id, |out| out.extend_from_slice(payload));
    bytes
}

/// Appends an extended message whose payload `write` appends.
pub(crate) fn append_extended(out: &mut Vec<u8>, id: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, EXTENDED, id]);
    write(out);
    // Payloads are ours, a few hundred bytes or one block, and never near 4 GiB.
    let len = out.len().saturating_sub(start).saturating_sub(PREFIX);
    let len = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    if let Some(prefix) = out.get_mut(start..start.saturating_add(PREFIX)) {
        prefix.copy_from_slice(&len);
    }
}

#[cfg(test)]
mod tests;
