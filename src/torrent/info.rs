//! The info dictionary (BEP 3, 27, 47, 52): read, checked, and never encoded again.
//!
//! Refused is what no client could use: no name, no piece length, piece hashes that don't fit the
//! size, negative or overflowing lengths, no files. Odd names are not refused: text that is not
//! UTF-8 is read lossily, and path components that would leave their directory are replaced.

mod files;
mod sanitized;
mod walk;

use crate::wire::bencode::{self, BencodeError, Entries, Limits};
use files::{Files, in_pieces, text};

pub use sanitized::SanitizedNames;

/// Length of the longest name that is kept, in bytes.
const MAX_NAME: usize = 4096;

/// How many files a torrent may have.
const MAX_FILES: usize = 1_000_000;

/// Length of a block, the smallest piece of a v2 torrent, in bytes (BEP 52).
const MIN_PIECE_V2: u64 = 16 << 10;

/// Which versions of the format a dictionary is of (BEP 52).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetaVersion {
    /// SHA-1 pieces (BEP 3).
    V1,
    /// SHA-256 trees (BEP 52).
    V2,
    /// Both.
    Hybrid,
}

/// One file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its path, without the torrent's name in front where there are several files. No component
    /// is empty, `.` or `..`, or has a slash, backslash or NUL in it; for names that every file
    /// system takes see [`safe_file_name`](super::safe_file_name).
    pub path: Vec<String>,
    /// Its length in bytes.
    pub length: u64,
    /// Whether it only fills a piece (BEP 47, or by the older naming convention).
    pub is_padding: bool,
}

/// What an info dictionary says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The torrent's name as it is, cut to 4 KiB: for display, and no path component.
    pub name: String,
    /// Length of a piece in bytes.
    pub piece_length: u64,
    /// How many pieces there are. Of a hybrid: v1 pieces, with padding.
    pub pieces: u64,
    /// Length of all files in bytes, without padding.
    pub size: u64,
    /// The files, in the order of the dictionary; padding too.
    pub files: Vec<FileEntry>,
    /// Whether peers come from the trackers only (BEP 27).
    pub private: bool,
    /// Which versions of the format it has.
    pub version: MetaVersion,
    /// The `source` that some trackers set so that their torrents have hashes of their own.
    pub source: Option<String>,
    /// Whether the encoding is the only one that BEP 3 allows for it.
    pub is_canonical: bool,
}

/// Bytes that are no usable info dictionary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InfoError {
    /// Not bencode.
    #[error("the info dictionary can't be read: {0}")]
    Bencode(#[from] BencodeError),
    /// Bencode, but no dictionary.
    #[error("the metadata is bencode, but no dictionary")]
    NotADict,
    /// A key that must be there and is not, or is of another type.
    #[error("the info dictionary has no valid `{0}`")]
    Missing(&'static str),
    /// A piece length that no client takes.
    #[error(
        "the piece length {0} is invalid: it must be above 0, and of a v2 torrent a power of two \
         of 16384 at least"
    )]
    PieceLength(i64),
    /// `pieces` is not a run of SHA-1 hashes.
    #[error("`pieces` has {0} bytes, which is no multiple of 20")]
    PiecesLength(usize),
    /// `pieces` has more or fewer hashes than the files have pieces.
    #[error("`pieces` has {found} hashes, but the files make {expected} pieces")]
    PiecesCount {
        /// By the files.
        expected: u64,
        /// In the dictionary.
        found: u64,
    },
    /// A file without a length, or with a negative one.
    #[error("file {0} has no length, or a negative one")]
    Length(usize),
    /// A file without a path.
    #[error("file {0} has no path")]
    Path(usize),
    /// The lengths of the files overflow.
    #[error("the lengths of the files add up to more than 2^63 bytes")]
    Overflow,
    /// No files.
    #[error("the torrent has no files")]
    NoFiles,
    /// Too many files.
    #[error("the torrent has more than {MAX_FILES} files")]
    TooManyFiles,
    /// Paths that take too much memory: a short v2 file tree can spell out very long ones.
    #[error("the paths of the files are too long to be kept")]
    PathsTooLong,
    /// A malformed v2 file tree.
    #[error("the v2 `file tree` is malformed: {0}")]
    FileTree(&'static str),
    /// A version of the format that we don't know.
    #[error("the info dictionary is of meta version {0}; 1 and 2 are known")]
    MetaVersion(i64),
    /// The two descriptions of a hybrid differ.
    #[error("the hybrid torrent has {v1} bytes as v1 and {v2} bytes as v2")]
    HybridMismatch {
        /// Size by `files` or `length`, without padding.
        v1: u64,
        /// Size by `file tree`.
        v2: u64,
    },
}

/// The raw values of the keys we read, each the first of its name.
#[derive(Default)]
struct Keys<'a> {
    name: Option<&'a [u8]>,
    name_utf8: Option<&'a [u8]>,
    piece_length: Option<&'a [u8]>,
    pieces: Option<&'a [u8]>,
    length: Option<&'a [u8]>,
    files: Option<&'a [u8]>,
    file_tree: Option<&'a [u8]>,
    meta_version: Option<&'a [u8]>,
    private: Option<&'a [u8]>,
    source: Option<&'a [u8]>,
}

