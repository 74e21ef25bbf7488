//! Copies of the SQLite database, made while all goes on, of which the last ones are kept.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::sleep;

use super::service::{Condition, Service};
use crate::store::StoreUrl;

/// How the names of copies begin and end.
const NAME: (&str, &str) = ("metafetch-", ".db");
/// How long before it is tried again where a copy could not be made.
const AGAIN: Duration = Duration::from_secs(300);
/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_secs(10);

/// Makes copies as the configuration says, until the service stops.
pub(super) async fn run(service: Service, url: StoreUrl) {
    let StoreUrl::Sqlite(_) = url else {
        if service.config().daemon.backup_every.is_some() {
            tracing::warn!(
                "daemon.backup_every is for SQLite alone: use the tools of the database server"
            );
        }
        return service.stopped().await;
    };
    let failing = Condition::default();
    loop {
        let config = service.config();
        let keys = &config.daemon;
        let directory =
            (keys.backup_directory.clone()).unwrap_or_else(|| beside(service.store().directory()));
        let wait = match keys.backup_every {
            Some(every) if is_due(&directory, every) => {
                let turn = service.inner().copying.clone().lock_owned().await;
                match copy(&service, &directory, keys.backup_keep.into(), turn).await {
                    Ok(to) => {
                        failing.ends();
                        tracing::info!("the database was copied to {}", to.display());
                        LOOK
                    }
                    Err(error) => {
                        if failing.begins() {
                            tracing::error!(
                                "the database can't be copied to {}: {error}",
                                directory.display()
                            );
                        }
                        AGAIN
                    }
                }
            }
            _ => LOOK,
        };
        let stop = &service.inner().stop;
        if stop.run_until_cancelled(sleep(wait)).await.is_none() {
            return;
        }
    }
}

/// Where copies go that nobody has named a directory for: beside the database, in its directory.
pub(super) fn beside(directory: &Path) -> PathBuf {
    directory.join("backups")
}

/// Whether the last copy is older than that: those of earlier processes count.
fn is_due(directory: &Path, every: Duration) -> bool {
    let last = copies(directory).unwrap_or_default().pop();
    let modified = last.and_then(|path| path.metadata().ok()?.modified().ok());
    modified.is_none_or(|at| at.elapsed().is_ok_and(|age| age >= every))
}

/// Whose turn it is to copy: there is one copy at a time.
pub(super) type Turn = OwnedMutexGuard<()>;

/// Makes a copy, and deletes the oldest ones until `keep` are left. What has begun comes to its end, whether or not
/// somebody waits for it.
pub(super) async fn copy(
    service: &Service,
    directory: &Path,
    keep: usize,
    turn: Turn,
) -> Result<PathBuf, String> {
    let (service, directory) = (service.clone(), directory.to_owned());
    let copying = tokio::spawn(async move {
        std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        let to = new_name(&directory, jiff::Timestamp::now().as_second())
            .ok_or_else(|| "no name is left for a copy".to_owned())?;
        (service.backup(&to).await).map_err(|error| error.to_string())?;
        prune(&directory, keep).map_err(|error| format!("old copies can't be deleted: {error}"))?;
        drop(turn);
        Ok(to)
    });
    let cut_short = |_| Err("the service is stopping, or has a fault".to_owned());
    copying.await.unwrap_or_else(cut_short)
}

/// The name of a copy that is made now: by the second, or by the next one that no copy has.
fn new_name(directory: &Path, now: i64) -> Option<PathBuf> {
    let mut names = (now..now.saturating_add(100)).filter_map(|second| {
        let time = jiff::Timestamp::from_second(second).ok()?;
        let time = time.strftime("%Y%m%dT%H%M%SZ");
        Some(directory.join(format!("{}{time}{}", NAME.0, NAME.1)))
    });
    names.find(|path| !path.exists())
}

/// The copies, the oldest first.
fn copies(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut copies = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let time = (name.to_str()).and_then(|name| name.strip_prefix(NAME.0)?.strip_suffix(NAME.1));
        // Nothing else is ever deleted.
        let is_time = time.is_some_and(|time| {
            time.len() == 16
                && time
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || b"TZ".contains(&byte))
        });
        if is_time && entry.file_type()?.is_file() {
            copies.push(entry.path());
        }
    }
    copies.sort();
    Ok(copies)
}

fn prune(directory: &Path, keep: usize) -> io::Result<()> {
    let copies = copies(directory)?;
    let old = copies.len().saturating_sub(keep);
    for copy in copies.iter().take(old) {
        std::fs::remove_file(copy)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_one_second_have_names_of_their_own() {
        let directory = tempfile::tempdir().unwrap();
        let first = new_name(directory.path(), 1_767_225_600).unwrap();
        std::fs::write(&first, "x").unwrap();
        let second = new_name(directory.path(), 1_767_225_600).unwrap();
        std::fs::write(&second, "x").unwrap();
        assert_eq!(copies(directory.path()).unwrap(), [first, second]);
    }

    #[test]
    fn the_last_copies_are_kept_and_nothing_else_is_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let names = [
            "metafetch-20260101T000000Z.db",
            "metafetch-20260102T000000Z.db",
            "metafetch-20260103T000000Z.db",
            "metafetch-mine.db",
            "other.db",
        ];
        for name in names {
            std::fs::write(directory.path().join(name), "x").unwrap();
        }
        prune(directory.path(), 2).unwrap();
        let left = names.map(|name| directory.path().join(name).exists());
        assert_eq!(left, [false, true, true, true, true]);
        assert!(!is_due(directory.path(), Duration::from_secs(60)));
        assert!(is_due(directory.path(), Duration::ZERO));
        assert!(is_due(
            &directory.path().join("none"),
            Duration::from_secs(60)
        ));
    }
}
