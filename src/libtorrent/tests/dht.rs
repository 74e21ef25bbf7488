//! The DHT node, lent: queries over its socket, what it sees, and how it stays alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::UdpSocket;

use super::fake_dht;
use super::*;
use crate::discovery::dht::{AskError, Dht, DhtLimits, ObservedKind};
use crate::libtorrent::bridge::{Event, EventKind, Verdict};
use crate::libtorrent::session::Commands;
use crate::libtorrent::settings::Way;
use crate::libtorrent::{DhtHealth, DhtSettings};
use crate::wire::bencode::{Limits, Node, parse};
use crate::wire::krpc::{NodeId, Query};

const WITHIN: Duration = Duration::from_secs(10);
const HASH: [u8; 20] = [0x3c; 20];

/// Nobody is there, and nobody will be: the discard port.
fn dead() -> Vec<String> {
    vec!["127.0.0.1:9".to_owned()]
}

fn quick(bootstrap: Vec<String>) -> DhtSettings {
    DhtSettings {
        enough_nodes: 1,
        ..DhtSettings::new(bootstrap)
    }
}

/// A session with a DHT, and a handle on it.
async fn open(dht: DhtSettings) -> (Libtorrent, Dht) {
    let identities = usize::from(dht.identities);
    let arm = Libtorrent::open(&Settings {
        dht: Some(dht),
        ..settings()
    })
    .unwrap();
    let (handle, owner) = Dht::open(&DhtLimits::none(), true);
    arm.serve_dht(owner);
    until(&arm, |health| health.udp.len() == identities).await;
    wait_for(|| arm.dht_ids().len() == identities).await;
    (arm, handle)
}

/// What this thread, and with it the test's runtime, logs.
#[derive(Clone, Debug, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl Log {
    fn start(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn count(&self, what: &str) -> usize {
        let log = self.0.lock().unwrap();
        String::from_utf8_lossy(&log).matches(what).count()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn wait_for(what: impl Fn() -> bool) {
    let all = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WITHIN, all).await.expect("in vain");
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(WITHIN, what).await.expect("in vain")
}

async fn socket(ip: &str) -> (UdpSocket, PeerAddr) {
    let socket = UdpSocket::bind((ip, 0)).await.unwrap();
    let addr = socket.local_addr().unwrap().into();
    (socket, addr)
}

/// A message that came in, and from where.
struct Message {
    bytes: Vec<u8>,
    from: std::net::SocketAddr,
}

impl Message {
    fn get<T>(&self, what: impl Fn(&Node) -> Option<T>) -> T {
        what(&parse(&self.bytes, Limits::MESSAGE).unwrap()).unwrap()
    }

    fn text(&self, key: &str) -> Vec<u8> {
        self.get(|message| Some(message.get(key)?.as_bytes()?.to_vec()))
    }

    fn arg(&self, key: &str) -> Vec<u8> {
        self.get(|message| Some(message.get("a")?.get(key)?.as_bytes()?.to_vec()))
    }

    /// Whether it is a query of this name.
    fn asks(&self, query: &[u8]) -> bool {
        parse(&self.bytes, Limits::MESSAGE)
            .is_ok_and(|message| message.get("q").and_then(Node::as_bytes) == Some(query))
    }
}

/// The next query of this name.
async fn receive(socket: &UdpSocket, query: &[u8]) -> Message {
    let mut buffer = [0; 1500];
    within(async {
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let bytes = buffer[..length].to_vec();
            let message = Message { bytes, from };
            if message.asks(query) {
                return message;
            }
        }
    })
    .await
}

/// An answer to this query from the node with this id.
fn answer_to(query: &Message, id: u8) -> Vec<u8> {
    let mut answer = b"d1:rd2:id20:".to_vec();
    answer.extend([id; 20]);
    answer.extend(b"e1:t2:");
    answer.extend(query.text("t"));
    answer.extend(b"1:y1:re");
    answer
}

