//! `discovered_peers`: who is said to have a torrent, and when that was last said.

use std::collections::{BTreeMap, HashSet};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::row::LegacyPeer;
use super::session::Session;
use super::statement::{Statement, Value};
use super::table::{PEERS, Table, insert};
use crate::torrent::PeerAddr;

/// Peers of a statement.
const CHUNK: usize = 100;

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = Text)]
    torrent_hash: String,
    #[diesel(sql_type = Text)]
    peer_address: String,
    #[diesel(sql_type = BigInt)]
    peer_port: i64,
}

/// A peer, and the torrent that it has: its `info_hash` as it stands in its row.
pub(super) type Seen<'a> = (&'a str, &'a LegacyPeer);

/// Adds these peers of torrents that have rows, or refreshes them. What a peer was known by stays, where
/// it is not told anew.
pub(super) fn seen(session: &mut Session, peers: &[Seen<'_>]) -> QueryResult<()> {
    let Some(table) = session.tables.get(PEERS).cloned() else {
        return Ok(());
    };
    if !["torrent_hash", "peer_address", "peer_port"]
        .into_iter()
        .all(|column| table.has(column))
    {
        return Ok(());
    }
    // In order, so that two processes lock the rows in the same order; of one that comes twice, the one
    // that tells more.
    let mut unique: BTreeMap<(&str, PeerAddr), Seen<'_>> = BTreeMap::new();
    for seen in peers {
        let kept = unique.entry((seen.0, seen.1.addr)).or_insert(*seen);
        if tells(seen.1) > tells(kept.1) {
            *kept = *seen;
        }
    }
    let unique: Vec<Seen<'_>> = unique.into_values().collect();
    for chunk in unique.chunks(CHUNK) {
        save(session, &table, chunk)?;
    }
    Ok(())
}

fn save(session: &mut Session, table: &Table, peers: &[Seen<'_>]) -> QueryResult<()> {
    let query = Statement::new(
        "SELECT torrent_hash, peer_address, CAST(peer_port AS SIGNED) AS peer_port \
         FROM discovered_peers WHERE ",
    );
    let lower = str::to_ascii_lowercase;
    let stored: HashSet<(String, String, i64)> = session
        .load::<Stored>(these(query, peers))?
        .into_iter()
        .map(|row| {
            (
                lower(&row.torrent_hash),
                lower(&row.peer_address),
                row.peer_port,
            )
        })
        .collect();
    let (known, new): (Vec<Seen<'_>>, Vec<Seen<'_>>) = peers.iter().partition(|(hash, peer)| {
        stored.contains(&(lower(hash), peer.addr.ip().to_string(), port(peer)))
    });
    let touches = table.has("last_seen_at");
    if touches && !known.is_empty() {
        let update =
            Statement::new("UPDATE discovered_peers SET last_seen_at = CURRENT_TIMESTAMP WHERE ");
        session.execute(these(update, &known))?;
    }
    for seen in known.into_iter().filter(|(_, peer)| tells(peer) > 0) {
        let mut told = table.row(told(seen.1));
        told.retain(|(_, value)| *value != Value::Null);
        let mut update = Statement::new("UPDATE discovered_peers SET ");
        for (index, (column, value)) in told.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let start = format!("{separator}{column} = ");
            update = update.sql(&start).value(value.clone());
        }
        if !told.is_empty() {
            session.execute(these(update.sql(" WHERE "), &[seen]))?;
        }
    }
    let rows = new.into_iter().map(|(torrent_hash, peer)| {
        let mut values = vec![
            ("torrent_hash", Value::text(torrent_hash)),
            ("peer_address", Value::Text(peer.addr.ip().to_string())),
            ("peer_port", Value::Number(port(peer))),
            ("source", Value::text(peer.source)),
            ("discovered_at", Value::Now),
            ("last_seen_at", Value::Now),
            ("created_at", Value::Now),
        ];
        values.extend(told(peer));
        table.row(values)
    });
    if let Some(statement) = insert(PEERS, rows.collect()) {
        // Another process may have been quicker.
        let touch = if touches {
            "last_seen_at = CURRENT_TIMESTAMP"
        } else {
            "peer_port = peer_port"
        };
        session.execute(statement.sql(&format!(" ON DUPLICATE KEY UPDATE {touch}")))?;
    }
    Ok(())
}

/// What is known of a peer beyond its address.
fn told<'a>(peer: &LegacyPeer) -> Vec<(&'a str, Value)> {
    vec![
        ("peer_id", Value::optional(peer.peer_id.as_deref())),
        ("client_name", Value::optional(peer.client_name.as_deref())),
        (
            "client_version",
            Value::optional(peer.client_version.as_deref()),
        ),
        (
            "connection_type",
            Value::optional(peer.connection_type.as_deref()),
        ),
    ]
}

/// How much of it is known.
fn tells(peer: &LegacyPeer) -> usize {
    let told = [
        &peer.peer_id,
        &peer.client_name,
        &peer.client_version,
        &peer.connection_type,
    ];
    told.into_iter().flatten().count()
}

fn port(peer: &LegacyPeer) -> i64 {
    peer.addr.port().into()
}

/// `torrent_hash = ? AND peer_address = ? AND ... OR ...`, which the index over the three serves on all
/// servers, while lists of rows do not.
fn these(mut statement: Statement, peers: &[Seen<'_>]) -> Statement {
    for (index, (torrent_hash, peer)) in peers.iter().enumerate() {
        statement = statement
            .sql(if index == 0 {
                "(torrent_hash = "
            } else {
                " OR (torrent_hash = "
            })
            .text(torrent_hash)
            .sql(" AND peer_address = ")
            .value(Value::Text(peer.addr.ip().to_string()))
            .sql(" AND peer_port = ")
            .number(port(peer))
            .sql(")");
    }
    statement
}
