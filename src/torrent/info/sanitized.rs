//! Names and paths as libtorrent 2.0 makes them fit for a file system.
//!
//! [`Info`](super::Info) keeps names as they are, for display. Programs that read what older
//! crawlers wrote to a database expect the paths that libtorrent shows, and these are made of the
//! raw bytes: each malformed sequence of UTF-8 becomes one `_`, however long it is.

use data_encoding::HEXLOWER;

use super::files::MAX_PATHS;
use super::walk::{self, RawFile};
use super::{InfoError, Keys, MAX_FILES, int};
use crate::torrent::Infohash;
use crate::wire::bencode::{self, Limits};

/// From this length on, in bytes, a component is cut; its extension is kept on top.
const CUT: usize = 240;

/// Length of the longest extension that a cut leaves, with its dot, in bytes.
const MAX_EXTENSION: usize = 9;

/// Characters that are left out: separators, NUL, and what turns the direction of text, which
/// makes `gpj.exe` look like `exe.jpg`.
const LEFT_OUT: [char; 10] = [
    '/', '\\', '\0', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}',
    '\u{202e}',
];

/// The name and the files of a torrent as libtorrent names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SanitizedNames {
    /// The torrent's name: one path component of 252 bytes at most, never empty.
    pub name: String,
    /// Path and length in bytes of each file, padding too, in the order of the dictionary. One
    /// file without a directory: its name; else `<name>/<directory>/<file>`. Paths that are the
    /// same stay the same. Files beyond the first 64 MiB of paths are not listed.
    pub files: Vec<(String, u64)>,
    /// How many files there are, those that are not listed too.
    pub file_count: usize,
    /// Length of all files in bytes, those that are not listed too.
    pub size: u64,
}

impl SanitizedNames {
    /// Reads the names of an info dictionary that [`Info::parse`](super::Info::parse) takes.
    ///
    /// A name of which nothing is left becomes the infohash that the torrent is known by. Unlike
    /// libtorrent, malformed text does not escape the cut, a file of which only `..` is left is
    /// called `_` in v2 as in v1, padding without a path is put below the torrent's name, and v2
    /// torrents get no padding that their dictionary does not have.
    pub fn from_info(raw: &[u8], infohash: &Infohash) -> Result<Self, InfoError> {
        bencode::check(raw, Limits::INFO)?;
        if !raw.starts_with(b"d") {
            return Err(InfoError::NotADict);
        }
        let keys = Keys::read(raw)?;
        let given = keys.name_utf8.and_then(bencode::string);
        let given = given.or(keys.name.and_then(bencode::string));
        let name = sanitized(given.ok_or(InfoError::Missing("name"))?)
            .unwrap_or_else(|| HEXLOWER.encode(&infohash.wire_id()));

        let mut names = Collected::new(name);
        match (keys.files, keys.length, keys.file_tree) {
            (Some(list), ..) if list.starts_with(b"l") => walk::list(list, |file| names.add(file))?,
            (_, Some(length), _) => names.add_single(int(Some(length)))?,
            (_, _, Some(tree)) if int(keys.meta_version) == Some(2) => names.add_tree(tree)?,
            _ => return Err(InfoError::NoFiles),
        }
        if names.names.file_count == 0 {
            return Err(InfoError::NoFiles);
        }
        Ok(names.names)
    }
}

/// Names as they are collected.
struct Collected {
    names: SanitizedNames,
    /// What the paths take, in bytes.
    paths: usize,
}

impl Collected {
    fn new(name: String) -> Self {
        let names = SanitizedNames {
            name,
            files: Vec::new(),
            file_count: 0,
            size: 0,
        };
        Self { names, paths: 0 }
    }

    /// The one file of a v1 torrent with a `length`.
    fn add_single(&mut self, length: Option<i64>) -> Result<(), InfoError> {
        self.count(length)?;
        self.list(self.names.name.clone(), length);
        Ok(())
    }

