//! Table `peer_group`: what all attempts at peers that are alike add up to, by [`GroupState::add`].
//!
//! | column | meaning |
//! |---|---|
//! | `kind`, `name` | the group, and the key: a `client` family, a `network`, a `source`, a `way` |
//! | `attempts`, `connections`, `deliveries` | how many, how many of them were connected, and delivered |
//! | `*_weight`, `weighed_at` | the counts that fade, and up to when they are faded |
//! | `latencies` | durations of the attempts that delivered, as `Quantiles` |
//! | `connect_times` | times that the connections of those attempts took |
//!
//! A network is there once a peer of it has delivered: rows for all that never did would outnumber the peers.

use std::collections::BTreeMap;

use diesel::prelude::*;

use super::connection::Connection;
use super::schema::peer_group as table;
use super::upsert;
use super::value::{clamped, unsigned};
use crate::history::{Attempt, Group, GroupState, Quantiles, Weights};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = table, primary_key(kind, name))]
pub(super) struct GroupRow {
    kind: String,
    name: String,
    attempts: i64,
    connections: i64,
    deliveries: i64,
    delivered_weight: f64,
    unreachable_weight: f64,
    unserved_weight: f64,
    misbehaved_weight: f64,
    weighed_at: i64,
    latencies: Vec<u8>,
    connect_times: Vec<u8>,
}

impl GroupRow {
    fn new(group: &Group, state: &GroupState) -> Self {
        Self {
            kind: group.kind().to_owned(),
            name: group.to_string(),
            attempts: clamped(state.attempts),
            connections: clamped(state.connections),
            deliveries: clamped(state.deliveries),
            delivered_weight: state.weights.delivered,
            unreachable_weight: state.weights.unreachable,
            unserved_weight: state.weights.unserved,
            misbehaved_weight: state.weights.misbehaved,
            weighed_at: state.weights.at_ms,
            latencies: state.latencies.as_bytes().to_vec(),
            connect_times: state.connect_times.as_bytes().to_vec(),
        }
    }

    fn into_state(self) -> QueryResult<GroupState> {
        let quantiles = |bytes: &[u8]| Quantiles::from_bytes(bytes).unwrap_or_default();
        Ok(GroupState {
            attempts: unsigned(self.attempts)?,
            connections: unsigned(self.connections)?,
            deliveries: unsigned(self.deliveries)?,
            weights: Weights {
                delivered: self.delivered_weight,
                unreachable: self.unreachable_weight,
                unserved: self.unserved_weight,
                misbehaved: self.misbehaved_weight,
                at_ms: self.weighed_at,
            },
            latencies: quantiles(&self.latencies),
            connect_times: quantiles(&self.connect_times),
        })
    }
}

/// Adds attempts to the rows of their groups: each is read and written once. The caller's transaction
/// holds the write lock, so nobody comes between.
pub(super) fn add<'a>(
    connection: &mut Connection,
    attempts: impl Iterator<Item = &'a Attempt>,
) -> QueryResult<()> {
    let mut by_group: BTreeMap<Group, Vec<&Attempt>> = BTreeMap::new();
    for attempt in attempts.filter(|attempt| !attempt.is_ours()) {
        for group in Group::of(attempt) {
            by_group.entry(group).or_default().push(attempt);
        }
    }
    for (group, attempts) in by_group {
        let known = find(connection, &group)?;
        // Most networks are met once, by an address that does not answer: a row for each would be a third
        // of what an attempt costs.
        let delivered = || attempts.iter().any(|attempt| attempt.outcome.is_none());
        if known.is_none() && matches!(group, Group::Network(_)) && !delivered() {
            continue;
        }
        let mut state = known.unwrap_or_default();
        for attempt in attempts {
            state.add(attempt);
        }
        upsert::peer_group(connection, &GroupRow::new(&group, &state))?;
    }
    Ok(())
}

fn find(connection: &mut Connection, group: &Group) -> QueryResult<Option<GroupState>> {
    table::table
        .filter(table::kind.eq(group.kind()))
        .filter(table::name.eq(group.to_string()))
        .select(GroupRow::as_select())
        // Not `first`: SQLite prepares a statement with a bound `LIMIT` again each time it is bound.
        .get_result(connection)
        .optional()?
        .map(GroupRow::into_state)
        .transpose()
}

/// Up to `limit` groups of each kind, those with the most attempts first. Names that this program
/// can't have given are left out. Reads the whole table: once, at the start.
pub(super) fn heaviest(
    connection: &mut Connection,
    limit: u32,
) -> QueryResult<Vec<(Group, GroupState)>> {
    let mut groups = Vec::new();
    for kind in Group::KINDS {
        let rows: Vec<GroupRow> = table::table
            .filter(table::kind.eq(kind))
            .order((table::attempts.desc(), table::name))
            .limit(limit.into())
            .select(GroupRow::as_select())
            .load(connection)?;
        for row in rows {
            if let Some(group) = Group::from_parts(kind, &row.name) {
                groups.push((group, row.into_state()?));
            }
        }
    }
    Ok(groups)
}
