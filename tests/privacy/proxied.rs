//! `--proxy`: everything comes from the proxy's address, and where there is no proxy nothing comes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::command::{Resolve, Run, metafetch};
use crate::network::Network;
use crate::socks::{Conduct, OUTSIDE, Socks};
use crate::swarm::{Behaviour, Swarm, TestTorrent};
use crate::tap::Tap;

const SECRET: &str = "s3cr3t-w0rd";

/// The names of trackers, router and peer, which nobody else can resolve.
fn names() -> HashMap<String, IpAddr> {
    let names = ["http.test", "udp.test", "router.test", "peer.test"];
    names
        .map(|name| (name.to_owned(), Ipv4Addr::LOCALHOST.into()))
        .into()
}

async fn proxy() -> Socks {
    Socks::start(Conduct {
        login: Some(("user", SECRET)),
        names: names(),
        ..Conduct::default()
    })
    .await
}

fn url(proxy: &Socks) -> String {
    format!("socks5://user:{SECRET}@{}", proxy.addr)
}

fn says_nothing_secret(run: &Run) {
    assert!(!run.stdout.contains(SECRET) && !run.stderr.contains(SECRET));
}

async fn all_goes_through(seed: u64, strategy: &str) {
    let network = Network::start(seed, Behaviour::Honest, 1).await;
    let proxy = proxy().await;
    let run = network
        .resolve(strategy, true)
        .arg("--proxy")
        .arg(url(&proxy))
        .arg("-vv")
        .run()
        .await;
    assert_eq!(run.code, 0, "{run:#?}");
    says_nothing_secret(&run);
    for tap in [&network.peer, &network.http, &network.udp, &network.dht] {
        let received = tap.received();
        assert!(!received.is_empty());
        for one in received {
            assert_eq!(one.from.ip(), OUTSIDE, "{}", one.bytes.escape_ascii());
        }
    }
    let asked = proxy.names_asked();
    for name in ["http.test", "udp.test", "router.test"] {
        assert!(asked.iter().any(|asked| asked == name), "{name}: {asked:?}");
    }
}

#[tokio::test]
async fn the_direct_arm_goes_through_the_proxy() {
    all_goes_through(11, "direct").await;
}

#[tokio::test]
async fn libtorrent_goes_through_the_proxy() {
    all_goes_through(12, "libtorrent").await;
}

async fn nothing_leaves(network: &Network, strategy: &str, url: &str, why: &str) {
    let run = network
        .resolve(strategy, true)
        .arg("--proxy")
        .arg(url)
        .arg("--timeout")
        .arg("6s")
        .run()
        .await;
    assert_eq!(run.code, 3, "{run:#?}");
    for line in run.lines() {
        assert_eq!(line["reason"], "internal", "{line}");
        let detail = line["detail"].as_str().unwrap();
        assert!(detail.contains("the proxy socks5://127.0.0.1:"), "{line}");
        assert!(detail.contains(why), "{line}");
        assert!(line["retry_at"].is_null(), "no fault of the hash: {line}");
    }
    assert_eq!(run.stderr.matches("nothing is sent past it").count(), 1);
    says_nothing_secret(&run);
    let received = network.received();
    assert!(received.is_empty(), "{strategy}: {received:?}");
}

/// With a proxy that is not there; with names to resolve, and without.
async fn where_the_proxy_is_down(seed: u64, strategy: &str) {
    let network = Network::start(seed, Behaviour::Honest, 1).await;
    let gone = proxy().await;
    let url = url(&gone);
    drop(gone);
    nothing_leaves(&network, strategy, &url, "does not work").await;
    // By address, nobody need resolve a name: still nothing may leave.
    let run = network
        .resolve(strategy, false)
        .arg("--proxy")
        .arg(&url)
        .arg("--timeout")
        .arg("6s")
        .run()
        .await;
    assert_eq!(run.code, 3, "{run:#?}");
    assert!(network.received().is_empty(), "{strategy}");
}

#[tokio::test]
async fn where_the_proxy_is_down_nothing_leaves_by_direct() {
    where_the_proxy_is_down(13, "direct").await;
}

#[tokio::test]
async fn where_the_proxy_is_down_nothing_leaves_by_libtorrent() {
    where_the_proxy_is_down(14, "libtorrent").await;
}

#[tokio::test]
async fn where_the_proxy_is_down_nothing_leaves_by_auto() {
    where_the_proxy_is_down(15, "auto").await;
}

#[tokio::test]
async fn where_the_proxy_refuses_us_nothing_leaves() {
    let network = Network::start(16, Behaviour::Honest, 1).await;
    let proxy = proxy().await;
    let url = url(&proxy).replace("user:", "other:");
    nothing_leaves(&network, "auto", &url, "refused the user or the password").await;
}

