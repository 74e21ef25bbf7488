//! Message stream encryption (MSE/PE) as whoever is dialled speaks it.

use std::future::Future;
use std::io;

use crypto_bigint::modular::ConstMontyForm;
use crypto_bigint::{U192, U768, const_monty_params};
use rc4::{KeyInit as _, Rc4, StreamCipher as _};
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::wire::Random;

/// Length of a public key, in bytes.
const KEY: usize = 96;
/// The most that a pad may have, in bytes.
const MAX_PAD: usize = 512;
/// `crypto_select`.
const PLAINTEXT: u32 = 1;
const RC4: u32 = 2;

const_monty_params!(
    Prime,
    U768,
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74\
     020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f1437\
     4fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563",
    "The prime."
);
type Residue = ConstMontyForm<Prime, { U768::LIMBS }>;

/// A connection whose keys are being exchanged.
pub(super) struct Responder {
    tcp: TcpStream,
    shared: [u8; KEY],
}

impl Responder {
    /// Takes the key of whoever dialled, of which the first byte is here, and sends ours.
    pub(super) async fn take_key(mut tcp: TcpStream, first: u8, seed: u64) -> io::Result<Self> {
        let mut theirs = [first; KEY];
        tcp.read_exact(&mut theirs[1..]).await?;
        let mut random = Random::new(seed);
        let mut secret = [0; 24];
        secret[4..].copy_from_slice(&random.bytes(20));
        let secret = U192::from_be_slice(&secret);
        let shared = power(&U768::from_be_slice(&theirs), &secret);
        let mut answer = power(&U768::from_u8(2), &secret).to_vec();
        let pad = random.below(MAX_PAD + 1);
        answer.extend(random.bytes(pad));
        tcp.write_all(&answer).await?;
        Ok(Self { tcp, shared })
    }

    /// Ends the exchange, with one of these torrents, by RC4 or by plaintext for all that follows. What whoever
    /// dialled says comes out of the stream, as it was before it was encrypted, and what is written there goes to
    /// it, as long as the future runs.
    pub(super) async fn agree(
        mut self,
        torrents: &[[u8; 20]],
        by_rc4: bool,
    ) -> io::Result<(TcpStream, impl Future<Output = ()>)> {
        // Their pad ends where this is.
        let proof = hash(&[b"req1", &self.shared]);
        let mut seen = Vec::new();
        while !seen.ends_with(&proof) {
            if seen.len() >= MAX_PAD + proof.len() {
                return Err(broken("no proof of the secret"));
            }
            seen.push(self.tcp.read_u8().await?);
        }
        let mut named = [0; 20];
        self.tcp.read_exact(&mut named).await?;
        let mask = hash(&[b"req3", &self.shared]);
        let is_named = |torrent: &&[u8; 20]| {
            let hidden = hash(&[b"req2", *torrent]);
            hidden.iter().zip(mask).map(|(a, b)| a ^ b).eq(named)
        };
        let Some(torrent) = torrents.iter().find(is_named) else {
            return Err(broken("another torrent"));
        };
        let mut receive = cipher(b"keyA", &self.shared, torrent);
        let mut send = cipher(b"keyB", &self.shared, torrent);
        let head = self.take(&mut receive, 14).await?;
        let provided = u32::from_be_bytes(head[8..12].try_into().unwrap());
        let select = if by_rc4 { RC4 } else { PLAINTEXT };
        if head[..8] != [0; 8] || provided & select == 0 {
            return Err(broken("no constant, or a method that was not offered"));
        }
        let pad = u16::from_be_bytes([head[12], head[13]]);
        self.take(&mut receive, pad.into()).await?;
        let length = self.take(&mut receive, 2).await?;
        let length = u16::from_be_bytes([length[0], length[1]]);
        let initial = self.take(&mut receive, length.into()).await?;
        let mut answer = vec![0; 8];
        answer.extend(select.to_be_bytes());
        answer.extend(7_u16.to_be_bytes());
        answer.extend([0; 7]);
        send.apply_keystream(&mut answer);
        self.tcp.write_all(&answer).await?;

        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let ours = TcpStream::connect(listener.local_addr()?).await?;
        let (mut theirs, _) = listener.accept().await?;
        ours.set_nodelay(true)?;
        theirs.set_nodelay(true)?;
        theirs.write_all(&initial).await?;
        let (from_client, to_client) = self.tcp.into_split();
        let (from_peer, to_peer) = theirs.into_split();
        let pump = async move {
            let _ = tokio::join!(
                copy(from_client, to_peer, by_rc4.then_some(receive)),
                copy(from_peer, to_client, by_rc4.then_some(send)),
            );
        };
        Ok((ours, pump))
    }

    async fn take(&mut self, cipher: &mut Rc4, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.tcp.read_exact(&mut bytes).await?;
        cipher.apply_keystream(&mut bytes);
        Ok(bytes)
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut cipher: Option<Rc4>,
) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        if let Some(cipher) = &mut cipher {
            cipher.apply_keystream(&mut buffer[..count]);
        }
        to.write_all(&buffer[..count]).await?;
    }
}

fn power(base: &U768, exponent: &U192) -> [u8; KEY] {
    let bytes = Residue::new(base).pow(exponent).retrieve().to_be_bytes();
    bytes.as_ref().try_into().unwrap()
}

fn cipher(name: &[u8], shared: &[u8; KEY], torrent: &[u8; 20]) -> Rc4 {
    let mut rc4 = Rc4::new_from_slice(&hash(&[name, shared, torrent])).unwrap();
    rc4.apply_keystream(&mut [0; 1024]);
    rc4
}

fn hash(parts: &[&[u8]]) -> [u8; 20] {
    let mut sha1 = Sha1::new();
    for part in parts {
        sha1.update(part);
    }
    sha1.finalize().into()
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
