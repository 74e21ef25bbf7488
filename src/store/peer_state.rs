//! Table `peer_state`: what all attempts at a peer add up to, by [`PeerState::add`].
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
use std::net::IpAddr;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::connection::Connection;
use super::pages::{At, in_steps};
use super::schema::peer_state as table;
use super::upsert;
use super::value::{self, CLIENT_CHARS, DELIVERED, clamped, text, unsigned};
use crate::history::{Attempt, PeerState, Quantiles, Weights};
use crate::torrent::{PeerAddr, Reason};

/// Peers of one query: SQLite allows expressions of 1,000 levels, and each adds one.
const CHUNK: usize = 100;

/// The condition of the partial index that [`most_failures`] reads: a bound number would not match it.
const OFTEN: &str = "failures_in_a_row >= 3";

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = table, primary_key(peer_ip, peer_port), treat_none_as_null = true, treat_none_as_default_value = false)]
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
    delivered_way: Option<String>,
    failures_in_a_row: i64,
    delivered_weight: f64,
    unreachable_weight: f64,
    unserved_weight: f64,
    misbehaved_weight: f64,
    weighed_at: i64,
    latencies: Option<Vec<u8>>,
    bep10_support: Option<bool>,
}

impl PeerRow {
    fn new(peer: &PeerAddr, state: PeerState) -> Self {
        Self {
            peer_ip: peer.ip().to_string(),
            peer_port: peer.port().into(),
            client: state
                .client
                .map(|client| text(&client, CLIENT_CHARS).into_owned()),
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
            delivered_way: state.delivered_way.map(|way| way.as_str().to_owned()),
            failures_in_a_row: state.failures_in_a_row.into(),
            delivered_weight: state.weights.delivered,
            unreachable_weight: state.weights.unreachable,
            unserved_weight: state.weights.unserved,
            misbehaved_weight: state.weights.misbehaved,
            weighed_at: state.weights.at_ms,
            latencies: (state.latencies.count() > 0).then(|| state.latencies.as_bytes().to_vec()),
            bep10_support: state.bep10_support,
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
            last_outcome: value::outcome(&self.last_outcome)?,
            last_arm: value::arm(&self.last_arm)?,
            last_delivered_at_ms: self.last_delivered_at,
            avg_latency_ms: self.avg_latency_ms,
            bep9_support: self.bep9_support,
            needs_encryption: self.needs_encryption,
            delivered_way: self.delivered_way.as_deref().map(value::way).transpose()?,
            failures_in_a_row: u32::try_from(self.failures_in_a_row).unwrap_or(u32::MAX),
            weights: Weights {
                delivered: self.delivered_weight,
                unreachable: self.unreachable_weight,
                unserved: self.unserved_weight,
                misbehaved: self.misbehaved_weight,
                at_ms: self.weighed_at,
            },
            latencies: self
                .latencies
                .as_deref()
                .and_then(Quantiles::from_bytes)
                .unwrap_or_default(),
            bep10_support: self.bep10_support,
        };
        Ok((value::peer(&self.peer_ip, self.peer_port)?, state))
    }
}

/// Adds attempts to the rows of their peers: each is read and written once, in the order of their keys.
/// The caller's transaction holds what serializes writers, so nobody comes between.
pub(super) fn add<'a>(
    connection: &mut Connection,
    attempts: impl Iterator<Item = &'a Attempt>,
) -> QueryResult<()> {
    let mut by_peer: BTreeMap<PeerAddr, Vec<&Attempt>> = BTreeMap::new();
    for attempt in attempts {
        by_peer.entry(attempt.peer).or_default().push(attempt);
    }
    let by_peer: Vec<_> = by_peer.into_iter().collect();
    for chunk in by_peer.chunks(CHUNK) {
        let peers: Vec<PeerAddr> = chunk.iter().map(|(peer, _)| *peer).collect();
        let mut known = known(connection, &peers)?;
        let (mut met, mut new) = (Vec::new(), Vec::new());
        for (peer, attempts) in chunk {
            let state = known.remove(peer);
            let rows = if state.is_some() { &mut met } else { &mut new };
            let state = attempts.iter().fold(state, |state, attempt| match state {
                Some(mut state) => {
                    state.add(attempt);
                    Some(state)
                }
                None => Some(PeerState::new(attempt)),
            });
            rows.extend(state.map(|state| PeerRow::new(peer, state)));
        }
        upsert::peer_state(connection, &met)?;
        upsert::new_peer_state(connection, &new)?;
    }
    Ok(())
}

