//! The rows of the queue in the store: those that come into memory, and those that go.

use std::collections::HashSet;

use tokio::time::Instant;

use super::super::lane::{Lane, Page, entry};
use super::super::source::SourceName;
use super::State;
use super::source::Waiting;
use crate::store::WantedTorrent;
use crate::torrent::Infohash;

impl State {
    /// Lets the rows of these hashes stay: they are wanted again. Those that were to go.
    pub(in crate::daemon) fn keep_rows(
        &mut self,
        rows: &[WantedTorrent],
    ) -> Vec<(Infohash, SourceName)> {
        let mut kept = Vec::new();
        for row in rows {
            if let Some(name) = self.removing.remove(&row.infohash.wire_id()) {
                let rows = &mut self.source(name).rows;
                *rows = rows.saturating_add(1);
                kept.push((row.infohash, name));
            }
        }
        kept
    }

    /// Rows could not be written: those that were kept for that go all the same, and what was written
    /// nevertheless is read.
    pub(in crate::daemon) fn not_written(
        &mut self,
        kept: Vec<(Infohash, SourceName)>,
        sources: impl IntoIterator<Item = SourceName>,
        now: Instant,
    ) {
        for (infohash, name) in kept {
            self.remove_row(infohash, name);
        }
        for name in sources {
            if let Some(lane) = self.source(name).lane() {
                lane.comes_again(now);
            }
        }
    }

    pub(super) fn remove_row(&mut self, infohash: Infohash, source: SourceName) {
        let rows = &mut self.source(source).rows;
        *rows = rows.saturating_sub(1);
        self.to_remove.push(infohash);
        self.removing.insert(infohash.wire_id(), source);
    }

    /// The pages to read.
    pub(in crate::daemon) fn pages(&mut self, now: Instant) -> Vec<(SourceName, Page)> {
        let mut pages = Vec::new();
        for name in SourceName::ALL {
            if !name.is_stored() {
                continue;
            }
            let lane = self.source(name).lane();
            let is_due = |lane: &Lane| lane.anew_at().is_some_and(|at| at <= now);
            let gone = lane.filter(|lane| is_due(lane)).map(Lane::begin_anew);
            self.left_memory(&gone.unwrap_or_default());
            let suspects = self.suspects.len();
            let lane = self.source(name).lane();
            if let Some(page) = lane.and_then(|lane| lane.page(suspects)) {
                pages.push((name, page));
            }
        }
        pages
    }

    /// When a lane is to begin anew.
    pub(in crate::daemon) fn anew_at(&self) -> Option<Instant> {
        let lanes = self
            .sources
            .iter()
            .filter_map(|source| match &source.waiting {
                Waiting::Lane(lane) => lane.anew_at(),
                Waiting::Crawl(_) => None,
            });
        lanes.min()
    }

    /// Takes in a page that was read; `None` where it could not be.
    pub(in crate::daemon) fn read(
        &mut self,
        name: SourceName,
        page: &Page,
        rows: Option<Vec<WantedTorrent>>,
    ) {
        let Some(lane) = self.source(name).lane() else {
            return;
        };
        let Some(rows) = rows else {
            lane.was_not_read(page);
            return;
        };
        for row in lane.read(page, rows) {
            let (key, wanted) = entry(&row);
            let id = wanted.infohash.wire_id();
            // One that is in work for the crawl alone is not answered by what the crawl makes of it.
            let is_known = self.places.contains_key(&id)
                || self.is_stored_in_work(&id)
                || self.removing.contains_key(&id);
            if is_known {
                continue;
            }
            if let Some(lane) = self.source(name).lane() {
                lane.put(key.clone(), wanted);
                self.places.insert(id, (name, key));
            }
        }
    }

    pub(in crate::daemon) fn has_to_remove(&self) -> bool {
        !self.to_remove.is_empty()
    }

    /// Up to `most` rows to remove.
    pub(in crate::daemon) fn take_to_remove(&mut self, most: usize) -> Vec<Infohash> {
        let (mut remove, mut taken) = (Vec::new(), HashSet::new());
        while remove.len() < most
            && let Some(infohash) = self.to_remove.pop()
        {
            let id = infohash.wire_id();
            // One that was asked for anew meanwhile stays; one that was so twice is here twice.
            if self.removing.contains_key(&id) && taken.insert(id) {
                remove.push(infohash);
            }
        }
        remove
    }

    /// These rows are gone, or could not be removed and are to be removed later.
    pub(in crate::daemon) fn removed(&mut self, infohashes: &[Infohash], are_gone: bool) {
        for infohash in infohashes {
            if are_gone {
                self.removing.remove(&infohash.wire_id());
            } else {
                self.to_remove.push(*infohash);
            }
        }
    }
}
