//! Peers that answer with arbitrary bytes, split at arbitrary places: honest answers of which something was
//! changed, and plain noise.

use std::net::SocketAddr;
use std::time::Duration;

use metafetch::direct::{Direct, Limits, Progress, Request, Settings};
use metafetch::torrent::Infohash;
use proptest::prelude::*;
use proptest::sample::Index;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::swarm::TestTorrent;
use crate::swarm::wire::{self, Value};

const CONNECTIONS: usize = 100;

/// What is done to the bytes of an honest answer.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    End(Index),
}

#[derive(Clone, Debug)]
struct Answer {
    /// Instead of an honest answer.
    noise: Option<Vec<u8>>,
    changes: Vec<Change>,
    cuts: Vec<Index>,
    /// Closes at the end, rather than to stay.
    closes: bool,
}

fn change() -> impl Strategy<Value = Change> {
    let some = || prop::collection::vec(any::<u8>(), 1..40);
    prop_oneof![
        (any::<Index>(), 1..=255_u8).prop_map(|(at, bits)| Change::Flip(at, bits)),
        (any::<Index>(), some()).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (any::<Index>(), 1..200_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        (any::<Index>(), 1..200_usize).prop_map(|(at, count)| Change::Repeat(at, count)),
        any::<Index>().prop_map(Change::End),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    (
        prop::option::weighted(0.2, prop::collection::vec(any::<u8>(), 0..2000)),
        prop::collection::vec(change(), 0..4),
        prop::collection::vec(any::<Index>(), 0..12),
        any::<bool>(),
    )
        .prop_map(|(noise, changes, cuts, closes)| Answer {
            noise,
            changes,
            cuts,
            closes,
        })
}

/// What an honest peer says to a client whose id for `ut_metadata` is 1, asked or not.
fn honest(torrent: &TestTorrent) -> Vec<u8> {
    let size = i64::try_from(torrent.info.len()).unwrap();
    let mut bytes = wire::handshake(&torrent.wire_ids()[0], &[7; 20], true);
    bytes.extend(wire::extension_handshake(Some(2), Some(size)));
    for (piece, block) in (0..).zip(torrent.info.chunks(wire::BLOCK)) {
        let dict = Value::dict([
            ("msg_type", Value::Int(1)),
            ("piece", Value::Int(piece)),
            ("total_size", Value::Int(size)),
        ]);
        bytes.extend(wire::extended(1, &dict, block));
    }
    bytes
}

impl Answer {
    fn bytes(&self, honest: &[u8]) -> Vec<u8> {
        let mut bytes = self.noise.clone().unwrap_or_else(|| honest.to_vec());
        for change in &self.changes {
            if bytes.is_empty() {
                break;
            }
            // Most of an answer is blocks; what matters more stands before.
            let place = |at: &Index| at.index(bytes.len().min(400));
            match change {
                Change::Flip(at, bits) => {
                    let at = place(at);
                    bytes[at] ^= bits;
                }
                Change::Insert(at, more) => {
                    let at = place(at);
                    bytes.splice(at..at, more.iter().copied());
                }
                Change::Remove(at, count) => {
                    let at = place(at);
                    let end = bytes.len().min(at + count);
                    bytes.drain(at..end);
                }
                Change::Repeat(at, count) => {
                    let at = place(at);
                    let part = bytes[at..bytes.len().min(at + count)].to_vec();
                    bytes.splice(at..at, part);
                }
                Change::End(at) => bytes.truncate(at.index(bytes.len())),
            }
        }
        bytes
    }

    /// Part by part, with a pause for the client to say something in.
    async fn serve(&self, mut stream: TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut cuts: Vec<usize> = self
            .cuts
            .iter()
            .map(|cut| cut.index(bytes.len() + 1))
            .collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut heard = [0; 4096];
        for part in cuts.windows(2) {
            // Whatever the client has said is taken in meanwhile.
            let _ = tokio::time::timeout(Duration::from_millis(2), stream.read(&mut heard)).await;
            stream.write_all(&bytes[part[0]..part[1]]).await?;
        }
        if !self.closes {
            while stream.read(&mut heard).await? > 0 {}
        }
        Ok(())
    }
}

async fn peer(answer: Answer, bytes: Vec<u8>) -> (SocketAddr, impl Future<Output = ()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serve = async move {
        // It is tried without encryption, and with.
        while let Ok((stream, _)) = listener.accept().await {
            let _ = answer.serve(stream, &bytes).await;
        }
    };
    (addr, serve)
}

fn direct() -> Direct {
    let short = Duration::from_millis(150);
    Direct::new(Settings {
        handshake_timeout: short,
        extension_timeout: short,
        first_block_timeout: short,
        block_timeout: short,
        pex_timeout: short,
        attempt_timeout: Duration::from_secs(2),
        limits: Limits {
            connections: CONNECTIONS,
            ..Limits::default()
        },
        ..Settings::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn no_answer_panics_or_is_taken_for_right_or_holds_its_slot(
        answers in prop::collection::vec(answer(), 40..60),
    ) {
        let torrent = TestTorrent::v1(9_400, 40_000);
        let infohash: Infohash = torrent.hex().parse().unwrap();
        let honest = honest(&torrent);
        Runtime::new().unwrap().block_on(async {
            let direct = direct();
            let (mut peers, mut attempts) = (JoinSet::new(), JoinSet::new());
            for answer in answers {
                let bytes = answer.bytes(&honest);
                let (addr, serve) = peer(answer, bytes).await;
                peers.spawn(serve);
                let direct = direct.clone();
                attempts.spawn(async move {
                    let request = Request {
                        peer: addr.into(),
                        connect_timeout: Duration::from_secs(5),
                        encrypted: false,
                    };
                    direct.fetch(&infohash, request, &Progress::default()).await
                });
            }
            // Much longer than all deadlines together.
            let all = tokio::time::timeout(Duration::from_secs(60), async {
                while let Some(attempt) = attempts.join_next().await {
                    let attempt = attempt.expect("it does not panic");
                    if let Ok(bytes) = attempt.result {
                        assert!(bytes == torrent.info[..]);
                    }
                }
            });
            all.await.expect("each attempt ends");
            assert_eq!(direct.free_slots(), CONNECTIONS);
        });
    }
}

/// The answer that the others are made of is one that a client takes.
#[test]
fn an_answer_that_is_not_changed_delivers_however_it_is_split() {
    let torrent = TestTorrent::v1(9_401, 40_000);
    let infohash: Infohash = torrent.hex().parse().unwrap();
    let honest = honest(&torrent);
    Runtime::new().unwrap().block_on(async {
        // Blocks must not come before they are asked for.
        let head = 68 + wire::extension_handshake(Some(2), Some(40_000)).len();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr: SocketAddr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 68]).await.unwrap();
            for byte in &honest[..head] {
                stream.write_all(&[*byte]).await.unwrap();
            }
            // The extension handshake, and the first request behind it.
            let mut received = Vec::new();
            while !received.windows(9).any(|part| part == b"i0e5:piec") {
                stream.read_buf(&mut received).await.unwrap();
            }
            for part in honest[head..].chunks(1000) {
                stream.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
            while stream
                .read_buf(&mut received)
                .await
                .is_ok_and(|read| read > 0)
            {}
        });
        let request = Request {
            peer: addr.into(),
            connect_timeout: Duration::from_secs(5),
            encrypted: false,
        };
        let direct = Direct::new(Settings::default());
        let attempt = direct.fetch(&infohash, request, &Progress::default()).await;
        assert!(attempt.result.is_ok_and(|bytes| bytes == torrent.info[..]));
    });
}