/// As that of `ssh -D`: peers are reached, the DHT and UDP trackers are not, past it or through it.
#[tokio::test]
async fn datagrams_do_not_leave_where_the_proxy_takes_none() {
    let network = Network::start(17, Behaviour::Honest, 1).await;
    let proxy = Socks::start(Conduct {
        tcp_only: true,
        names: names(),
        ..Conduct::default()
    })
    .await;
    let run = network
        .resolve("race", false)
        .arg("--proxy")
        .arg(format!("socks5://{}", proxy.addr))
        .arg("--timeout")
        .arg("6s")
        .run()
        .await;
    let resolved = run
        .lines()
        .iter()
        .filter(|line| line["status"] == "resolved")
        .count();
    assert_eq!(resolved, 2, "by hint and by HTTP tracker: {run:#?}");
    for tap in [&network.dht, &network.udp] {
        assert!(tap.received().is_empty());
    }
    for one in network.peer.received() {
        assert_eq!(one.from.ip(), OUTSIDE);
    }
}

#[tokio::test]
async fn the_proxy_resolves_the_names_of_peers() {
    let swarm = Swarm::start(18);
    let torrent = TestTorrent::v1(1800, 1000);
    let torrents = std::slice::from_ref(&torrent);
    let peer = Tap::before(swarm.peer(Behaviour::Honest, torrents).await).await;
    let proxy = Socks::start(Conduct {
        names: names(),
        ..Conduct::default()
    })
    .await;
    let resolve = |host: &str| {
        Resolve::new()
            .arg("--proxy")
            .arg(format!("socks5://{}", proxy.addr))
            .arg("--peer")
            .arg(format!("{host}:{}", peer.addr.port()))
            .arg(torrent.hex())
    };
    let run = resolve("peer.test").run().await;
    assert_eq!(run.code, 0, "{run:#?}");
    assert_eq!(proxy.names_asked(), ["peer.test"]);
    assert!(peer.received().iter().all(|one| one.from.ip() == OUTSIDE));
    // This host knows that name, and is not asked.
    let run = resolve("localhost").run().await;
    assert_eq!(run.code, 3, "{run:#?}");
    assert!(run.stderr.contains("does not resolve its name"), "{run:#?}");
}

#[tokio::test]
async fn the_password_may_come_from_elsewhere() {
    let swarm = Swarm::start(19);
    let torrent = TestTorrent::v1(1900, 1000);
    let torrents = std::slice::from_ref(&torrent);
    let peer = swarm.peer(Behaviour::Honest, torrents).await;
    let proxy = proxy().await;
    let url = format!("socks5://user@{}", proxy.addr);
    let resolve = Resolve::new().peer(peer).arg(torrent.hex());
    let mut command = resolve.command();
    command.env("METAFETCH_PROXY", &url);
    command.env("METAFETCH_PROXY_PASSWORD", SECRET);
    let run = crate::command::run(&mut command).await;
    assert_eq!(run.code, 0, "{run:#?}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{SECRET}\n")).unwrap();
    let run = resolve
        .arg("--proxy")
        .arg(url)
        .arg("--proxy-password-file")
        .arg(file.path().display())
        .run()
        .await;
    assert_eq!(run.code, 0, "{run:#?}");
}

#[tokio::test]
async fn a_wrong_proxy_is_wrong_usage_and_its_password_is_not_shown() {
    for wrong in [
        format!("http://user:{SECRET}@127.0.0.1:1"),
        format!("socks5://user:{SECRET}@127.0.0.1"),
        format!("socks5://:{SECRET}@127.0.0.1:1"),
        SECRET.to_owned(),
    ] {
        let hash = TestTorrent::v1(2000, 1000).hex();
        let run = Resolve::new()
            .arg("--proxy")
            .arg(wrong)
            .arg(hash)
            .run()
            .await;
        assert_eq!(run.code, 2, "{run:#?}");
        assert!(run.stderr.contains("--proxy"), "{run:#?}");
        says_nothing_secret(&run);
    }
}

/// A crawl of the DHT, by way of this proxy, to a limit.
async fn crawl(network: &Network, proxy: &str, limit: &[&str]) -> Run {
    let home = tempfile::tempdir().unwrap();
    let mut command = metafetch(&home.path().join("metafetch.db"), &["crawl"]);
    command.args(["--allow-local-peers", "--listen", "127.0.0.1:0"]);
    command.args(["--anonymous", "--proxy", proxy, "--format", "jsonl"]);
    let router = format!("router.test:{}", network.dht.addr.port());
    command.arg("--bootstrap").arg(router).args(limit);
    let run = crate::command::run(&mut command).await;
    says_nothing_secret(&run);
    run
}

#[tokio::test]
async fn a_crawl_goes_through_the_proxy_or_not_at_all() {
    let network = Network::start(21, Behaviour::Honest, 1).await;
    let proxy = proxy().await;
    let url = url(&proxy);
    let run = crawl(&network, &url, &["--queries", "1", "--for", "40s"]).await;
    let last = run.lines().pop().unwrap();
    assert!(last["total"]["answers"].as_u64().unwrap() >= 1, "{run:#?}");
    let received = network.received();
    assert!(!network.dht.received().is_empty());
    assert!(received.iter().all(|one| one.from.ip() == OUTSIDE));
    drop(proxy);
    let run = crawl(&network, &url, &["--for", "4s"]).await;
    assert!(run.stderr.contains("nothing is sent past it"), "{run:#?}");
    assert_eq!(network.received().len(), received.len());
}
