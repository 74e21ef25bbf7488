//! Table `peer_state`: what all attempts at a peer add up to.
//!
//! | column | meaning |
//! |---|---|
//! | `peer_ip`, `peer_port` | the peer, and the key |
//! | `client` | the name of its software, as last heard |
//! | `first_seen_at`, `last_seen_at` | start of the first and of the latest attempt |
//! | `attempts`, `connections` | how many, and how many of them were connected |
//! | `deliveries`, `failures` | how many delivered, and how many failed by the peer's doing |
//! | `last_outcome`, `last_arm` | of the latest attempt that says something of the peer |
//! | `last_delivered_at` | start of the latest attempt that delivered |
//! | `avg_latency_ms` | mean duration of the attempts that delivered |
//! | `bep9_support` | whether it speaks `ut_metadata`; null while unknown |
//! | `needs_encryption` | whether it talks only over MSE; null while unknown |
//!
//! Left out: peer id (it changes with each session and identifies nobody), country and connection type
//! (not measured), quality score, status and blacklist (history re-ranks and decays: they are computed
//! when they are needed, from these facts), counters of BEP 9 negotiations (`metadata_request` has each).

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::*;

use super::connection::Connection;
use super::metadata_request::Attempt;
use super::schema::peer_state as table;
use super::upsert;
use super::value::{self, CLIENT_CHARS, DELIVERED, bounded, clamped, unsigned};
use crate::torrent::{Arm, Category, PeerAddr, Phase, Reason};

/// Peers of one query: SQLite allows expressions of 1,000 levels, and each adds one.
const CHUNK: usize = 100;

/// What all attempts at a peer add up to. Times are UTC, in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerState {
    /// The name of its software, as last heard.
    pub client: Option<String>,
    /// Start of the first attempt.
    pub first_seen_at_ms: i64,
    /// Start of the latest attempt.
    pub last_seen_at_ms: i64,
    /// How many attempts were made.
    pub attempts: u64,
    /// How many of them were connected.
    pub connections: u64,
    /// How many of them delivered.
    pub deliveries: u64,
    /// How many of them failed by the peer's doing: those we cancelled are not counted.
    pub failures: u64,
    /// Why the latest attempt failed; `None` where it delivered. One that ended by our own doing does
    /// not replace what was known.
    pub last_outcome: Option<Reason>,
    /// The arm of that attempt.
    pub last_arm: Arm,
    /// Start of the latest attempt that delivered.
    pub last_delivered_at_ms: Option<i64>,
    /// Mean duration of the attempts that delivered, in milliseconds.
    pub avg_latency_ms: Option<f64>,
    /// Whether it speaks `ut_metadata` (BEP 9), as far as known.
    pub bep9_support: Option<bool>,
    /// Whether it talks only over encrypted connections (MSE), as far as known.
    pub needs_encryption: Option<bool>,
}

impl PeerState {
    /// A peer of which this attempt is all that is known.
    #[must_use]
    pub fn new(attempt: &Attempt) -> Self {
        let mut state = Self {
            client: None,
            first_seen_at_ms: attempt.started_at_ms,
            last_seen_at_ms: attempt.started_at_ms,
            attempts: 0,
            connections: 0,
            deliveries: 0,
            failures: 0,
            last_outcome: attempt.outcome,
            last_arm: attempt.arm,
            last_delivered_at_ms: None,
            avg_latency_ms: None,
            bep9_support: None,
            needs_encryption: None,
        };
        state.add(attempt);
        state
    }

    /// Adds one attempt. Attempts may come in any order: an older one changes the counts, but none
    /// of the latest facts.
    pub fn add(&mut self, attempt: &Attempt) {
        let is_latest = attempt.started_at_ms >= self.last_seen_at_ms;
        let is_ours = attempt
            .outcome
            .is_some_and(|reason| reason.category() == Category::Local);
        self.attempts = self.attempts.saturating_add(1);
        if attempt.connected {
            self.connections = self.connections.saturating_add(1);
        }
        match attempt.outcome {
            None => self.add_delivery(attempt),
            Some(_) if is_ours => {}
            Some(_) => self.failures = self.failures.saturating_add(1),
        }
        if is_latest && !is_ours {
            self.last_outcome = attempt.outcome;
            self.last_arm = attempt.arm;
        }
        let client = attempt.client.as_deref();
        let client = client.map(|client| bounded(client, CLIENT_CHARS).to_owned());
        learn(&mut self.client, client, is_latest);
        learn(&mut self.bep9_support, bep9_support(attempt), is_latest);
        learn(
            &mut self.needs_encryption,
            needs_encryption(attempt),
            is_latest,
        );
        self.first_seen_at_ms = self.first_seen_at_ms.min(attempt.started_at_ms);
        self.last_seen_at_ms = self.last_seen_at_ms.max(attempt.started_at_ms);
    }

