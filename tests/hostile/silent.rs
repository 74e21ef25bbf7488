//! Peers that accept, and never say anything.
//!
//! In full size, with its memory and its timers, by `scripts/bench hostile silent`.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use metafetch::direct::{Attempt, Direct, Limits, Progress, Request, Settings};
use metafetch::torrent::{Encryption, Infohash, Reason};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::swarm::{Behaviour, Swarm, TestTorrent, wire};

const SILENT: usize = 400;
/// By the clock of the program, which costs less than waiting.
const CROWD: usize = 2_000;
/// What a deadline may be late.
const EXACT: Duration = Duration::from_millis(100);
const CONNECTIONS: usize = SILENT + 20;

async fn fetch(direct: &Direct, torrent: &TestTorrent, peer: std::net::SocketAddr) -> Attempt {
    let infohash: Infohash = torrent.hex().parse().unwrap();
    let request = Request {
        peer: peer.into(),
        connect_timeout: Duration::from_secs(10),
        encrypted: false,
    };
    direct.fetch(&infohash, request, &Progress::default()).await
}

fn direct(handshake_timeout: Duration) -> Direct {
    Direct::new(Settings {
        handshake_timeout,
        limits: Limits {
            connections: CONNECTIONS,
            ..Limits::default()
        },
        ..Settings::default()
    })
}

#[tokio::test]
async fn others_are_served_while_hundreds_stay_silent() {
    let swarm = Swarm::start(92);
    let torrent = TestTorrent::v1(9_200, 30_000);
    let held = std::slice::from_ref(&torrent);
    let silent = swarm.peer(Behaviour::Silent, held).await;
    let good = swarm.peer(Behaviour::Honest, held).await;
    // Nobody's deadline ends this test.
    let direct = direct(Duration::from_secs(600));
    let mut waiting: FuturesUnordered<_> = (0..SILENT)
        .map(|_| fetch(&direct, &torrent, silent))
        .collect();
    let others = async {
        while swarm.counters(silent).connections < SILENT as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..50 {
            let attempt = fetch(&direct, &torrent, good).await;
            assert!(attempt.result.is_ok_and(|bytes| bytes == torrent.info[..]));
        }
    };
    tokio::select! {
        () = others => {}
        Some(attempt) = waiting.next() => panic!("a silent peer has ended: {attempt:?}"),
    }
    assert_eq!(direct.free_slots(), CONNECTIONS - SILENT);
    drop(waiting);
    assert_eq!(
        direct.free_slots(),
        CONNECTIONS,
        "each gives its connection back"
    );
}

#[tokio::test]
async fn each_silent_peer_ends_by_its_deadline() {
    let swarm = Swarm::start(93);
    let torrent = TestTorrent::v1(9_300, 30_000);
    let silent = swarm
        .peer(Behaviour::Silent, std::slice::from_ref(&torrent))
        .await;
    let direct = direct(Duration::from_millis(500));
    let mut waiting: FuturesUnordered<_> = (0..SILENT)
        .map(|_| fetch(&direct, &torrent, silent))
        .collect();
    while let Some(attempt) = waiting.next().await {
        assert_eq!(attempt.result.unwrap_err().reason, Reason::HandshakeTimeout);
    }
    assert_eq!(direct.free_slots(), CONNECTIONS);
}

/// The time that passes is the runtime's own here, so that a busy machine does not count: a deadline that is taken
/// from the wrong moment, or is only looked for now and then, does.
#[tokio::test]
async fn the_deadlines_of_thousands_are_exact() {
    allow_files();
    let swarm = Swarm::start(94);
    let torrent = TestTorrent::v1(9_400, 30_000);
    let silent = swarm
        .peer(Behaviour::Silent, std::slice::from_ref(&torrent))
        .await;
    let limit = Duration::from_secs(100);
    let direct = Direct::new(Settings {
        handshake_timeout: limit,
        encryption: Encryption::Off,
        limits: Limits {
            connections: CROWD,
            ..Limits::default()
        },
        ..Settings::default()
    });
    let mut waiting: FuturesUnordered<_> = (0..CROWD)
        .map(|_| fetch(&direct, &torrent, silent))
        .collect();
    while swarm.counters(silent).connections < CROWD as u64 {
        tokio::select! {
            Some(attempt) = waiting.next() => panic!("a silent peer has ended: {attempt:?}"),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    }
    tokio::time::pause();
    while let Some(attempt) = waiting.next().await {
        let failure = attempt.result.unwrap_err();
        assert_eq!(failure.reason, Reason::HandshakeTimeout, "{failure}");
        assert!(attempt.late <= EXACT, "{:?} too late", attempt.late);
        let due = limit + attempt.connect_time.unwrap();
        let took = attempt.elapsed;
        assert!(took >= due && took <= due + EXACT, "{took:?}, not {due:?}");
    }
}

/// Beside a timer of the same runtime, so that what is late on a busy machine is late for both.
#[tokio::test]
async fn chatter_without_end_gains_no_time() {
    let torrent = TestTorrent::v1(9_500, 30_000);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap();
    let infohash = torrent.wire_ids()[0];
    // Apart from this thread, so that there is always something to be read.
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 68]).unwrap();
        let hello = wire::handshake(&infohash, &[7; 20], true);
        stream.write_all(&hello).unwrap();
        let keep_alives = vec![0; 1 << 20];
        while stream.write_all(&keep_alives).is_ok() {}
    });
    let limit = Duration::from_millis(400);
    let direct = Direct::new(Settings {
        extension_timeout: limit,
        ..Settings::default()
    });
    let reference = async {
        let mut late = Duration::ZERO;
        loop {
            let due = tokio::time::Instant::now() + Duration::from_millis(10);
            tokio::time::sleep_until(due).await;
            late = late.max(due.elapsed());
            LATE.store(u64::try_from(late.as_micros()).unwrap(), Relaxed);
        }
    };
    let attempt = tokio::select! {
        attempt = fetch(&direct, &torrent, peer) => attempt,
        () = reference => unreachable!(),
    };
    let failure = attempt.result.unwrap_err();
    assert_eq!(failure.reason, Reason::HandshakeTimeout, "{failure}");
    let others = Duration::from_micros(LATE.load(Relaxed));
    assert!(
        attempt.late <= EXACT + 2 * others,
        "{:?} too late, beside {others:?}",
        attempt.late
    );
}

/// By how much another timer was late.
static LATE: AtomicU64 = AtomicU64::new(0);

/// As many open files as this process may have: both ends of each connection are here.
fn allow_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, most).unwrap();
}
