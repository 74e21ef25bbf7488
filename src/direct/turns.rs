//! Whose turn it is to dial: a hash's first peers before another hash's tenth.
//!
//! Turns go by the time of asking, to which each connection request that a hash has begun already adds a while.
//! Thus a hash that is new does not wait behind hundreds of others that go through long lists of dead addresses;
//! and who has waited for longer than that goes before all who come after it, so that nobody waits for ever.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// What each request of a hash before this one adds.
const EACH: Duration = Duration::from_millis(250);
/// How many are counted at the most.
const MOST: u32 = 8;

/// One at a time.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    taken: bool,
    /// By when they are due, and then by when they came.
    waiting: BTreeMap<Place, oneshot::Sender<()>>,
    came: u64,
}

type Place = (Instant, u64);

/// It is somebody's turn, until this is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Turns);

/// Somebody waits. Where that ends early, what it had come to is passed on.
struct Waits<'a> {
    turns: &'a Turns,
    place: Option<Place>,
    /// It outlives what is done where this is dropped: who is told meanwhile has the turn, and passes it on.
    come: oneshot::Receiver<()>,
}

impl Turns {
    /// Waits for the turn of a hash that has begun so many requests before.
    pub(super) async fn turn(&self, before: u32) -> Turn<'_> {
        let (place, come) = {
            let mut state = self.lock();
            if !state.taken {
                state.taken = true;
                return Turn(self);
            }
            state.came = state.came.wrapping_add(1);
            let due = Instant::now() + EACH.saturating_mul(before.min(MOST));
            let place = (due, state.came);
            let (told, come) = oneshot::channel();
            state.waiting.insert(place, told);
            (place, come)
        };
        let mut waits = Waits {
            turns: self,
            place: Some(place),
            come,
        };
        // Nobody who waits is forgotten: what tells it is dropped no earlier than it is told.
        let _ = (&mut waits.come).await;
        waits.place = None;
        Turn(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass_on(&self) {
        let mut state = self.lock();
        while let Some((_, told)) = state.waiting.pop_first() {
            if told.send(()).is_ok() {
                return;
            }
        }
        state.taken = false;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.pass_on();
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place else {
            return;
        };
        let was_waiting = self.turns.lock().waiting.remove(&place).is_some();
        if !was_waiting {
            self.turns.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_peers_of_a_hash_go_before_the_tenth_of_another() {
        let turns = Turns::default();
        let holds = turns.turn(0).await;
        let mut tenth = Box::pin(turns.turn(9));
        assert!((&mut tenth).now_or_never().is_none());
        let mut first = Box::pin(turns.turn(0));
        assert!((&mut first).now_or_never().is_none());
        drop(holds);
        assert!((&mut tenth).now_or_never().is_none());
        let first = first.now_or_never();
        assert!(first.is_some());
        drop(first);
        assert!(tenth.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let turns = Turns::default();
        let holds = turns.turn(0).await;
        let mut twentieth = Box::pin(turns.turn(19));
        assert!((&mut twentieth).now_or_never().is_none());
        tokio::time::advance(EACH * (MOST + 1)).await;
        let mut first = Box::pin(turns.turn(0));
        assert!((&mut first).now_or_never().is_none());
        drop(holds);
        assert!(twentieth.now_or_never().is_some());
        assert!(first.now_or_never().is_some());
        assert!(!turns.lock().taken);
    }

    #[tokio::test]
    async fn who_waits_no_more_is_not_waited_for() {
        let turns = Turns::default();
        let holds = turns.turn(0).await;
        let [mut one, mut two, mut three] = [0, 1, 2].map(|before| Box::pin(turns.turn(before)));
        for waits in [&mut one, &mut two, &mut three] {
            assert!(waits.now_or_never().is_none());
        }
        drop(one);
        drop(holds);
        // It is the turn of this one, which does not know yet.
        drop(two);
        assert!(three.now_or_never().is_some());
        assert!(turns.turn(5).now_or_never().is_some());
    }
}