    fn add_delivery(&mut self, attempt: &Attempt) {
        self.deliveries = self.deliveries.saturating_add(1);
        self.last_delivered_at_ms = self.last_delivered_at_ms.max(Some(attempt.started_at_ms));
        let latency = attempt.duration.as_secs_f64() * 1_000.0;
        let before = self.avg_latency_ms.unwrap_or(latency);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a mean over 2^53 deliveries needs no unit"
        )]
        let count = self.deliveries as f64;
        self.avg_latency_ms = Some(before + (latency - before) / count);
    }
}

/// The later evidence wins; an older one only fills a gap.
fn learn<T>(known: &mut Option<T>, evidence: Option<T>, is_latest: bool) {
    if evidence.is_some() && (is_latest || known.is_none()) {
        *known = evidence;
    }
}

/// What an attempt says of `ut_metadata`: who came to send pieces, or refused to, speaks it.
fn bep9_support(attempt: &Attempt) -> Option<bool> {
    match attempt.outcome {
        Some(Reason::NoExtensionProtocol | Reason::NoUtMetadata) => Some(false),
        None | Some(Reason::Rejected | Reason::MetadataSizeInvalid) => Some(true),
        Some(_) => matches!(attempt.phase, Phase::Transfer | Phase::Verify).then_some(true),
    }
}

/// What an attempt says of encryption. The direct arm speaks plaintext, so whoever went beyond the
/// handshake with it does not insist on MSE; libtorrent does not tell which it used.
fn needs_encryption(attempt: &Attempt) -> Option<bool> {
    if attempt.outcome == Some(Reason::EncryptionRequired) {
        return Some(true);
    }
    (attempt.arm == Arm::Direct && attempt.phase > Phase::Handshake).then_some(false)
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = table, primary_key(peer_ip, peer_port), treat_none_as_null = true)]
pub(super) struct PeerRow {
    peer_ip: String,
    peer_port: i32,
    client: Option<String>,
    first_seen_at: i64,
    last_seen_at: i64,
    attempts: i64,
    connections: i64,
    deliveries: i64,
    failures: i64,
    last_outcome: String,
    last_arm: String,
    last_delivered_at: Option<i64>,
    avg_latency_ms: Option<f64>,
    bep9_support: Option<bool>,
    needs_encryption: Option<bool>,
}

impl PeerRow {
    fn new(peer: &PeerAddr, state: PeerState) -> Self {
        Self {
            peer_ip: peer.ip().to_string(),
            peer_port: peer.port().into(),
            client: state.client,
            first_seen_at: state.first_seen_at_ms,
            last_seen_at: state.last_seen_at_ms,
            attempts: clamped(state.attempts),
            connections: clamped(state.connections),
            deliveries: clamped(state.deliveries),
            failures: clamped(state.failures),
            last_outcome: state
                .last_outcome
                .map_or(DELIVERED, Reason::as_str)
                .to_owned(),
            last_arm: state.last_arm.as_str().to_owned(),
            last_delivered_at: state.last_delivered_at_ms,
            avg_latency_ms: state.avg_latency_ms,
            bep9_support: state.bep9_support,
            needs_encryption: state.needs_encryption,
        }
    }

    fn into_state(self) -> QueryResult<(PeerAddr, PeerState)> {
        let state = PeerState {
            client: self.client,
            first_seen_at_ms: self.first_seen_at,
            last_seen_at_ms: self.last_seen_at,
            attempts: unsigned(self.attempts)?,
            connections: unsigned(self.connections)?,
            deliveries: unsigned(self.deliveries)?,
            failures: unsigned(self.failures)?,
            last_outcome: match self.last_outcome.as_str() {
                DELIVERED => None,
                name => Some(value::reason(name)?),
            },
            last_arm: value::arm(&self.last_arm)?,
            last_delivered_at_ms: self.last_delivered_at,
            avg_latency_ms: self.avg_latency_ms,
            bep9_support: self.bep9_support,
            needs_encryption: self.needs_encryption,
        };
        Ok((value::peer(&self.peer_ip, self.peer_port)?, state))
    }
}

/// Adds attempts to the rows of their peers: each is read and written once. The caller's transaction
/// holds the write lock, so nobody comes between.
pub(super) fn add<'a>(
    connection: &mut Connection,
    attempts: impl Iterator<Item = &'a Attempt>,
) -> QueryResult<()> {
    let mut by_peer: BTreeMap<PeerAddr, Vec<&Attempt>> = BTreeMap::new();
    for attempt in attempts {
        by_peer.entry(attempt.peer).or_default().push(attempt);
    }
    for (peer, attempts) in by_peer {
        let mut state = find(connection, &peer)?;
        for attempt in attempts {
            match &mut state {
                Some(state) => state.add(attempt),
                None => state = Some(PeerState::new(attempt)),
            }
        }
        if let Some(state) = state {
            upsert::peer_state(connection, &PeerRow::new(&peer, state))?;
        }
    }
    Ok(())
}

