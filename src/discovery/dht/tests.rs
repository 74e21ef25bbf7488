//! Asking through an owner that is no socket.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

const ANSWER: &[u8] = b"d1:rd2:id20:abcdefghij0123456789e1:y1:re";

fn addr(text: &str) -> PeerAddr {
    text.parse().unwrap()
}

fn node(number: u16) -> PeerAddr {
    let [high, low] = number.to_be_bytes();
    PeerAddr::new([8, 8, high, low].into(), 6881)
}

/// An owner that answers everything, and says when each query came.
fn answering(mut owner: Owner) -> mpsc::UnboundedReceiver<(PeerAddr, Instant)> {
    let (sender, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(query) = owner.queries.recv().await {
            let _ = sender.send((query.to, Instant::now()));
            let _ = query.reply.send(ANSWER.to_vec());
        }
    });
    asked
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_back_with_its_time() {
    let (sender, mut queries) = mpsc::channel(1);
    let dht = Dht::new(sender);
    tokio::spawn(async move {
        let query: RawQuery = queries.recv().await.unwrap();
        assert_eq!(query.target, Some(NodeId([1; 20])));
        tokio::time::sleep(Duration::from_millis(70)).await;
        query.reply.send(ANSWER.to_vec()).unwrap();
        let refused: RawQuery = queries.recv().await.unwrap();
        drop(refused.reply);
        let error: RawQuery = queries.recv().await.unwrap();
        (error.reply)
            .send(b"d1:eli204e7:unknowne1:y1:ee".to_vec())
            .unwrap();
        let silent: RawQuery = queries.recv().await.unwrap();
        let closed: RawQuery = queries.recv().await.unwrap();
        drop(queries);
        drop((silent, closed));
    });
    let target = NodeId([1; 20]);
    let query = Query::FindNode { target };
    let reply = dht.ask(node(1), &query).await.unwrap();
    assert_eq!(reply.rtt, Duration::from_millis(70));
    assert_eq!(reply.answer.id, NodeId(*b"abcdefghij0123456789"));
    assert_eq!(dht.ask(node(1), &query).await, Err(AskError::Refused));
    assert!(matches!(
        dht.ask(node(1), &query).await,
        Err(AskError::Node(KrpcError::Error { code: 204, .. }))
    ));
    assert_eq!(
        dht.ask(node(1), &query).await,
        Err(AskError::Timeout(Duration::from_secs(2)))
    );
    assert_eq!(dht.ask(node(1), &query).await, Err(AskError::Closed));
    assert_eq!(dht.ask(node(1), &query).await, Err(AskError::Closed));
    let counted = dht.counters();
    assert_eq!(
        (counted.answers, counted.timeouts, counted.errors),
        (1, 1, 2)
    );
}

#[tokio::test]
async fn only_public_addresses_are_asked() {
    let (strict, owner) = Dht::open(&DhtLimits::none(), false);
    let _asked = answering(owner);
    for local in [
        "127.0.0.1:1",
        "192.168.1.1:1",
        "[::1]:1",
        "8.8.8.8:0",
        "224.0.0.1:1",
    ] {
        let refused = Err(AskError::NotPublic(addr(local)));
        assert_eq!(strict.ask(addr(local), &Query::Ping).await, refused);
    }
    assert!(strict.ask(node(1), &Query::Ping).await.is_ok());
    assert_eq!(strict.counters().refused, 5);
    let (open, owner) = Dht::open(&DhtLimits::default(), true);
    let _asked = answering(owner);
    assert!(open.ask(addr("127.0.0.1:1"), &Query::Ping).await.is_ok());
    assert!(open.ask(addr("8.8.8.8:0"), &Query::Ping).await.is_err());
}

/// How long this many queries take, asked all at once.
async fn takes(limits: &DhtLimits, purpose: Purpose, count: u16) -> Duration {
    let (dht, owner) = Dht::open(limits, false);
    let dht = dht.with_purpose(purpose);
    let _asked = answering(owner);
    let began = Instant::now();
    let all = (0..count).map(|number| {
        let dht = dht.clone();
        tokio::spawn(async move { dht.ask(node(number), &Query::Ping).await })
    });
    for ask in all.collect::<Vec<_>>() {
        ask.await.unwrap().unwrap();
    }
    began.elapsed()
}

fn limits(packets_per_second: u32) -> DhtLimits {
    DhtLimits {
        packets_per_second: Some(packets_per_second),
        bytes_per_second: None,
        ..DhtLimits::default()
    }
}

