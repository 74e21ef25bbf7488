//! `--store`: where results are kept.

use super::{Exit, Stop};
use crate::store::{Store, StoreUrl};

/// The environment variable with the store's URL, where the command line has none.
const STORE: &str = "METAFETCH_STORE";

/// Which store a command works with.
#[derive(Debug, clap::Args)]
pub(super) struct StoreArgs {
    /// Where results are kept: a SQLite file, the URL of a MySQL or PostgreSQL database,
    /// or none [default: metafetch.db in the user's data directory]
    #[arg(long, value_name = "URL", env = STORE, hide_env_values = true, global = true)]
    store: Option<String>,
}

impl StoreArgs {
    /// The store's URL; `None` where nothing is to be kept.
    pub(super) fn url(&self) -> Result<Option<StoreUrl>, Stop> {
        let usage = |error: String| Stop::new(Exit::Usage, error);
        match self.store.as_deref() {
            Some("none") => Ok(None),
            Some(text) => {
                let url: StoreUrl = text
                    .parse()
                    .map_err(|error| usage(format!("--store: {error}")))?;
                if url.has_password() && std::env::var(STORE).as_deref() != Ok(text) {
                    tracing::warn!(
                        "the password in --store can be read in the list of processes: give it by \
                         METAFETCH_STORE_PASSWORD or `?password_file=PATH`, or all of the URL by \
                         {STORE}"
                    );
                }
                Ok(Some(url))
            }
            None => StoreUrl::default_path()
                .map(Some)
                .map_err(|error| usage(error.to_string())),
        }
    }

    /// Whether results are kept.
    pub(super) fn is_kept(&self) -> bool {
        self.store.as_deref() != Some("none")
    }

    /// Opens the store, and makes it where it is missing; `None` where nothing is to be kept.
    pub(super) fn open(&self) -> Result<Option<Store>, Stop> {
        Ok(self.url()?.as_ref().map(Store::open).transpose()?)
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
