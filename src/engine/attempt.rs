//! Attempt: both arms at work on one hash, until verified bytes or a classified failure.

mod direct;
mod libtorrent;
mod pace;
mod peers;
mod start;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::direct::{DirectSide, Running};
use self::libtorrent::LibtorrentSide;
use self::pace::Pace;
use self::start::lanes;
use super::Scrape;
use super::attempts::Attempts;
use super::gate::Admitted;
use super::intake::Wanted;
use super::lookup::{Found, Lookup};
use super::observe;
use super::station::Stations;
use super::swarm_peer::{self, SwarmPeer};
use super::verify::verify;
use crate::direct::{Named, Swarm};
use crate::discovery::Peers;
use crate::discovery::lookup::Summary;
use crate::history::{Attempt, Estimate, TrackerReply};
use crate::libtorrent::{DhtHealth, FetchEvent};
use crate::telemetry::catalogue as the;
use crate::torrent::{Arm, Category, Failure, Info, PeerAddr, PeerSource, Phase, Reason};

/// How long a hash of which no peer is known may wait for the turn of its lookup; its time begins then.
const TURN_WITHIN: Duration = Duration::from_secs(600);
/// The longest try, as a multiple of the first one.
const LONGEST: u32 = 8;
/// How long the lookup of a hash that is resolved may go on to hear of seeds and leeches.
const SCRAPE_WITHIN: Duration = Duration::from_secs(5);

/// Verified metadata, and who delivered it.
pub(super) struct Fetched {
    pub(super) info: Info,
    pub(super) raw: Vec<u8>,
    pub(super) arm: Arm,
    pub(super) peer: PeerAddr,
}

impl Fetched {
    fn new(info: Info, raw: Vec<u8>, arm: Arm, peer: PeerAddr) -> Self {
        Self {
            info,
            raw,
            arm,
            peer,
        }
    }
}

/// How one try at a hash ended.
pub(super) struct Ended {
    pub(super) result: Result<Fetched, Failure>,
    /// Every attempt that came to an end of its own, or was cut short by the deadline.
    pub(super) attempts: Vec<Attempt>,
    /// What the trackers said.
    pub(super) tracker_replies: Vec<TrackerReply>,
    /// The failure says nothing about the hash: its lookup in the DHT did not come to an end of its own,
    /// or it is to be tried again at once.
    pub(super) says_nothing: bool,
    /// The peers that were found, where they are to be named.
    pub(super) peers: Vec<SwarmPeer>,
    /// What DHT nodes said of the swarm, where they were asked.
    scrape: Scrape,
    /// They are being asked: the lookup goes on.
    lookup: Option<Lookup>,
}

impl Ended {
    /// Whether a network that is away makes hashes fail like this.
    pub(super) fn may_be_the_networks(&self) -> bool {
        let failure = self.result.as_ref().err();
        failure.is_some_and(|failure| {
            failure.reason.category() == Category::NoPeers || is_of_the_way(failure.reason)
        })
    }

    /// The network was away, or may have been: that says nothing about the hash, nor about peers and
    /// trackers that could not be reached.
    pub(super) fn blame_the_network(&mut self) {
        self.says_nothing = true;
        self.tracker_replies.clear();
        (self.attempts).retain(|attempt| !attempt.outcome.is_some_and(is_of_the_way));
    }

    /// What DHT nodes said of the swarm, once the lookup has ended, or has had its time.
    pub(super) async fn scrape(&mut self, stop: &CancellationToken) -> Scrape {
        let Some(mut lookup) = self.lookup.take() else {
            return self.scrape;
        };
        let summary = async {
            while let Some(found) = lookup.next().await {
                if let Found::Dht(summary) = found {
                    return Some(summary);
                }
            }
            None
        };
        let summary = timeout(SCRAPE_WITHIN, stop.run_until_cancelled(summary)).await;
        let summary = summary.ok().flatten().flatten();
        summary.map_or(self.scrape, scraped)
    }

    /// Whether another try may end better.
    pub(super) fn retry(&self) -> bool {
        let reason = self.result.as_ref().err().map(|failure| failure.reason);
        reason.is_some_and(|reason| reason.is_retryable() && reason != Reason::Cancelled)
    }
}

/// Whether what stands between us and a peer makes attempts end like this.
fn is_of_the_way(reason: Reason) -> bool {
    matches!(reason.category(), Category::Timeout | Category::Connection)
}

