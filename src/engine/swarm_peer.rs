//! The peers of a hash, as a result names them.

use std::collections::HashMap;

use super::Options;
use crate::discovery::Peers;
use crate::history::Attempt;
use crate::torrent::{PeerAddr, PeerSource, Reason, Transport};

/// Peers of one result. Whoever wants to know more asks the store.
const MOST: usize = 200;

/// A peer that was found for a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwarmPeer {
    /// Where it is.
    pub addr: PeerAddr,
    /// Where we heard of it.
    pub source: PeerSource,
    /// How the last attempt at it went; `None` where it was not tried.
    pub tried: Option<TriedPeer>,
}

/// What an attempt at a peer has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriedPeer {
    /// The name of its software, as it gave it.
    pub client: Option<String>,
    /// What carried the connection.
    pub transport: Transport,
    /// Why it failed; `None` where the peer delivered.
    pub outcome: Option<Reason>,
}

/// The peers of a result, where they are to be named in it.
pub(super) fn reported(options: &Options, peers: &Peers, attempts: &[Attempt]) -> Vec<SwarmPeer> {
    if options.report_peers {
        list(peers, attempts)
    } else {
        Vec::new()
    }
}

/// The peer that gave what the store has, where peers are to be named.
pub(super) fn remembered(options: &Options, peer: Option<PeerAddr>) -> Vec<SwarmPeer> {
    let peer = peer.filter(|_| options.report_peers).map(|addr| SwarmPeer {
        addr,
        source: PeerSource::Remembered,
        tried: None,
    });
    peer.into_iter().collect()
}

/// Those that were tried, in the order in which they ended, then the others, [`MOST`] in all.
fn list(peers: &Peers, attempts: &[Attempt]) -> Vec<SwarmPeer> {
    let mut list: Vec<SwarmPeer> = Vec::new();
    let mut places: HashMap<PeerAddr, usize> = HashMap::new();
    for attempt in attempts {
        let tried = TriedPeer {
            client: attempt.client.clone(),
            transport: attempt.way.transport,
            outcome: attempt.outcome,
        };
        if let Some(peer) = places.get(&attempt.peer).and_then(|at| list.get_mut(*at)) {
            let before = peer.tried.take();
            let client = before.and_then(|before| before.client);
            peer.tried = Some(TriedPeer {
                client: tried.client.or(client),
                ..tried
            });
        } else if list.len() < MOST {
            places.insert(attempt.peer, list.len());
            list.push(SwarmPeer {
                addr: attempt.peer,
                source: attempt.source,
                tried: Some(tried),
            });
        }
    }
    for (addr, known) in peers.iter() {
        if list.len() >= MOST {
            break;
        }
        if !places.contains_key(addr) {
            list.push(SwarmPeer {
                addr: *addr,
                source: known.source,
                tried: None,
            });
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::torrent::{Arm, Phase, Way};

    fn addr(port: u16) -> PeerAddr {
        PeerAddr::new([8, 8, 8, 8].into(), port)
    }

    fn attempt(port: u16, client: Option<&str>, outcome: Option<Reason>) -> Attempt {
        Attempt {
            way: Way::plain(Arm::Direct),
            peer: addr(port),
            source: PeerSource::Dht,
            started_at_ms: 0,
            duration: Duration::ZERO,
            connect_time: None,
            phase: Phase::Verify,
            outcome,
            detail: String::new(),
            why: String::new(),
            metadata_size: None,
            client: client.map(str::to_owned),
        }
    }

    #[test]
    fn each_peer_is_there_once_and_the_last_attempt_counts() {
        let mut peers = Peers::new(false);
        peers.add(addr(1), PeerSource::Dht);
        peers.add(addr(2), PeerSource::Pex);
        let attempts = [
            attempt(1, Some("qBittorrent/4.5"), Some(Reason::Closed)),
            attempt(1, None, None),
        ];
        let list = list(&peers, &attempts);
        let [tried, untried] = list.as_slice() else {
            panic!("{list:?}");
        };
        let of_first = tried.tried.as_ref().unwrap();
        assert_eq!(of_first.client.as_deref(), Some("qBittorrent/4.5"));
        assert_eq!(of_first.outcome, None);
        assert_eq!(
            (untried.source, &untried.tried),
            (PeerSource::Pex, &None),
            "{untried:?}"
        );
    }

    #[test]
    fn the_list_is_bounded() {
        let mut peers = Peers::new(false);
        for port in 1..=400 {
            peers.add(addr(port), PeerSource::Dht);
        }
        let attempts: Vec<_> = (401..=900).map(|port| attempt(port, None, None)).collect();
        assert_eq!(list(&peers, &attempts).len(), MOST);
        assert_eq!(list(&peers, &[]).len(), MOST);
    }
}
