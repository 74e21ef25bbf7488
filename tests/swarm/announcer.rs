//! A client that announces itself to a DHT node, as BEP 5 has it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{interval, timeout};

use super::TestTorrent;
use super::wire::Value;

/// How long the node may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Announces at `node` that `peer` has the torrent: asks for a token, and waits until the node, which may
/// not even listen yet, has taken the announce.
pub async fn announce(node: SocketAddr, torrent: &TestTorrent, peer: SocketAddr) {
    let infohash = torrent.wire_ids()[0];
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let wanted = vec![("info_hash", Value::bytes(infohash))];
    let answer = ask(&socket, node, "get_peers", wanted.clone()).await;
    let mut announce = wanted;
    announce.push(("port", Value::Int(peer.port().into())));
    announce.push(("token", Value::bytes(answer.string("token").unwrap())));
    ask(&socket, node, "announce_peer", announce).await;
}

/// Asks a node, which may not even listen yet, until there is an answer.
pub async fn ask(
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
    let asking = async {
        let mut again = interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                // An error: nobody listens there yet.
                _ = again.tick() => drop(socket.send_to(&query.encode(), node).await),
                Ok(length) = socket.recv(&mut buffer) => {
                    if let Some((answer, _)) = Value::decode(&buffer[..length])
                        && answer.string("y") == Some(b"r")
                    {
                        return answer.get("r").unwrap().clone();
                    }
                }
            }
        }
    };
    let answer = timeout(PATIENCE, asking).await;
    answer.unwrap_or_else(|_| panic!("the node does not answer {name}"))
}
