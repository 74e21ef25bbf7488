//! Whether a peer that hangs up on a plaintext handshake wants an encrypted one.

use rand::Rng as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use super::dial::dial;
use crate::proxy::Proxy;
use crate::torrent::PeerAddr;

/// Length of a Diffie-Hellman public key of MSE/PE (768 bits).
const KEY: usize = 96;

/// Opens a second connection, begins the key exchange of MSE/PE and says whether the peer takes
/// part. Nearly any 768-bit number is a valid public key, and the exchange goes no further, so
/// random bytes serve.
pub(super) async fn is_required(proxy: Option<&Proxy>, peer: PeerAddr, deadline: Instant) -> bool {
    let limit = deadline.saturating_duration_since(Instant::now());
    let Ok(mut stream) = dial(proxy, peer, limit).await else {
        return false;
    };
    let mut key = [0u8; KEY];
    rand::rng().fill_bytes(&mut key);
    // 0x13 would look like the start of a plaintext handshake.
    key[0] |= 0x80;
    let exchange = async {
        stream.write_all(&key).await?;
        let mut answer = [0u8; KEY];
        stream.read_exact(&mut answer).await.map(|_| answer)
    };
    matches!(
        timeout_at(deadline, exchange).await,
        Ok(Ok(answer)) if !answer.starts_with(b"\x13BitTorrent protocol")
    )
}