#[tokio::test]
async fn a_query_goes_out_whole_and_its_answer_comes_back() {
    let (arm, dht) = open(quick(dead())).await;
    let (node, addr) = socket("127.0.0.1").await;
    let query = Query::GetPeers {
        infohash: NodeId(HASH),
        scrape: true,
    };
    let asking = tokio::spawn({
        let dht = dht.clone();
        async move { dht.ask(addr, &query).await }
    });
    let asked = receive(&node, b"get_peers").await;
    assert_eq!(asked.text("y"), b"q");
    assert_eq!(asked.text("t").len(), 2);
    assert_eq!(asked.arg("info_hash"), HASH);
    assert_eq!(asked.arg("id"), arm.dht_ids()[0].0);
    let scrape = |message: &Node| message.get("a")?.get("scrape")?.as_int();
    assert_eq!(asked.get(scrape), 1);
    // libtorrent says who it is in every message, whatever the settings.
    assert_eq!(asked.text("v")[..2], *b"LT");
    assert!(arm.health().udp.contains(&asked.from));
    node.send_to(&answer_to(&asked, 7), asked.from)
        .await
        .unwrap();
    let reply = within(asking).await.unwrap().unwrap();
    assert_eq!(reply.answer.id, NodeId([7; 20]));

    // An error ends the query before its deadline.
    let asking = tokio::spawn({
        let dht = dht.clone();
        async move { dht.ask(addr, &Query::Ping).await }
    });
    let asked = receive(&node, b"ping").await;
    let mut error = b"d1:eli204e14:Method Unknowne1:t2:".to_vec();
    error.extend(asked.text("t"));
    error.extend(b"1:y1:ee");
    node.send_to(&error, asked.from).await.unwrap();
    assert_eq!(within(asking).await.unwrap(), Err(AskError::Refused));

    // Silence ends it at its deadline.
    let asked = dht.ask(addr, &Query::Ping).await;
    assert!(matches!(asked, Err(AskError::Timeout(_))), "{asked:?}");
}

#[tokio::test]
async fn an_answer_from_elsewhere_is_not_taken() {
    let (_arm, dht) = open(quick(dead())).await;
    let (node, addr) = socket("127.0.0.1").await;
    let (stranger, _) = socket("127.0.0.2").await;
    let asking = tokio::spawn({
        let dht = dht.clone();
        async move { dht.ask(addr, &Query::Ping).await }
    });
    let asked = receive(&node, b"ping").await;
    let to = asked.from;
    stranger.send_to(&answer_to(&asked, 6), to).await.unwrap();
    let mut wrong = answer_to(&asked, 6);
    let at = wrong.len() - 9;
    wrong[at] ^= 1;
    node.send_to(&wrong, to).await.unwrap();
    node.send_to(&answer_to(&asked, 7), to).await.unwrap();
    let reply = within(asking).await.unwrap().unwrap();
    assert_eq!(reply.answer.id, NodeId([7; 20]));

    // libtorrent takes one from another port of the same address; we do not.
    let (neighbour, _) = socket("127.0.0.1").await;
    let asking = tokio::spawn(async move { dht.ask(addr, &Query::Ping).await });
    let asked = receive(&node, b"ping").await;
    neighbour.send_to(&answer_to(&asked, 6), to).await.unwrap();
    assert_eq!(within(asking).await.unwrap(), Err(AskError::Refused));
}

/// Sends a query to our node, and returns its answer.
async fn query(socket: &UdpSocket, to: std::net::SocketAddr, query: &str, args: &[u8]) -> Vec<u8> {
    let mut message = b"d1:ad2:id20:".to_vec();
    message.extend([0xaa; 20]);
    message.extend(args);
    message.extend(format!("e1:q{}:{query}1:t2:xy1:y1:qe", query.len()).as_bytes());
    socket.send_to(&message, to).await.unwrap();
    let mut buffer = [0; 1500];
    let (length, _) = within(socket.recv_from(&mut buffer)).await.unwrap();
    buffer[..length].to_vec()
}

