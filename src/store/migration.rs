//! Which steps of the schema a database has, and which are missing.

use super::connection::{Target, known_steps};
use super::{StoreError, StoreOptions, StoreUrl};

/// A step of the schema: the version that sorts it, and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaStep {
    /// Digits, the higher the later.
    pub version: String,
    /// The version and what the step is about.
    pub name: String,
}

/// The schema of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The steps that were made.
    pub applied: Vec<SchemaStep>,
    /// The steps that this program knows, and that are still to be made.
    pub pending: Vec<SchemaStep>,
}

impl Schema {
    /// Reads it, and changes nothing: a missing file stays missing.
    pub fn of(url: &StoreUrl) -> Result<Self, StoreError> {
        let exists = match url {
            StoreUrl::Sqlite(path) => path.exists(),
            StoreUrl::Mysql(_) | StoreUrl::Postgres(_) => true,
        };
        let applied = if exists {
            let target = Target::prepare(url, &StoreOptions::default())?;
            let mut connection = target.connect()?;
            target.check_ownership(&mut connection)?
        } else {
            Vec::new()
        };
        let (applied, pending) = known_steps()
            .into_iter()
            .map(|(version, name)| SchemaStep { version, name })
            .partition(|step| applied.contains(&step.version));
        Ok(Self { applied, pending })
    }

    /// The version of the last step made; `None` of a database that is new.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.applied.last().map(|step| step.version.as_str())
    }
}

/// The version of the schema that this program makes.
pub(super) fn newest() -> String {
    let steps = known_steps();
    steps
        .into_iter()
        .next_back()
        .map(|(version, _)| version)
        .unwrap_or_default()
}