/// One hash in work.
struct Work<'a> {
    stations: &'a Stations,
    wanted: &'a Wanted,
    /// The trackers that this try asks.
    trackers: Vec<String>,
    tracker_replies: Vec<TrackerReply>,
    started: Instant,
    /// The longest that this try may take.
    limit: Duration,
    deadline: Instant,
    peers: Peers,
    /// What each peer is worth, as of `estimated`.
    estimates: HashMap<PeerAddr, Estimate>,
    estimated: Instant,
    /// Peers of which the store was not asked yet.
    unread: Vec<PeerAddr>,
    /// The arm that goes first.
    first: Arm,
    /// When the other one joins; `None` once it has, or where it never does.
    second_at: Option<Instant>,
    /// One for each arm in a race, else one for both.
    paces: Vec<Pace>,
    /// What the direct arm's attempts share.
    swarm: Swarm,
    libtorrent: LibtorrentSide,
    direct: DirectSide,
    attempts: Attempts,
    /// What the DHT had to say, when it has.
    dht: Option<Summary>,
    /// Whether a peer was found, or it was found out that there is none to be found.
    looked: bool,
    /// When the log is to be told how each peer is.
    report_at: Instant,
}

/// Works on one hash until it is resolved, nothing is left to try, the time is over or the engine
/// stops. `tries` is how often it was tried before.
pub(super) async fn run(
    stations: &Arc<Stations>,
    wanted: &Arc<Wanted>,
    trackers: Vec<String>,
    tries: u32,
    admitted: &Admitted,
) -> Ended {
    let deliverers = admitted.deliverers.clone();
    let mut lookup = Some(Lookup::start(stations.clone(), wanted.clone(), deliverers));
    stations.counters.lookups.add(1);
    let mut work = Work::new(stations, wanted, trackers, tries);
    let swarm = work.swarm.clone();
    work.let_lookup_wait(admitted);
    let mut running: Running<'_> = FuturesUnordered::new();
    let mut reading = None;
    let result = loop {
        work.report_peers();
        work.take_named();
        work.start_attempts(&mut running);
        if reading.is_none() && !work.unread.is_empty() {
            let peers = std::mem::take(&mut work.unread);
            reading = Some(Box::pin(async move { stations.remember(&peers).await }));
        }
        if lookup.is_none() && running.is_empty() && work.is_exhausted() {
            break Err(work.nothing_left());
        }
        let wake_at = work.wake_at(running.len());
        let read = async {
            match reading.as_mut() {
                Some(reading) => reading.await,
                None => std::future::pending().await,
            }
        };
        let next = tokio::select! {
            biased;
            () = stations.stop.cancelled() => Next::Stopped,
            Some(attempt) = running.next(), if !running.is_empty() => Next::Direct(attempt),
            event = work.libtorrent.next() => Next::Libtorrent(event),
            found = next_found(lookup.as_mut()) => Next::Found(found),
            () = swarm.until_named() => Next::Named,
            () = read => Next::Read,
            () = sleep_until(wake_at) => Next::Woken,
        };
        let bytes = match next {
            Next::Stopped => {
                let detail = "stopped before it was done";
                break Err(Failure::new(Reason::Cancelled, work.phase(), detail));
            }
            Next::Woken if Instant::now() >= work.deadline => break Err(work.out_of_time()),
            // They are taken before anything else is done.
            Next::Woken | Next::Named => None,
            Next::Read => {
                reading = None;
                work.estimate_all();
                None
            }
            Next::Direct(attempt) => work.on_direct(attempt),
            Next::Libtorrent(event) => work.on_libtorrent(event),
            Next::Found(Some(found)) => {
                work.on_found(found);
                None
            }
            Next::Found(None) => {
                lookup = None;
                work.start_clock();
                None
            }
        };
        let Some((arm, peer, bytes)) = bytes else {
            continue;
        };
        match verify(wanted.infohash, bytes).await {
            Ok((info, raw)) => {
                the::METADATA_BYTES.add([arm.as_str()], u64::try_from(raw.len()).unwrap_or(0));
                work.note_liars(&raw);
                work.note_silent();
                break Ok(Fetched::new(info, raw, arm, peer));
            }
            // The right hash over a broken dictionary: no other peer can have a better one.
            Err(failure) if failure.reason == Reason::InvalidInfoDict => break Err(failure),
            Err(failure) => work.amend(arm, peer, failure),
        }
    };
    let says_nothing = matches!(&result, Err(failure) if failure.reason == Reason::NoPeers)
        && work.dht_is_silent();
    drop(running);
    if work.peers.is_empty() {
        work.looked_for_peers("no_peers");
    }
    let outcome = result.as_ref().err().map_or("ok", |it| it.reason.as_str());
    observe::left("attempt", outcome, work.started.into_std());
    let attempts = work.attempts.into_list();
    observe::ended(&attempts);
    let peers = swarm_peer::reported(&stations.options, &work.peers, &attempts);
    stations.counters.attempts.add(attempts.len());
    Ended {
        says_nothing,
        peers,
        lookup: lookup.filter(|_| stations.options.scrape && result.is_ok() && work.dht.is_none()),
        scrape: work.dht.map_or_else(Scrape::default, scraped),
        result,
        attempts,
        tracker_replies: work.tracker_replies,
    }
}

