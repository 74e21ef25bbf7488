//! The rows of the old crawler, and what they become.

use diesel::mysql::Mysql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::store::connection::Connection;
use crate::store::exchange::{FileRow, Keyed as _, PeerRow, Portable as _, TorrentRow};
use crate::store::take::{self, Taken, Torrents, cleaned};
use crate::store::torrent_metadata::{PENDING, SOURCE_CHARS, merged, tracker_list};
use crate::store::value::CLIENT_CHARS;
use crate::torrent::{Arm, Infohash, Magnet, PeerAddr, Reason, is_tracker};

/// What the old crawler calls torrents of which it has nothing but the hash.
const NO_NAMES: [&str; 3] = ["Announced Torrent", "DHT Item", "Unknown Torrent"];
/// The longest texts that are kept, in characters.
const TEXT_CHARS: usize = 1_000;
const PATH_CHARS: usize = 4_000;

#[derive(QueryableByName)]
pub(super) struct Count {
    #[diesel(sql_type = BigInt)]
    pub(super) number: i64,
}

/// A row of an old table.
pub(super) trait Legacy: QueryableByName<Mysql> + Sized + 'static {
    /// The old table.
    const TABLE: &'static str;
    /// What is read of it.
    const COLUMNS: &'static str;
    /// What it becomes.
    type Row;
    /// The key.
    fn id(&self) -> i64;
    /// What it becomes, or why it can't be taken.
    fn judge(&self) -> Result<Self::Row, &'static str>;
    /// Writes it, unless it belongs to nothing.
    fn take(
        connection: &mut Connection,
        row: &Self::Row,
        torrents: &mut Torrents,
    ) -> QueryResult<Result<Taken, &'static str>>;
}

#[derive(Debug, Default, QueryableByName)]
pub(super) struct LegacyTorrent {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    info_hash: String,
    #[diesel(sql_type = Nullable<Text>)]
    name: Option<String>,
    #[diesel(sql_type = BigInt)]
    size: i64,
    #[diesel(sql_type = BigInt)]
    num_files: i64,
    #[diesel(sql_type = Nullable<Text>)]
    comment: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    created_by: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    encoding: Option<String>,
    #[diesel(sql_type = BigInt)]
    piece_length: i64,
    #[diesel(sql_type = BigInt)]
    num_pieces: i64,
    #[diesel(sql_type = Nullable<Text>)]
    trackers: Option<String>,
    #[diesel(sql_type = BigInt)]
    private_torrent: i64,
    #[diesel(sql_type = Nullable<Text>)]
    source: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    magnet_link: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    announce_url: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    announce_list: Option<String>,
    #[diesel(sql_type = BigInt)]
    discovered: i64,
    #[diesel(sql_type = BigInt)]
    seen: i64,
}

impl Legacy for LegacyTorrent {
    const TABLE: &'static str = "discovered_torrents";
    const COLUMNS: &'static str = "CAST(id AS SIGNED) AS id, info_hash, name, \
        CAST(COALESCE(size, 0) AS SIGNED) AS size, CAST(COALESCE(num_files, 0) AS SIGNED) AS num_files, \
        comment, created_by, encoding, CAST(COALESCE(piece_length, 0) AS SIGNED) AS piece_length, \
        CAST(COALESCE(num_pieces, 0) AS SIGNED) AS num_pieces, trackers, \
        CAST(COALESCE(private_torrent, 0) AS SIGNED) AS private_torrent, source, magnet_link, \
        announce_url, announce_list, \
        CAST(COALESCE(UNIX_TIMESTAMP(COALESCE(discovered_at, created_at)), 0) AS SIGNED) AS discovered, \
        CAST(COALESCE(UNIX_TIMESTAMP(COALESCE(last_seen_at, updated_at, discovered_at)), 0) AS SIGNED) \
        AS seen";
    type Row = TorrentRow;

    fn id(&self) -> i64 {
        self.id
    }

