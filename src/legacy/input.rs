//! `--metadata`: the hashes that are asked for, out of a comma list or a file.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::hash::parse_hash;
use crate::torrent::Magnet;

/// The most bytes of a file: some 200 million hashes.
const MOST_BYTES: u64 = 8 << 30;
/// The most bytes of an entry that are kept: no form of a hash is longer, but for magnets.
const ENTRY: usize = 16 << 10;

/// An entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// As it was given.
    pub(super) text: String,
    pub(super) torrent: Magnet,
}

/// What became of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Wanted(Box<Entry>),
    /// Why it can't be fetched.
    Invalid(String, String),
    Duplicate(String),
}

/// The entries of an argument: of a file where it names one (it has `.txt` or `.csv` in it), else of the
/// comma list that it is. Empty ones are passed over, and each torrent is wanted once.
///
/// # Errors
/// The file can't be read.
pub(super) fn items(argument: &OsStr) -> Result<Vec<Item>, FileError> {
    let bytes = argument.as_bytes();
    let names_file = [&b".txt"[..], b".csv"]
        .iter()
        .any(|ending| bytes.windows(ending.len()).any(|part| part == *ending));
    let mut seen = HashSet::new();
    let mut list = Vec::new();
    let mut add = |entry: &[u8]| {
        let entry = entry.trim_ascii();
        if !entry.is_empty() {
            list.push(item(entry, &mut seen));
        }
    };
    if names_file {
        let path = Path::new(argument);
        let failed = |error| FileError(path.display().to_string(), error);
        read(path, &mut add).map_err(failed)?;
    } else {
        bytes.split(|byte| *byte == b',').for_each(&mut add);
    }
    Ok(list)
}

/// A file that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("Error: Could not open file: {0}\n{1}")]
pub(super) struct FileError(pub(super) String, pub(super) io::Error);

fn read(path: &Path, add: &mut impl FnMut(&[u8])) -> io::Result<()> {
    let mut lines = BufReader::new(File::open(path)?.take(MOST_BYTES));
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line without an end must not fill the memory.
        let limit = u64::try_from(ENTRY).unwrap_or(u64::MAX);
        if (&mut lines).take(limit).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.len() >= ENTRY && line.last() != Some(&b'\n') {
            lines.skip_until(b'\n')?;
        }
        add(&line);
    }
}

fn item(entry: &[u8], seen: &mut HashSet<[u8; 20]>) -> Item {
    let text = String::from_utf8_lossy(entry).into_owned();
    match parse_hash(entry) {
        Err(error) => {
            let shown = text.chars().take(80).collect();
            Item::Invalid(shown, error.to_string())
        }
        Ok(torrent) if !seen.insert(torrent.infohash.wire_id()) => Item::Duplicate(text),
        Ok(torrent) => Item::Wanted(Box::new(Entry { text, torrent })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a";
    const TWO: &str = "68c5aa6ca268928b5a493ed1a6cf806a6b2a78d1";

    /// Each entry by its kind and its text.
    fn listed(argument: impl AsRef<OsStr>) -> Vec<(char, String)> {
        let items = items(argument.as_ref()).unwrap();
        let short = items.into_iter().map(|item| match item {
            Item::Wanted(entry) => ('w', entry.text),
            Item::Invalid(text, _) => ('i', text),
            Item::Duplicate(text) => ('d', text),
        });
        short.collect()
    }

    fn own(expected: &[(char, &str)]) -> Vec<(char, String)> {
        let own = expected
            .iter()
            .map(|(kind, text)| (*kind, (*text).to_owned()));
        own.collect()
    }

    #[test]
    fn a_comma_list_is_trimmed_and_each_torrent_is_wanted_once() {
        let base32 = "YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK";
        let list = format!(
            " {ONE},, \t{TWO} ,nonsense,{},{base32},",
            ONE.to_uppercase()
        );
        let expected = [
            ('w', ONE),
            ('w', TWO),
            ('i', "nonsense"),
            ('d', &ONE.to_uppercase()),
            ('d', base32),
        ];
        assert_eq!(listed(list), own(&expected));
        assert_eq!(listed(", ,"), []);
    }

    #[test]
    fn a_file_has_an_entry_per_line_whatever_its_ending() {
        for ending in [".txt", ".csv", ".csv.old"] {
            let file = tempfile::Builder::new().suffix(ending).tempfile().unwrap();
            let long = "a".repeat(3 * ENTRY);
            let text = format!("\r\n  {ONE}\r\n\n# comment\n{TWO},Some Movie\n{long}\n\t{TWO}");
            std::fs::write(file.path(), text).unwrap();
            let expected = [
                ('w', ONE),
                ('i', "# comment"),
                ('i', &format!("{TWO},Some Movie")),
                ('i', &"a".repeat(80)),
                ('w', TWO),
            ];
            assert_eq!(listed(file.path()), own(&expected));
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = items(OsStr::new("/no/such/file.txt")).unwrap_err();
        let said = error.to_string();
        assert!(
            said.starts_with("Error: Could not open file: /no/such/file.txt\n"),
            "{said}"
        );
        let directory = tempfile::Builder::new().suffix(".txt").tempdir().unwrap();
        assert!(items(directory.path().as_os_str()).is_err());
    }
}
