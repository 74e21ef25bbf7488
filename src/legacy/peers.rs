//! Peers, as the table of peers has them.

use crate::engine::SwarmPeer;
use crate::store::LegacyPeer;
use crate::torrent::{PeerAddr, PeerSource, Transport};

/// The rows of these peers.
pub(super) fn table_peers(peers: &[SwarmPeer]) -> Vec<LegacyPeer> {
    peers.iter().map(table_peer).collect()
}

/// The row of a peer that somebody named, and that nobody has tried.
pub(super) fn named_peer(addr: PeerAddr, source: &'static str) -> LegacyPeer {
    LegacyPeer {
        addr,
        source,
        peer_id: None,
        client_name: None,
        client_version: None,
        connection_type: None,
    }
}

fn table_peer(peer: &SwarmPeer) -> LegacyPeer {
    let mut row = named_peer(peer.addr, source(peer.source));
    if let Some(tried) = &peer.tried {
        let (name, version) = tried
            .client
            .as_deref()
            .map_or((None, None), client_and_version);
        row.client_name = name;
        row.client_version = version;
        let transport = match tried.transport {
            Transport::Tcp => "tcp",
            Transport::Utp => "utp",
        };
        row.connection_type = Some(transport.to_owned());
    }
    row
}

fn source(source: PeerSource) -> &'static str {
    match source {
        PeerSource::Dht => "DHT_PEERS",
        PeerSource::Inbound => "DHT_ANNOUNCE",
        PeerSource::Hint => "HINT",
        PeerSource::Remembered => "REMEMBERED",
        PeerSource::Tracker => "TRACKER",
        PeerSource::Pex => "PEX",
        PeerSource::Lsd => "LSD",
    }
}

/// `qBittorrent/4.5.2` and `Transmission 3.00 (bb6b5a062e)`: the last word, or part behind a slash, that
/// begins like a number begins the version.
fn client_and_version(client: &str) -> (Option<String>, Option<String>) {
    let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let is_version = |rest: &str| {
        let rest = rest.trim_start_matches(['v', 'V']);
        rest.starts_with(|c: char| c.is_ascii_digit())
    };
    let cut = client
        .char_indices()
        .filter(|(_, c)| matches!(c, ' ' | '/'))
        .find(|(at, _)| client.get(at + 1..).is_some_and(is_version));
    match cut {
        Some((at, _)) => (
            client.get(..at).and_then(some),
            client.get(at + 1..).and_then(some),
        ),
        None => (some(client), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::TriedPeer;

    #[test]
    fn a_client_is_cut_where_its_version_begins() {
        for (client, name, version) in [
            ("qBittorrent/4.5.2", "qBittorrent", Some("4.5.2")),
            (
                "Transmission 3.00 (bb6b5a062e)",
                "Transmission",
                Some("3.00 (bb6b5a062e)"),
            ),
            ("µTorrent 3.5.5", "µTorrent", Some("3.5.5")),
            ("libtorrent v2.0.8.0", "libtorrent", Some("v2.0.8.0")),
            ("BitComet", "BitComet", None),
            ("Free Download Manager", "Free Download Manager", None),
        ] {
            let (found, its_version) = client_and_version(client);
            assert_eq!(found.as_deref(), Some(name));
            assert_eq!(its_version.as_deref(), version, "{client}");
        }
        assert_eq!(client_and_version(" "), (None, None));
    }

    #[test]
    fn what_was_not_tried_has_no_connection() {
        let addr: PeerAddr = "8.8.8.8:1".parse().unwrap();
        let peers = [
            SwarmPeer {
                addr,
                source: PeerSource::Dht,
                tried: None,
            },
            SwarmPeer {
                addr,
                source: PeerSource::Inbound,
                tried: Some(TriedPeer {
                    client: None,
                    transport: Transport::Utp,
                    outcome: None,
                }),
            },
        ];
        let rows = table_peers(&peers);
        assert_eq!(
            (rows[0].source, &rows[0].connection_type),
            ("DHT_PEERS", &None)
        );
        assert_eq!(rows[1].source, "DHT_ANNOUNCE");
        assert_eq!(rows[1].connection_type.as_deref(), Some("utp"));
    }
}
