//! What is to be resolved: magnets and infohashes from arguments, files and stdin.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use tokio::sync::mpsc;

use crate::engine::Wanted;
use crate::engine::lines::parse;
pub(super) use crate::engine::lines::{Lines, content, is_magnet};
use crate::torrent::{Infohash, is_tracker};

/// Where an item stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The nth argument, counted from 1.
    Argument(usize),
    /// A line of a file, or of stdin, counted from 1.
    Line { file: String, line: u64 },
    /// A whole file.
    File(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(n) => write!(f, "argument {n}"),
            Self::Line { file, line } => write!(f, "{file}:{line}"),
            Self::File(file) => f.write_str(file),
        }
    }
}

/// One thing to resolve, or what is wrong with it.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) place: Place,
    pub(super) wanted: Result<Wanted, String>,
}

/// Nobody takes the items any more.
struct Unwanted;

/// Reads the inputs in their order, on a thread of its own: stdin may never end. Without inputs,
/// stdin is read.
pub(super) fn read(inputs: Vec<String>) -> mpsc::Receiver<Item> {
    let (sender, receiver) = mpsc::channel(64);
    std::thread::spawn(move || {
        for (index, input) in inputs.into_iter().enumerate() {
            if read_input(&sender, index + 1, &input).is_err() {
                return;
            }
        }
    });
    receiver
}

fn read_input(items: &mpsc::Sender<Item>, n: usize, input: &str) -> Result<(), Unwanted> {
    if input == "-" {
        return read_lines(items, "stdin", io::stdin().lock());
    }
    // A file may have a name of 40 hex digits, but hardly one that is meant.
    let wanted = parse(input).or_else(|error| {
        if !is_hash_or_magnet(input) && Path::new(input).exists() {
            Ok(None)
        } else {
            Err(error)
        }
    });
    let wanted = match wanted {
        Ok(Some(wanted)) => Ok(wanted),
        Ok(None) => return read_file(items, input),
        Err(error) if is_hash_or_magnet(input) => Err(error),
        Err(_) => Err(format!(
            "`{}` is neither a magnet, nor an infohash, nor a file",
            input.chars().take(80).collect::<String>()
        )),
    };
    send(items, Place::Argument(n), wanted)
}

fn read_file(items: &mpsc::Sender<Item>, path: &str) -> Result<(), Unwanted> {
    match File::open(path) {
        Ok(file) => read_lines(items, path, BufReader::new(file)),
        Err(error) => send(
            items,
            Place::File(path.to_owned()),
            Err(format!("it can't be read: {error}")),
        ),
    }
}

fn read_lines(
    items: &mpsc::Sender<Item>,
    file: &str,
    reader: impl BufRead,
) -> Result<(), Unwanted> {
    let mut lines = Lines::new(reader);
    loop {
        let line = match lines.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(error) => {
                let message = format!("it can't be read any further: {error}");
                return send(items, Place::File(file.to_owned()), Err(message));
            }
        };
        let place = Place::Line {
            file: file.to_owned(),
            line: line.number,
        };
        match line.text.map_err(str::to_owned).and_then(parse) {
            Ok(None) => {}
            Ok(Some(wanted)) => send(items, place, Ok(wanted))?,
            Err(error) => send(items, place, Err(error))?,
        }
    }
}

fn send(
    items: &mpsc::Sender<Item>,
    place: Place,
    wanted: Result<Wanted, String>,
) -> Result<(), Unwanted> {
    items
        .blocking_send(Item { place, wanted })
        .map_err(|_| Unwanted)
}

/// The hash of a magnet or an infohash.
pub(super) fn infohash(text: &str) -> Result<Infohash, String> {
    wanted(text).map(|wanted| wanted.infohash)
}

/// The URL of a tracker as an argument.
pub(super) fn tracker(text: &str) -> Result<String, String> {
    if is_tracker(text) {
        Ok(text.to_owned())
    } else {
        Err("expected the URL of an http, https or udp tracker".to_owned())
    }
}

/// A hash as an argument, with what its magnet says besides.
pub(super) fn wanted(text: &str) -> Result<Wanted, String> {
    parse(text)?.ok_or_else(|| "expected an infohash or a magnet".to_owned())
}

/// Whether an argument was surely meant as a hash or a magnet, malformed or not.
fn is_hash_or_magnet(text: &str) -> bool {
    is_magnet(text.trim()) || text.parse::<Infohash>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a";

    fn lines(text: &[u8]) -> Vec<(String, Result<Infohash, String>)> {
        let (sender, mut receiver) = mpsc::channel(64);
        assert!(read_lines(&sender, "list.txt", text).is_ok());
        drop(sender);
        let mut items = Vec::new();
        while let Some(item) = receiver.blocking_recv() {
            items.push((
                item.place.to_string(),
                item.wanted.map(|wanted| wanted.infohash),
            ));
        }
        items
    }

    #[test]
    fn blank_lines_and_comments_are_passed_over_and_the_rest_has_its_line_number() {
        let text = format!(
            "\u{feff}# list\n\n{HASH}\r\n  {} \nnonsense\nmagnet:?xt=urn:btih:{HASH}",
            HASH.to_uppercase()
        );
        let items = lines(text.as_bytes());
        let places: Vec<_> = items.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(
            places,
            ["list.txt:3", "list.txt:4", "list.txt:5", "list.txt:6"]
        );
        let hash = Ok(HASH.parse().unwrap());
        assert_eq!(items[0].1, hash);
        assert_eq!(items[1].1, hash);
        assert!(items[2].1.is_err());
        assert_eq!(items[3].1, hash);
    }

    #[test]
    fn a_line_that_is_too_long_or_no_text_does_not_stop_the_next() {
        let mut text = vec![b'a'; 300_000];
        text.extend(b"\n\xff\xfe\n");
        text.extend(HASH.as_bytes());
        let items = lines(&text);
        assert_eq!(items.len(), 3);
        assert!(items[0].1.as_ref().unwrap_err().contains("64 KiB"));
        assert!(items[1].1.as_ref().unwrap_err().contains("UTF-8"));
        assert_eq!(
            items[2],
            ("list.txt:3".to_owned(), Ok(HASH.parse().unwrap()))
        );
    }

    #[test]
    fn arguments_are_magnets_hashes_files_or_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("list");
        std::fs::write(&file, format!("{HASH}\n")).unwrap();
        let inputs = vec![
            HASH.to_owned(),
            file.to_str().unwrap().to_owned(),
            "no-such-file".to_owned(),
            "magnet:?dn=nothing".to_owned(),
            directory.path().to_str().unwrap().to_owned(),
        ];
        let mut items = read(inputs);
        let mut seen = Vec::new();
        while let Some(item) = items.blocking_recv() {
            seen.push((item.place, item.wanted.is_ok()));
        }
        assert_eq!(seen[0], (Place::Argument(1), true));
        assert!(matches!(&seen[1], (Place::Line { line: 1, .. }, true)));
        assert_eq!(seen[2], (Place::Argument(3), false));
        assert_eq!(seen[3], (Place::Argument(4), false));
        assert!(matches!(&seen[4], (Place::File(_), false)));
        assert_eq!(seen.len(), 5);
    }
}