    /// The files of a v2-only torrent. One file at the top of the tree is a torrent of a single
    /// file, and has the torrent's name.
    fn add_tree(&mut self, tree: &[u8]) -> Result<(), InfoError> {
        let mut single = None;
        walk::tree(tree, |file| {
            single = match file.path {
                [name] if self.names.file_count == 0 => sanitized(name).or(Some(String::new())),
                _ => None,
            };
            self.add(file)
        })?;
        if let Some(name) = single {
            if !name.is_empty() {
                self.names.name = name;
            }
            if let [(path, _)] = self.names.files.as_mut_slice() {
                path.clone_from(&self.names.name);
            }
        }
        Ok(())
    }

    fn add(&mut self, file: &RawFile<'_, '_>) -> Result<(), InfoError> {
        let length = if file.is_link() { Some(0) } else { file.length };
        if file.path.is_empty() && !file.is_padding() {
            return Err(InfoError::Path(self.names.file_count));
        }
        self.count(length)?;
        // Not even built: a tree names a directory once, and means it for each file below.
        if self.paths >= MAX_PATHS {
            return Ok(());
        }
        let mut path = self.names.name.clone();
        for component in file.path.iter().filter_map(|name| sanitized(name)) {
            path.push('/');
            path.push_str(&component);
        }
        if file.path.is_empty() {
            path.push_str("/.pad/");
            path.push_str(&length.unwrap_or_default().to_string());
        } else if path.len() == self.names.name.len() {
            path.push_str("/_");
        }
        self.list(path, length);
        Ok(())
    }

    fn count(&mut self, length: Option<i64>) -> Result<(), InfoError> {
        let names = &mut self.names;
        if names.file_count >= MAX_FILES {
            return Err(InfoError::TooManyFiles);
        }
        let length = length.and_then(|length| u64::try_from(length).ok());
        let length = length.ok_or(InfoError::Length(names.file_count))?;
        let size = names.size.checked_add(length);
        names.size = size
            .filter(|size| *size <= i64::MAX.unsigned_abs())
            .ok_or(InfoError::Overflow)?;
        names.file_count = names.file_count.saturating_add(1);
        Ok(())
    }

    fn list(&mut self, path: String, length: Option<i64>) {
        let length = length.and_then(|length| u64::try_from(length).ok());
        self.paths = self
            .paths
            .saturating_add(path.len())
            .saturating_add(size_of::<(String, u64)>());
        self.names.files.push((path, length.unwrap_or_default()));
    }
}

/// One component of a path: `_` for an empty one, nothing for one of which only `.` or `..` is
/// left, and at most 252 bytes of UTF-8.
fn sanitized(component: &[u8]) -> Option<String> {
    if component.is_empty() {
        return Some("_".to_owned());
    }
    let mut safe = String::with_capacity(component.len().min(CUT));
    let mut rest = component;
    let mut is_cut = false;
    while !rest.is_empty() {
        let (char, len) = first_char(rest);
        let after = rest.get(len..).unwrap_or_default();
        match char {
            Some(char) if LEFT_OUT.contains(&char) => {
                rest = after;
                continue;
            }
            Some(char) if char >= ' ' => safe.push(char),
            _ => safe.push('_'),
        }
        rest = after;
        if safe.len() >= CUT && !is_cut {
            is_cut = true;
            rest = extension(rest);
        }
    }
    (!matches!(safe.as_str(), "" | "." | "..")).then_some(safe)
}

/// The last nine bytes from their last dot on, if they have one.
fn extension(rest: &[u8]) -> &[u8] {
    let end = rest.len().saturating_sub(MAX_EXTENSION);
    let end = rest.get(end..).unwrap_or_default();
    let dot = end.iter().rposition(|byte| *byte == b'.');
    dot.and_then(|dot| end.get(dot..)).unwrap_or_default()
}

/// The first character and how many bytes it takes; no character where they are malformed. A
/// malformed sequence is as long as its first byte says.
fn first_char(bytes: &[u8]) -> (Option<char>, usize) {
    let len = match bytes.first() {
        Some(ascii @ 0..=0x7f) => return (Some(char::from(*ascii)), 1),
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf7) => 4,
        Some(0xf8..=0xfb) => 5,
        _ => 1,
    };
    let Some(sequence) = bytes.get(..len) else {
        return (None, bytes.len());
    };
    let char = std::str::from_utf8(sequence);
    (char.ok().and_then(|text| text.chars().next()), len)
}

#[cfg(test)]
mod tests;
