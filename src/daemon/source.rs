//! Where the service gets hashes from.

use serde::{Deserialize, Serialize};

/// A source of hashes. Each has a weight, a limit of hashes in work, and can be paused.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SourceName {
    /// Whoever asks by HTTP.
    Api,
    /// Files in watched directories.
    Directory,
    /// What the database knows, but not its metadata; and failures that are due again.
    Backlog,
    /// The crawl of the DHT.
    Crawl,
}

impl SourceName {
    /// All sources, those that usually matter most first.
    pub const ALL: [Self; 4] = [Self::Api, Self::Directory, Self::Backlog, Self::Crawl];

    /// Whether its hashes are rows in the store until they have a result. Those of the others are found
    /// again.
    pub(super) fn is_stored(self) -> bool {
        matches!(self, Self::Api | Self::Directory)
    }

    /// By its name.
    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == name)
    }

    /// As it is called in the configuration, the API and the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Directory => "directory",
            Self::Backlog => "backlog",
            Self::Crawl => "crawl",
        }
    }
}

/// How a source is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SourceState {
    /// Which.
    pub name: SourceName,
    /// Whether the configuration has it at all.
    pub enabled: bool,
    /// Whether somebody paused it: nothing of it begins until it is resumed.
    pub paused: bool,
    /// Its share among sources that have something to do.
    pub weight: u32,
    /// The most hashes of it in work at a time.
    pub limit: u64,
    /// Hashes that wait.
    pub waiting: u64,
    /// Hashes in work.
    pub in_work: u64,
    /// Hashes resolved since the start, those that the store had not counted.
    pub resolved: u64,
    /// Hashes that failed since the start.
    pub failed: u64,
    /// What is wrong with it, if anything.
    pub problem: Option<String>,
}
