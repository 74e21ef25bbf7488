//! Message stream encryption (MSE/PE): the key exchange of whoever dials, as bytes in and bytes out.
//!
//! It hides the protocol from who watches the wire, and protects from nobody who takes part: the keys
//! depend on the infohash, and the cipher is RC4. What it is good for here is to reach peers that talk
//! no other way.
//!
//! The initiator (A, we) and the responder (B) say, after a Diffie-Hellman exchange with a 768-bit
//! prime and the secret `S`, with `SKEY` the 20 bytes of the handshake's infohash:
//!
//! ```text
//! A -> B   Ya, PadA
//! B -> A   Yb, PadB
//! A -> B   SHA1("req1" S), SHA1("req2" SKEY) ^ SHA1("req3" S),
//!          RC4(VC, crypto_provide, len(PadC), PadC, len(IA)), RC4(IA)
//! B -> A   RC4(VC, crypto_select, len(PadD), PadD), what follows by the method that was selected
//! ```
//!
//! `VC` is eight zero bytes, pads have 0 to 512, and `IA` is the start of what A wants to say anyway:
//! our handshake (BEP 3). The stream of each direction has its own key, and the first 1024 bytes of
//! its key stream are not used.

mod cipher;
mod dh;
#[cfg(test)]
mod tests;

use rand::{Rng as _, RngExt as _};
use sha1::{Digest as _, Sha1};

pub use self::cipher::Cipher;
use self::dh::{KEY, Secret};

/// The most that a pad may have, in bytes.
const MAX_PAD: usize = 512;
/// The verification constant: eight zero bytes.
const VC: [u8; 8] = [0; 8];
/// `crypto_provide` and `crypto_select`: nothing but the key exchange.
const PLAINTEXT: u32 = 1;
/// The whole stream.
const RC4: u32 = 2;

/// What is encrypted after the key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Nothing.
    Plaintext,
    /// Everything, by RC4.
    Rc4,
}

/// An answer that is none to a key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MseError {
    /// It speaks the protocol in the clear.
    #[error("it answered the key exchange with a plaintext handshake")]
    Plaintext,
    /// A public key that gives the secret away: 0, 1, or one less than the prime.
    #[error("its public key is none")]
    PublicKey,
    /// It has another infohash, or does not do what the protocol asks.
    #[error("it did not prove within {MAX_PAD} bytes that it has the keys")]
    NoVerification,
    /// A method that was not offered, none, or several.
    #[error("it selected the encryption methods {0:#x}, which were not offered or are not one")]
    Method(u32),
    /// A pad beyond 512 bytes.
    #[error("it announced {0} bytes of padding")]
    Padding(u16),
}

/// How far the key exchange is.
#[derive(Debug)]
pub enum Progress {
    /// More bytes are needed.
    More,
    /// These bytes are to be sent.
    Send(Vec<u8>),
    /// Both have the keys.
    Done(Box<Established>),
}

/// A connection whose keys are exchanged.
#[derive(Debug)]
pub struct Established {
    /// What the peer selected.
    pub method: Method,
    /// What came after the exchange, in the clear.
    pub rest: Vec<u8>,
    send: Cipher,
    receive: Cipher,
}

impl Established {
    /// Makes bytes ready to be sent.
    pub fn encrypt(&mut self, bytes: &mut [u8]) {
        if self.method == Method::Rc4 {
            self.send.apply(bytes);
        }
    }

    /// Reads bytes that came.
    pub fn decrypt(&mut self, bytes: &mut [u8]) {
        if self.method == Method::Rc4 {
            self.receive.apply(bytes);
        }
    }
}

/// The side that dials.
#[derive(Debug)]
pub struct Initiator {
    secret: Secret,
    skey: [u8; 20],
    /// What is said right after the exchange, and goes along with it.
    initial: Vec<u8>,
    only_rc4: bool,
    received: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Waits for the public key.
    PublicKey,
    /// Waits for the verification constant, which begins the encrypted part.
    Verification {
        send: Cipher,
        receive: Cipher,
        expected: [u8; VC.len()],
    },
    /// Waits for what was selected.
    Selection { send: Cipher, receive: Cipher },
    /// Waits for the end of a pad.
    Pad {
        send: Cipher,
        receive: Cipher,
        method: Method,
        length: usize,
    },
    /// Has failed, or is done.
    Over,
}

impl Initiator {
    /// Begins; the bytes are to be sent first. `initial` is at most 65,535 bytes, those beyond are
    /// not sent. With `only_rc4` the whole connection is to be encrypted.
    #[must_use]
    pub fn new(skey: [u8; 20], mut initial: Vec<u8>, only_rc4: bool) -> (Self, Vec<u8>) {
        initial.truncate(usize::from(u16::MAX));
        let (secret, public) = Secret::random();
        let mut first = public.to_vec();
        first.extend(pad());
        let initiator = Self {
            secret,
            skey,
            initial,
            only_rc4,
            received: Vec::new(),
            state: State::PublicKey,
        };
        (initiator, first)
    }

