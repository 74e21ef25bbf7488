//! DHT nodes on 127.0.0.1 (BEP 5) that know each other, and one peer of one hash.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;

use crate::torrent::PeerAddr;

/// Starts nodes, and returns the address of one to begin with.
pub(super) async fn start(count: u8, hash: [u8; 20], peer: PeerAddr) -> String {
    let mut sockets = Vec::new();
    let mut nodes = Vec::new();
    for number in 0..count {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        nodes.extend([number.wrapping_mul(40); 20]);
        nodes.extend(compact(socket.local_addr().unwrap().into()));
        sockets.push(socket);
    }
    let entry = sockets[0].local_addr().unwrap().to_string();
    let nodes = Arc::new(nodes);
    for (socket, number) in sockets.into_iter().zip(0_u8..) {
        let nodes = Arc::clone(&nodes);
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let id = [number.wrapping_mul(40); 20];
                if let Some(reply) = answer(&buffer[..length], &id, &nodes, &hash, peer) {
                    let _ = socket.send_to(&reply, from).await;
                }
            }
        });
    }
    entry
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
