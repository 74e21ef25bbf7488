//! DHT nodes on 127.0.0.1 (BEP 5) that know each other, and one peer of one hash.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::UdpSocket;

use crate::torrent::PeerAddr;

/// Starts nodes, and returns the address of one to begin with.
pub(super) async fn start(count: u8, hash: [u8; 20], peer: PeerAddr) -> String {
    let silent = Arc::new(AtomicBool::new(false));
    let nodes = start_at("", count, hash, peer, silent).await;
    nodes[0].to_string()
}

/// Starts nodes, the first one at `first` where that is not empty, that are silent while `silent` is
/// set. Returns their addresses.
pub(super) async fn start_at(
    first: &str,
    count: u8,
    hash: [u8; 20],
    peer: PeerAddr,
    silent: Arc<AtomicBool>,
) -> Vec<PeerAddr> {
    let mut sockets = Vec::new();
    let mut nodes = Vec::new();
    let mut addrs = Vec::new();
    for number in 0..count {
        let at = match first {
            first if number == 0 && !first.is_empty() => first,
            _ => "127.0.0.1:0",
        };
        let socket = UdpSocket::bind(at).await.unwrap();
        let addr = socket.local_addr().unwrap().into();
        nodes.extend([number.wrapping_mul(40); 20]);
        nodes.extend(compact(addr));
        sockets.push(socket);
        addrs.push(addr);
    }
    let nodes = Arc::new(nodes);
    for (socket, number) in sockets.into_iter().zip(0_u8..) {
        let (nodes, silent) = (Arc::clone(&nodes), Arc::clone(&silent));
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                if silent.load(Ordering::Relaxed) {
                    continue;
                }
                let id = [number.wrapping_mul(40); 20];
                if let Some(reply) = answer(&buffer[..length], &id, &nodes, &hash, peer) {
                    let _ = socket.send_to(&reply, from).await;
                }
            }
        });
    }
    addrs
}

fn answer(query: &[u8], id: &[u8], nodes: &[u8], hash: &[u8], peer: PeerAddr) -> Option<Vec<u8>> {
    let after = |mark: &[u8]| {
        let at = query.windows(mark.len()).position(|part| part == mark)?;
        query.get(at + mark.len()..)
    };
    after(b"1:y1:q")?;
    let transaction = after(b"1:t2:")?.get(..2)?;
    let mut reply = b"d1:rd2:id20:".to_vec();
    reply.extend(id);
    if after(b"1:q4:ping").is_none() {
        reply.extend(format!("5:nodes{}:", nodes.len()).as_bytes());
        reply.extend(nodes);
    }
    if after(b"9:info_hash20:").is_some_and(|rest| rest.starts_with(hash)) {
        reply.extend(b"5:token4:abcd6:valuesl6:");
        reply.extend(compact(peer));
        reply.push(b'e');
    }
    reply.extend(b"e1:t2:");
    reply.extend(transaction);
    reply.extend(b"1:y1:re");
    Some(reply)
}

fn compact(addr: PeerAddr) -> Vec<u8> {
    let IpAddr::V4(ip) = addr.ip() else {
        unreachable!()
    };
    [&ip.octets()[..], &addr.port().to_be_bytes()].concat()
}
