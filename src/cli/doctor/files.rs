//! How many files and sockets may be open.

use rustix::process::{Resource, getrlimit};

use super::Finding;

/// Below this, fewer hashes are in work at a time than the default asks for.
const ENOUGH: u64 = 4_096;
/// Below this, there are hardly any connections.
const TOO_FEW: u64 = 256;

/// The limit of this process. The soft one is raised to the hard one by whatever fetches.
pub(super) fn check() -> Finding {
    judge(getrlimit(Resource::Nofile).maximum)
}

fn judge(hard: Option<u64>) -> Finding {
    let advice = "raise the hard limit: `ulimit -Hn 16384` as root, LimitNOFILE= in a systemd unit, or \
                  --ulimit nofile= of a container";
    match hard {
        None => Finding::ok("files", "any number of files and sockets may be open"),
        Some(hard) if hard < TOO_FEW => Finding::fail(
            "files",
            format!("only {hard} files and sockets may be open"),
            advice,
        ),
        Some(hard) if hard < ENOUGH => Finding::warn(
            "files",
            format!("{hard} files and sockets may be open: few connections at a time"),
            advice,
        ),
        Some(hard) => Finding::ok("files", format!("{hard} files and sockets may be open")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;

    #[test]
    fn few_files_are_a_warning_and_hardly_any_a_failure() {
        for (hard, verdict) in [
            (None, Verdict::Ok),
            (Some(ENOUGH), Verdict::Ok),
            (Some(1_024), Verdict::Warn),
            (Some(64), Verdict::Fail),
        ] {
            assert_eq!(judge(hard).verdict, verdict, "{hard:?}");
        }
    }
}
