//! An owner of a DHT socket that is no libtorrent: sends the queries of a `Dht` over one UDP socket and
//! hands the answers back. Lookups and crawls are measured with it against the swarm's DHT.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "support for tests: a fault here is to fail the test"
)]

use std::collections::HashMap;

use metafetch::discovery::dht::RawQuery;
use metafetch::torrent::PeerAddr;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

/// Queries without an answer that are kept before those are dropped that nobody waits for.
const PENDING: usize = 4096;

type Pending = HashMap<[u8; 4], (PeerAddr, oneshot::Sender<Vec<u8>>)>;

/// Serves until nobody can ask any more.
pub async fn serve(mut queries: mpsc::Receiver<RawQuery>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut pending = Pending::new();
    let mut number = 0_u32;
    let mut sweep_at = PENDING;
    loop {
        tokio::select! {
            query = queries.recv() => {
                let Some(RawQuery { to, message, reply, .. }) = query else { return };
                number = number.wrapping_add(1);
                let transaction = number.to_be_bytes();
                pending.insert(transaction, (to, reply));
                if pending.len() > sweep_at {
                    pending.retain(|_, (_, reply)| !reply.is_closed());
                    sweep_at = 2 * pending.len().max(PENDING);
                }
                let _ = socket.send_to(&whole(&message, transaction), to.socket_addr()).await;
            }
            ready = socket.readable() => {
                ready.unwrap();
                let mut buffer = [0; 4096];
                while let Ok((length, from)) = socket.try_recv_from(&mut buffer) {
                    let Some(message) = buffer.get(..length) else { continue };
                    let Some(transaction) = transaction_of(message) else { continue };
                    if let Some((to, reply)) = pending.remove(&transaction)
                        && to.socket_addr() == from
                    {
                        let _ = reply.send(message.to_vec());
                    }
                }
            }
        }
    }
}

/// The query with what its owner puts in: `id` is the first of all arguments, `t` and `y` come last.
fn whole(message: &[u8], transaction: [u8; 4]) -> Vec<u8> {
    let args = message.strip_prefix(b"d1:ad").unwrap();
    let args = args.strip_suffix(b"e").unwrap();
    let mut whole = b"d1:ad2:id20:".to_vec();
    whole.extend([0x77; 20]);
    whole.extend(args);
    whole.extend(b"1:t4:");
    whole.extend(transaction);
    whole.extend(b"1:y1:qe");
    whole
}

/// The swarm's answers end with transaction and kind.
fn transaction_of(message: &[u8]) -> Option<[u8; 4]> {
    let (rest, _) = message.split_last_chunk::<7>()?;
    rest.last_chunk::<4>().copied()
}