impl Info {
    /// Reads and checks an info dictionary. Memory is bounded by the number of files and the
    /// length of their paths, and never many times `raw`.
    pub fn parse(raw: &[u8]) -> Result<Self, InfoError> {
        bencode::check(raw, Limits::INFO)?;
        if !raw.starts_with(b"d") {
            return Err(InfoError::NotADict);
        }
        let keys = Keys::read(raw)?;
        let name = keys.name()?;
        let given = int(keys.piece_length).ok_or(InfoError::Missing("piece length"))?;
        let piece_length = u64::try_from(given)
            .ok()
            .filter(|length| *length > 0)
            .ok_or(InfoError::PieceLength(given))?;

        let is_v2 = match int(keys.meta_version) {
            Some(version @ 3..) => return Err(InfoError::MetaVersion(version)),
            version => version == Some(2),
        };
        let v2 = if is_v2 {
            if piece_length < MIN_PIECE_V2 || !piece_length.is_power_of_two() {
                return Err(InfoError::PieceLength(given));
            }
            let tree = keys.file_tree.ok_or(InfoError::Missing("file tree"))?;
            Some(Files::from_tree(tree)?)
        } else {
            None
        };
        let has_v1 = keys.pieces.is_some() || v2.is_none();
        let v1 = has_v1
            .then(|| keys.v1_files(&name, piece_length))
            .transpose()?;

        let (version, files, pieces) = match (v1, v2) {
            (Some((files, pieces)), None) => (MetaVersion::V1, files, pieces),
            (Some((files, pieces)), Some(tree)) => {
                let (v1, v2) = (files.size, tree.size);
                if v1 != v2 {
                    return Err(InfoError::HybridMismatch { v1, v2 });
                }
                (MetaVersion::Hybrid, files, pieces)
            }
            (None, Some(tree)) => {
                let pieces = tree.pieces_aligned(piece_length)?;
                (MetaVersion::V2, tree, pieces)
            }
            (None, None) => return Err(InfoError::NoFiles),
        };
        Ok(Self {
            name,
            piece_length,
            pieces,
            size: files.size,
            files: files.entries,
            private: int(keys.private) == Some(1),
            version,
            source: keys.source.and_then(bencode::string).map(shown),
            is_canonical: bencode::is_canonical(raw),
        })
    }
}

impl<'a> Keys<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, InfoError> {
        let mut keys = Self::default();
        for entry in Entries::new(raw, Limits::INFO) {
            let (key, value) = entry?;
            let slot = match key {
                b"name" => &mut keys.name,
                b"name.utf-8" => &mut keys.name_utf8,
                b"piece length" => &mut keys.piece_length,
                b"pieces" => &mut keys.pieces,
                b"length" => &mut keys.length,
                b"files" => &mut keys.files,
                b"file tree" => &mut keys.file_tree,
                b"meta version" => &mut keys.meta_version,
                b"private" => &mut keys.private,
                b"source" => &mut keys.source,
                _ => continue,
            };
            slot.get_or_insert(value);
        }
        Ok(keys)
    }

    /// `name.utf-8` where it keeps its promise: then `name` is in some local character set.
    fn name(&self) -> Result<String, InfoError> {
        let utf8 = self.name_utf8.and_then(bencode::string);
        let utf8 = utf8.filter(|name| !name.is_empty() && std::str::from_utf8(name).is_ok());
        utf8.or_else(|| self.name.and_then(bencode::string))
            .map(shown)
            .ok_or(InfoError::Missing("name"))
    }

    /// The files as v1 has them, and how many pieces they make.
    fn v1_files(&self, name: &str, piece_length: u64) -> Result<(Files, u64), InfoError> {
        let hashes = self.pieces.and_then(bencode::string);
        let hashes = hashes.ok_or(InfoError::Missing("pieces"))?;
        let files = match (self.files, self.length) {
            (Some(list), _) if list.starts_with(b"l") => Files::from_list(list)?,
            (_, Some(length)) => Files::single(name, length)?,
            _ => return Err(InfoError::NoFiles),
        };
        if !hashes.len().is_multiple_of(20) {
            return Err(InfoError::PiecesLength(hashes.len()));
        }
        let found = u64::try_from(hashes.len() / 20).map_err(|_| InfoError::Overflow)?;
        let expected = in_pieces(files.total, piece_length);
        if found != expected {
            return Err(InfoError::PiecesCount { expected, found });
        }
        Ok((files, found))
    }
}

fn int(raw: Option<&[u8]>) -> Option<i64> {
    raw.and_then(bencode::int)
}

/// Text for display: lossy, and cut to [`MAX_NAME`] bytes.
fn shown(bytes: &[u8]) -> String {
    let mut shown = text(bytes.get(..MAX_NAME).unwrap_or(bytes));
    while shown.len() > MAX_NAME {
        shown.pop();
    }
    shown
}

#[cfg(test)]
mod tests;
