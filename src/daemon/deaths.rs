//! What is in work, noted in a file beside the store, so that the next process learns what this one was at
//! when it died: a hash that crashes the service must not be the first one again for ever.
//!
//! The file has lines of [`LINE`] bytes. The first one says whether the process was told to end, and which
//! boot of the system it ran in; each other one has a hash, whether it is in work, in how many deaths in a
//! row it was, and when the last one was. Lines are written in place, and not synced: that the process dies
//! costs nothing of what it wrote, and where the system dies, no hash is to blame.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;

use super::service::now_ms;

/// A hash as the DHT has it.
pub(super) type Id = [u8; 20];

/// In how many deaths in a row a hash was, by its hash.
pub(super) type Suspects = HashMap<Id, u8>;

/// A hash that was in work in so many deaths in a row is not tried again for a while.
pub(super) const TOO_MANY: u8 = 3;

/// Bytes of a line.
const LINE: usize = 64;
/// Lines that are read.
const MOST: u64 = 100_000;
/// How a file of this kind begins.
const MAGIC: &str = "metafetch in-work 1";
/// For how long a hash is suspected that does not come into work.
const SUSPECTED: Duration = Duration::from_secs(7 * 24 * 3600);

/// The file. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Deaths(Option<Arc<Mutex<Notes>>>);

#[derive(Debug)]
struct Notes {
    file: File,
    lines: HashMap<Id, Line>,
    /// Lines that have no hash.
    free: Vec<u64>,
    next: u64,
    cannot_write: bool,
}

/// A hash that is in work or suspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    at: u64,
    /// How many work on it.
    works: u32,
    deaths: u8,
    /// In UTC unix seconds.
    died_at: i64,
}

impl Deaths {
    /// Reads what the last process has left in this file. What was in work when it died is suspected, once
    /// more where it was before.
    pub(super) fn open(path: &Path) -> (Self, Suspects) {
        let read = read(path, &boot(), now_ms().div_euclid(1000));
        let notes = read.and_then(|before| Notes::begin(path, before));
        match notes {
            Ok(notes) => {
                let lines = notes.lines.iter();
                let suspects: Suspects = lines.map(|(id, line)| (*id, line.deaths)).collect();
                (Self(Some(Arc::new(Mutex::new(notes)))), suspects)
            }
            Err(error) => {
                tracing::warn!(
                    "{} can't be read and written, so that a hash that crashes the service is not found out: {error}",
                    path.display()
                );
                (Self::default(), Suspects::new())
            }
        }
    }

    /// This hash is in work now.
    pub(super) fn begins(&self, id: Id) {
        if let Some(mut notes) = self.notes() {
            notes.begins(id);
        }
    }

    /// This hash is not in work any more. Where that says what came of it, it is not suspected any more.
    pub(super) fn ends(&self, id: Id, has_ended: bool) {
        if let Some(mut notes) = self.notes() {
            notes.ends(id, has_ended);
        }
    }

    /// The process was told to end: whatever happens now, what is in work is not to blame.
    pub(super) fn is_told_to_end(&self) {
        if let Some(mut notes) = self.notes() {
            let head = head(true, &boot());
            notes.write(0, &head);
        }
    }

    fn notes(&self) -> Option<MutexGuard<'_, Notes>> {
        let notes = self.0.as_ref()?;
        Some(notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Notes {
    /// Begins the file anew, with what is known from before.
    fn begin(path: &Path, before: HashMap<Id, Line>) -> io::Result<Self> {
        // Whole, or as it was.
        let part = path.with_extension("in-work.part");
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true);
        let mut notes = Self {
            file: options.open(&part)?,
            lines: HashMap::new(),
            free: Vec::new(),
            next: 1,
            cannot_write: false,
        };
        notes.file.write_all_at(&head(false, &boot()), 0)?;
        for (id, line) in before {
            let line = Line {
                at: notes.next,
                ..line
            };
            notes.file.write_all_at(&line.text(&id), line.offset())?;
            notes.lines.insert(id, line);
            notes.next += 1;
        }
        std::fs::rename(part, path)?;
        Ok(notes)
    }

    fn begins(&mut self, id: Id) {
        let known = self.lines.get(&id).copied();
        let mut line = known.unwrap_or_else(|| Line {
            at: self.free.pop().unwrap_or_else(|| {
                let at = self.next;
                self.next += 1;
                at
            }),
            works: 0,
            deaths: 0,
            died_at: 0,
        });
        line.works = line.works.saturating_add(1);
        self.lines.insert(id, line);
        if line.works == 1 {
            self.write(line.at, &line.text(&id));
        }
    }

    fn ends(&mut self, id: Id, has_ended: bool) {
        let Some(mut line) = self.lines.remove(&id) else {
            return;
        };
        line.works = line.works.saturating_sub(1);
        if has_ended {
            line.deaths = 0;
        }
        if line.works == 0 && line.deaths == 0 {
            self.free.push(line.at);
            return self.write(line.at, &blank());
        }
        self.lines.insert(id, line);
        self.write(line.at, &line.text(&id));
    }

    fn write(&mut self, at: u64, line: &[u8; LINE]) {
        if self.cannot_write {
            return;
        }
        if let Err(error) = self.file.write_all_at(line, offset(at)) {
            // Notes of which some are old would blame hashes that were not in work. Room can be given back
            // also where there is none.
            self.cannot_write = true;
            let emptied = self.file.set_len(0);
            tracing::warn!(
                "what is in work can't be noted any more, so that a hash that crashes the service is not found out \
                 before a restart: {error}{}",
                emptied
                    .err()
                    .map(|error| format!("; {error}"))
                    .unwrap_or_default()
            );
        }
    }
}

impl Line {
    fn offset(&self) -> u64 {
        offset(self.at)
    }

