//! A UDP tracker (BEP 15): connect, announce, error.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::TrackerState;
use super::wire::{self, Random};

type State = Arc<Mutex<TrackerState>>;

const PROTOCOL: u64 = 0x0417_2710_1980;
const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const ERROR: u32 = 3;

pub(super) async fn start(
    seed: u64,
) -> io::Result<(SocketAddr, State, impl Future<Output = ()> + Send)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let state = State::default();
    Ok((
        socket.local_addr()?,
        Arc::clone(&state),
        run(socket, seed, state),
    ))
}

async fn run(socket: UdpSocket, seed: u64, state: State) {
    let mut buffer = vec![0; 4096];
    loop {
        // An error is an ICMP answer to an earlier packet, most likely.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            sleep(Duration::from_millis(1)).await;
            continue;
        };
        if let Some(reply) = answer(&buffer[..length], from, seed, &state) {
            let _ = socket.send_to(&reply, from).await;
        }
    }
}

/// The answer to a packet; none to what is shorter than any request.
fn answer(packet: &[u8], from: SocketAddr, seed: u64, state: &State) -> Option<Vec<u8>> {
    let connection = u64::from_be_bytes(packet.get(..8)?.try_into().ok()?);
    let action = u32::from_be_bytes(packet.get(8..12)?.try_into().ok()?);
    let transaction = packet.get(12..16)?;
    let ours = Random::new(seed ^ u64::from(from.port())).next();
    let reply = |action: u32, body: &[u8]| [&action.to_be_bytes(), transaction, body].concat();
    let error = |text: &str| Some(reply(ERROR, text.as_bytes()));
    match action {
        CONNECT if connection == PROTOCOL => Some(reply(CONNECT, &ours.to_be_bytes())),
        ANNOUNCE if connection == ours => {
            let Some(infohash) = packet.get(16..36).filter(|_| packet.len() >= 98) else {
                return error("announce is shorter than 98 bytes");
            };
            let peers = state.lock().unwrap().answer(infohash.try_into().ok()?);
            let Some(peers) = peers else {
                return error("torrent is not registered with this tracker");
            };
            // An answer has the addresses of the family it was asked over.
            let peers: Vec<_> = peers.into_iter().filter(SocketAddr::is_ipv4).collect();
            let seeders = u32::try_from(peers.len()).ok()?;
            let mut body = [1800_u32, 0, seeders].map(u32::to_be_bytes).concat();
            body.extend(peers.into_iter().flat_map(wire::compact));
            Some(reply(ANNOUNCE, &body))
        }
        CONNECT | ANNOUNCE => error("wrong connection id"),
        _ => error("action is not supported"),
    }
}
