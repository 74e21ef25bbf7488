//! The files of an info dictionary as their raw bytes have them, one after the other.

use super::InfoError;
use crate::wire::bencode::{self, Entries, Items, Limits, Token, Tokens};

/// A file as the dictionary has it; nothing is checked but the form.
pub(super) struct RawFile<'a, 'p> {
    /// The components of its path, as bytes; none where the dictionary names none.
    pub(super) path: &'p [&'a [u8]],
    /// Its length.
    pub(super) length: Option<i64>,
    /// Its attributes (BEP 47).
    attr: Option<&'a [u8]>,
}

impl RawFile<'_, '_> {
    /// Whether it only fills a piece (BEP 47).
    pub(super) fn is_padding(&self) -> bool {
        self.has(b'p')
    }

    /// Whether it is a link to another file (BEP 47), which takes no bytes.
    pub(super) fn is_link(&self) -> bool {
        self.has(b'l')
    }

    fn has(&self, attribute: u8) -> bool {
        let attr = self.attr.and_then(bencode::string);
        attr.is_some_and(|attr| attr.contains(&attribute))
    }
}

/// Shows each file of a v1 list.
pub(super) fn list<'a>(
    list: &'a [u8],
    mut each: impl FnMut(&RawFile<'a, '_>) -> Result<(), InfoError>,
) -> Result<(), InfoError> {
    for file in Items::new(list, Limits::INFO) {
        let (mut path, mut path_utf8, mut length, mut attr) = (None, None, None, None);
        for entry in Entries::new(file?, Limits::INFO) {
            let (key, value) = entry?;
            let slot = match key {
                b"path" => &mut path,
                b"path.utf-8" => &mut path_utf8,
                b"length" => &mut length,
                b"attr" => &mut attr,
                _ => continue,
            };
            slot.get_or_insert(value);
        }
        let path = path_utf8.and_then(components).or(path.and_then(components));
        each(&RawFile {
            path: &path.unwrap_or_default(),
            length: length.and_then(bencode::int),
            attr,
        })?;
    }
    Ok(())
}

/// Shows each file of a v2 tree: directories are dictionaries by name, and a file is one whose
/// only key is the empty string.
pub(super) fn tree<'a>(
    tree: &'a [u8],
    mut each: impl FnMut(&RawFile<'a, '_>) -> Result<(), InfoError>,
) -> Result<(), InfoError> {
    let mut tokens = Tokens::new(tree, Limits::INFO);
    if tokens.next()? != Some(Token::Dict) {
        return Err(InfoError::FileTree("it is no dictionary"));
    }
    let mut path: Vec<&[u8]> = Vec::new();
    while let Some(token) = tokens.next()? {
        match token {
            Token::Bytes(b"") => {
                let properties = tokens.skip()?;
                if path.is_empty() {
                    return Err(InfoError::FileTree("a file has no name"));
                }
                each(&leaf(&path, properties)?)?;
            }
            Token::Bytes(name) => {
                if tokens.next()? != Some(Token::Dict) {
                    return Err(InfoError::FileTree("a name stands for no dictionary"));
                }
                path.push(name);
            }
            _ => {
                path.pop();
            }
        }
    }
    Ok(())
}

fn leaf<'a, 'p>(path: &'p [&'a [u8]], properties: &'a [u8]) -> Result<RawFile<'a, 'p>, InfoError> {
    let (mut length, mut root, mut attr) = (None, None, None);
    for entry in Entries::new(properties, Limits::INFO) {
        let (key, value) = entry?;
        let slot = match key {
            b"length" => &mut length,
            b"pieces root" => &mut root,
            b"attr" => &mut attr,
            _ => continue,
        };
        slot.get_or_insert(value);
    }
    let length = length.and_then(bencode::int);
    let is_rooted = root
        .and_then(bencode::string)
        .is_some_and(|r| r.len() == 32);
    if !is_rooted && length != Some(0) {
        return Err(InfoError::FileTree("a file has no `pieces root`"));
    }
    Ok(RawFile { path, length, attr })
}

/// A path of a v1 file; `None` where it is no list of strings, or empty.
fn components(list: &[u8]) -> Option<Vec<&[u8]>> {
    let path: Option<Vec<&[u8]>> = Items::new(list, Limits::INFO)
        .map(|item| bencode::string(item.ok()?))
        .collect();
    path.filter(|path| !path.is_empty())
}
