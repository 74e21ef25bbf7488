//! The configuration file: TOML, of at most 1 MiB.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use toml::de::{DeTable, DeValue};

use super::error::{unknown_key, unknown_section};
use super::keys::{KEYS, SECTIONS};
use super::value::Given;
use super::{Layers, Origin, Place, Problem};

/// The longest file that is read, in bytes.
const MAX: usize = 1 << 20;
/// More problems than this are not looked for: each costs a way through the file.
const ENOUGH: usize = 200;

impl Layers {
    pub(super) fn add_file(&mut self, path: &Path) {
        match read(path) {
            Ok(text) => self.add_text(path, &text),
            Err((line, what)) => {
                let path = path.to_owned();
                let place = line.map_or_else(
                    || Place::File(path.clone()),
                    |line| Place::Line(path.clone(), line),
                );
                self.problems.push(Problem { place, what });
            }
        }
    }

    pub(super) fn add_text(&mut self, path: &Path, text: &str) {
        let source = Source { path, text };
        let (table, errors) = DeTable::parse_recoverable(text);
        // The error as a whole would show the line, and a password in it.
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            let what = format!("this is not TOML: {}", error.message());
            self.wrong(&source, offset, what);
        }
        for (name, value) in table.get_ref() {
            let at = name.span().start;
            let known = SECTIONS.iter().any(|(known, _)| known == name.get_ref());
            match value.get_ref() {
                _ if !known => self.wrong(&source, at, unknown_section(name.get_ref())),
                DeValue::Table(keys) => self.add_section(&source, name.get_ref(), keys),
                _ => {
                    let what = format!("`{}` is a section, [{0}]", name.get_ref());
                    self.wrong(&source, at, what);
                }
            }
        }
        self.problems.sort_by_key(|problem| match &problem.place {
            Place::Line(_, line) => *line,
            _ => 0,
        });
    }

    fn add_section(&mut self, source: &Source<'_>, section: &str, keys: &DeTable<'_>) {
        for (name, value) in keys {
            let at = name.span().start;
            let known = KEYS
                .iter()
                .find(|key| key.section == section && key.name == name.get_ref());
            let Some(key) = known else {
                self.wrong(source, at, unknown_key(section, name.get_ref()));
                continue;
            };
            let given = Given::Toml(value.get_ref());
            if let Err(what) = key.set(&mut self.config, &given) {
                self.wrong(source, at, what);
            } else {
                let origin = Origin::File(source.path.to_owned(), source.line(at));
                self.origins.insert((key.section, key.name), origin);
            }
        }
    }

    fn wrong(&mut self, source: &Source<'_>, offset: usize, what: String) {
        if self.problems.len() >= ENOUGH {
            return;
        }
        let place = Place::Line(source.path.to_owned(), source.line(offset));
        self.problems.push(Problem { place, what });
    }
}

/// A file that was read.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    /// The line that this byte is in, counted from 1.
    fn line(&self, offset: usize) -> usize {
        line(self.text.as_bytes(), offset)
    }
}

fn line(bytes: &[u8], offset: usize) -> usize {
    let before = bytes.get(..offset).unwrap_or(bytes);
    let lines = before.split(|byte| *byte == b'\n').count();
    lines.max(1)
}

/// The contents of a file, or what is wrong with it and in which line.
fn read(path: &Path) -> Result<String, (Option<usize>, String)> {
    let wrong = |what: String| (None, what);
    // A pipe would block until somebody writes.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())
        .map(File::from)
        .map_err(|error| {
            let error = std::io::Error::from(error);
            wrong(format!("the configuration can't be opened: {error}"))
        })?;
    let is_file = file.metadata().map(|metadata| metadata.is_file());
    if !is_file.is_ok_and(|is_file| is_file) {
        return Err(wrong(
            "this is no regular file: give the path of a TOML file".to_owned(),
        ));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| wrong(format!("the configuration can't be read: {error}")))?;
    if bytes.len() > MAX {
        return Err(wrong(
            "the configuration has more than 1 MiB: is it the right file?".to_owned(),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = line(error.as_bytes(), at);
        (Some(line), "this line is not UTF-8 text".to_owned())
    })
}
