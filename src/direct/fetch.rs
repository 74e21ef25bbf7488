//! One attempt: one connection to one peer, phase by phase.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::encryption::{KeyFailure, exchange_keys};
use super::exchange::{Exchange, violation};
use super::limits::Dialling;
use super::stream::PeerStream;
use super::talk::Conversation;
use super::{Attempt, Direct, Event, HandshakeSeen, Progress, Request, Swarm, dial};
use crate::torrent::{Encryption, Failure, Infohash, Phase, Reason};
use crate::wire::handshake::{Handshake, PeerId};

pub(super) async fn fetch(
    arm: &Direct,
    infohash: &Infohash,
    request: Request,
    swarm: &Swarm,
    progress: &Progress,
) -> Attempt {
    // Until our own limits allow for it, no time is anybody's.
    let asked = Instant::now();
    let dialling = arm.gates.dial(swarm.dials()).await;
    let start = Instant::now();
    let mut attempt = Attempt {
        peer: request.peer,
        result: Ok(Vec::new()),
        encrypted: arm.settings.encryption.first(request.encrypted),
        client: None,
        metadata_size: None,
        connect_time: None,
        elapsed: Duration::ZERO,
        waited: start - asked,
        late: Duration::ZERO,
    };
    let waited_before = attempt.waited;
    let limit = arm.settings.attempt_timeout;
    let deadline = start + limit;
    let way = Way {
        arm,
        infohash,
        request,
        swarm,
        progress,
    };
    let result = timeout_at(deadline, run(way, dialling, &mut attempt)).await;
    attempt.result = result.unwrap_or_else(|_| {
        progress.time_over(progress.phase(), start, deadline);
        Err(out_of_time(progress.phase(), limit))
    });
    attempt.connect_time = progress.connect_time();
    let waited_since = attempt.waited.saturating_sub(waited_before);
    attempt.elapsed = start.elapsed().saturating_sub(waited_since);
    attempt.late = progress.late();
    attempt
}

/// Whom to ask for what.
#[derive(Clone, Copy)]
struct Way<'a> {
    arm: &'a Direct,
    infohash: &'a Infohash,
    request: Request,
    swarm: &'a Swarm,
    progress: &'a Progress,
}

async fn run(
    way: Way<'_>,
    dialling: Dialling<'_>,
    attempt: &mut Attempt,
) -> Result<Vec<u8>, Failure> {
    // Each part has its memory only while it runs: most peers that take a connection never say anything.
    let greeted = Box::pin(greet(way, dialling, attempt)).await?;
    Box::pin(converse(way, greeted, attempt)).await
}

async fn converse(
    way: Way<'_>,
    (stream, theirs): (PeerStream, Handshake),
    attempt: &mut Attempt,
) -> Result<Vec<u8>, Failure> {
    let Way {
        arm,
        infohash,
        swarm,
        progress,
        ..
    } = way;
    let settings = &*arm.settings;
    attempt.client = theirs.peer_id.client();
    if !theirs.supports_extensions() {
        return Err(Failure::new(
            Reason::NoExtensionProtocol,
            Phase::Handshake,
            "its handshake has no extension protocol bit",
        ));
    }

    let port = arm.listen_port();
    let mut exchange = Exchange::new(
        settings,
        attempt.peer,
        port,
        swarm.clone(),
        arm.gates.clone(),
        progress.clone(),
    );
    let mut talk = Conversation::new(stream, arm, progress);
    let end = loop {
        if let Err(failure) = talk.until_complete(&mut exchange).await {
            break Err(failure);
        }
        progress.enter(Phase::Verify);
        let bytes = exchange.take_complete().unwrap_or_default();
        if infohash.matches(&bytes) {
            exchange.is_right();
            break Ok(bytes);
        }
        let detail = format!("the {} bytes it served are not this torrent's", bytes.len());
        if exchange.is_wrong(bytes) {
            break Err(Failure::new(Reason::HashMismatch, Phase::Verify, detail));
        }
        progress.note(|| Event::WrongMixture);
        progress.enter(Phase::Transfer);
    };
    attempt.metadata_size = exchange.metadata_size;
    if exchange.client.is_some() {
        attempt.client = exchange.client.take();
    }
    if let Err(failure) = &end
        && matches!(failure.reason, Reason::NoUtMetadata | Reason::Rejected)
    {
        talk.until_peers_named(&mut exchange).await;
    }
    end
}

