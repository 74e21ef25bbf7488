//! The option that names the store.

use crate::store::StoreUrl;

/// Which store a command works on.
#[derive(Debug, clap::Args)]
pub(super) struct StoreArgs {
    /// The store: a SQLite file or the URL of a database [default: metafetch.db in the user's data
    /// directory]
    #[arg(long, value_name = "URL", global = true)]
    store: Option<String>,
}

impl StoreArgs {
    /// Where it is. There must be one.
    pub(super) fn url(&self) -> Result<StoreUrl, String> {
        match self.store.as_deref() {
            Some("none") => Err("--store none: this command needs a store".to_owned()),
            Some(url) => url.parse().map_err(|error| format!("--store: {error}")),
            None => StoreUrl::default_path().map_err(|error| error.to_string()),
        }
    }
}
