//! One attempt: one connection to one peer, phase by phase.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::exchange::{Exchange, violation};
use super::{Attempt, Progress, Settings, dial, encryption};
use crate::torrent::{Failure, Infohash, PeerAddr, Phase, Reason};
use crate::wire::handshake::{Handshake, PeerId};
use crate::wire::message::FrameDecoder;

/// A `ut_metadata` block and its dictionary fit twice; extension handshakes are smaller.
const MAX_MESSAGE: usize = 32 * 1024;
/// How long a peer that rejected everything is left alone.
const REJECT_PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn fetch(
    settings: &Settings,
    infohash: &Infohash,
    peer: PeerAddr,
    connect_timeout: Duration,
    progress: &Progress,
) -> Attempt {
    let start = Instant::now();
    let mut attempt = Attempt {
        peer,
        result: Ok(Vec::new()),
        client: None,
        metadata_size: None,
        connect_time: None,
        elapsed: Duration::ZERO,
    };
    attempt.result = run(settings, infohash, connect_timeout, progress, &mut attempt).await;
    attempt.connect_time = progress.connect_time();
    attempt.elapsed = start.elapsed();
    attempt
}

async fn run(
    settings: &Settings,
    infohash: &Infohash,
    connect_timeout: Duration,
    progress: &Progress,
    attempt: &mut Attempt,
) -> Result<Vec<u8>, Failure> {
    progress.enter(Phase::Connect);
    let start = Instant::now();
    let mut stream = dial::dial(settings.proxy.as_ref(), attempt.peer, connect_timeout).await?;
    progress.connected(start.elapsed());

    progress.enter(Phase::Handshake);
    let deadline = Instant::now() + settings.handshake_timeout;
    let peer_id = if settings.anonymous {
        PeerId::anonymous()
    } else {
        PeerId::random()
    };
    let ours = Handshake::new(infohash.wire_id(), peer_id);
    let theirs = match handshake(&mut stream, &ours, infohash, deadline).await {
        Ok(theirs) => theirs,
        Err(HandshakeEnd::Silent(failure)) => {
            // It hung up on a plaintext handshake: perhaps it wants an encrypted one.
            let proxy = settings.proxy.as_ref();
            return Err(
                if encryption::is_required(proxy, attempt.peer, deadline).await {
                    Failure::new(
                        Reason::EncryptionRequired,
                        Phase::Handshake,
                        "it hung up on a plaintext handshake, and answers an encrypted one",
                    )
                } else {
                    failure
                },
            );
        }
        Err(HandshakeEnd::Failed(failure)) => return Err(failure),
    };
    attempt.client = theirs.peer_id.client();
    if !theirs.supports_extensions() {
        return Err(Failure::new(
            Reason::NoExtensionProtocol,
            Phase::Handshake,
            "its handshake has no extension protocol bit",
        ));
    }

    let mut exchange = Exchange::new(settings);
    let end = converse(&mut stream, settings, &mut exchange, progress).await;
    attempt.metadata_size = exchange.metadata_size;
    if exchange.client.is_some() {
        attempt.client = exchange.client.take();
    }
    end?;

    progress.enter(Phase::Verify);
    let bytes = exchange.into_bytes().unwrap_or_default();
    if infohash.matches(&bytes) {
        Ok(bytes)
    } else {
        Err(Failure::new(
            Reason::HashMismatch,
            Phase::Verify,
            format!("the {} bytes it served are not this torrent's", bytes.len()),
        ))
    }
}

/// How a handshake failed: with or without a byte from the peer.
enum HandshakeEnd {
    /// The peer ended the connection without having said anything.
    Silent(Failure),
    Failed(Failure),
}

async fn handshake(
    stream: &mut TcpStream,
    ours: &Handshake,
    infohash: &Infohash,
    deadline: Instant,
) -> Result<Handshake, HandshakeEnd> {
    let mut bytes = [0u8; Handshake::LEN];
    let mut filled = 0;
    let exchange = async {
        stream.write_all(&ours.encode()).await?;
        while let Some(rest) = bytes.get_mut(filled..)
            && !rest.is_empty()
        {
            match stream.read(rest).await? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        Ok(())
    };
    match timeout_at(deadline, exchange).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let failure = hung_up(&error, Phase::Handshake);
            return Err(if filled == 0 {
                HandshakeEnd::Silent(failure)
            } else {
                HandshakeEnd::Failed(failure)
            });
        }
        Err(_) => {
            return Err(HandshakeEnd::Failed(Failure::new(
                Reason::HandshakeTimeout,
                Phase::Handshake,
                format!("it accepted the connection and sent {filled} of 68 bytes in time"),
            )));
        }
    }
    check(&bytes, ours, infohash).map_err(HandshakeEnd::Failed)
}

