//! Fetches what magnet links with peers name, and measures nothing itself: `scripts/bench fetch` does.
//!
//! `ceiling` is the least that a client of BEP 9 can do: one connection to the first peer of a link,
//! handshake and extension handshake in one packet, all requests in another, no look at what comes but for
//! its length. It checks neither hashes nor sizes, has no deadline, and is for measuring only. `direct` is
//! metafetch's direct arm, verification and all, without engine and store. Both say on stdout how many they
//! got.
//!
//! ```text
//! cargo run --release --example fetch -- ceiling links.txt --jobs 250
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use metafetch::direct::{Direct, Limits, Progress, Request, Settings};
use metafetch::torrent::{Infohash, Magnet, PeerHint};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Fetches the metadata of magnet links from the peers they name.
#[derive(Parser)]
struct Args {
    /// How.
    #[arg(value_enum)]
    client: Client,
    /// A file of magnet links with `x.pe`, one a line.
    links: PathBuf,
    /// Hashes in work at a time.
    #[arg(long, default_value_t = 250)]
    jobs: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Client {
    /// The least that a client can do.
    Ceiling,
    /// The direct arm.
    Direct,
}

type Link = (Infohash, SocketAddr);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let mut links: Vec<Link> = Vec::new();
    for line in std::fs::read_to_string(&args.links)?.lines() {
        let magnet: Magnet = line.parse()?;
        let Some(PeerHint::Addr(peer)) = magnet.peers.first() else {
            return Err(format!("{line}: no address of a peer").into());
        };
        links.push((magnet.infohash, peer.socket_addr()));
    }
    let links: Arc<[Link]> = links.into();
    let direct = Direct::new(Settings {
        limits: Limits {
            connections: args.jobs,
            connects_per_second: None,
            ..Limits::default()
        },
        ..Settings::default()
    });
    let (next, fetched) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let mut workers = JoinSet::new();
    for _ in 0..args.jobs {
        let (links, next, fetched) = (Arc::clone(&links), Arc::clone(&next), Arc::clone(&fetched));
        let direct = direct.clone();
        workers.spawn(async move {
            let mut buffer = vec![0; 64 << 10];
            while let Some((infohash, peer)) = links.get(next.fetch_add(1, Ordering::Relaxed)) {
                let is_here = match args.client {
                    Client::Ceiling => ceiling(infohash, *peer, &mut buffer).await.is_some(),
                    Client::Direct => by_direct_arm(&direct, infohash, *peer).await,
                };
                fetched.fetch_add(usize::from(is_here), Ordering::Relaxed);
            }
        });
    }
    while workers.join_next().await.is_some() {}
    println!("{}", fetched.load(Ordering::Relaxed));
    Ok(())
}

async fn by_direct_arm(direct: &Direct, infohash: &Infohash, peer: SocketAddr) -> bool {
    let request = Request {
        peer: peer.into(),
        connect_timeout: Duration::from_secs(5),
        encrypted: false,
    };
    let attempt = direct.fetch(infohash, request, &Progress::default()).await;
    attempt.result.is_ok()
}

const BLOCK: usize = 16 << 10;
const HANDSHAKE: usize = 68;
/// Our id for `ut_metadata` is 1.
const EXTENSION_HANDSHAKE: &[u8] = b"\0\0\0\x1a\x14\0d1:md11:ut_metadatai1eee";

/// The dictionary, unchecked; `None` where anything is not as it should be.
async fn ceiling(infohash: &Infohash, peer: SocketAddr, buffer: &mut [u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(peer).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let mut hello = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\0".to_vec();
    hello.extend(infohash.wire_id());
    hello.extend(b"-CE0001-abcdefghijkl");
    hello.extend(EXTENSION_HANDSHAKE);
    stream.write_all(&hello).await.ok()?;
    let mut end = 0;
    let mut start = None;
    let mut dictionary: Vec<u8> = Vec::new();
    let mut received = 0;
    loop {
        let read = stream.read(buffer.get_mut(end..)?).await.ok()?;
        if read == 0 {
            return None;
        }
        end += read;
        let mut at = match start {
            None if end < HANDSHAKE => continue,
            None => HANDSHAKE,
            Some(at) => at,
        };
        while let Some(prefix) = buffer.get(at..end)?.first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*prefix)).ok()?;
            let Some(message) = buffer.get(at + 4..(at + 4 + length).min(end)) else {
                break;
            };
            if message.len() < length {
                break;
            }
            at += 4 + length;
            match message {
                [20, 0, handshake @ ..] => {
                    let id = number_after(handshake, b"11:ut_metadatai")?;
                    let size = number_after(handshake, b"13:metadata_sizei")?;
                    dictionary.resize(size, 0);
                    let mut requests = Vec::new();
                    for piece in 0..size.div_ceil(BLOCK) {
                        let request = format!("d8:msg_typei0e5:piecei{piece}ee");
                        let length = u32::try_from(request.len() + 2).ok()?;
                        requests.extend(length.to_be_bytes());
                        requests.extend([20, u8::try_from(id).ok()?]);
                        requests.extend(request.as_bytes());
                    }
                    stream.write_all(&requests).await.ok()?;
                }
                [20, 1, data @ ..] => {
                    let piece = number_after(data, b"5:piecei")?;
                    let first = piece.checked_mul(BLOCK)?;
                    let length = dictionary.len().checked_sub(first)?.min(BLOCK);
                    let block = data.get(data.len().checked_sub(length)?..)?;
                    dictionary
                        .get_mut(first..first + length)?
                        .copy_from_slice(block);
                    received += length;
                    if received == dictionary.len() {
                        return Some(dictionary);
                    }
                }
                _ => {}
            }
        }
        buffer.copy_within(at..end, 0);
        end -= at;
        start = Some(0);
    }
}

/// The number that stands behind `key` near the start of these bytes.
fn number_after(bytes: &[u8], key: &[u8]) -> Option<usize> {
    let head = bytes.get(..bytes.len().min(300))?;
    let at = head.windows(key.len()).position(|window| window == key)? + key.len();
    let mut digits = head
        .get(at..)?
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    digits.try_fold(0_usize, |number, digit| {
        number
            .checked_mul(10)?
            .checked_add(usize::from(digit - b'0'))
    })
}