fn announce(implied: bool, port: u16, token: &[u8]) -> Vec<u8> {
    let mut args = format!("12:implied_porti{}e9:info_hash20:", u8::from(implied)).into_bytes();
    args.extend(HASH);
    args.extend(format!("4:porti{port}e5:token{}:", token.len()).as_bytes());
    args.extend(token);
    args
}

#[tokio::test]
async fn queries_of_others_are_observed_and_announces_need_a_good_token() {
    let (arm, dht) = open(quick(dead())).await;
    let to = arm.health().udp[0];
    let mut observed = dht.observed();
    let (other, addr) = socket("127.0.0.1").await;
    let get_peers = [&b"9:info_hash20:"[..], &HASH].concat();
    let answer = query(&other, to, "get_peers", &get_peers).await;
    let token = parse(&answer, Limits::MESSAGE)
        .unwrap()
        .get("r")
        .and_then(|reply| reply.get("token")?.as_bytes())
        .unwrap()
        .to_vec();
    let seen = within(observed.recv()).await.unwrap();
    assert_eq!(seen.kind, ObservedKind::GetPeers);
    assert_eq!((seen.infohash, seen.from), (NodeId(HASH), addr));
    assert_eq!(seen.node, NodeId([0xaa; 20]));

    let wrong = token.iter().map(|byte| byte ^ 1).collect::<Vec<_>>();
    let refused = query(&other, to, "announce_peer", &announce(false, 999, &wrong)).await;
    let refused = parse(&refused, Limits::MESSAGE).unwrap();
    assert_eq!(refused.get("y").and_then(Node::as_bytes), Some(&b"e"[..]));
    // A token is good for the address that it was given to.
    let (thief, _) = socket("127.0.0.2").await;
    let refused = query(&thief, to, "announce_peer", &announce(false, 998, &token)).await;
    let refused = parse(&refused, Limits::MESSAGE).unwrap();
    assert_eq!(refused.get("y").and_then(Node::as_bytes), Some(&b"e"[..]));

    for (implied, port) in [(false, 1234), (true, addr.port())] {
        query(
            &other,
            to,
            "announce_peer",
            &announce(implied, 1234, &token),
        )
        .await;
        let seen = within(observed.recv()).await.unwrap();
        assert_eq!(seen.kind, ObservedKind::AnnouncePeer { port });
        assert_eq!((seen.infohash, seen.from), (NodeId(HASH), addr));
        assert_eq!(seen.peer(), Some(PeerAddr::new(addr.ip(), port)));
    }
    // Our node stores what it was told, as any other.
    let answer = query(&other, to, "get_peers", &get_peers).await;
    let values = parse(&answer, Limits::MESSAGE).unwrap();
    let values = values.get("r").and_then(|reply| reply.get("values"));
    assert!(values.is_some(), "{:?}", String::from_utf8_lossy(&answer));
    assert_eq!(dht.counters().observed_flood, 0);
}

#[tokio::test]
async fn a_flood_is_cut_off_and_counted() {
    let (arm, dht) = open(quick(dead())).await;
    let to = arm.health().udp[0];
    let mut observed = dht.observed();
    let (flooder, addr) = socket("127.0.0.1").await;
    let get_peers = [&b"9:info_hash20:"[..], &HASH].concat();
    let began = Instant::now();
    for _ in 0..300 {
        query(&flooder, to, "get_peers", &get_peers).await;
    }
    let seconds = began.elapsed().as_secs() + 2;
    wait_for(|| dht.counters().observed + dht.counters().observed_flood == 300).await;
    assert!(dht.counters().observed <= 20 * seconds);
    let (other, other_addr) = socket("127.0.0.1").await;
    query(&other, to, "get_peers", &get_peers).await;
    loop {
        let seen = within(observed.recv()).await.unwrap();
        if seen.from == other_addr {
            break;
        }
        assert_eq!(seen.from, addr);
    }
}

