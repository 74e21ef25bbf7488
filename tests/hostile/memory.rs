//! What a connection costs in memory, whatever its peer sends: no more than the dictionary that it claims, and
//! 64 KiB. The arm runs on one thread, whose memory is counted; the peers run on another.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use metafetch::direct::{Direct, Limits, Progress, Request, Settings, Swarm};
use metafetch::torrent::Infohash;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use crate::swarm::TestTorrent;
use crate::swarm::wire::{self, Value};

/// Peers at a time.
const PEERS: usize = 10;
/// What a connection may take beside the dictionary that its peer claims.
const EACH: usize = 64 << 10;
/// What a peer that talks without end has said when it is looked at.
const ENOUGH: usize = 128 << 10;
/// The dictionary that is claimed, more or less.
const CLAIM: i64 = 1 << 20;
/// Where it does not matter.
const SMALL_CLAIM: i64 = 100;

thread_local! {
    /// Bytes of this thread that are in use, and the most that were.
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

fn count(more: usize, less: usize) {
    // At the end of a thread there is nothing left to count with.
    let _ = LIVE.try_with(|live| {
        live.set(live.get().saturating_add(more).saturating_sub(less));
        let _ = MOST.try_with(|most| most.set(most.get().max(live.get())));
    });
}

// SAFETY: all of it is the system's allocator; what is counted is in cells that allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as of the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as of the caller.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are there for a moment, or may be.
        count(size, 0);
        count(0, layout.size());
        // SAFETY: as of the caller.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What a peer sends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sends {
    /// Requests without end, each of which is to be rejected.
    Requests,
    /// The longest message that there may be, but for its last byte.
    HalfAMessage,
    /// A name of 30,000 bytes.
    LongName,
    /// Names of peers without end (BEP 11).
    Peers,
    /// Keep-alives and bitfields without end.
    Chatter,
    /// To an encrypted handshake, what is none, up to where it can be known.
    Pads,
    /// One block of a large dictionary, which is another one for each peer.
    OneBlock,
}

struct Peer {
    sends: Sends,
    infohash: [u8; 20],
    /// How many have said what they have to say.
    said: AtomicUsize,
    came: AtomicUsize,
}

impl Peer {
    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let number = i64::try_from(self.came.fetch_add(1, Relaxed)).unwrap();
        let mut first = [0; 68];
        stream.read_exact(&mut first).await?;
        if self.sends == Sends::Pads {
            // A key may begin with the same byte.
            if first.starts_with(b"\x13BitTorrent protocol") {
                return Ok(());
            }
            // A key, and a pad that ends nowhere.
            stream.write_all(&[5; 96 + 512 + 7]).await?;
            self.said.fetch_add(1, Relaxed);
            return hold(stream).await;
        }
        let mut hello = wire::handshake(&self.infohash, &[7; 20], true);
        let claim = match self.sends {
            Sends::OneBlock => CLAIM + number,
            _ => SMALL_CLAIM,
        };
        hello.extend(match self.sends {
            Sends::LongName => long_name(claim),
            _ => wire::extension_handshake(Some(2), Some(claim)),
        });
        stream.write_all(&hello).await?;
        let part = match self.sends {
            Sends::Requests => {
                let dict = Value::dict([("msg_type", Value::Int(0)), ("piece", Value::Int(0))]);
                wire::extended(1, &dict, &[]).repeat(2000)
            }
            Sends::Peers => {
                let added = vec![8; 6 * 5000];
                wire::extended(2, &Value::dict([("added", Value::bytes(added))]), &[])
            }
            Sends::Chatter => [vec![0; 400], wire::message(5, &vec![0xff; 60_000])].concat(),
            Sends::HalfAMessage => {
                let message = wire::message(20, &vec![1; (32 << 10) - 1]);
                message[..message.len() - 1].to_vec()
            }
            Sends::OneBlock => {
                until_asked(&mut stream).await?;
                let dict = Value::dict([("msg_type", Value::Int(1)), ("piece", Value::Int(0))]);
                wire::extended(1, &dict, &[3; wire::BLOCK])
            }
            Sends::LongName | Sends::Pads => Vec::new(),
        };
        let is_endless = matches!(self.sends, Sends::Requests | Sends::Peers | Sends::Chatter);
        let (mut from, mut to) = stream.into_split();
        let listen = async {
            let mut heard = [0; 4096];
            while from.read(&mut heard).await.is_ok_and(|read| read > 0) {}
        };
        let talk = async {
            let mut bytes = 0;
            loop {
                if !part.is_empty() && to.write_all(&part).await.is_err() {
                    return;
                }
                let before = bytes;
                bytes += part.len();
                if !is_endless || before < ENOUGH && bytes >= ENOUGH {
                    self.said.fetch_add(1, Relaxed);
                }
                if !is_endless {
                    return std::future::pending().await;
                }
            }
        };
        tokio::select! {
            () = listen => {}
            () = talk => {}
        }
        Ok(())
    }
}

