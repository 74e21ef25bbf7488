//! Watched directories as a source.
//!
//! A file is taken in once it does not grow any more, and renamed only after its hashes are durable: what
//! happens to this process costs no hash, and at worst a file is taken in twice. One that looks like a part
//! waits until its writer has closed it or was silent for a minute; one that is written to after it was
//! renamed is taken in once more. Whoever may write into the
//! directory may write anything: only regular files are opened, lines and torrents have bounds, and files
//! that make no sense are put aside.
//!
//! | file | what lives there |
//! |---|---|
//! | `found` | which files are there and ready |
//! | `take` | what is in a file |
//! | `put_aside` | the name of a file after that |

mod found;
mod put_aside;
mod take;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use self::found::{Found, Kind, Stamp, is_older, look};
use self::put_aside::PutAside;
use self::take::{Taken, take_in};
use crate::daemon::service::{Condition, Service};
use crate::daemon::source::SourceName;

/// How long a file must have been as it is, and how soon one that changes is looked at again.
const SETTLED: Duration = Duration::from_secs(1);
/// How many files are known of each kind.
const KNOWN: usize = 10_000;
/// How long a file that was taken in is looked at, lest somebody writes to it still.
const ASIDE: Duration = Duration::from_secs(60 * 60);

/// Looks through the directories until the service stops.
pub(in crate::daemon) async fn run(service: Service) {
    let mut configs = service.configs();
    let mut watch = Watch::default();
    let mut known = Known::default();
    let problem = Condition::default();
    loop {
        let (directories, rescan) = {
            let config = configs.borrow_and_update();
            (config.sources.directories.clone(), config.sources.rescan)
        };
        watch.set(&directories, &known.closed);
        let is_fed = service
            .queue()
            .look(|state| state.is_fed(SourceName::Directory));
        let mut wait = rescan;
        if is_fed && !directories.is_empty() {
            let mut looked = all(&service, &directories, &mut known).await;
            again(&service, &mut known, &mut looked).await;
            if looked.is_soon {
                wait = SETTLED;
            }
            tell(&service, &problem, looked.problem);
        } else if !is_fed {
            // Whoever resumes it need not wait.
            wait = SETTLED;
        }
        tokio::select! {
            () = service.stopped() => return,
            changed = configs.changed() => if changed.is_err() { return },
            // Files are often written in several steps.
            () = watch.changed() => sleep(Duration::from_millis(200)).await,
            () = sleep(wait) => {}
        }
    }
}

fn tell(service: &Service, condition: &Condition, problem: Option<String>) {
    match &problem {
        Some(problem) if condition.begins() => tracing::warn!("watched directories: {problem}"),
        None => {
            condition.ends();
        }
        Some(_) => {}
    }
    service
        .queue()
        .change(|state| state.set_problem(SourceName::Directory, problem));
}

/// What came of looking through all directories.
#[derive(Debug, Default)]
struct Looked {
    /// Whether it is worth looking again soon.
    is_soon: bool,
    problem: Option<String>,
}

/// Files that need not be looked at again as they are.
#[derive(Debug, Default)]
struct Known {
    /// When they were last seen as they are, of those that may still be written to.
    growing: HashMap<PathBuf, Stamp>,
    /// Taken in or passed over, and still there.
    done: HashMap<PathBuf, Stamp>,
    /// They may be parts, or can't be read for this reason.
    put_off: HashMap<PathBuf, (Stamp, Option<String>)>,
    /// Taken in and renamed, by their new names.
    aside: HashMap<PathBuf, (Stamp, Kind)>,
    closed: Closed,
}

impl Known {
    fn put_off(&mut self, file: Found, why: Option<String>) {
        if self.put_off.len() < KNOWN {
            self.put_off.insert(file.path, (file.stamp.seen_now(), why));
        }
    }
}

/// Files that were closed by who wrote to them, or moved here, and not written to since.
#[derive(Clone, Debug, Default)]
struct Closed(Arc<Mutex<HashSet<PathBuf>>>);

impl Closed {
    fn has(&self, path: &Path) -> bool {
        std::path::absolute(path).is_ok_and(|path| self.paths().contains(&path))
    }

    fn paths(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the system tells of; whether that may be a change of a file.
    fn told(&self, event: &notify::Event) -> bool {
        use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
        let is_closed = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => true,
            // That a file was read is no change.
            EventKind::Access(_) => return false,
            _ => false,
        };
        let mut closed = self.paths();
        for path in &event.paths {
            closed.remove(path);
        }
        if is_closed
            && closed.len() < KNOWN
            && let Some(path) = event.paths.last()
            && Kind::of(path).is_some()
        {
            closed.insert(path.clone());
        }
        true
    }
}

async fn all(service: &Service, directories: &[PathBuf], known: &mut Known) -> Looked {
    let mut looked = Looked::default();
    for directory in directories {
        let (path, before) = (directory.clone(), std::mem::take(known));
        let found = tokio::task::spawn_blocking(move || look(&path, before, SETTLED)).await;
        let Ok((files, after)) = found else { continue };
        *known = after;
        let files = match files {
            Ok(files) => files,
            Err(error) => {
                let what = format!("{} can't be read: {error}", directory.display());
                looked.problem.get_or_insert(what);
                continue;
            }
        };
        looked.is_soon |= files.is_soon;
        looked.problem = looked.problem.take().or(files.problem);
        for path in files.ready {
            if service.inner().stop.is_cancelled() {
                return looked;
            }
            one(service, path, known, &mut looked).await;
        }
    }
    looked
}