#[tokio::test(start_paused = true)]
async fn packets_and_bytes_a_second_are_kept() {
    // The first tenth of a second is saved up.
    let lookup = takes(&limits(100), Purpose::Lookup, 1000).await;
    assert!((9.8..10.1).contains(&lookup.as_secs_f64()), "{lookup:?}");
    let crawl = takes(&limits(100), Purpose::Crawl, 1000).await;
    assert!((12.3..12.7).contains(&crawl.as_secs_f64()), "{crawl:?}");
    let fast = takes(&limits(5000), Purpose::Crawl, 10_000).await;
    assert!((2.4..2.6).contains(&fast.as_secs_f64()), "{fast:?}");
    let message = Query::Ping.encode(Want::Both).len();
    let of_hundred = counters::query_on_the_wire(&node(1), message) * 100;
    let bytes = DhtLimits {
        packets_per_second: None,
        bytes_per_second: Some(u32::try_from(of_hundred).unwrap()),
        ..DhtLimits::default()
    };
    let took = takes(&bytes, Purpose::Lookup, 1000).await;
    assert!((9.8..10.1).contains(&took.as_secs_f64()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_crawl_gets_what_lookups_leave() {
    let (dht, owner) = Dht::open(&limits(100), false);
    let _asked = answering(owner);
    let crawl = dht.with_purpose(Purpose::Crawl);
    for number in 0..500 {
        let crawl = crawl.clone();
        tokio::spawn(async move { crawl.ask(node(number), &Query::Ping).await });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Twenty a second are never the crawl's: a lookup comes at once.
    let began = Instant::now();
    dht.ask(node(600), &Query::Ping).await.unwrap();
    assert!(
        began.elapsed() <= Duration::from_millis(20),
        "{:?}",
        began.elapsed()
    );
    let crawled = dht.counters().crawl_queries;
    assert!((40..=55).contains(&crawled), "{crawled}");
    // As many lookups as there are packets leave the crawl nothing.
    let mut asks = VecDeque::new();
    for number in 1000..1200 {
        let dht = dht.clone();
        asks.push_back(tokio::spawn(async move {
            dht.ask(node(number), &Query::Ping).await
        }));
    }
    let before = dht.counters().crawl_queries;
    for ask in asks {
        ask.await.unwrap().unwrap();
    }
    assert!(dht.counters().crawl_queries <= before + 1);
}

#[tokio::test(start_paused = true)]
async fn one_address_is_asked_now_and_then() {
    let (dht, owner) = Dht::open(&DhtLimits::default(), true);
    let _asked = answering(owner);
    let began = Instant::now();
    let mut results = Vec::new();
    for _ in 0..6 {
        results.push(dht.ask(node(1), &Query::Ping).await.is_ok());
    }
    // Four at once, then one each half a second.
    assert_eq!(results, [true; 6]);
    assert_eq!(began.elapsed().as_millis() / 100, 10);
    let all: Vec<_> = (0..8)
        .map(|_| {
            let dht = dht.clone();
            tokio::spawn(async move { dht.ask(node(1), &Query::Ping).await })
        })
        .collect();
    let mut refused = 0;
    for ask in all {
        refused += u32::from(ask.await.unwrap() == Err(AskError::TooOften(node(1))));
    }
    assert_eq!(refused, 6);
    for _ in 0..100 {
        dht.ask(addr("127.0.0.1:1"), &Query::Ping).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_turn_learns_at_once_that_the_owner_has_ended() {
    let (dht, owner) = Dht::open(&limits(1), false);
    let waiting: Vec<_> = (0..50)
        .map(|number| {
            let dht = dht.clone();
            tokio::spawn(async move { dht.ask(node(number), &Query::Ping).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let began = Instant::now();
    drop(owner);
    for ask in waiting {
        assert_eq!(ask.await.unwrap(), Err(AskError::Closed));
    }
    assert!(began.elapsed() < Duration::from_millis(5));
    assert!(dht.is_closed());
}

#[tokio::test(start_paused = true)]
async fn late_answers_lengthen_the_deadline() {
    let (sender, mut queries) = mpsc::channel(100);
    let dht = Dht::new(sender);
    let delay = Arc::new(AtomicU64::new(10));
    let of_owner = Arc::clone(&delay);
    tokio::spawn(async move {
        while let Some(query) = queries.recv().await {
            let query: RawQuery = query;
            let delay = of_owner.load(Ordering::Relaxed);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(delay)).await;
                let _ = query.reply.send(ANSWER.to_vec());
            });
        }
    });
    for _ in 0..64 {
        dht.ask(node(1), &Query::Ping).await.unwrap();
    }
    assert_eq!(dht.deadline(), Duration::from_millis(300));
    // Suddenly every node is too slow for that.
    delay.store(1000, Ordering::Relaxed);
    let mut asked = 0;
    while dht.ask(node(1), &Query::Ping).await.is_err() {
        asked += 1;
        assert!(asked < 100);
    }
    assert!(dht.deadline() > Duration::from_secs(1));
    assert!(dht.counters().late > 0);
}

#[tokio::test(start_paused = true)]
async fn a_network_that_is_away_is_told_from_silent_nodes() {
    let (dht, mut owner) = Dht::open(&DhtLimits::none(), false);
    let observed = owner.observed.clone();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Some(query) = owner.queries.recv().await {
            match query.to.port() {
                1 => query.reply.send(ANSWER.to_vec()).unwrap(),
                2 => drop(query.reply),
                _ => silent.push(query.reply),
            }
        }
    });
    let ask = async |port| {
        let to = PeerAddr::new([8, 8, 8, 8].into(), port);
        let _ = dht.ask(to, &Query::Ping).await;
    };
    let before = Instant::now();
    // Most nodes are silent, but not all.
    for _ in 0..10 {
        for _ in 0..30 {
            ask(3).await;
            observed.heard();
        }
        ask(1).await;
        assert!(!dht.is_away());
    }
    assert!(!dht.was_away_since(before));
    tokio::time::advance(Duration::from_millis(1)).await;
    let began = Instant::now();
    // By whichever sign.
    for port in [2, 3] {
        for _ in 0..30 {
            ask(port).await;
        }
    }
    assert!(dht.is_away());
    let answered = dht.answered_since(began);
    let mut answered = std::pin::pin!(answered);
    assert!(futures_util::poll!(&mut answered).is_pending());
    ask(1).await;
    answered.await;
    assert!(!dht.is_away());
    assert!(dht.was_away_since(began));
}
