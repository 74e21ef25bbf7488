//! The hashes of one source that wait: those that come first in memory, the rest in the store.
//!
//! The rows of [`Store::wanted`](crate::store::Store::wanted) have an order: by priority, then by age. All
//! rows up to [`Lane::rest`] that are not in work are in memory, and nothing behind it needs to be. Where
//! that can't be told any more, the lane begins anew: it forgets what is in memory, and reads from the
//! first row.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::{RequestId, Wanted};
use crate::store::WantedTorrent;
use crate::torrent::Infohash;

/// How many hashes may wait in memory before those that come later are left to the store.
const MOST: usize = 1024;
/// With fewer than this, the next rows are read.
const FEW: usize = 256;
/// Rows that are read at a time.
pub(super) const PAGE: u32 = 512;
/// How long a hash waits of which there is still no result that is stored: the store or the network was
/// away.
pub(super) const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The place of a hash in its lane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    priority: Reverse<i16>,
    requested_at_ms: i64,
    infohash: Vec<u8>,
}

impl Key {
    pub(super) fn new(infohash: &Infohash, priority: i16, requested_at_ms: i64) -> Self {
        Self {
            priority: Reverse(priority),
            requested_at_ms,
            infohash: infohash.as_bytes().to_vec(),
        }
    }

    fn of(row: &WantedTorrent) -> Self {
        Self::new(&row.infohash, row.priority, row.requested_at_ms)
    }

    pub(super) fn priority(&self) -> i16 {
        self.priority.0
    }
}

/// Where the rows begin that are not in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rest {
    /// There are none.
    Nothing,
    /// With the first row of all.
    All,
    /// Behind this one.
    Behind(Box<WantedTorrent>),
}

/// A page that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Rows behind this one; the first rows where there is none.
    pub(super) after: Option<WantedTorrent>,
    /// The beginning that it belongs to.
    epoch: u64,
}

/// What waits.
#[derive(Debug)]
pub(super) struct Lane {
    waiting: BTreeMap<Key, Wanted>,
    rest: Rest,
    /// A page is being read.
    is_reading: bool,
    /// How often it began anew: a page that was asked for before is of no use.
    epoch: u64,
    /// When it is to begin anew, since some of its rows are neither in memory nor in work.
    anew_at: Option<Instant>,
}

impl Lane {
    /// Of rows in the store.
    pub(super) fn stored() -> Self {
        Self {
            rest: Rest::All,
            ..Self::in_memory()
        }
    }