#[tokio::test]
async fn a_read_only_node_asks_and_does_not_answer() {
    let (arm, dht) = open(DhtSettings {
        read_only: true,
        ..quick(dead())
    })
    .await;
    let (node, addr) = socket("127.0.0.1").await;
    let asking = tokio::spawn(async move { dht.ask(addr, &Query::Ping).await });
    let asked = receive(&node, b"ping").await;
    assert_eq!(asked.get(|message| message.get("ro")?.as_int()), 1);
    let ping = b"d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q4:ping1:t2:xy1:y1:qe";
    node.send_to(ping, asked.from).await.unwrap();
    node.send_to(&answer_to(&asked, 7), asked.from)
        .await
        .unwrap();
    within(asking).await.unwrap().unwrap();
    // The answer came after the ping, and nothing came back.
    let mut buffer = [0; 1500];
    while let Ok((length, _)) = node.try_recv_from(&mut buffer) {
        let bytes = buffer[..length].to_vec();
        let from = asked.from;
        assert_eq!(Message { bytes, from }.text("y"), b"q");
    }
    drop(arm);
}

#[tokio::test]
async fn a_query_leaves_from_the_identity_that_is_closest() {
    let (arm, dht) = open(DhtSettings {
        identities: 4,
        ..quick(dead())
    })
    .await;
    let ids = arm.dht_ids();
    let mut regions: Vec<_> = ids.iter().map(|id| id.0[0] >> 6).collect();
    regions.sort_unstable();
    assert_eq!(regions, [0, 1, 2, 3]);
    let (node, addr) = socket("127.0.0.1").await;
    let mut ports = std::collections::HashSet::new();
    for id in ids {
        let mut target = id;
        target.0[19] ^= 1;
        let asking = tokio::spawn({
            let dht = dht.clone();
            async move { dht.ask(addr, &Query::FindNode { target }).await }
        });
        let asked = receive(&node, b"find_node").await;
        assert_eq!(asked.arg("id"), id.0);
        node.send_to(&answer_to(&asked, 7), asked.from)
            .await
            .unwrap();
        within(asking).await.unwrap().unwrap();
        ports.insert(asked.from.port());
    }
    assert_eq!(ports.len(), 4);
}

/// The first identity knows nobody, and never will.
#[test]
fn the_dht_is_ready_when_any_identity_is() {
    let node = crate::libtorrent::node::Node::new(&Settings {
        dht: Some(DhtSettings {
            identities: 3,
            ..quick(dead())
        }),
        ..settings()
    });
    let nodes = node.dht_nodes();
    let counted = |identity: Way, number: i64| {
        let event = Event {
            kind: EventKind::DhtNodes,
            torrent: 0,
            peer: refusing().into(),
            micros: 1,
            verdict: Verdict::Disconnected,
            phase: 0,
            code: 0,
            category: String::new(),
            number,
            text: String::new(),
            detail: String::new(),
            data: Vec::new(),
        };
        node.handle(identity, event, &Commands::nowhere());
    };
    counted(Way::Identity(2), 5);
    assert_eq!(*nodes.borrow(), 5);
    counted(Way::Tcp, 0);
    assert_eq!(*nodes.borrow(), 5);
    counted(Way::Identity(1), 2);
    assert_eq!(*nodes.borrow(), 7);
}