    fn judge(&self) -> Result<TorrentRow, &'static str> {
        let stored = Infohash::from_btih(self.info_hash.trim())
            .map_err(|_| "the infohash is neither 40 hex digits nor 32 base32 characters")?;
        let magnet: Option<Magnet> = self
            .magnet_link
            .as_deref()
            .and_then(|link| link.parse().ok());
        // Of a hybrid, the old hash is the start of the v2 hash; its link has both.
        let linked = magnet
            .as_ref()
            .map(|magnet| magnet.infohash)
            .filter(|linked| {
                let v2 = linked.v2().map(|v2| Infohash::V2(*v2).wire_id());
                linked.wire_id() == stored.wire_id() || v2 == Some(stored.wire_id())
            });
        let identity = linked.map_or(stored, |linked| merged(linked, linked));
        let name = self.name.as_deref().unwrap_or_default();
        let name = if NO_NAMES.contains(&name) { "" } else { name };
        let mut trackers = Vec::new();
        for list in [&self.announce_url, &self.announce_list, &self.trackers]
            .into_iter()
            .flatten()
        {
            add_trackers(&mut trackers, list);
        }
        for tracker in magnet.iter().flat_map(|magnet| &magnet.trackers) {
            add_trackers(&mut trackers, tracker);
        }
        let text = |text: &Option<String>| cleaned(text.as_deref().unwrap_or_default(), TEXT_CHARS);
        let seen = self.seen.max(self.discovered);
        Ok(TorrentRow {
            id: 0,
            infohash: identity.as_bytes().to_vec(),
            infohash_v2: identity.v2().map(|v2| v2.to_vec()),
            name: cleaned(name, TEXT_CHARS),
            size: self.size.max(0),
            piece_length: self.piece_length.max(0),
            pieces_count: self.num_pieces.max(0),
            files_count: self.num_files.max(0),
            private: self.private_torrent != 0,
            metadata_size: 0,
            trackers: tracker_list(&trackers).unwrap_or_else(|_| "[]".to_owned()),
            source: cleaned(self.source.as_deref().unwrap_or_default(), SOURCE_CHARS),
            arm: String::new(),
            peer: None,
            discovered_at: self.discovered.max(0).saturating_mul(1_000),
            last_seen_at: seen.max(0).saturating_mul(1_000),
            resolved_at: 0,
            validation_status: PENDING.to_owned(),
            comment: text(&self.comment),
            created_by: text(&self.created_by),
            encoding: text(&self.encoding),
            info: Vec::new(),
            info_deflated: false,
        })
    }

    fn take(
        connection: &mut Connection,
        row: &TorrentRow,
        _torrents: &mut Torrents,
    ) -> QueryResult<Result<Taken, &'static str>> {
        take::pending(connection, row).map(Ok)
    }
}

/// Adds what a column has: a list in brackets and quotes, or one URL.
fn add_trackers(trackers: &mut Vec<String>, text: &str) {
    let list = serde_json::from_str::<Vec<String>>(text);
    for url in list.unwrap_or_else(|_| vec![text.trim().to_owned()]) {
        if is_tracker(&url) && !url.contains('\0') && !trackers.contains(&url) {
            trackers.push(url);
        }
    }
}

#[derive(Debug, Default, QueryableByName)]
pub(super) struct LegacyFile {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    torrent_hash: String,
    #[diesel(sql_type = BigInt)]
    file_index: i64,
    #[diesel(sql_type = Text)]
    file_path: String,
    #[diesel(sql_type = BigInt)]
    file_size: i64,
}

impl Legacy for LegacyFile {
    const TABLE: &'static str = "torrent_files";
    const COLUMNS: &'static str = "CAST(id AS SIGNED) AS id, torrent_hash, \
        CAST(file_index AS SIGNED) AS file_index, file_path, CAST(file_size AS SIGNED) AS file_size";
    type Row = FileRow;

    fn id(&self) -> i64 {
        self.id
    }

    fn judge(&self) -> Result<FileRow, &'static str> {
        let infohash = Infohash::from_btih(self.torrent_hash.trim())
            .map_err(|_| "the infohash is neither 40 hex digits nor 32 base32 characters")?;
        if self.file_index < 0 || self.file_size < 0 {
            return Err("the index or the size of the file is negative");
        }
        Ok(FileRow {
            torrent_id: 0,
            infohash: infohash.as_bytes().to_vec(),
            position: self.file_index,
            path: cleaned(&self.file_path, PATH_CHARS),
            length: self.file_size,
        })
    }

    fn take(
        connection: &mut Connection,
        row: &FileRow,
        torrents: &mut Torrents,
    ) -> QueryResult<Result<Taken, &'static str>> {
        let taken = take::file(connection, row, torrents)?;
        Ok(taken.ok_or("there is no torrent of this hash"))
    }
}

#[derive(Debug, Default, QueryableByName)]
pub(super) struct LegacyPeer {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    peer_address: String,
    #[diesel(sql_type = BigInt)]
    peer_port: i64,
    #[diesel(sql_type = Nullable<Text>)]
    client_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    client_version: Option<String>,
    #[diesel(sql_type = BigInt)]
    discovered: i64,
    #[diesel(sql_type = BigInt)]
    seen: i64,
}

impl Legacy for LegacyPeer {
    const TABLE: &'static str = "discovered_peers";
    const COLUMNS: &'static str = "CAST(id AS SIGNED) AS id, peer_address, \
        CAST(peer_port AS SIGNED) AS peer_port, client_name, client_version, \
        CAST(COALESCE(UNIX_TIMESTAMP(COALESCE(discovered_at, created_at)), 0) AS SIGNED) AS discovered, \
        CAST(COALESCE(UNIX_TIMESTAMP(COALESCE(last_seen_at, discovered_at)), 0) AS SIGNED) AS seen";
    type Row = PeerRow;

    fn id(&self) -> i64 {
        self.id
    }

