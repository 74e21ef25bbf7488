//! One connection of a peer: handshakes, and answers to metadata requests, as its behaviour has it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use super::Behaviour;
use super::mse::Responder;
use super::peer::Peer;
use super::wire::{self, OUR_UT_METADATA, Random, Value};

pub(super) async fn serve(peer: &Peer, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match peer.behaviour {
        Behaviour::Silent => return read_to_end(stream).await,
        Behaviour::CloseOnAccept => return close(stream).await,
        Behaviour::ResetOnAccept => return stream.set_zero_linger(),
        _ => {}
    }
    let mut head = [0; 68];
    stream.read_exact(&mut head[..1]).await?;
    if peer.behaviour == Behaviour::EncryptionRequired {
        return refuse_plaintext(peer, stream, head[0]).await;
    }
    if let Behaviour::Encrypted { rc4, silent } = peer.behaviour {
        return encrypted(peer, stream, head[0], rc4, silent).await;
    }
    answer(peer, stream, head).await
}

/// A peer that talks by MSE/PE alone.
async fn encrypted(
    peer: &Peer,
    stream: TcpStream,
    first: u8,
    rc4: bool,
    silent: bool,
) -> io::Result<()> {
    if first == 19 {
        return if silent {
            read_to_end(stream).await
        } else {
            close(stream).await
        };
    }
    let responder = Responder::take_key(stream, first, peer.seed).await?;
    peer.mse_keys.fetch_add(1, Relaxed);
    let torrents: Vec<_> = peer.infos.keys().copied().collect();
    let (mut stream, pump) = responder.agree(&torrents, rc4).await?;
    let serve = async {
        let mut head = [0; 68];
        stream.read_exact(&mut head[..1]).await?;
        answer(peer, stream, head).await
    };
    let (end, ()) = tokio::join!(serve, pump);
    end
}

/// Goes on where the first byte of the handshake is here.
async fn answer(peer: &Peer, mut stream: TcpStream, mut head: [u8; 68]) -> io::Result<()> {
    if head[0] != 19 {
        return close(stream).await;
    }
    stream.read_exact(&mut head[1..]).await?;
    let infohash: [u8; 20] = head[28..48].try_into().unwrap();
    let Some(info) = peer.infos.get(&infohash) else {
        return close(stream).await;
    };
    peer.handshakes.fetch_add(1, Relaxed);
    let infohash = match peer.behaviour {
        Behaviour::Upgrades => {
            let same = |id: &&[u8; 20]| **id != infohash && Arc::ptr_eq(&peer.infos[*id], info);
            let Some(upgraded) = peer
                .infos
                .keys()
                .find(same)
                .filter(|_| head[27] & 0x10 != 0)
            else {
                return close(stream).await;
            };
            *upgraded
        }
        _ => infohash,
    };
    let reply = |extended| wire::handshake(&infohash, &peer.id, extended);
    match peer.behaviour {
        Behaviour::CloseAfterHandshake => close(stream).await,
        Behaviour::BadHandshake => {
            let page = "HTTP/1.1 400 Bad Request\r\nServer: swarm\r\nContent-Length: 12\r\n\
                        Connection: keep-alive\r\n\r\nBad request\n";
            stay_after(stream, page.as_bytes()).await
        }
        Behaviour::WrongInfohash => {
            let other = infohash.map(|byte| !byte);
            stay_after(stream, &wire::handshake(&other, &peer.id, true)).await
        }
        Behaviour::SelfConnection => {
            stay_after(stream, &wire::handshake(&infohash, &head[48..], true)).await
        }
        Behaviour::SilentAfterHandshake => stay_after(stream, &reply(true)).await,
        Behaviour::CloseAfterReply => {
            stream.write_all(&reply(true)).await?;
            close(stream).await
        }
        Behaviour::NoExtensionProtocol => {
            stream.write_all(&reply(false)).await?;
            keep_alive(stream).await
        }
        Behaviour::BadExtensionHandshake => {
            let rubbish = wire::message(20, b"\0this is no dictionary");
            stay_after(stream, &[reply(true), rubbish].concat()).await
        }
        Behaviour::OversizedMessage => {
            let start = vec![0xff, 0xff, 0xff, 0xff, 20, 0];
            stay_after(stream, &[reply(true), start].concat()).await
        }
        Behaviour::Garbage => {
            let mut rubbish = Random::new(peer.seed).bytes(4096);
            rubbish[0] |= 0x80;
            stay_after(stream, &[reply(true), rubbish].concat()).await
        }
        Behaviour::Chatty => {
            let mut opening = reply(true);
            // DHT and fast extension (BEP 5, BEP 6), without which some of it would be forbidden.
            opening[27] |= 0x05;
            opening.extend(small_talk(info));
            dribble(&mut stream, &opening).await?;
            Connection::new(peer, stream, info).run(Vec::new()).await
        }
        _ => Connection::new(peer, stream, info).run(reply(true)).await,
    }
}

