//! Hashes that were in work when the process died: few of them are in work at a time, so that the next
//! death says more.

use super::Id;
use crate::daemon::deaths::{Suspects as Known, TOO_MANY};

/// How many that were in one death are in work at a time. One that was in more of them is the only one.
const FEW: usize = 8;

/// The suspects.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    known: Known,
    /// In work, of those that were in one death.
    once: usize,
    /// The same of those that were in more.
    again: usize,
}

impl Suspects {
    pub(super) fn new(known: Known) -> Self {
        Self {
            known,
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether it was in so many deaths that it is not tried.
    pub(super) fn is_given_up(&self, id: &Id) -> bool {
        self.known.get(id).is_some_and(|deaths| *deaths >= TOO_MANY)
    }

    pub(super) fn may_begin(&self, id: &Id) -> bool {
        match self.known.get(id) {
            None => true,
            Some(deaths) if *deaths >= TOO_MANY => true,
            Some(1) => self.again == 0 && self.once < FEW,
            Some(_) => self.again == 0 && self.once == 0,
        }
    }

    pub(super) fn begins(&mut self, id: &Id) {
        if let Some(count) = self.count(id) {
            *count += 1;
        }
    }

    /// It is not in work any more. Where that says what came of it, nobody suspects it any more.
    pub(super) fn ends(&mut self, id: &Id, has_ended: bool) {
        if let Some(count) = self.count(id) {
            *count = count.saturating_sub(1);
        }
        if has_ended {
            self.known.remove(id);
        }
    }

    fn count(&mut self, id: &Id) -> Option<&mut usize> {
        match self.known.get(id)? {
            1 => Some(&mut self.once),
            _ => Some(&mut self.again),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_suspects_are_in_work_at_a_time_and_those_of_two_deaths_alone() {
        let once = (0..20).map(|number| ([number; 20], 1));
        let mut suspects = Suspects::new(once.chain([([20; 20], 2), ([21; 20], 2)]).collect());
        let begin = |suspects: &mut Suspects| {
            let may: Vec<Id> = (0..23)
                .map(|number| [number; 20])
                .filter(|id| {
                    let may = suspects.may_begin(id);
                    if may {
                        suspects.begins(id);
                    }
                    may
                })
                .collect();
            may
        };
        let first = begin(&mut suspects);
        assert_eq!(first.len(), FEW + 1, "and who is not suspected");
        for id in &first {
            suspects.ends(id, true);
        }
        assert!(suspects.may_begin(&[20; 20]), "nobody else is in work");
        suspects.begins(&[20; 20]);
        assert!(!suspects.may_begin(&[19; 20]) && !suspects.may_begin(&[21; 20]));
        // Put back, it is suspected still.
        suspects.ends(&[20; 20], false);
        assert!(suspects.may_begin(&[21; 20]) && suspects.len() == 14);
    }
}