fn scraped(summary: Summary) -> Scrape {
    Scrape {
        seeds: summary.seeds,
        leeches: summary.leeches,
    }
}

/// What a hash in work waits for.
enum Next {
    Stopped,
    Woken,
    /// The store was asked of the peers that libtorrent found.
    Read,
    /// A peer has named others to the direct arm.
    Named,
    Direct(crate::direct::Attempt),
    Libtorrent(Option<FetchEvent>),
    /// `None`: the lookup has ended.
    Found(Option<Found>),
}

/// What the lookup found; never ready once it has ended.
async fn next_found(lookup: Option<&mut Lookup>) -> Option<Found> {
    match lookup {
        Some(lookup) => lookup.next().await,
        None => std::future::pending().await,
    }
}

/// Bytes that are to be verified, and whence they came.
type Bytes = Option<(Arm, PeerAddr, Vec<u8>)>;

impl<'a> Work<'a> {
    fn new(stations: &'a Stations, wanted: &'a Wanted, trackers: Vec<String>, tries: u32) -> Self {
        let now = Instant::now();
        let options = &stations.options;
        let limit = wanted.timeout.unwrap_or(options.timeout);
        let limit = limit.saturating_mul(2_u32.saturating_pow(tries).min(LONGEST));
        let mut work = Self {
            stations,
            wanted,
            trackers,
            tracker_replies: Vec::new(),
            started: now,
            deadline: now + limit,
            limit,
            peers: Peers::new(options.allow_local_peers),
            estimates: HashMap::new(),
            estimated: now,
            unread: Vec::new(),
            first: Arm::Libtorrent,
            second_at: None,
            paces: lanes(options.strategy)
                .iter()
                .map(|_| Pace::new(now, options.stagger))
                .collect(),
            swarm: Swarm::new(),
            libtorrent: LibtorrentSide::default(),
            direct: DirectSide::default(),
            attempts: Attempts::default(),
            dht: None,
            looked: false,
            report_at: peers::next_report(stations.began, now),
        };
        work.choose_first();
        work
    }

    fn explain(&self, what: std::fmt::Arguments<'_>) {
        let after = self.started.elapsed().as_secs_f64();
        tracing::info!(target: "metafetch::explain", "{} +{after:.3}s {what}", self.wanted.infohash);
    }

    fn on_found(&mut self, found: Found) {
        let (source, peers) = match found {
            Found::Begun => {
                self.start_clock();
                return;
            }
            Found::Peers(source, peers) => (source, peers),
            Found::Dht(summary) => {
                self.explain(format_args!(
                    "{} of {} DHT nodes answered, and named {} peers{}",
                    summary.answered,
                    summary.asked,
                    summary.peers,
                    if summary.converged {
                        ""
                    } else {
                        "; not all that are closest"
                    },
                ));
                self.dht = Some(summary);
                return;
            }
        };
        self.start_clock();
        let mut new = 0_usize;
        for peer in peers {
            if self.peers.add_ranked(peer, source) {
                new += 1;
            }
        }
        self.stations.counters.peers.add(new);
        if new > 0 {
            self.found_peers(source, new);
            self.explain(format_args!("{new} peers from {}", source.as_str()));
        }
        self.estimate_all();
    }

    /// So many peers were found that were not known.
    fn found_peers(&mut self, source: PeerSource, new: usize) {
        the::PEERS_FOUND.add([source.as_str()], u64::try_from(new).unwrap_or(u64::MAX));
        self.looked_for_peers("peers");
    }

