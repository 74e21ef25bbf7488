//! Talking to one peer after the handshakes: the socket on one side, what is said on the other, and the
//! deadlines of both.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::exchange::{Exchange, violation};
use super::fetch::hung_up;
use super::stream::PeerStream;
use super::{Direct, Progress, Settings};
use crate::torrent::{Failure, Phase, Reason};
use crate::wire::message::FrameDecoder;

/// A `ut_metadata` block and its dictionary fit twice; extension handshakes are smaller.
const MAX_MESSAGE: usize = 32 * 1024;
/// How long a peer that rejected everything is left alone.
const REJECT_PAUSE: Duration = Duration::from_secs(1);
/// After so long without a block from a peer that is to send some, it is sent a keep-alive.
const NUDGE: Duration = Duration::from_secs(1);
/// How often what has come in is read once a deadline is over: a window of blocks, should this host have been
/// too busy to read them in time.
const LATE_READS: u32 = 16;
/// The longest wait for memory. What was sent meanwhile waits in the socket, and no longer than this.
const ROOM_WITHIN: Duration = Duration::from_secs(10);

/// A connection on which handshakes were exchanged.
pub(super) struct Conversation<'a> {
    stream: PeerStream,
    settings: &'a Settings,
    progress: &'a Progress,
    decoder: FrameDecoder,
    steps: Steps,
    resume_at: Option<Instant>,
    nudge_at: Instant,
    /// Reads since the deadline was over.
    late_reads: u32,
}

/// What ended a wait.
enum Woken {
    Read(io::Result<usize>),
    /// Another peer has left something to ask for.
    News,
    Late,
}

/// When the peer last came a step forward.
struct Steps {
    phase: Phase,
    phase_began: Instant,
    blocks: usize,
    last_block: Instant,
}

