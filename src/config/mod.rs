//! The configuration: what can be set, where it comes from, and what the engine is told.
//!
//! Each value comes from the first of these that has it: a flag of the command line (see
//! [`cli`](crate::cli)), the environment, a TOML file, the default.
//!
//! | file | what lives there |
//! |---|---|
//! | `keys` | every key with its meaning, type and default: the one list, which the reference, the template and the checks are made of |
//! | `value` | how a value is read and written |
//! | `file`, `environment` | where values come from |
//! | `log` | which lines the log has, and where traces go |
//! | `error` | what is wrong with them |
//! | `token` | tokens of the HTTP API, by their digests |
//! | `engine` | the way to [`engine::Options`](crate::engine::Options) |
//! | `reference` | the keys as a template file, as documentation, and as they are in effect |

mod cooldown;
mod engine;
mod environment;
mod error;
mod file;
pub(crate) mod file_limit;
mod keys;
mod log;
mod reference;
mod token;
mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

pub use cooldown::Cooldown;
pub(crate) use cooldown::reason;
pub use engine::LoginError;
pub use error::{ConfigError, Place, Problem};
pub use keys::{
    ApiKeys, Config, CrawlKeys, DaemonKeys, DhtCrawlerKeys, DhtKeys, DirectKeys, EngineKeys,
    LimitsKeys, LogKeys, NetworkKeys, PrivacyKeys, SourcesKeys, StoreKeys, TelemetryKeys,
};
pub use log::{LogFilter, LogFormat, OtlpUrl};
pub use reference::{Entry, effective, entries, markdown, template};
pub use token::{ApiToken, Scope};
pub use value::{Bytes, HostPort, Keep, ProxyUrl, Secret, Size, StorePlace, TrackerUrl};
pub(crate) use value::{duration, positive_duration};

/// The environment variable that names the file, where the command line names none.
pub const CONFIG: &str = "METAFETCH_CONFIG";

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of the file.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
        }
    }
}

/// The origin of each value that is not its default, by section and key.
pub type Origins = BTreeMap<(&'static str, &'static str), Origin>;

impl Config {
    /// The defaults, what the file changes of them, and what the environment does. Without a path
    /// `METAFETCH_CONFIG` names the file; without that either there is none.
    ///
    /// # Errors
    /// The file can't be read or is no configuration, or a variable has a wrong value. The error
    /// names all that is wrong, and no password.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_with_origins(path).map(|(config, _)| config)
    }

    /// As [`Config::load`], and where each value comes from.
    pub fn load_with_origins(path: Option<&Path>) -> Result<(Self, Origins), ConfigError> {
        Self::layered(path, std::env::vars_os())
    }

    /// As [`Config::load`], but without the variables that a flag stands for: these win over all
    /// others, and are not looked at where the flag is given.
    pub(crate) fn load_below_flags(path: Option<&Path>) -> Result<Self, ConfigError> {
        let is_flag = |name: &OsString| environment::OF_FLAGS.iter().any(|flag| name == flag);
        let variables = std::env::vars_os().filter(|(name, _)| !is_flag(name));
        Self::layered(path, variables).map(|(config, _)| config)
    }

    /// The configuration of a file's contents.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut layers = Layers::default();
        layers.add_text(Path::new("configuration"), text);
        layers.finish().map(|(config, _)| config)
    }

    /// Takes on what another configuration has of the keys that can change while the service runs. Those
    /// (`section.key`) that changed, and those that differ and need a restart.
    pub fn adopt(&mut self, other: &Self) -> (Vec<String>, Vec<String>) {
        let (mut adopted, mut left) = (Vec::new(), Vec::new());
        for key in keys::KEYS {
            if key.is_same(self, other) {
                continue;
            }
            let name = format!("{}.{}", key.section, key.name);
            if key.reloads {
                key.copy(other, self);
                adopted.push(name);
            } else {
                left.push(name);
            }
        }
        (adopted, left)
    }

    fn layered(
        path: Option<&Path>,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<(Self, Origins), ConfigError> {
        let variables: Vec<_> = variables.collect();
        let named = variables.iter().find(|(name, _)| name == CONFIG);
        let path = path.or(named.map(|(_, path)| Path::new(path)));
        let mut layers = Layers::default();
        // An empty variable is as good as none.
        if let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) {
            layers.add_file(path);
        }
        layers.add_environment(&variables);
        layers.finish()
    }
}

/// A configuration as its sources are added.
#[derive(Debug, Default)]
struct Layers {
    config: Config,
    origins: Origins,
    problems: Vec<Problem>,
}

impl Layers {
    fn finish(mut self) -> Result<(Config, Origins), ConfigError> {
        if self.config.dht_crawler.password.is_some()
            && self.config.dht_crawler.password_file.is_some()
        {
            let keys = ["password_file", "password"].map(|name| ("dht_crawler", name));
            let origin = keys.iter().find_map(|key| self.origins.get(key));
            self.problems.push(Problem {
                place: origin.map_or(Place::Together, Place::from),
                what: "dht_crawler has both a password and a password_file: leave out one"
                    .to_owned(),
            });
        }
        match ConfigError::new(self.problems) {
            None => Ok((self.config, self.origins)),
            Some(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