    /// The station `lookup` ends with the first peers, though more may come.
    fn looked_for_peers(&mut self, outcome: &'static str) {
        if !std::mem::replace(&mut self.looked, true) {
            observe::left("lookup", outcome, self.started.into_std());
        }
    }

    /// Where nothing can be done before the lookup, the wait for its turn does not count.
    fn let_lookup_wait(&mut self, admitted: &Admitted) {
        let knows_peers = !(self.wanted.peers.is_empty() && admitted.deliverers.is_empty());
        if !knows_peers && self.trackers.is_empty() && self.stations.dht.is_some() {
            self.deadline += TURN_WITHIN;
        }
    }

    /// Its time runs from now on, if it did not before.
    fn start_clock(&mut self) {
        self.deadline = self.deadline.min(Instant::now() + self.limit);
    }

    /// Takes the peers that others have named to the direct arm (BEP 11).
    fn take_named(&mut self) {
        let mut new = 0_usize;
        for Named {
            addr,
            by,
            encrypted,
        } in self.swarm.named()
        {
            if self.peers.add_named(addr, by, encrypted) {
                new += 1;
                self.unread.push(addr);
                // Until the store has been asked, by what is known of its like.
                self.estimate(addr);
            }
        }
        if new > 0 {
            self.stations.counters.peers.add(new);
            self.explain(format_args!("{new} peers from pex"));
        }
    }

    /// How far the hash has come.
    fn phase(&self) -> Phase {
        self.libtorrent
            .phase()
            .max(self.direct.phase())
            .unwrap_or(Phase::Lookup)
    }

    fn out_of_time(&mut self) -> Failure {
        self.libtorrent_out_of_time();
        self.direct_out_of_time();
        self.nothing_left()
    }

    /// The failure that speaks for the hash.
    fn nothing_left(&self) -> Failure {
        if let Some(failure) = self.attempts.verdict() {
            return failure;
        }
        if let Some(proxy) = self.stations.options.proxy()
            && let Some(failure) = proxy.failure(Phase::Lookup)
        {
            return failure;
        }
        match self.libtorrent.error() {
            Some(error) if !self.stations.options.strategy.uses_direct() => Failure::new(
                Reason::Internal,
                Phase::Lookup,
                format!("libtorrent: {error}"),
            ),
            _ if self.lacks_slots() => Failure::new(
                Reason::Internal,
                Phase::Lookup,
                "no connection became free for its peers: see limits.connections",
            ),
            _ => Failure::new(Reason::NoPeers, Phase::Lookup, self.asked()),
        }
    }

    /// Whether the DHT was to be asked for this hash, and the nodes that would know have not answered.
    fn dht_is_silent(&self) -> bool {
        let said_all = |summary: Summary| summary.answered > 0 && summary.converged;
        self.stations.options.dht && !self.dht.is_some_and(said_all)
    }

    /// Who was asked for peers, for a hash that has none.
    fn asked(&self) -> String {
        let mut asked = Vec::new();
        if !self.wanted.peers.is_empty() {
            asked.push(format!("{} hints", self.wanted.peers.len()));
        }
        match &self.stations.libtorrent {
            Some(libtorrent) if self.stations.options.dht => {
                asked.push(match libtorrent.health().dht {
                    _ if let Some(summary) = self.dht.filter(|summary| summary.asked > 0) => {
                        format!(
                            "the DHT ({} of {} nodes answered)",
                            summary.answered, summary.asked
                        )
                    }
                    DhtHealth::Ready { nodes } => format!("the DHT ({nodes} nodes)"),
                    DhtHealth::Degraded { nodes, reason } => {
                        format!("the DHT ({nodes} nodes; {reason})")
                    }
                    DhtHealth::Starting => "the DHT (no node has answered yet)".to_owned(),
                    DhtHealth::Failed(error) => format!("the DHT (which does not work: {error})"),
                    DhtHealth::Off => "the DHT (which is off)".to_owned(),
                });
            }
            _ => {}
        }
        if self.libtorrent.asks_trackers() {
            asked.push("trackers".into());
        }
        let mut detail = if asked.is_empty() {
            "nobody was asked: no hints, no DHT, no trackers".to_owned()
        } else {
            format!("asked {}", asked.join(", "))
        };
        if self.peers.refused() > 0 {
            let refused = self.peers.refused();
            detail = format!(
                "{detail}; {refused} addresses are private, loopback or reserved (see \
                 --allow-local-peers)"
            );
        }
        detail
    }
}