/// What a peer is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    Extension,
    FirstBlock,
    Block,
    Rate,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(stream: PeerStream, arm: &'a Direct, progress: &'a Progress) -> Self {
        let now = Instant::now();
        Self {
            stream,
            settings: &arm.settings,
            progress,
            decoder: FrameDecoder::new(MAX_MESSAGE),
            steps: Steps {
                phase: Phase::Handshake,
                phase_began: now,
                blocks: 0,
                last_block: now,
            },
            resume_at: None,
            nudge_at: now,
            late_reads: 0,
        }
    }

    /// Talks until the dictionary is complete.
    pub(super) async fn until_complete(&mut self, exchange: &mut Exchange) -> Result<(), Failure> {
        loop {
            while let Some(message) = (self.decoder.next())
                .map_err(|error| violation(exchange.phase(), error.to_string()))?
            {
                exchange.on_message(&message)?;
                if exchange.is_complete() {
                    return Ok(());
                }
                if exchange.lacks_room {
                    break;
                }
            }
            if exchange.lacks_room {
                self.until_room(exchange).await?;
                continue;
            }
            if exchange.paused && self.resume_at.is_none() {
                self.resume_at = Some(Instant::now() + REJECT_PAUSE);
            }
            self.note_progress(exchange);
            let (deadline, due) = self.steps.next(self.settings, exchange);
            let phase = exchange.phase();
            if !exchange.out.is_empty() {
                let sent = timeout_at(deadline, self.stream.write_all(&exchange.out)).await;
                sent.map_err(|_| self.too_slow(due, deadline, exchange))?
                    .map_err(|error| hung_up(&error, phase))?;
                exchange.out.clear();
            }
            let nudge_at = (phase == Phase::Transfer).then_some(self.nudge_at);
            let pause = self.resume_at.or(nudge_at).unwrap_or(deadline);
            let wake = pause.min(deadline);
            // Chatter must not keep us from what is due; but what has come in time is read.
            let now = Instant::now();
            let is_over = now >= deadline;
            let is_due = now >= wake && (!is_over || self.late_reads >= LATE_READS);
            self.late_reads = if is_over { self.late_reads + 1 } else { 0 };
            let woken = tokio::select! {
                biased;
                () = std::future::ready(()), if is_due => Woken::Late,
                read = self.stream.read(self.decoder.spare_mut()) => Woken::Read(read),
                () = exchange.until_news() => Woken::News,
                () = sleep_until(wake) => Woken::Late,
            };
            match woken {
                Woken::Read(Ok(0)) => {
                    return Err(hung_up(&io::ErrorKind::UnexpectedEof.into(), phase));
                }
                Woken::Read(Ok(read)) => {
                    self.decoder.advance(read);
                    self.progress.clock().heard();
                }
                Woken::Read(Err(error)) => return Err(hung_up(&error, phase)),
                Woken::News => exchange.ask(),
                Woken::Late if self.resume_at.is_some_and(|at| at < deadline) => {
                    self.resume_at = None;
                    exchange.resume();
                }
                Woken::Late if wake < deadline => {
                    self.nudge_at = Instant::now() + NUDGE;
                    exchange.nudge();
                }
                Woken::Late => return Err(self.too_slow(due, deadline, exchange)),
            }
        }
    }

    /// Waits for memory. That wait is our own, and costs the peer no time.
    async fn until_room(&mut self, exchange: &mut Exchange) -> Result<(), Failure> {
        let began = Instant::now();
        if timeout(ROOM_WITHIN, exchange.until_room()).await.is_err() {
            let detail = format!(
                "no memory for its dictionary became free within {ROOM_WITHIN:?}: see limits.memory"
            );
            return Err(Failure::new(Reason::Internal, exchange.phase(), detail));
        }
        self.steps.excuse(began.elapsed());
        Ok(())
    }

    /// Listens on until the peer, which has no metadata to give, has named others; not for long, and only
    /// where it may.
    pub(super) async fn until_peers_named(&mut self, exchange: &mut Exchange) {
        let deadline = Instant::now() + self.settings.pex_timeout;
        self.progress.listen_on();
        while exchange.may_name_peers() {
            loop {
                match self.decoder.next() {
                    Ok(Some(message)) => exchange.on_last_words(&message),
                    Ok(None) => break,
                    Err(_) => return,
                }
                if !exchange.may_name_peers() {
                    return;
                }
            }
            // What comes without end is always there before the time is over.
            if Instant::now() >= deadline {
                return;
            }
            match timeout_at(deadline, self.stream.read(self.decoder.spare_mut())).await {
                Ok(Ok(read)) if read > 0 => self.decoder.advance(read),
                _ => return,
            }
        }
    }

    /// Only a step forward earns more time: chatter and rejects do not.
    fn note_progress(&mut self, exchange: &Exchange) {
        let (phase, blocks) = (exchange.phase(), exchange.count().0);
        if phase != self.steps.phase {
            self.steps.phase = phase;
            self.steps.phase_began = Instant::now();
            self.nudge_at = Instant::now() + NUDGE;
            self.progress.enter(phase);
        }
        if blocks != self.steps.blocks {
            self.steps.blocks = blocks;
            self.steps.last_block = Instant::now();
            self.nudge_at = Instant::now() + NUDGE;
            let (here, of) = exchange.count();
            self.progress.clock().blocks(here, of);
        }
    }

    fn too_slow(&self, due: Due, deadline: Instant, exchange: &Exchange) -> Failure {
        let settings = self.settings;
        let began = match due {
            Due::Extension | Due::FirstBlock | Due::Rate => self.steps.phase_began,
            Due::Block => self.steps.last_block,
        };
        self.progress.time_over(exchange.phase(), began, deadline);
        let (here, all) = exchange.count();
        let (reason, detail) = match due {
            Due::Extension => (
                Reason::HandshakeTimeout,
                format!(
                    "its extension handshake did not come within {:?}",
                    settings.extension_timeout
                ),
            ),
            Due::FirstBlock => (
                Reason::TransferTimeout,
                format!(
                    "none of the {all} blocks came within {:?}",
                    settings.first_block_timeout
                ),
            ),
            Due::Block => (
                Reason::TransferTimeout,
                format!(
                    "{here} of {all} blocks came, then no further one within {:?}",
                    settings.block_timeout
                ),
            ),
            Due::Rate => (
                Reason::TransferTimeout,
                format!(
                    "{} bytes came in {:.1?}, and less than {} bytes/s are not waited for",
                    exchange.received_bytes(),
                    self.steps.phase_began.elapsed(),
                    settings.min_rate
                ),
            ),
        };
        Failure::new(reason, exchange.phase(), detail)
    }
}

impl Steps {
    /// So long the peer was not listened to.
    fn excuse(&mut self, wait: Duration) {
        self.phase_began += wait;
        self.last_block += wait;
    }

    /// The deadline that comes first.
    fn next(&self, settings: &Settings, exchange: &Exchange) -> (Instant, Due) {
        if self.phase != Phase::Transfer {
            let deadline = self.phase_began + settings.extension_timeout;
            return (deadline, Due::Extension);
        }
        let block = if self.blocks == 0 {
            (
                self.phase_began + settings.first_block_timeout,
                Due::FirstBlock,
            )
        } else {
            (self.last_block + settings.block_timeout, Due::Block)
        };
        if settings.min_rate == 0 || self.blocks == 0 {
            return block;
        }
        // So long what has come is enough.
        let bytes = u32::try_from(exchange.received_bytes()).unwrap_or(u32::MAX);
        let lasts = Duration::from_secs_f64(f64::from(bytes) / f64::from(settings.min_rate));
        let rate = self.phase_began + lasts.max(settings.first_block_timeout);
        if rate < block.0 {
            (rate, Due::Rate)
        } else {
            block
        }
    }
}
