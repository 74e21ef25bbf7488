//! How much room there is where the store writes.

use super::Finding;
use crate::store::StoreUrl;
use crate::store::disk::{self, LITTLE, TOO_LITTLE};

pub(super) fn check(url: &StoreUrl) -> Finding {
    let directory = disk::directory(url);
    let shown = directory.display();
    match disk::free(&directory) {
        Ok(None) => Finding::ok("disk", format!("{shown} does not say its size")),
        Ok(Some(free)) => judge(&shown.to_string(), free),
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
