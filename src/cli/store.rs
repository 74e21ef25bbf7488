//! `--store`: where results are kept.

use std::path::{Path, PathBuf};

use super::given::Given;
use super::{Exit, Stop};
use crate::config::{CONFIG, Config, StorePlace};
use crate::store::{Store, StoreUrl};

/// The environment variable with the store's URL, where the command line has none.
const STORE: &str = "METAFETCH_STORE";

/// Which store a command works with, and with which configuration.
#[derive(Debug, clap::Args)]
pub(super) struct StoreArgs {
    #[command(flatten)]
    given: Given,
    /// Where results are kept: a SQLite file, the URL of a MySQL or PostgreSQL database,
    /// or none [default: metafetch.db in the user's data directory]
    #[arg(long, value_name = "URL", env = STORE, hide_env_values = true, global = true)]
    store: Option<String>,
    /// A TOML file with what is not given here: see `metafetch config`
    #[arg(long, value_name = "FILE", env = CONFIG, hide_env_values = true, global = true)]
    config: Option<PathBuf>,
}

impl StoreArgs {
    /// The configuration, with this store.
    pub(super) fn config(&self) -> Result<Config, Stop> {
        self.load(self.config.as_deref())
    }

    /// The same; where no file is named, this one is taken if it is there.
    pub(super) fn config_or(&self, usual: &Path) -> Result<Config, Stop> {
        match &self.config {
            Some(path) => self.load(Some(path)),
            None => self.load(usual.exists().then_some(usual)),
        }
    }

    fn load(&self, path: Option<&Path>) -> Result<Config, Stop> {
        let usage = |error: String| Stop::new(Exit::Usage, error);
        let mut config =
            Config::load_below_flags(path).map_err(|error| usage(error.to_string()))?;
        if let Some(text) = &self.store {
            let place = StorePlace::parse(text);
            config.store.url = place.map_err(|error| usage(format!("--store: {error}")))?;
            let has_password = match &config.store.url {
                StorePlace::At(url) => url.has_password(),
                StorePlace::Usual | StorePlace::Nowhere => false,
            };
            if has_password && self.given.on_the_command_line("store") {
                tracing::warn!(
                    "the password in --store can be read in the list of processes: give it by \
                     METAFETCH_STORE_PASSWORD or `?password_file=PATH`, or all of the URL by \
                     {STORE}"
                );
            }
        }
        Ok(config)
    }

    /// The store's URL; `None` where nothing is to be kept.
    pub(super) fn url(&self) -> Result<Option<StoreUrl>, Stop> {
        url(&self.config()?)
    }

    /// Opens the store of a command that is nothing without one, and makes it where it is missing.
    pub(super) fn open_or_make(&self) -> Result<Store, Stop> {
        Ok(Store::open(&self.must_be_kept()?)?)
    }

    /// The store's URL, for a command that is nothing without one.
    pub(super) fn must_be_kept(&self) -> Result<StoreUrl, Stop> {
        self.url()?.ok_or_else(|| {
            Stop::new(
                Exit::Usage,
                "this command works on the store: it can't go with `--store none`",
            )
        })
    }

    /// Opens a store that must be there already: whoever only looks, or takes away, is not helped
    /// by a new one.
    pub(super) fn open_existing(&self) -> Result<Store, Stop> {
        let url = self.must_be_kept()?;
        if let StoreUrl::Sqlite(path) = &url
            && !path.exists()
        {
            return Err(Stop::new(
                Exit::Failed,
                format!(
                    "there is no database at `{}`: `metafetch resolve` makes it, --store names \
                     another",
                    path.display()
                ),
            ));
        }
        Ok(Store::open(&url)?)
    }
}

/// The store's URL; `None` where nothing is to be kept.
pub(super) fn url(config: &Config) -> Result<Option<StoreUrl>, Stop> {
    match &config.store.url {
        StorePlace::Nowhere => Ok(None),
        StorePlace::At(url) => Ok(Some(url.clone())),
        StorePlace::Usual => StoreUrl::default_path()
            .map(Some)
            .map_err(|error| Stop::new(Exit::Usage, error.to_string())),
    }
}