/// Closes in good order. Closing with unread bytes would reset the connection, so those are read.
async fn close(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    read_to_end(stream).await
}

async fn read_to_end(mut stream: TcpStream) -> io::Result<()> {
    tokio::io::copy(&mut stream, &mut tokio::io::sink())
        .await
        .map(drop)
}

async fn stay_after(mut stream: TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    read_to_end(stream).await
}

/// A peer that wants MSE: a first byte of 19 is a plaintext handshake, any other the start of a
/// Diffie-Hellman key of 96 bytes.
async fn refuse_plaintext(peer: &Peer, mut stream: TcpStream, first: u8) -> io::Result<()> {
    if first != 19 {
        stream.read_exact(&mut [0; 95]).await?;
        peer.mse_keys.fetch_add(1, Relaxed);
        stream.write_all(&Random::new(peer.seed).bytes(96)).await?;
        stream.read_u8().await?;
    }
    close(stream).await
}

async fn keep_alive(mut stream: TcpStream) -> io::Result<()> {
    let mut ignored = [0; 1024];
    loop {
        tokio::select! {
            read = stream.read(&mut ignored) => {
                if read? == 0 {
                    return Ok(());
                }
            }
            () = sleep(Duration::from_millis(500)) => stream.write_all(&[0; 4]).await?,
        }
    }
}

/// What clients say before they come to the point: bitfield, have, choke, `HaveAll`, port, suggest,
/// keep-alive. The bitfield has a bit for each v1 piece, since clients check that once they have
/// the metadata.
fn small_talk(info: &[u8]) -> Vec<u8> {
    let dict = Value::decode(info).map(|(dict, _)| dict);
    let pieces = dict.and_then(|dict| dict.string("pieces").map(|pieces| pieces.len() / 20));
    let pieces = pieces.unwrap_or(1);
    let mut bitfield = vec![0xff; pieces.div_ceil(8)];
    if !pieces.is_multiple_of(8) {
        bitfield[pieces / 8] = !(0xff >> (pieces % 8));
    }
    [
        wire::message(5, &bitfield),
        wire::message(4, &0_u32.to_be_bytes()),
        wire::message(0, &[]),
        wire::message(14, &[]),
        wire::message(9, &6881_u16.to_be_bytes()),
        wire::message(13, &0_u32.to_be_bytes()),
        vec![0; 4],
    ]
    .concat()
}

async fn dribble(stream: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    let splits = [1, 19, 29, 20, 2, 3, 5, 7, 11, 13, 1, 17];
    for split in splits {
        let (part, rest) = bytes.split_at(bytes.len().min(split));
        stream.write_all(part).await?;
        // A pause, so that the parts arrive as parts.
        sleep(Duration::from_millis(1)).await;
        bytes = rest;
    }
    stream.write_all(bytes).await
}

struct Connection<'a> {
    peer: &'a Peer,
    stream: TcpStream,
    /// What it serves.
    info: Arc<[u8]>,
    /// The id under which the client wants `ut_metadata` messages, once it has told.
    client_id: Option<u8>,
    /// The same of `ut_pex`.
    client_pex: Option<u8>,
    /// Under which it is to send `ut_metadata` messages.
    our_id: u8,
    /// It is to be closed.
    ends: bool,
    requests: usize,
    /// What is to be sent, and when.
    out: VecDeque<(Instant, Vec<u8>)>,
}

