//! What comes into the queue, and where it is then.

use std::sync::Arc;

use tokio::sync::watch;

use super::super::lane::{Added, Key, entry};
use super::super::service::{Asked, Standing};
use super::super::source::SourceName;
use super::turn::InWork;
use super::{Id, LISTENERS, NAMED, State};
use crate::engine::{Resolution, Wanted};
use crate::store::WantedTorrent;
use crate::torrent::Infohash;

impl State {
    /// Of a hash that is stored and waits, or is in work, its result, where what is new about it is nothing
    /// that has to be stored.
    pub(in crate::daemon) fn known(&mut self, wanted: &Wanted, priority: i16) -> Option<Asked> {
        let id = wanted.infohash.wire_id();
        let joins = |result| Asked {
            result,
            joined: true,
        };
        if wanted.peers.is_empty() && self.is_stored_in_work(&id) {
            return Some(joins(self.listen(id)));
        }
        let (source, key) = self.places.get(&id)?.clone();
        let waiting = self.source(source).lane()?.get_mut(&key)?;
        let adds_nothing = wanted.peers.iter().all(|peer| waiting.peers.contains(peer))
            && (wanted.trackers.iter()).all(|tracker| waiting.trackers.contains(tracker));
        if !source.is_stored() || !adds_nothing || key.priority() < priority {
            return None;
        }
        Some(joins(self.listen(id)))
    }

    /// Whether somebody works on the row of this hash.
    pub(in crate::daemon) fn is_stored_in_work(&self, id: &Id) -> bool {
        self.in_work.get(id).is_some_and(|work| work.stored > 0)
    }

    /// Whoever listens to the result of this hash.
    pub(super) fn listen(&mut self, id: Id) -> watch::Receiver<Option<Arc<Resolution>>> {
        if self.results.len() >= self.listeners_at_most {
            self.results
                .retain(|_, results| results.receiver_count() > 0);
            self.listeners_at_most = LISTENERS.max(2 * self.results.len());
        }
        let results = self.results.entry(id);
        results
            .or_insert_with(|| watch::channel(None).0)
            .subscribe()
    }

    /// Takes in a hash whose row is in the store; `is_new` where there was none. `wanted` is what was asked
    /// now. Whether somebody wanted it before.
    pub(in crate::daemon) fn wanted(
        &mut self,
        row: &WantedTorrent,
        wanted: Wanted,
        is_new: bool,
    ) -> Asked {
        let id = row.infohash.wire_id();
        // Who asked first has the row, and its place is that of the row.
        let source = SourceName::of(&row.source)
            .filter(|name| name.is_stored())
            .unwrap_or(SourceName::Api);
        let (key, stored) = entry(row);
        let is_in_work = self.in_work.contains_key(&id);
        let names_peers = !wanted.peers.is_empty();
        // It had its answer while this was written.
        self.keep_rows(std::slice::from_ref(row));
        if is_new {
            let rows = &mut self.source(source).rows;
            *rows = rows.saturating_add(1);
        }
        let mut wanted = Wanted {
            infohash: row.infohash,
            ..wanted
        };
        let mut joined = !is_new || is_in_work;
        let mut was_here = false;
        // It may have waited under one of its hashes alone.
        for id in [Some(id), row.infohash.v2().map(wire_id_of_v2)]
            .into_iter()
            .flatten()
        {
            if let Some((at, old)) = self.places.remove(&id) {
                joined = true;
                if let Some(before) = self.source(at).lane().and_then(|lane| lane.remove(&old)) {
                    was_here |= at == source;
                    add_named(&mut wanted, before);
                }
            }
        }
        let result = self.listen(id);
        let asked = Asked { result, joined };
        if is_in_work && (names_peers || self.next.contains_key(&id)) {
            if let Some((_, _, before)) = self.next.remove(&id) {
                add_named(&mut wanted, before);
            }
            self.next.insert(id, (source, key, wanted));
            return asked;
        }
        // Its row goes, or comes again, with what comes of that.
        if self.is_stored_in_work(&id) {
            return asked;
        }
        add_named(&mut wanted, stored);
        let lane = self.source(source).lane();
        match lane.map(|lane| lane.add(key.clone(), wanted, was_here)) {
            Some(Added::InMemory) => {
                self.places.insert(id, (source, key));
            }
            Some(Added::Anew(gone)) => self.left_memory(&gone),
            Some(Added::Left) | None => {}
        }
        asked
    }

    pub(super) fn left_memory(&mut self, gone: &[Infohash]) {
        for infohash in gone {
            self.places.remove(&infohash.wire_id());
        }
    }

    /// Takes in hashes of the backlog, which are in the store anyway.
    pub(in crate::daemon) fn add_backlog(&mut self, wanted: Vec<(Wanted, i64)>) {
        for (wanted, turn) in wanted {
            let id = wanted.infohash.wire_id();
            if self.places.contains_key(&id) || self.in_work.contains_key(&id) {
                continue;
            }
            let key = Key::new(&wanted.infohash, 0, turn);
            if let Some(lane) = self.source(SourceName::Backlog).lane() {
                lane.put(key.clone(), wanted);
                self.places.insert(id, (SourceName::Backlog, key));
            }
        }
    }

    /// Takes a hash that waits out; `None` where none such is known here.
    pub(in crate::daemon) fn forget(&mut self, infohash: &Infohash) -> bool {
        let id = infohash.wire_id();
        self.next.remove(&id);
        let Some((name, key)) = self.places.remove(&id) else {
            return false;
        };
        let source = self.source(name);
        if name.is_stored() {
            source.rows = source.rows.saturating_sub(1);
        }
        let waited = source.lane().and_then(|lane| lane.remove(&key)).is_some();
        if !self.in_work.contains_key(&id) {
            self.results.remove(&id);
        }
        waited
    }

    pub(in crate::daemon) fn standing(&self, infohash: &Infohash) -> Option<Standing> {
        let id = infohash.wire_id();
        if let Some(InWork { source, .. }) = self.in_work.get(&id) {
            return Some(Standing::InWork { source: *source });
        }
        let (source, _) = self.places.get(&id)?;
        Some(Standing::Queued { source: *source })
    }
}

/// As the DHT has a v2 hash.
fn wire_id_of_v2(v2: &[u8; 32]) -> Id {
    Infohash::V2(*v2).wire_id()
}

/// Adds the trackers and peers of `other`, as many as are kept.
fn add_named(wanted: &mut Wanted, other: Wanted) {
    for peer in other.peers {
        if wanted.peers.len() < NAMED && !wanted.peers.contains(&peer) {
            wanted.peers.push(peer);
        }
    }
    for tracker in other.trackers {
        if wanted.trackers.len() < NAMED && !wanted.trackers.contains(&tracker) {
            wanted.trackers.push(tracker);
        }
    }
}