/// How a handshake failed: with or without a byte from the peer.
enum HandshakeEnd {
    /// The peer said nothing: perhaps it wants to be spoken to in another way.
    Silent(Failure),
    Failed(Failure),
}

/// Connects and exchanges handshakes, in the clear or encrypted, and where the peer does not answer
/// the one, the other.
async fn greet(
    way: Way<'_>,
    dialling: Dialling<'_>,
    attempt: &mut Attempt,
) -> Result<(PeerStream, Handshake), Failure> {
    let Way {
        arm,
        infohash,
        request,
        swarm,
        progress,
    } = way;
    let settings = &*arm.settings;
    let peer_id = if settings.anonymous {
        PeerId::anonymous()
    } else {
        PeerId::random()
    };
    let ours = Handshake::new(infohash.wire_id(), peer_id);
    let ours = match infohash.v2() {
        Some(_) => ours.with_v2(),
        None => ours,
    };
    let mut limit = settings.handshake_timeout;
    let mut silent: Option<Failure> = None;
    let mut leave = Some(dialling);
    progress.enter(Phase::Connect);
    for &encrypted in settings.encryption.tries(request.encrypted) {
        let dialling = if let Some(first) = leave.take() {
            first
        } else {
            let asked = Instant::now();
            let again = arm.gates.dial(swarm.dials()).await;
            attempt.waited += asked.elapsed();
            again
        };
        progress.note(|| Event::Dialling { encrypted });
        let proxy = settings.proxy.as_ref();
        let limit_of_tcp = request.connect_timeout;
        let (began, deadline) = (Instant::now(), Instant::now() + limit_of_tcp);
        let (stream, took) =
            match dial::dial(proxy, &settings.bind, attempt.peer, limit_of_tcp).await {
                Ok(connected) => connected,
                Err(failure) => {
                    if failure.reason == Reason::ConnectTimeout && Instant::now() >= deadline {
                        progress.time_over(Phase::Connect, began, deadline);
                    }
                    // That it takes no second connection says less than how it took the first one.
                    return Err(silent.unwrap_or(failure));
                }
            };
        drop(dialling);
        progress.connected(took);
        progress.note(|| Event::Connected);
        progress.enter(Phase::Handshake);
        attempt.encrypted = encrypted;
        let start = Instant::now();
        let deadline = start + limit;
        let end = if encrypted {
            let only_rc4 = settings.encryption == Encryption::Require;
            let handshake = encrypted_handshake(stream, &ours, infohash, only_rc4, deadline);
            Box::pin(handshake).await
        } else {
            handshake(PeerStream::plain(stream), &ours, infohash, deadline).await
        };
        if end.is_err() && Instant::now() >= deadline {
            progress.time_over(Phase::Handshake, start, deadline);
        }
        match end {
            Ok((stream, theirs)) => {
                if let Some(method) = stream.method() {
                    progress.note(|| Event::keys(method));
                }
                progress.note(|| Event::Handshake(HandshakeSeen::new(&theirs)));
                return Ok((stream, theirs));
            }
            Err(HandshakeEnd::Failed(failure)) => return Err(with_limit(failure, limit)),
            Err(HandshakeEnd::Silent(failure)) => {
                let failure = with_limit(failure, limit);
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
    attempt.encrypted = settings.encryption.first(request.encrypted);
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
        format!("it accepted the connection and sent {filled} of 68 bytes"),
    )
}

/// Says how long was waited for the handshake.
fn with_limit(mut failure: Failure, limit: Duration) -> Failure {
    if failure.reason == Reason::HandshakeTimeout {
        failure.detail = format!("{}, within {limit:?}", failure.detail);
    }
    failure
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

pub(super) fn hung_up(error: &std::io::Error, phase: Phase) -> Failure {
    let mut failure = dial::failure(error, phase);
    if failure.reason == Reason::Closed {
        failure.detail = "it closed the connection".into();
    }
    failure
}

/// The failure of an attempt that took too long as a whole.
fn out_of_time(phase: Phase, limit: Duration) -> Failure {
    let reason = match phase {
        Phase::Lookup | Phase::Connect => Reason::ConnectTimeout,
        Phase::Handshake | Phase::Extension => Reason::HandshakeTimeout,
        Phase::Transfer | Phase::Verify => Reason::TransferTimeout,
    };
    let detail = format!("the attempt was not over within {limit:?}");
    Failure::new(reason, phase, detail)
}