/// [`of_peers`] in the way that is quickest: one prepared statement for each in SQLite, one question for
/// all of them to a server.
fn known(
    connection: &mut Connection,
    peers: &[PeerAddr],
) -> QueryResult<HashMap<PeerAddr, PeerState>> {
    let Connection::Sqlite(sqlite) = connection else {
        return of_peers(connection, peers);
    };
    let mut states = HashMap::new();
    for peer in peers {
        // Asked of SQLite itself, diesel knows the statement by its type and does not write it anew. Not
        // with `first`: SQLite prepares a statement with a bound `LIMIT` again each time it is bound.
        let row: Option<PeerRow> = table::table
            .filter(table::peer_ip.eq(peer.ip().to_string()))
            .filter(table::peer_port.eq(i32::from(peer.port())))
            .select(PeerRow::as_select())
            .get_result(sqlite)
            .optional()?;
        if let Some(row) = row {
            states.insert(*peer, row.into_state()?.1);
        }
    }
    Ok(states)
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

/// Up to `limit` peers that delivered, those that did last first.
pub(super) fn latest_deliverers(
    connection: &mut Connection,
    limit: u32,
) -> QueryResult<Vec<(PeerAddr, PeerState)>> {
    let rows = table::table
        .filter(table::last_delivered_at.is_not_null())
        .order(table::last_delivered_at.desc())
        .limit(limit.into())
        .select(PeerRow::as_select())
        .load(connection)?;
    rows.into_iter().map(PeerRow::into_state).collect()
}

/// Up to `limit` peers that failed at least [`OFTEN`] times in a row, the most first.
pub(super) fn most_failures(
    connection: &mut Connection,
    limit: u32,
) -> QueryResult<Vec<(PeerAddr, PeerState)>> {
    let rows = table::table
        .filter(sql::<Bool>(OFTEN))
        .order(table::failures_in_a_row.desc())
        .limit(limit.into())
        .select(PeerRow::as_select())
        .load(connection)?;
    rows.into_iter().map(PeerRow::into_state).collect()
}

/// What is known of the peers at this address: of the one with this port, or of all.
pub(super) fn at(
    connection: &mut Connection,
    ip: IpAddr,
    port: Option<u16>,
    limit: u32,
) -> QueryResult<Vec<(PeerAddr, PeerState)>> {
    let mut query = table::table
        .filter(table::peer_ip.eq(ip.to_string()))
        .order(table::peer_port)
        .limit(limit.into())
        .select(PeerRow::as_select())
        .into_boxed();
    if let Some(port) = port {
        query = query.filter(table::peer_port.eq(i32::from(port)));
    }
    let rows = query.load(connection)?;
    rows.into_iter().map(PeerRow::into_state).collect()
}

/// Up to `limit` peers in the order of the key: from the beginning, or those after this one.
pub(super) fn page(
    connection: &mut Connection,
    after: Option<&PeerAddr>,
    limit: u32,
) -> QueryResult<Vec<(PeerAddr, PeerState)>> {
    let after = after.map(|peer| (peer.ip().to_string(), i32::from(peer.port())));
    let rows: Vec<PeerRow> = in_steps(after.as_ref(), limit, |at, left| {
        let query = table::table
            .order((table::peer_ip, table::peer_port))
            .limit(left)
            .select(PeerRow::as_select())
            .into_boxed();
        match at {
            At::Start => query.load(connection),
            At::Among((ip, port)) => query
                .filter(table::peer_ip.eq(ip))
                .filter(table::peer_port.gt(port))
                .load(connection),
            At::Behind((ip, _)) => query.filter(table::peer_ip.gt(ip)).load(connection),
        }
    })?;
    rows.into_iter().map(PeerRow::into_state).collect()
}

/// How many peers are known.
pub(super) fn count(connection: &mut Connection) -> QueryResult<u64> {
    unsigned(table::table.count().get_result(connection)?)
}
