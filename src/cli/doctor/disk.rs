//! How much room there is where the store writes: the directory of a SQLite file, or that of the journals
//! of a database on a server.

use std::path::Path;

use rustix::fs::statvfs;

use super::Finding;
use crate::store::StoreUrl;
use crate::store::journal::file_beside;

/// Less than this is soon full: some 300,000 torrents.
const LITTLE: u64 = 1 << 30;
/// Less than this does not hold a journal of an outage.
const TOO_LITTLE: u64 = 256 << 20;

pub(super) fn check(url: &StoreUrl) -> Finding {
    let file = file_beside(url, "");
    let directory = file
        .ancestors()
        .skip(1)
        .find(|directory| directory.is_dir())
        .unwrap_or(Path::new("."));
    let shown = directory.display();
    match statvfs(directory) {
        Ok(disk) if disk.f_blocks == 0 => {
            Finding::ok("disk", format!("{shown} does not say its size"))
        }
        Ok(disk) => judge(
            &shown.to_string(),
            disk.f_bavail.saturating_mul(disk.f_frsize),
        ),
        Err(error) => Finding::warn("disk", format!("{shown}: {error}"), ""),
    }
}

fn judge(shown: &str, free: u64) -> Finding {
    let seen = format!("{} free in {shown}", indicatif::HumanBytes(free));
    let advice = "free some space, choose another --store, or keep the database small: \
                  `metafetch db prune --max-size`";
    if free < TOO_LITTLE {
        Finding::fail("disk", seen, advice)
    } else if free < LITTLE {
        Finding::warn("disk", seen, advice)
    } else {
        Finding::ok("disk", seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;

    #[test]
    fn a_full_disk_fails_before_it_is_full() {
        assert_eq!(judge("/", u64::MAX).verdict, Verdict::Ok);
        assert_eq!(judge("/", 500 << 20).verdict, Verdict::Warn);
        assert_eq!(judge("/", 1 << 20).verdict, Verdict::Fail);
    }

    #[test]
    fn the_directory_is_that_of_the_store() {
        let directory = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(directory.path().join("not/there/a.db"));
        let finding = check(&url);
        let shown = directory.path().display().to_string();
        assert!(finding.seen.contains(&shown), "{finding:?}");
    }
}