    /// Of what is in memory alone.
    pub(super) fn in_memory() -> Self {
        Self {
            waiting: BTreeMap::new(),
            rest: Rest::Nothing,
            is_reading: false,
            epoch: 0,
            anew_at: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Wanted> {
        self.waiting.get_mut(key)
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Wanted> {
        self.waiting.remove(key)
    }

    /// The next one to work on.
    pub(super) fn take(&mut self) -> Option<(Key, Wanted)> {
        self.waiting.pop_first()
    }

    /// The next one to work on of those that may begin.
    pub(super) fn take_first(&mut self, may_begin: impl Fn(&Wanted) -> bool) -> Option<Wanted> {
        let mut waiting = self.waiting.iter();
        let (key, _) = waiting.find(|(_, wanted)| may_begin(wanted))?;
        let key = key.clone();
        self.waiting.remove(&key)
    }

    /// Whether one waits that is so.
    pub(super) fn has(&self, is_so: impl Fn(&Wanted) -> bool) -> bool {
        self.waiting.values().any(is_so)
    }

    /// Puts a hash in that needs no row in the store.
    pub(super) fn put(&mut self, key: Key, wanted: Wanted) {
        self.waiting.insert(key, wanted);
    }

    /// Puts a hash in whose row is in the store under this key; `was_here` where it was in memory until
    /// now, and stays there. Gives back the keys that are not in memory any more where the lane begins
    /// anew.
    pub(super) fn add(&mut self, key: Key, wanted: Wanted, was_here: bool) -> Added {
        let comes_with_the_rest = match &self.rest {
            Rest::Nothing => self.waiting.len() >= MOST && self.is_last(&key),
            Rest::All => true,
            Rest::Behind(last) => key > Key::of(last),
        };
        // What is stored while a page is read may be missing in it.
        if comes_with_the_rest && !was_here && !self.is_reading {
            if self.rest == Rest::Nothing {
                self.read_behind_the_last();
            }
            return Added::Left;
        }
        self.waiting.insert(key, wanted);
        if self.waiting.len() > 2 * MOST {
            return Added::Anew(self.begin_anew());
        }
        Added::InMemory
    }

    fn is_last(&self, key: &Key) -> bool {
        self.waiting
            .last_key_value()
            .is_some_and(|(last, _)| key > last)
    }

    /// All that is in memory is followed by rows that are not.
    fn read_behind_the_last(&mut self) {
        let Some((key, wanted)) = self.waiting.last_key_value() else {
            self.rest = Rest::All;
            return;
        };
        self.rest = Rest::Behind(Box::new(WantedTorrent {
            infohash: wanted.infohash,
            source: String::new(),
            priority: key.priority(),
            trackers: Vec::new(),
            peers: Vec::new(),
            requested_at_ms: key.requested_at_ms,
        }));
    }

    /// Forgets what is in memory, and reads all rows again. What was in memory.
    pub(super) fn begin_anew(&mut self) -> Vec<Infohash> {
        self.epoch = self.epoch.wrapping_add(1);
        self.rest = Rest::All;
        self.is_reading = false;
        self.anew_at = None;
        let waiting = std::mem::take(&mut self.waiting);
        waiting
            .into_values()
            .map(|wanted| wanted.infohash)
            .collect()
    }

    /// A row of it is left in the store, and is to come again after a while.
    pub(super) fn comes_again(&mut self, now: Instant) {
        self.anew_at.get_or_insert(now + AGAIN_AFTER);
    }

    /// When it is to begin anew.
    pub(super) fn anew_at(&self) -> Option<Instant> {
        self.anew_at
    }

    /// The page that is to be read, where one is. So many that wait can't begin now, at the most.
    pub(super) fn page(&mut self, suspects: usize) -> Option<Page> {
        let few = FEW.saturating_add(suspects.min(MOST));
        if self.is_reading || self.waiting.len() >= few {
            return None;
        }
        let after = match &self.rest {
            Rest::Nothing => return None,
            Rest::All => None,
            Rest::Behind(last) => Some(last.as_ref().clone()),
        };
        self.is_reading = true;
        Some(Page {
            after,
            epoch: self.epoch,
        })
    }

    /// Takes in a page that was read; those rows that are to be put in by [`put`](Self::put).
    pub(super) fn read(&mut self, page: &Page, rows: Vec<WantedTorrent>) -> Vec<WantedTorrent> {
        if page.epoch != self.epoch {
            return Vec::new();
        }
        self.is_reading = false;
        let is_whole = u32::try_from(rows.len()).is_ok_and(|count| count >= PAGE);
        self.rest = match rows.last().filter(|_| is_whole) {
            Some(last) => Rest::Behind(Box::new(last.clone())),
            None => Rest::Nothing,
        };
        rows
    }

    /// A page could not be read: it is asked for again.
    pub(super) fn was_not_read(&mut self, page: &Page) {
        if page.epoch == self.epoch {
            self.is_reading = false;
        }
    }
}

/// What became of a hash that was added.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It waits in memory.
    InMemory,
    /// It comes with its page.
    Left,
    /// The lane begins anew, and these are not in memory any more.
    Anew(Vec<Infohash>),
}

impl From<&WantedTorrent> for Wanted {
    fn from(row: &WantedTorrent) -> Self {
        Self {
            trackers: row.trackers.clone(),
            peers: row.peers.clone(),
            id: Some(RequestId::of(&row.infohash, row.requested_at_ms)),
            ..Self::from(row.infohash)
        }
    }
}

/// A row as a place in a lane.
pub(super) fn entry(row: &WantedTorrent) -> (Key, Wanted) {
    (Key::of(row), Wanted::from(row))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use proptest::prelude::*;

    use super::*;

    fn hash(number: u32) -> Infohash {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Infohash::V1(bytes)
    }

    fn row(number: u32, priority: i16) -> WantedTorrent {
        WantedTorrent {
            infohash: hash(number),
            source: "api".to_owned(),
            priority,
            trackers: Vec::new(),
            peers: Vec::new(),
            requested_at_ms: i64::from(number),
        }
    }

    /// What a store would have, in its order.
    #[derive(Default)]
    struct Rows(BTreeMap<Key, WantedTorrent>);

    impl Rows {
        fn page(&self, page: &Page) -> Vec<WantedTorrent> {
            let after = page.after.as_ref().map(Key::of);
            let rows = self.0.iter();
            rows.filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after))
                .take(PAGE as usize)
                .map(|(_, row)| row.clone())
                .collect()
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Want(i16),
        /// Somebody else wants one of them, with this priority.
        Again(prop::sample::Index, i16),
        Take,
        AskPage,
        GotPage,
        Anew,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (-2..3_i16).prop_map(Step::Want),
            2 => (any::<prop::sample::Index>(), -2..5_i16).prop_map(|(which, priority)| Step::Again(which, priority)),
            4 => Just(Step::Take),
            2 => Just(Step::AskPage),
            2 => Just(Step::GotPage),
            1 => Just(Step::Anew),
        ];
        // Runs of the same step fill and empty the lane.
        prop::collection::vec((step, 1..400_usize), 1..40).prop_map(|runs| {
            let runs = runs.into_iter();
            runs.flat_map(|(step, times)| std::iter::repeat_n(step, times))
                .collect()
        })
    }

