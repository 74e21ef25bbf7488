//! Where a page ended: a text that means something to this program only, and is checked when it comes back.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};

use super::words::Question;
use super::{TorrentQuery, TorrentSort};

/// The first byte, so that a later form can be told from this one.
const VERSION: u8 = 1;
/// The most characters of a name that is sorted by.
pub(super) const NAME_KEY_CHARS: usize = 60;
/// The most bytes of a cursor as a text.
const TEXT_BYTES: usize = 600;

/// In which part of the results a page ended, and behind which torrent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TorrentCursor {
    /// Of which question it is.
    question: [u8; 8],
    /// 0, or 1 where those that have all words in the name were all told.
    pub(super) tier: u8,
    /// What the last torrent was sorted by.
    pub(super) key: Key,
    /// Its number.
    pub(super) id: i64,
}

/// What a torrent is sorted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// Its number alone.
    Id,
    Number(i64),
    Text(String),
}

/// A text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a cursor: give the one that came with the page before, or none")]
pub struct CursorError;

impl TorrentCursor {
    pub(super) fn new(
        query: &TorrentQuery,
        question: &Question,
        tier: u8,
        key: Key,
        id: i64,
    ) -> Self {
        Self {
            question: fingerprint(query, question),
            tier,
            key,
            id,
        }
    }

    /// Whether it came with a page of this question.
    pub(super) fn is_of(&self, query: &TorrentQuery, question: &Question) -> bool {
        let is_like_the_order = match self.key {
            Key::Id => !question.is_empty() && query.sort == TorrentSort::Relevance,
            Key::Number(_) => query.sort != TorrentSort::Name,
            Key::Text(_) => query.sort == TorrentSort::Name,
        };
        is_like_the_order && self.question == fingerprint(query, question)
    }
}

/// Of all that says which torrents there are, and in which order.
fn fingerprint(query: &TorrentQuery, question: &Question) -> [u8; 8] {
    let said = format!(
        "{question:?} {:?}",
        TorrentQuery {
            text: String::new(),
            after: None,
            limit: 0,
            files: 0,
            ..query.clone()
        }
    );
    let digest = Sha256::digest(said);
    let mut start = [0; 8];
    for (to, from) in start.iter_mut().zip(digest) {
        *to = from;
    }
    start
}

impl fmt::Display for TorrentCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION];
        bytes.extend(self.question);
        bytes.push(self.tier);
        bytes.extend(self.id.to_be_bytes());
        match &self.key {
            Key::Id => bytes.push(0),
            Key::Number(number) => {
                bytes.push(1);
                bytes.extend(number.to_be_bytes());
            }
            Key::Text(text) => {
                bytes.push(2);
                bytes.extend(text.as_bytes());
            }
        }
        f.pad(&BASE64URL_NOPAD.encode(&bytes))
    }
}

impl FromStr for TorrentCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        if text.len() > TEXT_BYTES {
            return Err(CursorError);
        }
        let bytes = BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map_err(|_| CursorError)?;
        let mut rest = bytes.as_slice();
        let [VERSION] = take(&mut rest)? else {
            return Err(CursorError);
        };
        let question = take(&mut rest)?;
        let [tier @ 0..=1] = take(&mut rest)? else {
            return Err(CursorError);
        };
        let id = i64::from_be_bytes(take(&mut rest)?);
        let key = match take(&mut rest)? {
            [0] => Key::Id,
            [1] => Key::Number(i64::from_be_bytes(take(&mut rest)?)),
            [2] => {
                let text = std::str::from_utf8(std::mem::take(&mut rest));
                let text = text.map_err(|_| CursorError)?;
                if text.contains('\0') || text.chars().nth(NAME_KEY_CHARS).is_some() {
                    return Err(CursorError);
                }
                Key::Text(text.to_owned())
            }
            _ => return Err(CursorError),
        };
        if !rest.is_empty() {
            return Err(CursorError);
        }
        Ok(Self {
            question,
            tier,
            key,
            id,
        })
    }
}

/// The next bytes.
fn take<const COUNT: usize>(rest: &mut &[u8]) -> Result<[u8; COUNT], CursorError> {
    let (taken, left) = rest.split_first_chunk().ok_or(CursorError)?;
    *rest = left;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question(text: &str) -> Question {
        Question::of(text).unwrap()
    }

    #[test]
    fn it_is_of_the_question_it_came_with_and_of_no_other() {
        let query = TorrentQuery::default();
        let cursor = TorrentCursor::new(&query, &question("a b"), 1, Key::Id, 7);
        let read: TorrentCursor = cursor.to_string().parse().unwrap();
        assert_eq!(read, cursor);
        assert!(read.is_of(&query, &question("a b")));
        let longer = TorrentQuery {
            limit: 900,
            files: 3,
            text: "A, b".to_owned(),
            ..query.clone()
        };
        assert!(read.is_of(&longer, &question("A, b")), "it is the same");
        assert!(!read.is_of(&query, &question("a")));
        let other = TorrentQuery {
            min_size: Some(1),
            ..query.clone()
        };
        assert!(!read.is_of(&other, &question("a b")));
        let other = TorrentQuery {
            sort: TorrentSort::Size,
            ..query
        };
        assert!(!read.is_of(&other, &question("a b")));
    }

    #[test]
    fn what_is_none_is_refused() {
        let query = TorrentQuery::default();
        let text = TorrentCursor::new(&query, &question("a"), 0, Key::Number(5), 7).to_string();
        for wrong in [
            "",
            "=",
            "AQ",
            &text[1..],
            &text[..text.len() - 2],
            &format!("{text}AA"),
            &"A".repeat(601),
        ] {
            assert_eq!(wrong.parse::<TorrentCursor>(), Err(CursorError), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_cursor_reads_back(tier in 0_u8..2, number: i64, id: i64, name in "[^\0]{0,60}") {
            let query = TorrentQuery::default();
            for key in [Key::Id, Key::Number(number), Key::Text(name.clone())] {
                let cursor = TorrentCursor::new(&query, &question("a"), tier, key, id);
                prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
            }
        }

        #[test]
        fn no_text_is_too_odd(text: String) {
            let _ = text.parse::<TorrentCursor>();
        }
    }
}
