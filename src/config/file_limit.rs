//! How many files and sockets this process may open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Files that are no peer connections: the store, its journal, output, standard streams.
const RESERVED: u64 = 200;
/// More connections than this are never needed at a time.
const MOST: u64 = 16_384;

/// Raises the soft limit of open files to the hard one, and says how many connections fit into it.
pub(crate) fn connections() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if setrlimit(Resource::Nofile, raised).is_ok() {
        limit.current = limit.maximum;
    }
    let files = limit.current.unwrap_or(MOST + RESERVED);
    usize::try_from(files.saturating_sub(RESERVED).clamp(16, MOST)).unwrap_or(16)
}