impl<'a> Connection<'a> {
    fn new(peer: &'a Peer, stream: TcpStream, info: &Arc<[u8]>) -> Self {
        let info = match peer.behaviour {
            Behaviour::SizeOther(delta) => {
                let claimed = i64::try_from(info.len())
                    .unwrap()
                    .saturating_add(delta)
                    .max(1);
                let mut other = info.to_vec();
                other.resize(usize::try_from(claimed).unwrap(), b'x');
                other.into()
            }
            _ => Arc::clone(info),
        };
        Self {
            peer,
            stream,
            info,
            client_id: None,
            client_pex: None,
            our_id: OUR_UT_METADATA,
            ends: false,
            requests: 0,
            out: VecDeque::new(),
        }
    }

    /// Sends `opening` and the extension handshake, then answers until the client goes.
    async fn run(mut self, mut opening: Vec<u8>) -> io::Result<()> {
        if self.peer.behaviour != Behaviour::UnaskedPiece {
            opening.extend(self.extension_handshake());
        }
        self.push(opening);
        let mut input = Vec::new();
        loop {
            while let Some(message) = wire::take_message(&mut input)? {
                self.read(&message);
            }
            if self.ends {
                return close(self.stream).await;
            }
            let now = Instant::now();
            while self.out.front().is_some_and(|(due, _)| *due <= now) {
                let (_, bytes) = self.out.pop_front().unwrap();
                self.stream.write_all(&bytes).await?;
            }
            let due = self.out.front().map(|(due, _)| *due);
            tokio::select! {
                read = self.stream.read_buf(&mut input) => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
                () = sleep_until(due.unwrap_or(now)), if due.is_some() => {}
            }
        }
    }

    fn extension_handshake(&self) -> Vec<u8> {
        let size = i64::try_from(self.info.len()).unwrap();
        let (id, size) = match self.peer.behaviour {
            Behaviour::NoUtMetadata => (None, Some(size)),
            Behaviour::NoMetadataYet => (Some(OUR_UT_METADATA), None),
            Behaviour::SizeZero => (Some(OUR_UT_METADATA), Some(0)),
            Behaviour::SizeNegative => (Some(OUR_UT_METADATA), Some(-1)),
            Behaviour::SizeHuge(size) => (Some(OUR_UT_METADATA), Some(size)),
            _ => (Some(OUR_UT_METADATA), Some(size)),
        };
        match self.peer.behaviour {
            Behaviour::OddExtensions => wire::odd_extension_handshake(self.our_id, self.info.len()),
            Behaviour::Queue(reqq) => wire::extension_handshake_with(id, size, reqq),
            _ => wire::extension_handshake(id, size),
        }
    }

    /// Names the peers that it is to name.
    fn name_peers(&mut self) {
        let named = self.peer.named.lock().unwrap().clone();
        if let (Some(id), false) = (self.client_pex, named.is_empty()) {
            let of = |v4: bool| {
                let addrs = named.iter().filter(move |(addr, _)| addr.is_ipv4() == v4);
                let flags: Vec<u8> = addrs.clone().map(|(_, flags)| *flags).collect();
                let addrs = addrs.flat_map(|(addr, _)| wire::compact(*addr));
                (addrs.collect::<Vec<u8>>(), flags)
            };
            let ((added, flags), (added6, flags6)) = (of(true), of(false));
            let dict = Value::dict([
                ("added", Value::bytes(added)),
                ("added.f", Value::bytes(flags)),
                ("added6", Value::bytes(added6)),
                ("added6.f", Value::bytes(flags6)),
            ]);
            self.push(wire::extended(id, &dict, &[]));
        }
    }

    /// Says that requests are to come under this id from now on; 0 for none at all.
    fn change_id(&mut self, id: u8) {
        self.our_id = id;
        let ids = Value::dict([("ut_metadata", Value::Int(id.into()))]);
        self.push(wire::extended(0, &Value::dict([("m", ids)]), &[]));
    }

    fn push(&mut self, bytes: Vec<u8>) {
        let latency = match self.peer.behaviour {
            Behaviour::Slow { latency } => latency,
            Behaviour::Queue(_) => Duration::from_millis(20),
            _ => Duration::ZERO,
        };
        self.out.push_back((Instant::now() + latency, bytes));
    }

    /// Spreads the bytes over time, after those that wait already.
    fn drip(&mut self, bytes: &[u8], per_second: usize) {
        let mut due = self.out.back().map_or_else(Instant::now, |(due, _)| *due);
        for part in bytes.chunks((per_second / 10).max(1)) {
            due += Duration::from_millis(100);
            self.out.push_back((due, part.to_vec()));
        }
    }