fn find(connection: &mut Connection, peer: &PeerAddr) -> QueryResult<Option<PeerState>> {
    table::table
        .filter(table::peer_ip.eq(peer.ip().to_string()))
        .filter(table::peer_port.eq(i32::from(peer.port())))
        .select(PeerRow::as_select())
        .first(connection)
        .optional()?
        .map(|row| row.into_state().map(|(_, state)| state))
        .transpose()
}

/// What is known of these peers; those never tried are missing.
pub(super) fn of_peers(
    connection: &mut Connection,
    peers: &[PeerAddr],
) -> QueryResult<HashMap<PeerAddr, PeerState>> {
    let mut states = HashMap::new();
    for chunk in peers.chunks(CHUNK) {
        let mut query = table::table.select(PeerRow::as_select()).into_boxed();
        for peer in chunk {
            query = query.or_filter(
                table::peer_ip
                    .eq(peer.ip().to_string())
                    .and(table::peer_port.eq(i32::from(peer.port()))),
            );
        }
        for row in query.load(connection)? {
            let (peer, state) = row.into_state()?;
            states.insert(peer, state);
        }
    }
    Ok(states)
}

/// How many peers are known.
pub(super) fn count(connection: &mut Connection) -> QueryResult<u64> {
    unsigned(table::table.count().get_result(connection)?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::torrent::PeerSource;

    fn attempt(started_at_ms: i64, outcome: Option<Reason>, phase: Phase) -> Attempt {
        Attempt {
            arm: Arm::Direct,
            peer: "1.2.3.4:5".parse().unwrap(),
            source: PeerSource::Dht,
            started_at_ms,
            duration: Duration::from_millis(100),
            phase,
            outcome,
            detail: String::new(),
            metadata_size: None,
            client: None,
            connected: phase > Phase::Connect,
        }
    }

    #[test]
    fn attempts_add_up() {
        let mut state = PeerState::new(&Attempt {
            client: Some("a client".to_owned()),
            ..attempt(1_000, None, Phase::Verify)
        });
        state.add(&Attempt {
            duration: Duration::from_millis(200),
            arm: Arm::Libtorrent,
            ..attempt(2_000, None, Phase::Verify)
        });
        state.add(&attempt(
            3_000,
            Some(Reason::ConnectTimeout),
            Phase::Connect,
        ));
        state.add(&attempt(4_000, Some(Reason::Cancelled), Phase::Transfer));
        let expected = PeerState {
            client: Some("a client".to_owned()),
            first_seen_at_ms: 1_000,
            last_seen_at_ms: 4_000,
            attempts: 4,
            connections: 3,
            deliveries: 2,
            failures: 1,
            last_outcome: Some(Reason::ConnectTimeout),
            last_arm: Arm::Direct,
            last_delivered_at_ms: Some(2_000),
            avg_latency_ms: Some(150.0),
            bep9_support: Some(true),
            needs_encryption: Some(false),
        };
        assert_eq!(state, expected);
    }

    #[test]
    fn capabilities_follow_the_latest_evidence() {
        let refuses = attempt(1, Some(Reason::EncryptionRequired), Phase::Handshake);
        let lacks = attempt(2, Some(Reason::NoUtMetadata), Phase::Extension);
        let rejects = attempt(3, Some(Reason::Rejected), Phase::Transfer);
        let mut state = PeerState::new(&refuses);
        assert_eq!(
            (state.needs_encryption, state.bep9_support),
            (Some(true), None)
        );
        state.add(&lacks);
        assert_eq!(
            (state.needs_encryption, state.bep9_support),
            (Some(false), Some(false))
        );
        state.add(&rejects);
        assert_eq!(state.bep9_support, Some(true));
        state.add(&attempt(
            2,
            Some(Reason::NoExtensionProtocol),
            Phase::Handshake,
        ));
        assert_eq!(
            state.bep9_support,
            Some(true),
            "an older attempt does not unsay a later one"
        );
    }

    proptest! {
        #[test]
        fn counts_do_not_depend_on_the_order(
            seeds in prop::collection::vec((0..50_i64, 0..=Reason::ALL.len()), 1..20),
        ) {
            let attempts: Vec<Attempt> = seeds
                .iter()
                .map(|&(at, reason)| attempt(at, Reason::ALL.get(reason).copied(), Phase::Connect))
                .collect();
            let sum = |attempts: &mut dyn Iterator<Item = &Attempt>| {
                let mut state = PeerState::new(attempts.next().unwrap());
                attempts.for_each(|attempt| state.add(attempt));
                state
            };
            let (one, other) = (sum(&mut attempts.iter()), sum(&mut attempts.iter().rev()));
            let counts = |state: &PeerState| {
                let seen = (state.first_seen_at_ms, state.last_seen_at_ms);
                (seen, state.attempts, state.deliveries, state.failures, state.last_delivered_at_ms)
            };
            prop_assert_eq!(counts(&one), counts(&other));
            prop_assert!(one.deliveries + one.failures <= one.attempts);
        }
    }
}