#[tokio::test]
async fn a_restart_needs_no_bootstrap() {
    let peer = "127.0.0.1:4242".parse().unwrap();
    let silent = Arc::new(AtomicBool::new(false));
    let nodes = fake_dht::start_at("", 6, HASH, peer, silent).await;
    let with = |bootstrap: Vec<String>, state| DhtSettings {
        identities: 2,
        state,
        ..quick(bootstrap)
    };
    let (first, _) = open(with(vec![nodes[0].to_string()], None)).await;
    assert!(first.dht_ready(WITHIN).await);
    // Every node but the router, of both identities.
    let all = async {
        while first.dht_live_nodes().await.len() < 5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(all).await;
    let mut ids = first.dht_ids();
    let state = first.dht_state().await;
    first.shutdown().await;

    let (second, dht) = open(with(Vec::new(), state)).await;
    assert!(second.dht_ready(WITHIN).await, "the saved nodes are lost");
    let mut again = second.dht_ids();
    ids.sort_unstable();
    again.sort_unstable();
    assert_eq!(again, ids);
    assert!(!second.dht_live_nodes().await.is_empty());
    let live = second.dht_live_nodes().await[0].addr;
    assert!(dht.ask(live, &Query::Ping).await.is_ok());
}

#[tokio::test]
async fn dead_routers_that_come_back_are_found_again() {
    let held = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let router = held.local_addr().unwrap().to_string();
    let (arm, _dht) = open(DhtSettings {
        silence: Duration::from_millis(800),
        ..quick(vec![router.clone()])
    })
    .await;
    until(&arm, |health| matches!(health.dht, DhtHealth::Failed(_))).await;
    let DhtHealth::Failed(reason) = arm.health().dht else {
        panic!("{:?}", arm.health());
    };
    assert!(reason.contains(&router), "{reason}");
    drop(held);
    let silent = Arc::new(AtomicBool::new(false));
    let peer = "127.0.0.1:4242".parse().unwrap();
    fake_dht::start_at(&router, 5, HASH, peer, silent).await;
    until(&arm, |health| matches!(health.dht, DhtHealth::Ready { .. })).await;
}

#[tokio::test]
async fn remembered_nodes_stand_in_for_dead_routers() {
    let peer = "127.0.0.1:4242".parse().unwrap();
    let silent = Arc::new(AtomicBool::new(false));
    let nodes = fake_dht::start_at("", 5, HASH, peer, silent).await;
    let (arm, _dht) = open(DhtSettings {
        remembered: vec![refusing(), nodes[2]],
        ..quick(dead())
    })
    .await;
    until(&arm, |health| matches!(health.dht, DhtHealth::Ready { .. })).await;
}

#[tokio::test]
async fn a_network_that_was_away_is_used_again() {
    let log = Log::default();
    let _logging = log.start();
    let peer = "127.0.0.1:4242".parse().unwrap();
    let silent = Arc::new(AtomicBool::new(false));
    let nodes = fake_dht::start_at("", 5, HASH, peer, Arc::clone(&silent)).await;
    let (arm, _dht) = open(DhtSettings {
        silence: Duration::from_millis(800),
        ..quick(vec![nodes[0].to_string()])
    })
    .await;
    until(&arm, |health| matches!(health.dht, DhtHealth::Ready { .. })).await;
    // Quiet is not silent: nodes are asked, and answer.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(
        matches!(arm.health().dht, DhtHealth::Ready { .. }),
        "{:?}",
        arm.health()
    );
    silent.store(true, Ordering::Relaxed);
    until(&arm, |health| matches!(health.dht, DhtHealth::Failed(_))).await;
    // It is looked at again and again, and said once.
    wait_for(|| log.count("nothing has come in") > 0).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(log.count("nothing has come in"), 1, "{log:?}");
    silent.store(false, Ordering::Relaxed);
    until(&arm, |health| matches!(health.dht, DhtHealth::Ready { .. })).await;
    wait_for(|| log.count("the DHT works again") == 1).await;
}

#[tokio::test]
async fn a_taken_port_does_not_cost_the_dht() {
    let peer = "127.0.0.1:4242".parse().unwrap();
    let entry = fake_dht::start(5, HASH, peer).await;
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let arm = Libtorrent::open(&Settings {
        listen: vec![taken.local_addr().unwrap()],
        dht: Some(quick(vec![entry])),
        ..settings()
    })
    .unwrap();
    until(&arm, |health| matches!(health.dht, DhtHealth::Ready { .. })).await;
    assert_eq!(arm.health().listen_errors.len(), 1);
}

#[tokio::test]
async fn an_address_that_is_not_there_is_reported_once_and_tried_again() {
    let arm = Libtorrent::open(&Settings {
        // Of the range that is for documentation: no host has it, and nothing leaves for it.
        listen: vec!["192.0.2.1:0".parse().unwrap()],
        dht: Some(DhtSettings {
            silence: Duration::from_millis(400),
            ..quick(dead())
        }),
        ..settings()
    })
    .unwrap();
    until(&arm, |health| matches!(health.dht, DhtHealth::Failed(_))).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let health = arm.health();
    let DhtHealth::Failed(reason) = &health.dht else {
        panic!("{health:?}");
    };
    assert!(reason.contains("no UDP socket"), "{reason}");
    assert_eq!(health.listen_errors.len(), 1, "{health:?}");
}