async fn one(service: &Service, file: Found, known: &mut Known, looked: &mut Looked) {
    let taken = take_in(service, &file).await;
    let shown = file.path.display().to_string();
    let (suffix, why) = match taken {
        Taken::All { hashes, wrong: 0 } => {
            tracing::info!("{shown} was taken in: {hashes} hashes");
            ("done", None)
        }
        Taken::All { hashes, wrong } => {
            tracing::warn!(
                "{shown} was taken in: {hashes} hashes; {wrong} lines are neither magnets nor infohashes"
            );
            ("done", None)
        }
        // The rest of it may still come.
        Taken::Nothing(_) if !file.is_closed => {
            looked.is_soon = true;
            return known.put_off(file, None);
        }
        Taken::Nothing(why) => ("failed", Some(why)),
        Taken::Unreadable(why) => {
            let what = format!("{shown} waits: {why}");
            looked.problem.get_or_insert(what);
            return known.put_off(file, Some(why));
        }
        Taken::Later(why) => {
            looked.is_soon |= why.is_none();
            if let Some(why) = why {
                looked
                    .problem
                    .get_or_insert(format!("{shown} waits: {why}"));
            }
            return;
        }
    };
    if let Some(why) = why {
        tracing::warn!("{shown} is passed over: {why}");
    }
    let (path, stamp) = (file.path.clone(), file.stamp);
    let renamed =
        tokio::task::spawn_blocking(move || put_aside::rename(&path, stamp, suffix)).await;
    known.put_off.remove(&file.path);
    match renamed {
        Ok(Ok(PutAside::To(path))) => {
            if known.aside.len() < KNOWN {
                known.aside.insert(path, (file.stamp, file.kind));
            }
        }
        Ok(Ok(PutAside::Gone)) | Err(_) => {}
        // It was written to meanwhile.
        Ok(Ok(PutAside::Changed)) => looked.is_soon = true,
        Ok(Err(error)) => {
            if known.done.len() >= KNOWN {
                known.done.clear();
            }
            known.done.insert(file.path, file.stamp);
            let what =
                format!("{shown} can't be renamed, and is taken in again after a restart: {error}");
            looked.problem.get_or_insert(what);
        }
    }
}

/// Takes files in once more that were written to after they were renamed, by somebody who had them open.
async fn again(service: &Service, known: &mut Known, looked: &mut Looked) {
    let aside = std::mem::take(&mut known.aside);
    let changed = tokio::task::spawn_blocking(move || {
        let (mut changed, mut same) = (Vec::new(), HashMap::new());
        let mut is_soon = false;
        for (path, (before, kind)) in aside {
            let Ok(metadata) = std::fs::symlink_metadata(&path) else {
                continue;
            };
            let now = Stamp::of(&metadata);
            if now.has_changed(&before) {
                if is_older(&metadata, SETTLED * 2) {
                    changed.push((path, now, kind));
                } else {
                    is_soon = true;
                    same.insert(path, (before, kind));
                }
            } else if now.is_same(&before) && before.seen.elapsed() < ASIDE {
                same.insert(path, (before, kind));
            }
        }
        (changed, same, is_soon)
    });
    let Ok((changed, same, is_soon)) = changed.await else {
        return;
    };
    known.aside = same;
    looked.is_soon |= is_soon;
    for (path, stamp, kind) in changed {
        let shown = path.display().to_string();
        let found = Found {
            path: path.clone(),
            kind,
            stamp,
            is_closed: false,
        };
        let before = match take_in(service, &found).await {
            Taken::All { hashes, .. } => {
                tracing::warn!(
                    "{shown} was written to after it was renamed, and taken in once more: {hashes} hashes"
                );
                stamp
            }
            Taken::Nothing(_) => stamp,
            Taken::Later(why) => {
                let what = why.map(|why| format!("{shown} waits: {why}"));
                looked.problem = looked.problem.take().or(what);
                Stamp::none(&stamp)
            }
            Taken::Unreadable(why) => {
                tracing::warn!("{shown} was written to after it was renamed, and {why}");
                continue;
            }
        };
        known.aside.insert(path, (before, kind));
    }
}

/// The system tells when something changes in the directories. Where it can't, they are only looked through
/// now and then.
#[derive(Default)]
struct Watch {
    watcher: Option<notify::RecommendedWatcher>,
    directories: Vec<PathBuf>,
    told: Arc<Notify>,
}

impl Watch {
    fn set(&mut self, directories: &[PathBuf], closed: &Closed) {
        if self.directories == directories && (self.watcher.is_some() || directories.is_empty()) {
            return;
        }
        self.directories = directories.to_vec();
        let told = Arc::clone(&self.told);
        let closed = closed.clone();
        let changed = move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| closed.told(&event)) {
                told.notify_one();
            }
        };
        self.watcher = notify::recommended_watcher(changed).ok();
        for directory in directories {
            let Some(watcher) = &mut self.watcher else {
                return;
            };
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                tracing::debug!(%error, "{} is looked through now and then", directory.display());
            }
        }
    }

    async fn changed(&self) {
        self.told.notified().await;
        // What else is told by then is the same change.
        let _ = timeout(Duration::from_millis(1), self.told.notified()).await;
    }
}
