//! What is wrong with a configuration, told with its place and without any password.

use std::fmt;
use std::path::PathBuf;

use super::Origin;
use super::keys::{KEYS, SECTIONS};

/// How many problems are told at a time.
const MOST: usize = 20;
/// How much of a name or value that is wrong is shown, in characters.
const SHOWN: usize = 60;

/// All that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(Vec<Problem>);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, and what was expected.
    pub what: String,
}

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A whole file.
    File(PathBuf),
    /// A line of a file, counted from 1.
    Line(PathBuf, usize),
    /// An environment variable.
    Variable(String),
    /// Values that do not go together.
    Together,
}

impl From<&Origin> for Place {
    fn from(origin: &Origin) -> Self {
        match origin {
            Origin::File(path, line) => Self::Line(path.clone(), *line),
            Origin::Environment(name) => Self::Variable(name.clone()),
        }
    }
}

impl ConfigError {
    /// `None` where there is no problem.
    pub(super) fn new(problems: Vec<Problem>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// Values that do not go together, or with this host.
    pub(crate) fn together(what: impl Into<String>) -> Self {
        let (place, what) = (Place::Together, what.into());
        Self(vec![Problem { place, what }])
    }

    /// What is wrong, in the order of the file; never empty.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for ConfigError {
    /// A line for each problem, the first 20.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().take(MOST).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        match self.0.len().checked_sub(MOST) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\nand {more} more"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(path) => write!(f, "{}: ", path.display())?,
            Place::Line(path, line) => write!(f, "{}:{line}: ", path.display())?,
            Place::Variable(name) => write!(f, "{name}: ")?,
            Place::Together => {}
        }
        f.write_str(&self.what)
    }
}

/// What to say of a section that is none.
pub(super) fn unknown_section(name: &str) -> String {
    let shown = shown(name);
    if let Some(key) = KEYS.iter().find(|key| key.name == name) {
        return format!("`{shown}` belongs below [{}]", key.section);
    }
    let known: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
    let advice =
        nearest(name, &known).map_or_else(|| format!("there are {}", known.join(", ")), meant);
    format!("[{shown}] is no section: {advice}")
}

/// What to say of a key that this section does not have.
pub(super) fn unknown_key(section: &str, name: &str) -> String {
    let shown = shown(name);
    if let Some(key) = KEYS.iter().find(|key| key.name == name) {
        return format!(
            "[{section}] has no key `{shown}`: it belongs below [{}]",
            key.section
        );
    }
    let known: Vec<&str> = KEYS
        .iter()
        .filter(|key| key.section == section)
        .map(|key| key.name)
        .collect();
    let advice =
        nearest(name, &known).map_or_else(|| format!("there are {}", known.join(", ")), meant);
    format!("[{section}] has no key `{shown}`: {advice}")
}

fn meant(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// The name that is most like this one, if one is.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name: String = name.chars().take(SHOWN).collect();
    known
        .iter()
        .map(|known| (strsim::normalized_damerau_levenshtein(&name, known), *known))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

/// The start of a text of others, fit for a terminal.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