#[tokio::test]
async fn a_socket_of_ipv6_is_no_hindrance() {
    let arm = Libtorrent::open(&Settings {
        listen: vec!["[::1]:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap()],
        dht: Some(quick(dead())),
        ..settings()
    })
    .unwrap();
    let (dht, owner) = Dht::open(&DhtLimits::none(), true);
    arm.serve_dht(owner);
    until(&arm, |_| arm.dht_ids().len() == 2).await;
    let (node, addr) = socket("127.0.0.1").await;
    let asking = tokio::spawn(async move { dht.ask(addr, &Query::Ping).await });
    let asked = receive(&node, b"ping").await;
    node.send_to(&answer_to(&asked, 7), asked.from)
        .await
        .unwrap();
    within(asking).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_thousand_queries_in_flight_end_with_the_session() {
    let (arm, dht) = open(quick(dead())).await;
    let (silent, addr) = socket("127.0.0.1").await;
    let asks: Vec<_> = (0..1000)
        .map(|_| {
            let dht = dht.clone();
            tokio::spawn(async move { dht.ask(addr, &Query::Ping).await })
        })
        .collect();
    receive(&silent, b"ping").await;
    wait_for(|| dht.counters().queries() == 1000).await;
    let began = Instant::now();
    arm.shutdown().await;
    for ask in asks {
        assert_eq!(ask.await.unwrap(), Err(AskError::Closed));
    }
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(dht.ask(addr, &Query::Ping).await, Err(AskError::Closed));
}

#[tokio::test]
async fn without_a_dht_every_query_ends_at_once() {
    let arm = Libtorrent::open(&settings()).unwrap();
    let (dht, owner) = Dht::open(&DhtLimits::none(), true);
    arm.serve_dht(owner);
    assert_eq!(
        dht.ask(refusing(), &Query::Ping).await,
        Err(AskError::Closed)
    );
    assert_eq!(arm.health().dht, DhtHealth::Off);
    assert!(arm.dht_live_nodes().await.is_empty());
}

/// Says how many queries a second the bridge carries: `cargo nextest run --release
/// --run-ignored only -E 'test(queries_a_second)' --no-capture`, best on one core (`taskset`).
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement"]
async fn queries_a_second() {
    const QUERIES: u32 = 100_000;
    // No more than the sockets' buffers hold: what is lost there is not the bridge's loss.
    const AT_A_TIME: usize = 100;
    let (_arm, dht) = open(quick(dead())).await;
    let node = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = node.local_addr().unwrap().into();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = node.recv_from(&mut buffer) {
            let bytes = buffer[..length].to_vec();
            let _ = node.send_to(&answer_to(&Message { bytes, from }, 7), from);
        }
    });
    let limits = Arc::new(tokio::sync::Semaphore::new(AT_A_TIME));
    let began = Instant::now();
    for _ in 0..QUERIES {
        let permit = Arc::clone(&limits).acquire_owned().await.unwrap();
        let dht = dht.clone();
        tokio::spawn(async move {
            let _ = dht
                .ask(
                    addr,
                    &Query::FindNode {
                        target: NodeId(HASH),
                    },
                )
                .await;
            drop(permit);
        });
    }
    let _all = limits
        .acquire_many(u32::try_from(AT_A_TIME).unwrap())
        .await
        .unwrap();
    let took = began.elapsed();
    let counted = dht.counters();
    println!(
        "{:.0} queries/s, {} of {QUERIES} answered; {counted:?}",
        f64::from(QUERIES) / took.as_secs_f64(),
        counted.answers
    );
    assert!(counted.answers > u64::from(QUERIES) * 99 / 100);
}
