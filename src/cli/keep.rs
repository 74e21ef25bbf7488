//! Keeps what was resolved: in the store, and in the files that were asked for; where both fail, in a
//! directory of its own.

use std::path::{Path, PathBuf};

use super::output::TorrentFiles;
use super::say;
use crate::engine::{Origin, Resolution, Resolved};
use crate::torrent::Infohash;

/// What was kept, and what could not be.
#[derive(Debug)]
pub(super) struct Keep {
    files: Option<TorrentFiles>,
    has_store: bool,
    rescued: Option<TorrentFiles>,
    /// Results that are not in the store, where they should be.
    pub(super) store_errors: u64,
    /// Results that are not in a file, where they should be.
    pub(super) file_errors: u64,
    /// What went wrong last; empty where nothing did.
    pub(super) last_error: String,
}

impl Keep {
    /// With `-o`, where there is one.
    ///
    /// # Errors
    /// A sentence that says why `-o` can't be written to.
    pub(super) fn new(out: Option<&Path>, has_store: bool) -> Result<Self, String> {
        let files = out.map(|out| {
            TorrentFiles::create(out).map_err(|error| {
                format!(
                    "{} can't be written to: {error}; choose another -o",
                    out.display()
                )
            })
        });
        Ok(Self {
            files: files.transpose()?,
            has_store,
            rescued: None,
            store_errors: 0,
            file_errors: 0,
            last_error: String::new(),
        })
    }

    /// Sees to it that a result is kept somewhere.
    pub(super) fn result(&mut self, resolution: &Resolution) {
        let store_error = resolution.store_error.as_deref();
        if let Some(error) = store_error {
            self.store_error(error);
        }
        if let Ok(resolved) = &resolution.result {
            self.resolved(resolution.infohash, resolved, store_error.is_some());
        }
    }

    fn resolved(&mut self, infohash: Infohash, resolved: &Resolved, unstored: bool) {
        let mut kept = self.has_store && !unstored;
        let mut unwritten = false;
        if let Some(files) = &self.files {
            match files.write(infohash, resolved) {
                Ok(_) => kept = true,
                Err(error) => {
                    unwritten = true;
                    self.file_errors += 1;
                    self.last_error = format!("{infohash}.torrent can't be written: {error}");
                    if self.file_errors == 1 {
                        say(format_args!("{}", self.last_error));
                    }
                }
            }
        }
        // Without a store and without -o, nobody asked for it to be kept.
        let wanted = unwritten || unstored;
        if wanted && !kept && !matches!(resolved.origin, Origin::Store) {
            self.rescue(infohash, resolved);
        }
    }

    fn store_error(&mut self, error: &str) {
        self.store_errors += 1;
        self.last_error = format!("results can't be stored: {error}");
        if self.store_errors == 1 {
            say(format_args!("{}", self.last_error));
        }
    }

    /// The last resort for what was fetched: a directory beside us, or for temporary files.
    fn rescue(&mut self, infohash: Infohash, resolved: &Resolved) {
        let name = format!("metafetch-rescued-{}", std::process::id());
        if self.rescued.is_none() {
            let places = [".".into(), std::env::temp_dir()];
            self.rescued = places.iter().find_map(|place: &PathBuf| {
                let files = TorrentFiles::create(&place.join(&name)).ok()?;
                say(format_args!(
                    "what can't be stored is kept in {}",
                    place.join(&name).display()
                ));
                Some(files)
            });
        }
        let written = self
            .rescued
            .as_ref()
            .map(|files| files.write(infohash, resolved));
        if !matches!(written, Some(Ok(_))) {
            say(format_args!(
                "{infohash} was resolved, and can be kept nowhere: free some disk space"
            ));
        }
    }
}
