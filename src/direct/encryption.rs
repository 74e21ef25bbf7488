//! Message stream encryption (MSE/PE) on the connections that we open.

use std::io::{self, ErrorKind};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::stream::PeerStream;
use crate::wire::mse::{Initiator, MseError, Progress};

/// Why keys were not exchanged.
#[derive(Debug)]
pub(super) enum KeyFailure {
    /// It said nothing, or nothing of this protocol.
    NoPart(io::Error),
    /// It took part, and then did not go on.
    Broken(String),
}

/// Exchanges keys; `initial` is said right after it.
pub(super) async fn exchange_keys(
    mut tcp: TcpStream,
    skey: [u8; 20],
    initial: Vec<u8>,
    only_rc4: bool,
    deadline: Instant,
) -> Result<PeerStream, KeyFailure> {
    let (mut initiator, first) = Initiator::new(skey, initial, only_rc4);
    let mut has_key = false;
    let exchange = async {
        tcp.write_all(&first).await?;
        let mut buffer = [0; 1024];
        loop {
            let count = tcp.read(&mut buffer).await?;
            if count == 0 {
                return Err(io::Error::from(ErrorKind::UnexpectedEof));
            }
            match initiator.receive(buffer.get(..count).unwrap_or_default()) {
                Ok(Progress::More) => {}
                Ok(Progress::Send(bytes)) => {
                    has_key = true;
                    tcp.write_all(&bytes).await?;
                }
                Ok(Progress::Done(keys)) => return Ok(Ok(keys)),
                Err(error) => return Ok(Err(error)),
            }
        }
    };
    let end = timeout_at(deadline, exchange).await;
    let end = end.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
    match end {
        Ok(Ok(keys)) => Ok(PeerStream::encrypted(tcp, keys)),
        Ok(Err(MseError::Plaintext)) => Err(KeyFailure::NoPart(io::Error::new(
            ErrorKind::UnexpectedEof,
            MseError::Plaintext,
        ))),
        Ok(Err(error)) => Err(KeyFailure::Broken(error.to_string())),
        Err(error) if has_key => Err(KeyFailure::Broken(match error.kind() {
            ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
            ErrorKind::TimedOut => "it did not go on in time".to_owned(),
            _ => error.to_string(),
        })),
        Err(error) => Err(KeyFailure::NoPart(error)),
    }
}