    /// A peer of which nothing is known but that it was seen.
    fn judge(&self) -> Result<PeerRow, &'static str> {
        let port = u16::try_from(self.peer_port).ok().filter(|port| *port != 0);
        let port = port.ok_or("the port is not one from 1 to 65535")?;
        let ip = self
            .peer_address
            .trim()
            .parse()
            .map_err(|_| "the address is no IP address")?;
        let peer = PeerAddr::new(ip, port);
        let client = [&self.client_name, &self.client_version];
        let client: Vec<&str> = client
            .into_iter()
            .flatten()
            .map(|part| part.trim())
            .collect();
        let client = cleaned(client.join(" ").trim(), CLIENT_CHARS);
        let first_seen = self.discovered.max(0).saturating_mul(1_000);
        Ok(PeerRow {
            peer_ip: peer.ip().to_string(),
            peer_port: peer.port().into(),
            client: (!client.is_empty()).then_some(client),
            first_seen_at: first_seen,
            last_seen_at: self.seen.saturating_mul(1_000).max(first_seen),
            attempts: 0,
            connections: 0,
            deliveries: 0,
            failures: 0,
            // Of all outcomes the one that says nothing of a peer.
            last_outcome: Reason::Cancelled.as_str().to_owned(),
            last_arm: Arm::Direct.as_str().to_owned(),
            last_delivered_at: None,
            avg_latency_ms: None,
            bep9_support: None,
            needs_encryption: None,
            delivered_way: None,
            failures_in_a_row: 0,
            delivered_weight: 0.0,
            unreachable_weight: 0.0,
            unserved_weight: 0.0,
            misbehaved_weight: 0.0,
            weighed_at: 0,
            latencies: None,
            bep10_support: None,
        })
    }

    /// What was learnt by attempts stays; of two that only saw a peer, both count.
    fn take(
        connection: &mut Connection,
        row: &PeerRow,
        _torrents: &mut Torrents,
    ) -> QueryResult<Result<Taken, &'static str>> {
        let Some(stored) = row.stored(connection)? else {
            row.insert(connection)?;
            return Ok(Ok(Taken::Added));
        };
        let merged = PeerRow {
            first_seen_at: stored.first_seen_at.min(row.first_seen_at),
            last_seen_at: stored.last_seen_at.max(row.last_seen_at),
            client: stored.client.clone().or_else(|| row.client.clone()),
            ..stored.clone()
        };
        if stored.attempts > 0 || merged == stored {
            return Ok(Ok(Taken::Unchanged));
        }
        stored.delete(connection)?;
        merged.insert(connection)?;
        Ok(Ok(Taken::Updated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_has_both_hashes_of_its_link() {
        let (v1, v2) = ("11".repeat(20), "22".repeat(32));
        let link = format!("magnet:?xt=urn:btih:{v1}&xt=urn:btmh:1220{v2}&dn=x");
        let torrent = |info_hash: &str| LegacyTorrent {
            info_hash: info_hash.to_owned(),
            magnet_link: Some(link.clone()),
            ..LegacyTorrent::default()
        };
        for hash in [&v1[..], &v2[..40]] {
            let row = torrent(hash).judge().unwrap();
            assert_eq!(
                (row.infohash, row.infohash_v2),
                (vec![0x11; 20], Some(vec![0x22; 32]))
            );
        }
        let other = torrent(&"33".repeat(20)).judge().unwrap();
        assert_eq!((other.infohash, other.infohash_v2), (vec![0x33; 20], None));
        assert!(torrent("").judge().is_err() && torrent(&"x".repeat(40)).judge().is_err());
    }

    #[test]
    fn trackers_are_read_as_they_were_written() {
        let mut trackers = Vec::new();
        for text in [
            "[]",
            "",
            "[\"udp://a:1\", \"udp://b:1\"]",
            "udp://a:1",
            "javascript:1",
            "[\"x\"]",
        ] {
            add_trackers(&mut trackers, text);
        }
        assert_eq!(trackers, ["udp://a:1", "udp://b:1"]);
    }

    #[test]
    fn values_that_make_no_sense_become_nothing() {
        let row = LegacyTorrent {
            info_hash: "AB".repeat(20),
            name: Some("DHT Item".to_owned()),
            size: -5,
            num_files: -1,
            discovered: -3,
            ..LegacyTorrent::default()
        };
        let row = row.judge().unwrap();
        assert_eq!(
            (
                row.name.as_str(),
                row.size,
                row.files_count,
                row.discovered_at
            ),
            ("", 0, 0, 0)
        );
        let peer = |address: &str, port| {
            let peer_address = address.to_owned();
            LegacyPeer {
                peer_address,
                peer_port: port,
                ..LegacyPeer::default()
            }
            .judge()
        };
        assert_eq!(peer("::ffff:1.2.3.4", 5).unwrap().peer_ip, "1.2.3.4");
        for (address, port) in [
            ("1.2.3.4", 0),
            ("1.2.3.4", 65536),
            ("1.2.3.4", -1),
            ("2a00", 5),
        ] {
            assert!(peer(address, port).is_err());
        }
    }
}