async fn hold(mut stream: TcpStream) -> std::io::Result<()> {
    let mut heard = [0; 4096];
    while stream.read(&mut heard).await? > 0 {}
    Ok(())
}

fn long_name(size: i64) -> Vec<u8> {
    let ids = Value::dict([("ut_metadata", Value::Int(2))]);
    let dict = Value::dict([
        ("m", ids),
        ("metadata_size", Value::Int(size)),
        ("v", Value::bytes(vec![b'x'; 30_000])),
    ]);
    wire::extended(0, &dict, &[])
}

/// Reads until the first block has been asked for.
async fn until_asked(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut received = Vec::new();
    while !received.windows(10).any(|part| part == b"5:piecei0e") {
        if stream.read_buf(&mut received).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// The most that each connection took, when each peer had said what it has to say.
fn most_of_each(sends: Sends) -> usize {
    let torrent = TestTorrent::v1(9_600, 20_000);
    let infohash: Infohash = torrent.hex().parse().unwrap();
    let peer = Arc::new(Peer {
        sends,
        infohash: torrent.wire_ids()[0],
        said: AtomicUsize::default(),
        came: AtomicUsize::default(),
    });
    let others = Runtime::new().unwrap();
    let listener = others.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr: SocketAddr = listener.local_addr().unwrap();
    let served = Arc::clone(&peer);
    others.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let served = Arc::clone(&served);
            tokio::spawn(async move {
                let _ = served.serve(stream).await;
            });
        }
    });
    let long = Duration::from_secs(600);
    let direct = Direct::new(Settings {
        handshake_timeout: long,
        extension_timeout: long,
        first_block_timeout: long,
        block_timeout: long,
        attempt_timeout: long,
        pex_timeout: long,
        min_rate: 0,
        limits: Limits::default(),
        ..Settings::default()
    });
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let request = |peer: SocketAddr| Request {
            peer: peer.into(),
            connect_timeout: long,
            encrypted: sends == Sends::Pads,
        };
        let before = LIVE.get();
        MOST.set(before);
        let asked: Vec<_> = (0..PEERS)
            .map(|_| (Swarm::new(), Progress::default()))
            .collect();
        let mut attempts: FuturesUnordered<_> = asked
            .iter()
            .map(|(swarm, progress)| {
                let slot = direct.try_slot(addr.into()).unwrap();
                direct.fetch_in(slot, swarm, &infohash, request(addr), progress)
            })
            .collect();
        let all_said = async {
            while peer.said.load(Relaxed) < PEERS {
                sleep(Duration::from_millis(5)).await;
            }
            let is_asked = |(_, progress): &(Swarm, Progress)| progress.state().silent.is_some();
            while sends != Sends::Pads && !asked.iter().all(is_asked) {
                sleep(Duration::from_millis(5)).await;
            }
            // What was said last is still to be read.
            sleep(Duration::from_millis(200)).await;
        };
        tokio::select! {
            () = all_said => {}
            Some(attempt) = attempts.next() => panic!("{sends:?} has ended: {attempt:?}"),
        }
        (MOST.get() - before) / PEERS
    })
}

#[test]
fn a_connection_costs_what_its_peer_claims_and_64_kib_at_the_most() {
    for sends in [
        Sends::Requests,
        Sends::HalfAMessage,
        Sends::LongName,
        Sends::Peers,
        Sends::Chatter,
        Sends::Pads,
        Sends::OneBlock,
    ] {
        let claimed = match sends {
            Sends::OneBlock => usize::try_from(CLAIM).unwrap() + PEERS,
            _ => usize::try_from(SMALL_CLAIM).unwrap(),
        };
        let each = most_of_each(sends);
        println!("{sends:?}: {each} bytes each");
        // What is not held yet is not to be had for nothing: the test would prove nothing.
        assert!(each > 500, "{sends:?}: {each}");
        assert!(each <= claimed + EACH, "{sends:?}: {each}");
    }
}
