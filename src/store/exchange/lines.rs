//! JSON lines, compressed or not: written row by row, read line by line, never more than one in memory.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::{Header, Row};

/// Length of the longest line that is read, in bytes: a dictionary of 10 MiB in base64, and some more.
const MAX_LINE: u64 = 32 << 20;

/// Lines that are written.
#[derive(Debug)]
pub(in crate::store) enum Lines<W: Write> {
    Plain(BufWriter<W>),
    Gzip(GzEncoder<BufWriter<W>>),
}

impl<W: Write> Lines<W> {
    /// Begins with the header.
    pub(in crate::store) fn start(to: W, gzip: bool, written_at: i64) -> io::Result<Self> {
        let to = BufWriter::new(to);
        let mut lines = if gzip {
            Self::Gzip(GzEncoder::new(to, Compression::default()))
        } else {
            Self::Plain(to)
        };
        lines.line(&Header::new(written_at))?;
        Ok(lines)
    }

    /// Adds a row.
    pub(in crate::store) fn row(&mut self, row: &Row) -> io::Result<()> {
        self.line(row)
    }

    fn line(&mut self, line: &impl serde::Serialize) -> io::Result<()> {
        let to: &mut dyn Write = match self {
            Self::Plain(to) => to,
            Self::Gzip(to) => to,
        };
        serde_json::to_writer(&mut *to, line)?;
        to.write_all(b"\n")
    }

    /// Writes what is left, and gives back where it went.
    pub(in crate::store) fn finish(self) -> io::Result<W> {
        let to = match self {
            Self::Plain(to) => to,
            Self::Gzip(to) => to.finish()?,
        };
        to.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// A line that was read.
#[derive(Debug)]
pub(super) enum Line {
    /// Its bytes, without the end.
    Whole(Vec<u8>),
    /// It is longer than a line may be.
    TooLong,
}

/// Lines that are read.
pub(super) struct LineReader<'a> {
    input: Box<dyn BufRead + 'a>,
    number: u64,
}

impl<'a> LineReader<'a> {
    /// Looks at the first bytes for whether they are compressed.
    pub(super) fn new(mut input: impl BufRead + 'a) -> io::Result<Self> {
        let is_gzip = input.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let input: Box<dyn BufRead + 'a> = if is_gzip {
            Box::new(BufReader::new(MultiGzDecoder::new(input)))
        } else {
            Box::new(input)
        };
        Ok(Self { input, number: 0 })
    }

    /// The next line and its number, from 1; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Line)>> {
        let mut line = Vec::new();
        let read = (&mut self.input)
            .take(MAX_LINE + 1)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if line.pop_if(|last| *last == b'\n').is_none() && line.len() as u64 > MAX_LINE {
            self.skip()?;
            return Ok(Some((self.number, Line::TooLong)));
        }
        line.pop_if(|last| *last == b'\r');
        Ok(Some((self.number, Line::Whole(line))))
    }

    /// Passes over the rest of the line.
    fn skip(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.input.fill_buf()?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let length = end.map_or(buffer.len(), |end| end + 1);
            self.input.consume(length);
            if end.is_some() || length == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let mut text = vec![b'a'; usize::try_from(MAX_LINE).unwrap() + 5];
        text.extend_from_slice(b"\nb\r\n\nc");
        let mut lines = LineReader::new(&text[..]).unwrap();
        assert!(matches!(lines.next(), Ok(Some((1, Line::TooLong)))));
        for (number, expected) in [(2, "b"), (3, ""), (4, "c")] {
            let Some((read, Line::Whole(line))) = lines.next().unwrap() else {
                panic!("line {number}");
            };
            assert_eq!((read, line), (number, expected.into()));
        }
        assert!(lines.next().unwrap().is_none());
    }

    #[test]
    fn compressed_lines_are_read_as_what_they_were() {
        let lines = Lines::start(Vec::new(), true, 5).unwrap();
        let bytes = lines.finish().unwrap();
        assert!(bytes.starts_with(&[0x1f, 0x8b]));
        let mut read = LineReader::new(&bytes[..]).unwrap();
        let Some((1, Line::Whole(line))) = read.next().unwrap() else {
            panic!("no line");
        };
        assert_eq!(
            serde_json::from_slice::<Header>(&line).unwrap(),
            Header::new(5)
        );
        assert!(read.next().unwrap().is_none());
    }
}
