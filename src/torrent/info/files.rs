//! The files of an info dictionary: a v1 `length`, a v1 list, or a v2 tree.

use super::{FileEntry, InfoError, MAX_FILES, walk};
use crate::wire::bencode;

/// What all paths of a torrent may take, in bytes, with some for each component. A v2 tree names
/// a directory once and means it for each file below, so that 10 MiB could unfold to gigabytes.
pub(super) const MAX_PATHS: usize = 64 << 20;
const COMPONENT: usize = size_of::<String>() + 16;

/// What padding files were called before BEP 47 gave them an attribute.
const OLD_PADDING: &str = "_____padding_file";

/// Files as they are collected.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) entries: Vec<FileEntry>,
    /// Length of all files, in bytes.
    pub(super) total: u64,
    /// Length of all files but padding, in bytes.
    pub(super) size: u64,
    paths: usize,
}

impl Files {
    /// The one file of a v1 torrent with a `length`.
    pub(super) fn single(name: &str, length: &[u8]) -> Result<Self, InfoError> {
        let mut files = Self::default();
        let path = vec![component(name.as_bytes())];
        files.add(path, bencode::int(length), false)?;
        Ok(files)
    }

    /// The `files` of a v1 torrent.
    pub(super) fn from_list(list: &[u8]) -> Result<Self, InfoError> {
        let mut files = Self::default();
        walk::list(list, |file| {
            let is_padding = file.is_padding();
            let path = match file.path {
                // Nobody writes padding to disk, so some programs don't name it.
                [] if is_padding => vec![".pad".to_owned()],
                [] => return Err(InfoError::Path(files.entries.len())),
                path => path.iter().map(|name| component(name)).collect(),
            };
            files.add(path, file.length, is_padding)
        })?;
        files.not_empty()
    }

    /// The `file tree` of a v2 torrent.
    pub(super) fn from_tree(tree: &[u8]) -> Result<Self, InfoError> {
        let mut files = Self::default();
        walk::tree(tree, |file| {
            // Counted before it is built: see MAX_PATHS.
            let bytes = file.path.iter().map(|name| name.len()).sum();
            files.count_path(file.path.len(), bytes)?;
            let path = file.path.iter().map(|name| component(name)).collect();
            files.add(path, file.length, file.is_padding())
        })?;
        files.not_empty()
    }

    /// How many v2 pieces there are: each file begins a new one.
    pub(super) fn pieces_aligned(&self, piece_length: u64) -> Result<u64, InfoError> {
        self.entries
            .iter()
            .try_fold(0_u64, |sum, file| {
                sum.checked_add(in_pieces(file.length, piece_length))
            })
            .ok_or(InfoError::Overflow)
    }

    fn add(
        &mut self,
        path: Vec<String>,
        length: Option<i64>,
        is_padding: bool,
    ) -> Result<(), InfoError> {
        let index = self.entries.len();
        if index >= MAX_FILES {
            return Err(InfoError::TooManyFiles);
        }
        let length = length.and_then(|length| u64::try_from(length).ok());
        let length = length.ok_or(InfoError::Length(index))?;
        self.total = self
            .total
            .checked_add(length)
            .filter(|total| *total <= i64::MAX.unsigned_abs())
            .ok_or(InfoError::Overflow)?;
        let is_padding = is_padding
            || path
                .last()
                .is_some_and(|name| name.starts_with(OLD_PADDING));
        if !is_padding {
            self.size = self.size.saturating_add(length); // never above the total
        }
        self.entries.push(FileEntry {
            path,
            length,
            is_padding,
        });
        Ok(())
    }

    fn count_path(&mut self, components: usize, bytes: usize) -> Result<(), InfoError> {
        let path = components.saturating_mul(COMPONENT).saturating_add(bytes);
        self.paths = self.paths.saturating_add(path);
        if self.paths > MAX_PATHS {
            return Err(InfoError::PathsTooLong);
        }
        Ok(())
    }

    fn not_empty(self) -> Result<Self, InfoError> {
        if self.entries.is_empty() {
            return Err(InfoError::NoFiles);
        }
        Ok(self)
    }
}

/// How many pieces `bytes` make, the last one perhaps short.
pub(super) fn in_pieces(bytes: u64, piece_length: u64) -> u64 {
    if piece_length == 0 {
        return 0;
    }
    bytes.div_ceil(piece_length)
}

/// Text that should be UTF-8.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A path component that stays in its directory.
fn component(bytes: &[u8]) -> String {
    match bytes {
        b"" | b"." => "_".to_owned(),
        b".." => "__".to_owned(),
        _ => text(bytes).replace(['/', '\\', '\0'], "_"),
    }
}