    fn text(&self, id: &Id) -> [u8; LINE] {
        let state = if self.works > 0 { "work" } else { "rest" };
        line(&format!(
            "{} {state} {} {}",
            HEXLOWER.encode(id),
            self.deaths,
            self.died_at
        ))
    }

    fn parse(text: &str) -> Option<(Id, Self)> {
        let mut words = text.split_ascii_whitespace();
        let id = HEXLOWER.decode(words.next()?.as_bytes()).ok()?;
        let is_in_work = words.next()? == "work";
        let line = Self {
            at: 0,
            works: u32::from(is_in_work),
            deaths: words.next()?.parse().ok()?,
            died_at: words.next()?.parse().ok()?,
        };
        Some((id.try_into().ok()?, line))
    }
}

fn offset(at: u64) -> u64 {
    at.saturating_mul(LINE as u64)
}

fn head(is_told_to_end: bool, boot: &str) -> [u8; LINE] {
    let state = if is_told_to_end { "ends" } else { "runs" };
    line(&format!("{MAGIC} {state} {boot}"))
}

fn blank() -> [u8; LINE] {
    line("")
}

fn line(text: &str) -> [u8; LINE] {
    let mut line = [b' '; LINE];
    for (to, from) in line.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    if let Some(last) = line.last_mut() {
        *last = b'\n';
    }
    line
}

/// Which boot of the system this is, in 36 characters; empty where the system does not say.
fn boot() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let boot = boot.unwrap_or_default();
    boot.trim().chars().take(36).collect()
}

/// What the last process has left, and whom its death makes suspected. A file that is none of these, or was
/// damaged, has no suspects.
fn read(path: &Path, boot: &str, now: i64) -> io::Result<HashMap<Id, Line>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => {
            file.take(offset(MOST)).read_to_end(&mut bytes)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let (lines, _) = bytes.as_chunks::<LINE>();
    let mut lines = lines.iter().map(|line| std::str::from_utf8(line));
    let first = lines.next().and_then(Result::ok).unwrap_or_default();
    let has_died = first.trim_end() == head_text(boot);
    if !first.starts_with(MAGIC) {
        return Ok(HashMap::new());
    }
    let lines = lines.filter_map(|text| Line::parse(text.ok()?));
    let suspects = lines.map(|(id, mut line)| {
        if has_died && line.works > 0 {
            line.deaths = line.deaths.saturating_add(1).min(TOO_MANY);
            line.died_at = now;
        }
        line.works = 0;
        (id, line)
    });
    let oldest = now.saturating_sub_unsigned(SUSPECTED.as_secs());
    Ok(suspects
        .filter(|(_, line)| line.deaths > 0 && line.died_at >= oldest)
        .collect())
}

/// As a process of this boot begins its file that was not told to end.
fn head_text(boot: &str) -> String {
    format!("{MAGIC} runs {boot}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Id = [1; 20];
    const B: Id = [2; 20];

    fn suspects(path: &Path) -> Vec<(Id, u8)> {
        let mut suspects: Vec<_> = Deaths::open(path).1.into_iter().collect();
        suspects.sort_unstable();
        suspects
    }

    #[test]
    fn what_was_in_work_at_a_death_is_suspected_until_it_comes_to_an_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db.in-work");
        let (deaths, none) = Deaths::open(&path);
        assert!(none.is_empty());
        for id in [A, B, [3; 20]] {
            deaths.begins(id);
        }
        deaths.ends([3; 20], true);
        let (deaths, found) = Deaths::open(&path);
        assert_eq!(found, Suspects::from([(A, 1), (B, 1)]));
        // One has its answer, the other was put back.
        deaths.begins(A);
        deaths.ends(A, true);
        deaths.begins(B);
        deaths.ends(B, false);
        assert_eq!(suspects(&path), [(B, 1)]);
        for number in 2..5 {
            Deaths::open(&path).0.begins(B);
            assert_eq!(suspects(&path), [(B, TOO_MANY.min(number))]);
        }
    }

    #[test]
    fn nobody_is_to_blame_who_was_in_work_when_the_process_was_told_to_end_or_the_system_died() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db.in-work");
        let (deaths, _) = Deaths::open(&path);
        deaths.begins(A);
        deaths.is_told_to_end();
        assert_eq!(suspects(&path), []);
        Deaths::open(&path).0.begins(A);
        assert!(read(&path, "another", 1).unwrap().is_empty());
        // Long ago.
        let week = i64::try_from(SUSPECTED.as_secs()).unwrap();
        let now = now_ms().div_euclid(1000);
        assert_eq!(suspects(&path), [(A, 1)]);
        assert!(read(&path, &boot(), now + 2 * week).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_is_damaged_has_no_suspects() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db.in-work");
        for bytes in [&b""[..], b"x", &[0; 1000], &[0xff; 64 * 9]] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(suspects(&path), []);
        }
        std::fs::remove_file(&path).unwrap();
        Deaths::open(&path).0.begins(A);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend([0xff; 3 * LINE]);
        bytes.extend(b"half a line");
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(suspects(&path), [(A, 1)]);
        let (deaths, _) = Deaths::open(&directory.path().join("none/x"));
        deaths.begins(A);
        deaths.ends(A, true);
    }
}
