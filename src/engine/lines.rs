//! Hashes and magnets as people write them, one in each line.

use std::io::{self, BufRead, Read as _};

use super::Wanted;
use crate::torrent::{Infohash, Magnet};

/// The longest line that is read; a magnet is refused above 64 KiB.
const MAX_LINE: u64 = 64 * 1024 + 2;

/// Reads lines of bounded length.
pub(crate) struct Lines<R> {
    reader: R,
    bytes: Vec<u8>,
    number: u64,
}

/// A line, with its end.
pub(crate) struct Line<'a> {
    /// Counted from 1.
    pub(crate) number: u64,
    /// What it says, or what is wrong with it.
    pub(crate) text: Result<&'a str, &'static str>,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            bytes: Vec::new(),
            number: 0,
        }
    }

    /// The next line; `None` at the end.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.bytes.clear();
        let mut part = self.reader.by_ref().take(MAX_LINE);
        if part.read_until(b'\n', &mut self.bytes)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let is_too_long = !self.bytes.ends_with(b"\n") && self.bytes.len() as u64 >= MAX_LINE;
        let text = if is_too_long {
            skip_line(&mut self.reader)?;
            Err("the line is longer than 64 KiB")
        } else {
            std::str::from_utf8(&self.bytes).map_err(|_| "the line is no UTF-8 text")
        };
        Ok(Some(Line {
            number: self.number,
            text,
        }))
    }
}

/// Reads up to the end of the line without keeping it.
fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let (used, ended) = {
            let chunk = reader.fill_buf()?;
            match chunk.iter().position(|&byte| byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (chunk.len(), chunk.is_empty()),
            }
        };
        reader.consume(used);
        if ended {
            return Ok(());
        }
    }
}

/// A line: a magnet or an infohash; nothing for blank lines and `#` comments.
pub(crate) fn parse(text: &str) -> Result<Option<Wanted>, String> {
    let text = content(text);
    if text.is_empty() {
        return Ok(None);
    }
    if is_magnet(text) {
        let magnet: Magnet = text.parse().map_err(|error| format!("{error}"))?;
        return Ok(Some(magnet.into()));
    }
    let infohash: Infohash = text.parse().map_err(|error| format!("{error}"))?;
    Ok(Some(infohash.into()))
}

/// What a line says: nothing where it is blank or a `#` comment.
pub(crate) fn content(line: &str) -> &str {
    let text = line.trim_start_matches('\u{feff}').trim();
    if text.starts_with('#') { "" } else { text }
}

/// Whether it is meant as a magnet.
pub(crate) fn is_magnet(text: &str) -> bool {
    text.get(..7)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("magnet:"))
}
