//! Backlog: hashes that the crawl discovered and that wait for a free place of the engine.
//!
//! It is bounded, and tells the crawl how full it is, so that no more are asked for than can be worked
//! on. The newest announce goes first: whoever announced a hash is there now. Then hashes that somebody
//! looked for, then samples, in the order in which they came.

use std::collections::{HashMap, VecDeque};
use std::future::pending;

use tokio::sync::{mpsc, watch};

use super::{Engine, Resolution, Wanted};
use crate::discovery::crawl::{Discovered, DiscoverySource};
use crate::torrent::{Infohash, PeerAddr, PeerHint, PeerSource};

/// Peers of one hash that wait with it.
const PEERS: usize = 50;
/// What the crawl is told of changes: steps of a hundredth.
const STEP: f32 = 0.01;

/// A hash that waits.
#[derive(Debug)]
struct Waiting {
    source: DiscoverySource,
    peers: Vec<PeerAddr>,
}

/// The hashes that wait, each once.
#[derive(Debug)]
pub(crate) struct Backlog {
    capacity: usize,
    waiting: HashMap<[u8; 20], Waiting>,
    /// What was announced is in there too after it was sampled; `waiting` says what counts.
    announced: VecDeque<[u8; 20]>,
    looked_for: VecDeque<[u8; 20]>,
    sampled: VecDeque<[u8; 20]>,
}

impl Backlog {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            waiting: HashMap::new(),
            announced: VecDeque::new(),
            looked_for: VecDeque::new(),
            sampled: VecDeque::new(),
        }
    }

    /// Lets as many wait from now on.
    pub(crate) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity.max(1);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= self.capacity
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How much room is left: 1 for all, 0 for none.
    pub(crate) fn room(&self) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "a share of some thousands")]
        let taken = self.waiting.len() as f32 / self.capacity as f32;
        (1.0 - taken).max(0.0)
    }

    /// Adds a hash, or what is new about one that waits.
    pub(crate) fn add(&mut self, discovered: Discovered) {
        let Discovered {
            infohash,
            source,
            peers,
            ..
        } = discovered;
        let key = infohash.0;
        let known = self.waiting.remove(&key);
        let mut merged = Waiting {
            source,
            peers: Vec::new(),
        };
        // Whoever was heard of last is tried first.
        let before = known.as_ref().map_or(&[][..], |known| &known.peers);
        for peer in peers.iter().chain(before) {
            if merged.peers.len() < PEERS && !merged.peers.contains(peer) {
                merged.peers.push(*peer);
            }
        }
        let queue = match (&known, source) {
            (_, DiscoverySource::Announce) => Some(&mut self.announced),
            // It keeps its place.
            (Some(known), _) => {
                merged.source = known.source;
                None
            }
            (None, DiscoverySource::GetPeers) => Some(&mut self.looked_for),
            (None, DiscoverySource::Sample) => Some(&mut self.sampled),
        };
        if let Some(queue) = queue {
            queue.push_back(key);
        }
        self.waiting.insert(key, merged);
        self.forget_moved();
    }

    /// The next hash to work on.
    pub(crate) fn take(&mut self) -> Option<Wanted> {
        loop {
            let key = self
                .announced
                .pop_back()
                .or_else(|| self.looked_for.pop_front())
                .or_else(|| self.sampled.pop_front())?;
            // Those that were moved up are gone by now.
            if let Some(waiting) = self.waiting.remove(&key) {
                return Some(Wanted {
                    peers: waiting.peers.into_iter().map(PeerHint::Addr).collect(),
                    peers_from: match waiting.source {
                        DiscoverySource::Announce => PeerSource::Inbound,
                        DiscoverySource::GetPeers | DiscoverySource::Sample => PeerSource::Dht,
                    },
                    ..Wanted::from(Infohash::V1(key))
                });
            }
        }
    }

    /// Keeps the queues in bounds: announces of one hash again and again leave a trace each.
    fn forget_moved(&mut self) {
        let queued = self.announced.len() + self.looked_for.len() + self.sampled.len();
        if queued <= 2 * self.capacity {
            return;
        }
        let waiting = &self.waiting;
        let mut seen = std::collections::HashSet::new();
        // The newest trace of an announce is the one that counts.
        let mut announced: VecDeque<_> = VecDeque::new();
        for key in self.announced.drain(..).rev() {
            if waiting.contains_key(&key) && seen.insert(key) {
                announced.push_front(key);
            }
        }
        self.announced = announced;
        for queue in [&mut self.looked_for, &mut self.sampled] {
            queue.retain(|key| waiting.contains_key(key) && seen.insert(*key));
        }
    }
}

/// How a backlog is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BacklogState {
    /// Hashes that wait.
    pub waiting: usize,
    /// Those that were given to the engine.
    pub taken: u64,
}

