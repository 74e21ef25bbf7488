//! What the store knows of a hash before it is worked on, read in one go: each question for itself
//! would wait for a connection and a thread of its own.

use std::collections::HashMap;

use diesel::prelude::*;

use super::blocklist::Snapshot;
use super::connection::Connection;
use super::{
    FailedTorrent, StoredTorrent, failed_torrent, metadata_request, peer_state, torrent_metadata,
};
use crate::history::{PastAttempt, PeerState};
use crate::torrent::{Infohash, PeerAddr};

/// How many past attempts at a hash are read.
const ATTEMPTS: u32 = 500;
/// How many peers that delivered a hash before are named.
const DELIVERERS: u32 = 8;

/// What the store knows of a hash, and of peers that may have it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recall {
    /// Whether the hash is on the blocklist; nothing else is read then.
    pub blocked: bool,
    /// The torrent, if it was resolved before; nothing else is read then.
    pub torrent: Option<StoredTorrent>,
    /// How it failed the last time.
    pub failed: Option<FailedTorrent>,
    /// The latest attempts at it.
    pub attempts: Vec<PastAttempt>,
    /// Peers that delivered it before, the latest first.
    pub deliverers: Vec<PeerAddr>,
    /// What is known of the peers asked for, and of those that delivered.
    pub peers: HashMap<PeerAddr, PeerState>,
}

/// Whether the hash is blocked; if not, its torrent; if there is none, its failure. With `refetch` the
/// torrent is not looked for.
pub(super) fn glance(
    connection: &mut Connection,
    blocklist: &Snapshot,
    infohash: &Infohash,
    refetch: bool,
) -> QueryResult<Recall> {
    let mut recall = Recall {
        blocked: blocklist.find(connection, infohash)?.is_some(),
        ..Recall::default()
    };
    if !(recall.blocked || refetch) {
        recall.torrent = torrent_metadata::find(connection, infohash)?;
    }
    if !recall.blocked && recall.torrent.is_none() {
        recall.failed = failed_torrent::find(connection, infohash)?;
    }
    Ok(recall)
}

pub(super) fn recall(
    connection: &mut Connection,
    blocklist: &Snapshot,
    infohash: &Infohash,
    mut peers: Vec<PeerAddr>,
    refetch: bool,
) -> QueryResult<Recall> {
    let mut recall = glance(connection, blocklist, infohash, refetch)?;
    if recall.blocked || recall.torrent.is_some() {
        return Ok(recall);
    }
    recall.attempts = metadata_request::latest(connection, infohash, ATTEMPTS)?;
    if !recall.attempts.is_empty() {
        recall.deliverers = metadata_request::deliverers(connection, infohash, DELIVERERS)?;
    }
    peers.extend(&recall.deliverers);
    recall.peers = peer_state::of_peers(connection, &peers)?;
    Ok(recall)
}
