//! The sources that look for hashes by themselves: the crawl, the backlog, watched directories.

pub(super) mod backlog;
pub(super) mod crawl;
pub(super) mod directory;
