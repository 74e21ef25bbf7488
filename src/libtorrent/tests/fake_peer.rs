//! A peer on 127.0.0.1 that speaks as much BitTorrent as a metadata fetch needs, and misbehaves on
//! request.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::torrent::PeerAddr;

const BLOCK: usize = 16 * 1024;
/// Our id for `ut_metadata` messages.
const OUR_ID: u8 = 3;

/// What a peer does.
#[derive(Clone, Debug)]
pub(super) enum Role {
    /// Serves these bytes.
    Honest,
    /// Serves these bytes, but claims another size.
    Claims(i64),
    /// Serves other bytes of the same length.
    WrongBytes,
    /// Accepts and says nothing.
    Silent,
    /// Closes as soon as it has our handshake.
    HangsUp,
    /// Names another torrent.
    OtherTorrent,
    /// Has no extension bit.
    NoExtensions,
    /// Has the extension bit, and no extension handshake.
    NoExtensionHandshake,
    /// Has an extension handshake without `ut_metadata`.
    NoUtMetadata,
    /// Rejects every request.
    Rejects,
    /// Rejects the first requests, then serves.
    RejectsOnce,
    /// Answers with a piece far out of range.
    OutOfRange,
    /// Sends a block that is one byte short.
    ShortBlock,
    /// Sends one block and then nothing.
    Stalls,
    /// Answers the first request with this as the whole message.
    Says(&'static [u8]),
}

/// A running peer; it ends with the runtime.
pub(super) struct FakePeer {
    pub(super) addr: PeerAddr,
    pub(super) connections: Arc<AtomicUsize>,
}

impl FakePeer {
    /// A peer that takes any torrent for the one with this info dictionary.
    pub(super) async fn start(role: Role, info: &[u8]) -> Self {
        let info = info.to_vec();
        Self::start_with(role, move |_| Some(info.clone())).await
    }

    /// A peer of every torrent that `find` knows.
    pub(super) async fn start_with(
        role: Role,
        find: impl Fn(&[u8; 20]) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().into();
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, find) = (Arc::clone(&connections), Arc::new(find));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (role, find) = (role.clone(), Arc::clone(&find));
                // An error here is the other side hanging up.
                tokio::spawn(async move { serve(stream, &role, &*find).await });
            }
        });
        Self { addr, connections }
    }
}

async fn serve(
    mut stream: TcpStream,
    role: &Role,
    find: &(impl Fn(&[u8; 20]) -> Option<Vec<u8>> + Sync),
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut handshake = [0; 68];
    stream.read_exact(&mut handshake).await?;
    let mut hash: [u8; 20] = handshake[28..48].try_into().unwrap();
    match role {
        Role::HangsUp => return Ok(()),
        Role::Silent => return wait_for_end(&mut stream).await,
        _ => {}
    }
    let Some(info) = find(&hash) else {
        return Ok(());
    };
    if matches!(role, Role::OtherTorrent) {
        hash[0] ^= 1;
    }
    handshake[20..28].fill(0);
    if !matches!(role, Role::NoExtensions) {
        handshake[25] = 0x10;
    }
    handshake[28..48].copy_from_slice(&hash);
    handshake[48..].copy_from_slice(&unique_peer_id());
    stream.write_all(&handshake).await?;
    if matches!(role, Role::NoExtensions | Role::NoExtensionHandshake) {
        return wait_for_end(&mut stream).await;
    }
    let size = match role {
        Role::Claims(size) => *size,
        _ => i64::try_from(info.len()).unwrap(),
    };
    let extension = match role {
        Role::NoUtMetadata => "d1:mde1:v4:faker".replace("faker", "fake") + "e",
        _ => format!("d1:md11:ut_metadatai{OUR_ID}ee13:metadata_sizei{size}e1:v4:fakee"),
    };
    send(&mut stream, 0, extension.as_bytes(), &[]).await?;
    answer_requests(stream, role, &info).await
}

/// Connects to `to` as an honest peer of this torrent, and serves it until it hangs up.
pub(super) async fn visit(to: SocketAddr, hash: [u8; 20], info: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect(to).await?;
    let mut handshake = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\0".to_vec();
    handshake.extend(hash);
    handshake.extend(unique_peer_id());
    stream.write_all(&handshake).await?;
    stream.read_exact(&mut handshake).await?;
    let size = info.len();
    let extension = format!("d1:md11:ut_metadatai{OUR_ID}ee13:metadata_sizei{size}ee");
    send(&mut stream, 0, extension.as_bytes(), &[]).await?;
    answer_requests(stream, &Role::Honest, info).await
}

async fn answer_requests(mut stream: TcpStream, role: &Role, info: &[u8]) -> io::Result<()> {
    let mut rejected = 0;
    loop {
        let length = stream.read_u32().await?;
        let mut message = vec![0; length as usize];
        stream.read_exact(&mut message).await?;
        if message.len() < 3 || message[0] != 20 || message[1] != OUR_ID {
            continue;
        }
        let text = String::from_utf8_lossy(&message[2..]).into_owned();
        let piece: usize = text
            .split_once("5:piecei")
            .and_then(|(_, rest)| rest.split_once('e'))
            .and_then(|(piece, _)| piece.parse().ok())
            .unwrap();
        let end = info.len().min((piece + 1) * BLOCK);
        let mut block = info[(piece * BLOCK).min(end)..end].to_vec();
        let mut kind = 1;
        let mut index = piece;
        match role {
            Role::WrongBytes => block.iter_mut().for_each(|byte| *byte ^= 0x55),
            Role::OutOfRange => index = usize::MAX >> 1,
            Role::ShortBlock => block.truncate(block.len() - 1),
            Role::Stalls if piece > 0 => continue,
            Role::Rejects => kind = 2,
            Role::RejectsOnce if rejected < 3 => {
                rejected += 1;
                kind = 2;
            }
            _ => {}
        }
        let total = match role {
            Role::Claims(size) => *size,
            _ => i64::try_from(info.len()).unwrap(),
        };
        let header = if kind == 1 {
            format!("d8:msg_typei1e5:piecei{index}e10:total_sizei{total}ee")
        } else {
            block.clear();
            format!("d8:msg_typei2e5:piecei{index}ee")
        };
        if let Role::Says(message) = role {
            send(&mut stream, 2, message, &[]).await?;
            return wait_for_end(&mut stream).await;
        }
        // libtorrent's id for ut_metadata, as our plugin announces it.
        send(&mut stream, 2, header.as_bytes(), &block).await?;
    }
}

async fn send(stream: &mut TcpStream, id: u8, header: &[u8], data: &[u8]) -> io::Result<()> {
    let length = u32::try_from(2 + header.len() + data.len()).unwrap();
    let mut message = length.to_be_bytes().to_vec();
    message.extend([20, id]);
    message.extend(header);
    message.extend(data);
    stream.write_all(&message).await
}

async fn wait_for_end(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// libtorrent closes the second connection to one peer id.
fn unique_peer_id() -> [u8; 20] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut id = *b"-FK0100-000000000000";
    id[16..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    id
}
