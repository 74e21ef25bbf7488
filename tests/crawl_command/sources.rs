//! Hashes that other nodes bring.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::network::{Network, Running};
use crate::swarm::wire::Value;
use crate::swarm::{Behaviour, TestTorrent};

/// How long our node may take to answer, and then to resolve a hash.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks until there is an answer.
pub(crate) async fn ask(
    socket: &UdpSocket,
    node: SocketAddr,
    name: &str,
    args: Vec<(&str, Value)>,
) -> Value {
    let mut all = vec![("id", Value::bytes([9; 20]))];
    all.extend(args);
    let query = Value::dict([
        ("a", Value::dict(all)),
        ("q", Value::bytes(name)),
        ("t", Value::bytes("aa")),
        ("y", Value::bytes("q")),
    ]);
    let mut buffer = vec![0; 2_000];
    loop {
        socket.send_to(&query.encode(), node).await.unwrap();
        let answer = timeout(Duration::from_millis(200), socket.recv(&mut buffer)).await;
        // An error: nobody listens there yet.
        let Ok(Ok(length)) = answer else { continue };
        if let Some((answer, _)) = Value::decode(&buffer[..length])
            && answer.string("y") == Some(b"r")
        {
            return answer.get("r").unwrap().clone();
        }
    }
}

#[tokio::test]
async fn whoever_announces_a_torrent_to_us_is_asked_for_it() {
    let network = Network::start(21, 30, 0).await;
    let torrent = TestTorrent::v1(999, 2_000);
    let peer = network
        .swarm
        .peer(Behaviour::Honest, std::slice::from_ref(&torrent))
        .await;
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let node = free.local_addr().unwrap();
    drop(free);
    let args = ["--listen", &node.to_string()];
    let mut running = Running::start(network.crawl(&args));

    let infohash = torrent.wire_ids()[0];
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let wanted = vec![("info_hash", Value::bytes(infohash))];
    let answer = timeout(PATIENCE, ask(&socket, node, "get_peers", wanted.clone()));
    let answer = answer.await.expect("our node does not answer");
    let mut announce = wanted;
    announce.push(("port", Value::Int(peer.port().into())));
    announce.push(("token", Value::bytes(answer.string("token").unwrap())));
    let accepted = timeout(PATIENCE, ask(&socket, node, "announce_peer", announce));
    accepted.await.expect("our node does not take the announce");
    let resolved = timeout(PATIENCE, running.resolved(1)).await;
    assert_eq!(
        resolved.expect("the announce was passed over"),
        [torrent.hex()]
    );
}
