//! A connection to a peer, encrypted or not.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::wire::mse::{Established, Method};

/// A connection to a peer.
pub(super) struct PeerStream {
    tcp: TcpStream,
    keys: Option<Box<Established>>,
}

impl PeerStream {
    /// In the clear.
    pub(super) fn plain(tcp: TcpStream) -> Self {
        Self { tcp, keys: None }
    }

    /// After a key exchange.
    pub(super) fn encrypted(tcp: TcpStream, keys: Box<Established>) -> Self {
        Self {
            tcp,
            keys: Some(keys),
        }
    }

    /// What was selected in a key exchange, where there was one.
    pub(super) fn method(&self) -> Option<Method> {
        self.keys.as_ref().map(|keys| keys.method)
    }

    /// Reads some bytes; 0 at the end. Nothing is lost where the future is dropped.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(keys) = &mut self.keys else {
            return self.tcp.read(buffer).await;
        };
        if !keys.rest.is_empty() && !buffer.is_empty() {
            let count = keys.rest.len().min(buffer.len());
            for (to, from) in buffer.iter_mut().zip(keys.rest.drain(..count)) {
                *to = from;
            }
            return Ok(count);
        }
        let count = self.tcp.read(buffer).await?;
        if let Some(read) = buffer.get_mut(..count) {
            keys.decrypt(read);
        }
        Ok(count)
    }

    /// Sends bytes. A connection whose future was dropped is of no use any more.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(keys) = &mut self.keys else {
            return self.tcp.write_all(bytes).await;
        };
        let mut bytes = bytes.to_vec();
        keys.encrypt(&mut bytes);
        self.tcp.write_all(&bytes).await
    }
}