impl Engine {
    /// Resolves what a crawl discovers, as [`Engine::run`] does. Up to `capacity` hashes wait; `hungry`
    /// tells the crawl how much room is left, 1 for all of it and 0 for none, and when there is
    /// none, `discovered` is read no further. Ends when `discovered` does, or after [`Engine::stop`].
    #[must_use]
    pub fn follow(
        &self,
        mut discovered: mpsc::Receiver<Discovered>,
        capacity: usize,
        hungry: watch::Sender<f32>,
    ) -> (mpsc::Receiver<Resolution>, watch::Receiver<BacklogState>) {
        // What is in here can't be overtaken by a fresh announce.
        let (intake, wanted) = mpsc::channel(1);
        let results = self.run(wanted);
        let (state, states) = watch::channel(BacklogState::default());
        let engine = self.clone();
        self.spawn(async move {
            let mut backlog = Backlog::new(capacity);
            let mut taken = 0;
            let mut has_ended = false;
            loop {
                let step = async {
                    tokio::select! {
                        permit = intake.reserve(), if !backlog.is_empty() => Step::Place(permit),
                        new = discovered.recv(), if !has_ended && !backlog.is_full() => {
                            Step::Discovered(new)
                        }
                        else => pending().await,
                    }
                };
                if has_ended && backlog.is_empty() {
                    return;
                }
                match engine.until_stopped(step).await {
                    None | Some(Step::Place(Err(_))) => return,
                    Some(Step::Place(Ok(permit))) => {
                        if let Some(wanted) = backlog.take() {
                            permit.send(wanted);
                            taken += 1;
                        }
                    }
                    Some(Step::Discovered(Some(new))) => backlog.add(new),
                    Some(Step::Discovered(None)) => has_ended = true,
                }
                let room = backlog.room();
                hungry.send_if_modified(|told| {
                    let changed = (*told - room).abs() >= STEP || (room == 0.0) != (*told == 0.0);
                    if changed {
                        *told = room;
                    }
                    changed
                });
                state.send_replace(BacklogState {
                    waiting: backlog.len(),
                    taken,
                });
            }
        });
        (results, states)
    }
}

enum Step<'a> {
    /// The engine has a place; an error where it has ended.
    Place(Result<mpsc::Permit<'a, Wanted>, mpsc::error::SendError<()>>),
    /// `None`: the crawl has ended.
    Discovered(Option<Discovered>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::krpc::NodeId;

    fn discovered(number: u8, source: DiscoverySource, ports: &[u16]) -> Discovered {
        let peer = |port: &u16| PeerAddr::new([1, 2, 3, 4].into(), *port);
        Discovered {
            infohash: NodeId([number; 20]),
            source,
            peers: ports.iter().map(peer).collect(),
            from: PeerAddr::new([1, 2, 3, 4].into(), 1),
        }
    }

    fn order(backlog: &mut Backlog) -> Vec<(u8, PeerSource, usize)> {
        std::iter::from_fn(|| backlog.take())
            .map(|wanted| {
                let number = wanted.infohash.wire_id()[0];
                (number, wanted.peers_from, wanted.peers.len())
            })
            .collect()
    }

    #[test]
    fn the_newest_announce_goes_first_and_a_hash_waits_once() {
        use DiscoverySource::{Announce, GetPeers, Sample};
        let mut backlog = Backlog::new(10);
        for (number, source, ports) in [
            (1, Sample, &[][..]),
            (2, Sample, &[]),
            (3, GetPeers, &[]),
            (4, Announce, &[1]),
            (5, Announce, &[2]),
            (2, Announce, &[3]),
            (2, Announce, &[3, 4]),
            (2, Sample, &[]),
            (1, Sample, &[]),
        ] {
            backlog.add(discovered(number, source, ports));
        }
        assert_eq!(backlog.len(), 5);
        let expected = [
            (2, PeerSource::Inbound, 2),
            (5, PeerSource::Inbound, 1),
            (4, PeerSource::Inbound, 1),
            (3, PeerSource::Dht, 0),
            (1, PeerSource::Dht, 0),
        ];
        assert_eq!(order(&mut backlog), expected);
        assert!(backlog.is_empty());
    }

    #[test]
    fn announces_of_one_hash_again_and_again_stay_in_bounds() {
        let mut backlog = Backlog::new(4);
        backlog.add(discovered(1, DiscoverySource::Sample, &[]));
        for port in 1..1_000 {
            backlog.add(discovered(2, DiscoverySource::Announce, &[port]));
        }
        let queued = backlog.announced.len() + backlog.sampled.len();
        assert!(queued <= 9, "{queued}");
        assert_eq!(
            order(&mut backlog),
            [(2, PeerSource::Inbound, PEERS), (1, PeerSource::Dht, 0)]
        );
    }

    #[test]
    fn room_is_what_is_left() {
        let mut backlog = Backlog::new(2);
        assert!((backlog.room() - 1.0).abs() < f32::EPSILON);
        backlog.add(discovered(1, DiscoverySource::Sample, &[]));
        assert!((backlog.room() - 0.5).abs() < f32::EPSILON && !backlog.is_full());
        backlog.add(discovered(2, DiscoverySource::Sample, &[]));
        assert!(backlog.room().abs() < f32::EPSILON && backlog.is_full());
    }
}