    fn read(&mut self, message: &[u8]) {
        let [20, extension, body @ ..] = message else {
            return;
        };
        let Some((dict, _)) = Value::decode(body) else {
            return;
        };
        if *extension == 0 {
            let id = dict.get("m").and_then(|m| m.int("ut_metadata"));
            self.client_id = id.and_then(|id| u8::try_from(id).ok()).filter(|id| *id > 0);
            let id = dict.get("m").and_then(|m| m.int("ut_pex"));
            self.client_pex = id.and_then(|id| u8::try_from(id).ok()).filter(|id| *id > 0);
            self.name_peers();
            if self.peer.behaviour == Behaviour::UnaskedPiece {
                self.send_block("0", wire::block(&Arc::clone(&self.info), 0));
                self.push(self.extension_handshake());
            }
        } else if self.is_request(*extension) && dict.int("msg_type") == Some(0) {
            self.peer.requests.fetch_add(1, Relaxed);
            self.requests += 1;
            if let Some(piece) = dict.int("piece") {
                self.answer(piece);
            }
            if self.peer.behaviour == Behaviour::ChangesIds && self.requests == 16 {
                self.change_id(OUR_UT_METADATA + 1);
            }
        }
    }

    /// Whether `ut_metadata` messages may come under this id: for a while also under the one before, since
    /// the client may not know yet.
    fn is_request(&self, id: u8) -> bool {
        let is_late = self.peer.behaviour == Behaviour::ChangesIds && self.requests < 40;
        id == self.our_id || is_late && id == OUR_UT_METADATA
    }

    fn answer(&mut self, piece: i64) {
        let info = Arc::clone(&self.info);
        let block = wire::block(&info, piece);
        let number = piece.to_string();
        match self.peer.behaviour {
            Behaviour::Ignore | Behaviour::UnaskedPiece => {}
            Behaviour::StallAfter(blocks) | Behaviour::CorruptThenStall(blocks)
                if self.requests > blocks => {}
            Behaviour::Queue(most) if self.out.len() >= most => self.ends = true,
            Behaviour::TakesBack => self.change_id(0),
            Behaviour::RejectAll => self.reject(piece),
            Behaviour::RejectFirst(count) if self.requests <= count => self.reject(piece),
            _ if block.is_empty() => self.reject(piece),
            Behaviour::CorruptBytes | Behaviour::CorruptThenStall(_) => {
                let mut bad = block.to_vec();
                bad[block.len() / 2] ^= 0xff;
                self.send_block(&number, &bad);
            }
            Behaviour::PieceOutOfRange => {
                let beyond = info.len().div_ceil(wire::BLOCK) + 7;
                self.send_block(&beyond.to_string(), block);
            }
            Behaviour::Twice => {
                self.send_block(&number, block);
                self.send_block(&number, block);
            }
            Behaviour::PieceNegative => self.send_block("-1", block),
            Behaviour::PieceOverflow(digits) => self.send_block(digits, block),
            Behaviour::BlockTooShort => self.send_block(&number, &block[..block.len() / 2]),
            Behaviour::BlockTooLong => self.send_block(&number, &[block, &[b'x'; 16]].concat()),
            _ => self.send_block(&number, block),
        }
    }

    fn reject(&mut self, piece: i64) {
        let dict = Value::dict([("msg_type", Value::Int(2)), ("piece", Value::Int(piece))]);
        if let Some(id) = self.client_id {
            self.push(wire::extended(id, &dict, &[]));
        }
    }

    fn send_block(&mut self, piece: &str, block: &[u8]) {
        let Some(id) = self.client_id else {
            return;
        };
        let dict = Value::dict([
            ("msg_type", Value::Int(1)),
            ("piece", Value::Raw(format!("i{piece}e").into_bytes())),
            (
                "total_size",
                Value::Int(match self.peer.behaviour {
                    Behaviour::TotalSizeOther => 77_777,
                    _ => i64::try_from(self.info.len()).unwrap(),
                }),
            ),
        ]);
        let bytes = wire::extended(id, &dict, block);
        self.peer.blocks.fetch_add(1, Relaxed);
        match self.peer.behaviour {
            Behaviour::Drip { bytes_per_second } => self.drip(&bytes, bytes_per_second),
            _ => self.push(bytes),
        }
    }
}