    /// Takes bytes in. Keeps at most what the exchange allows for: 96 bytes of key, two pads and 14
    /// more, and what one call brought.
    ///
    /// # Errors
    /// The peer does not take part as it should; the connection is of no use any more.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Progress, MseError> {
        self.received.extend_from_slice(bytes);
        match std::mem::replace(&mut self.state, State::Over) {
            State::PublicKey => self.public_key(),
            State::Verification {
                send,
                receive,
                expected,
            } => self.verification(send, receive, expected),
            State::Selection { send, receive } => self.selection(send, receive),
            State::Pad {
                send,
                receive,
                method,
                length,
            } => Ok(self.pad(send, receive, method, length)),
            State::Over => Ok(Progress::More),
        }
    }

    fn public_key(&mut self) -> Result<Progress, MseError> {
        const PLAIN: &[u8] = b"\x13BitTorrent protocol";
        if self.received.starts_with(PLAIN) {
            return Err(MseError::Plaintext);
        }
        let Some(theirs) = self.received.first_chunk::<KEY>() else {
            self.state = State::PublicKey;
            return Ok(Progress::More);
        };
        let shared = self.secret.shared(theirs).ok_or(MseError::PublicKey)?;
        self.received.drain(..KEY);
        let mut send = Cipher::new(b"keyA", &shared, &self.skey);
        let mut receive = Cipher::new(b"keyB", &shared, &self.skey);
        let message = self.proof(&shared, &mut send);
        let mut expected = VC;
        receive.apply(&mut expected);
        self.state = State::Verification {
            send,
            receive,
            expected,
        };
        Ok(Progress::Send(message))
    }

    /// The third message: that we have the secret and know the infohash, and what we offer.
    fn proof(&self, shared: &[u8; KEY], send: &mut Cipher) -> Vec<u8> {
        let mut message = hash(&[b"req1", shared]).to_vec();
        let torrent = hash(&[b"req2", &self.skey]);
        let mask = hash(&[b"req3", shared]);
        message.extend(torrent.iter().zip(mask).map(|(a, b)| a ^ b));
        let from = message.len();
        let provide = if self.only_rc4 { RC4 } else { PLAINTEXT | RC4 };
        let pad = pad();
        message.extend(VC);
        message.extend(provide.to_be_bytes());
        message.extend(u16::try_from(pad.len()).unwrap_or_default().to_be_bytes());
        message.extend(pad);
        let length = u16::try_from(self.initial.len()).unwrap_or(u16::MAX);
        message.extend(length.to_be_bytes());
        message.extend(&self.initial);
        if let Some(encrypted) = message.get_mut(from..) {
            send.apply(encrypted);
        }
        message
    }

    fn verification(
        &mut self,
        send: Cipher,
        receive: Cipher,
        expected: [u8; VC.len()],
    ) -> Result<Progress, MseError> {
        let window = self.received.len().min(MAX_PAD + VC.len());
        let found = self
            .received
            .get(..window)
            .and_then(|seen| seen.windows(VC.len()).position(|bytes| bytes == expected));
        let Some(at) = found else {
            if window == MAX_PAD + VC.len() {
                return Err(MseError::NoVerification);
            }
            self.state = State::Verification {
                send,
                receive,
                expected,
            };
            return Ok(Progress::More);
        };
        self.received.drain(..at.saturating_add(VC.len()));
        self.selection(send, receive)
    }

    fn selection(&mut self, send: Cipher, mut receive: Cipher) -> Result<Progress, MseError> {
        let Some(mut selection) = self.received.first_chunk::<6>().copied() else {
            self.state = State::Selection { send, receive };
            return Ok(Progress::More);
        };
        receive.apply(&mut selection);
        self.received.drain(..selection.len());
        let [a, b, c, d, high, low] = selection;
        let method = match u32::from_be_bytes([a, b, c, d]) {
            RC4 => Method::Rc4,
            PLAINTEXT if !self.only_rc4 => Method::Plaintext,
            other => return Err(MseError::Method(other)),
        };
        let length = u16::from_be_bytes([high, low]);
        if usize::from(length) > MAX_PAD {
            return Err(MseError::Padding(length));
        }
        Ok(self.pad(send, receive, method, length.into()))
    }

    fn pad(
        &mut self,
        send: Cipher,
        mut receive: Cipher,
        method: Method,
        length: usize,
    ) -> Progress {
        let Some((pad, rest)) = self.received.split_at_mut_checked(length) else {
            self.state = State::Pad {
                send,
                receive,
                method,
                length,
            };
            return Progress::More;
        };
        receive.apply(pad);
        if method == Method::Rc4 {
            receive.apply(rest);
        }
        let rest = rest.to_vec();
        self.received = Vec::new();
        Progress::Done(Box::new(Established {
            method,
            rest,
            send,
            receive,
        }))
    }
}

/// 0 to 512 random bytes.
fn pad() -> Vec<u8> {
    let mut random = rand::rng();
    let mut pad = vec![0; random.random_range(0..=MAX_PAD)];
    random.fill_bytes(&mut pad);
    pad
}

fn hash(parts: &[&[u8]]) -> [u8; 20] {
    let mut sha1 = Sha1::new();
    for part in parts {
        sha1.update(part);
    }
    sha1.finalize().into()
}