    /// Whether that hash waits, maybe at another place.
    fn waits(lane: &Lane, key: &Key) -> bool {
        let mut keys = lane.waiting.keys();
        lane.waiting.contains_key(key) || keys.any(|here| here.infohash == key.infohash)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_row_is_taken_whatever_comes_in_between(steps in steps()) {
            let (mut lane, mut rows) = (Lane::stored(), Rows::default());
            let (mut asked, mut number) = (None::<(Page, Vec<WantedTorrent>)>, 0_u32);
            let mut taken: HashSet<Vec<u8>> = HashSet::new();
            for step in steps {
                match step {
                    Step::Want(priority) => {
                        number += 1;
                        let row = row(number, priority);
                        let (key, wanted) = entry(&row);
                        rows.0.insert(key.clone(), row);
                        lane.add(key, wanted, false);
                    }
                    Step::Again(which, priority) => if !rows.0.is_empty() {
                        let (old, mut row) = {
                            let (key, row) = rows.0.iter().nth(which.index(rows.0.len())).unwrap();
                            (key.clone(), row.clone())
                        };
                        rows.0.remove(&old);
                        row.priority = row.priority.max(priority);
                        let (key, wanted) = entry(&row);
                        rows.0.insert(key.clone(), row);
                        let was_here = lane.remove(&old).is_some();
                        lane.add(key, wanted, was_here);
                    },
                    Step::Take => if let Some((key, _)) = lane.take() {
                        taken.insert(key.infohash.clone());
                        rows.0.remove(&key);
                    },
                    Step::AskPage => if asked.is_none() && let Some(page) = lane.page(0) {
                        let read = rows.page(&page);
                        asked = Some((page, read));
                    },
                    Step::GotPage => if let Some((page, read)) = asked.take() {
                        for row in lane.read(&page, read) {
                            let (key, wanted) = entry(&row);
                            if !taken.contains(&key.infohash) && !waits(&lane, &key) {
                                lane.put(key, wanted);
                            }
                        }
                    },
                    Step::Anew => { lane.begin_anew(); }
                }
                prop_assert!(lane.len() <= 2 * MOST + PAGE as usize);
            }
            if let Some((page, read)) = asked {
                for row in lane.read(&page, read) {
                    let (key, wanted) = entry(&row);
                    if !taken.contains(&key.infohash) && !waits(&lane, &key) {
                        lane.put(key, wanted);
                    }
                }
            }
            loop {
                while let Some((key, _)) = lane.take() {
                    rows.0.remove(&key);
                }
                let Some(page) = lane.page(0) else { break };
                let read = rows.page(&page);
                for row in lane.read(&page, read) {
                    let (key, wanted) = entry(&row);
                    lane.put(key, wanted);
                }
            }
            let left: BTreeSet<_> = rows.0.keys().collect();
            prop_assert!(left.is_empty(), "{left:?}");
        }
    }

    #[test]
    fn the_highest_priority_goes_first_then_the_oldest() {
        let mut lane = Lane::in_memory();
        for (number, priority) in [(3, 0), (1, 0), (2, 5), (4, -1)] {
            let (key, wanted) = entry(&row(number, priority));
            lane.put(key, wanted);
        }
        let order: Vec<_> = std::iter::from_fn(|| lane.take())
            .map(|(key, _)| key.requested_at_ms)
            .collect();
        assert_eq!(order, [2, 1, 3, 4]);
    }
}
