//! One attempt: one connection to one peer, phase by phase.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::encryption::{Encryption, KeyFailure, exchange_keys};
use super::exchange::{Exchange, violation};
use super::stream::PeerStream;
use super::{Attempt, Event, HandshakeSeen, Progress, Request, Settings, dial};
use crate::torrent::{Failure, Infohash, Phase, Reason};
use crate::wire::handshake::{Handshake, PeerId};
use crate::wire::message::FrameDecoder;

/// A `ut_metadata` block and its dictionary fit twice; extension handshakes are smaller.
const MAX_MESSAGE: usize = 32 * 1024;
/// How long a peer that rejected everything is left alone.
const REJECT_PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn fetch(
    settings: &Settings,
    infohash: &Infohash,
    request: Request,
    progress: &Progress,
) -> Attempt {
    let start = Instant::now();
    let mut attempt = Attempt {
        peer: request.peer,
        result: Ok(Vec::new()),
        encrypted: false,
        client: None,
        metadata_size: None,
        connect_time: None,
        elapsed: Duration::ZERO,
    };
    attempt.result = run(settings, infohash, request, progress, &mut attempt).await;
    attempt.connect_time = progress.connect_time();
    attempt.elapsed = start.elapsed();
    attempt
}

async fn run(
    settings: &Settings,
    infohash: &Infohash,
    request: Request,
    progress: &Progress,
    attempt: &mut Attempt,
) -> Result<Vec<u8>, Failure> {
    let (mut stream, theirs) = greet(settings, infohash, request, progress, attempt).await?;
    attempt.client = theirs.peer_id.client();
    if !theirs.supports_extensions() {
        return Err(Failure::new(
            Reason::NoExtensionProtocol,
            Phase::Handshake,
            "its handshake has no extension protocol bit",
        ));
    }

    let mut exchange = Exchange::new(settings, progress.clone());
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

/// After so long without a word from a peer that has requests of ours, it is sent a keep-alive.
const NUDGE: Duration = Duration::from_secs(1);

/// How a handshake failed: with or without a byte from the peer.
enum HandshakeEnd {
    /// The peer said nothing: perhaps it wants to be spoken to in another way.
    Silent(Failure),
    Failed(Failure),
}

/// Connects and exchanges handshakes, in the clear or encrypted, and where the peer does not answer
/// the one, the other.
async fn greet(
    settings: &Settings,
    infohash: &Infohash,
    request: Request,
    progress: &Progress,
    attempt: &mut Attempt,
) -> Result<(PeerStream, Handshake), Failure> {
    let peer_id = if settings.anonymous {
        PeerId::anonymous()
    } else {
        PeerId::random()
    };
    let ours = Handshake::new(infohash.wire_id(), peer_id);
    let mut limit = settings.handshake_timeout;
    let mut silent: Option<Failure> = None;
    for &encrypted in settings.encryption.tries(request.encrypted) {
        if silent.is_none() {
            progress.enter(Phase::Connect);
        }
        progress.note(|| Event::Dialling { encrypted });
        let start = Instant::now();
        let proxy = settings.proxy.as_ref();
        let stream = match dial::dial(proxy, attempt.peer, request.connect_timeout).await {
            Ok(stream) => stream,
            // That it takes no second connection says less than how it took the first one.
            Err(failure) => return Err(silent.unwrap_or(failure)),
        };
        progress.connected(start.elapsed());
        progress.note(|| Event::Connected);
        progress.enter(Phase::Handshake);
        attempt.encrypted = encrypted;
        let start = Instant::now();
        let deadline = start + limit;
        let end = if encrypted {
            let only_rc4 = settings.encryption == Encryption::Require;
            encrypted_handshake(stream, &ours, infohash, only_rc4, deadline).await
        } else {
            handshake(PeerStream::plain(stream), &ours, infohash, deadline).await
        };
        match end {
            Ok((stream, theirs)) => {
                if let Some(method) = stream.method() {
                    progress.note(|| Event::keys(method));
                }
                progress.note(|| Event::Handshake(HandshakeSeen::new(&theirs)));
                return Ok((stream, theirs));
            }
            Err(HandshakeEnd::Failed(failure)) => return Err(failure),
            Err(HandshakeEnd::Silent(failure)) => {
                progress.note(|| Event::Unanswered {
                    why: failure.detail.clone(),
                });
                // A peer that lets us wait has had most of its time.
                if failure.reason == Reason::HandshakeTimeout {
                    limit /= 2;
                }
                silent.get_or_insert(failure);
            }
        }
    }
    attempt.encrypted = settings.encryption.tries(request.encrypted).first() == Some(&true);
    Err(silent.unwrap_or_else(|| Failure::new(Reason::Internal, Phase::Handshake, "not tried")))
}

async fn encrypted_handshake(
    stream: TcpStream,
    ours: &Handshake,
    infohash: &Infohash,
    only_rc4: bool,
    deadline: Instant,
) -> Result<(PeerStream, Handshake), HandshakeEnd> {
    let initial = ours.encode().to_vec();
    match exchange_keys(stream, ours.infohash, initial, only_rc4, deadline).await {
        Ok(stream) => read_handshake(stream, ours, infohash, deadline)
            .await
            .map_err(|end| match end {
                HandshakeEnd::Silent(failure) | HandshakeEnd::Failed(failure) => {
                    HandshakeEnd::Failed(failure)
                }
            }),
        Err(KeyFailure::Broken(why)) => Err(HandshakeEnd::Failed(Failure::new(
            Reason::EncryptionRequired,
            Phase::Handshake,
            format!("it takes part in a key exchange, but then {why}"),
        ))),
        Err(KeyFailure::NoPart(error)) => {
            let mut failure = hung_up(&error, Phase::Handshake);
            failure.detail = format!("to an encrypted handshake: {}", failure.detail);
            Err(HandshakeEnd::Silent(failure))
        }
    }
}

async fn handshake(
    mut stream: PeerStream,
    ours: &Handshake,
    infohash: &Infohash,
    deadline: Instant,
) -> Result<(PeerStream, Handshake), HandshakeEnd> {
    match timeout_at(deadline, stream.write_all(&ours.encode())).await {
        Ok(Ok(())) => read_handshake(stream, ours, infohash, deadline).await,
        Ok(Err(error)) => Err(HandshakeEnd::Silent(hung_up(&error, Phase::Handshake))),
        Err(_) => Err(HandshakeEnd::Failed(no_handshake(0))),
    }
}

async fn read_handshake(
    mut stream: PeerStream,
    ours: &Handshake,
    infohash: &Infohash,
    deadline: Instant,
) -> Result<(PeerStream, Handshake), HandshakeEnd> {
    let mut bytes = [0u8; Handshake::LEN];
    let mut filled = 0;
    let exchange = async {
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
            let failure = no_handshake(filled);
            return Err(if filled == 0 {
                HandshakeEnd::Silent(failure)
            } else {
                HandshakeEnd::Failed(failure)
            });
        }
    }
    let theirs = check(&bytes, ours, infohash).map_err(HandshakeEnd::Failed)?;
    Ok((stream, theirs))
}

fn no_handshake(filled: usize) -> Failure {
    Failure::new(
        Reason::HandshakeTimeout,
        Phase::Handshake,
        format!("it accepted the connection and sent {filled} of 68 bytes in time"),
    )
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
    stream: &mut PeerStream,
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
        let nudge_at = || (phase == Phase::Transfer).then(|| Instant::now() + NUDGE);
        let pause = resume_at.or_else(nudge_at).unwrap_or(deadline);
        let wake = pause.min(deadline);
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
            Err(_) if wake < deadline => {
                exchange.nudge();
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