/// Checks the peer's handshake: this torrent, and not ourselves.
fn check(
    bytes: &[u8; Handshake::LEN],
    ours: &Handshake,
    infohash: &Infohash,
) -> Result<Handshake, Failure> {
    let theirs =
        Handshake::decode(bytes).map_err(|error| violation(Phase::Handshake, error.to_string()))?;
    // A hybrid's peer may answer with the v2 hash to upgrade the connection (BEP 52).
    let v2 = infohash.v2().map(|v2| Infohash::V2(*v2).wire_id());
    if theirs.infohash != ours.infohash && Some(theirs.infohash) != v2 {
        return Err(Failure::new(
            Reason::WrongInfohash,
            Phase::Handshake,
            format!("its handshake is for {}", Infohash::V1(theirs.infohash)),
        ));
    }
    if theirs.peer_id == ours.peer_id {
        return Err(Failure::new(
            Reason::SelfConnection,
            Phase::Handshake,
            "it answered with our own peer id",
        ));
    }
    Ok(theirs)
}

/// Talks until the dictionary is complete.
async fn converse(
    stream: &mut TcpStream,
    settings: &Settings,
    exchange: &mut Exchange,
    progress: &Progress,
) -> Result<(), Failure> {
    let mut decoder = FrameDecoder::new(MAX_MESSAGE);
    let mut phase = exchange.phase();
    let mut blocks = 0;
    let mut deadline = Instant::now() + settings.handshake_timeout;
    let mut resume_at = None;
    progress.enter(phase);
    loop {
        if !exchange.out.is_empty() {
            let sent = timeout_at(deadline, stream.write_all(&exchange.out)).await;
            sent.map_err(|_| too_slow(exchange))?
                .map_err(|error| hung_up(&error, phase))?;
            exchange.out.clear();
        }
        let wake = resume_at.map_or(deadline, |at: Instant| at.min(deadline));
        match timeout_at(wake, stream.read(decoder.spare_mut())).await {
            Ok(Ok(0)) => {
                return Err(hung_up(&std::io::ErrorKind::UnexpectedEof.into(), phase));
            }
            Ok(Ok(read)) => decoder.advance(read),
            Ok(Err(error)) => return Err(hung_up(&error, phase)),
            Err(_) if resume_at.is_some_and(|at| at < deadline) => {
                resume_at = None;
                exchange.resume();
                continue;
            }
            Err(_) => return Err(too_slow(exchange)),
        }
        while let Some(message) = decoder
            .next()
            .map_err(|error| violation(phase, error.to_string()))?
        {
            exchange.on_message(&message)?;
            if exchange.is_complete() {
                return Ok(());
            }
        }
        if exchange.paused && resume_at.is_none() {
            resume_at = Some(Instant::now() + REJECT_PAUSE);
        }
        // Only a step forward earns more time: chatter and rejects do not.
        if exchange.phase() != phase || exchange.count().0 != blocks {
            phase = exchange.phase();
            blocks = exchange.count().0;
            deadline = Instant::now() + settings.transfer_timeout;
            progress.enter(phase);
        }
    }
}

fn hung_up(error: &std::io::Error, phase: Phase) -> Failure {
    let mut failure = dial::failure(error, phase);
    if failure.reason == Reason::Closed {
        failure.detail = "it closed the connection".into();
    }
    failure
}

fn too_slow(exchange: &Exchange) -> Failure {
    let phase = exchange.phase();
    match phase {
        Phase::Transfer => {
            let (here, all) = exchange.count();
            let detail = format!("{here} of {all} blocks came, then no further one in time");
            Failure::new(Reason::TransferTimeout, phase, detail)
        }
        _ => Failure::new(
            Reason::HandshakeTimeout,
            phase,
            "its extension handshake did not come in time",
        ),
    }
}
