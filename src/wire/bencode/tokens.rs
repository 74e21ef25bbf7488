//! The scanner: one bencoded value as a run of tokens, without recursion and without a tree.

use super::{BencodeError, Limits};

/// One step through a bencoded value. A dictionary's keys are `Bytes` tokens before their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// An integer.
    Int(i64),
    /// A byte string, or the key of a dictionary.
    Bytes(&'a [u8]),
    /// A list begins.
    List,
    /// A dictionary begins.
    Dict,
    /// The innermost open list or dictionary ends.
    End,
}

/// What the innermost open container expects next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    List,
    DictKey,
    DictValue,
}

/// Reads one value token by token. Memory is one byte for each open container.
#[derive(Clone, Debug)]
pub(crate) struct Tokens<'a> {
    bytes: &'a [u8],
    offset: usize,
    open: Vec<Open>,
    limits: Limits,
    left: usize,
    is_done: bool,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Self {
            bytes,
            offset: 0,
            open: Vec::new(),
            limits,
            left: limits.tokens,
            is_done: false,
        }
    }

    /// How many bytes have been read.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// The bytes from `start` up to what has been read.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.offset).unwrap_or_default()
    }

    /// The bytes that have not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.offset..).unwrap_or_default()
    }

    /// Whether the next `Bytes` token is the key of a dictionary.
    pub(crate) fn expects_key(&self) -> bool {
        self.open.last() == Some(&Open::DictKey)
    }

    /// The next token; `None` once the value is complete. After an error there is no next token
    /// worth having.
    pub(crate) fn next(&mut self) -> Result<Option<Token<'a>>, BencodeError> {
        if self.is_done {
            return Ok(None);
        }
        let offset = self.offset;
        let byte = self.peek()?;
        if byte == b'e' {
            match self.open.pop() {
                Some(Open::List | Open::DictKey) => {}
                Some(Open::DictValue) | None => {
                    return Err(BencodeError::Unexpected { byte, offset });
                }
            }
            self.offset = offset.saturating_add(1);
            self.value_ended();
            return Ok(Some(Token::End));
        }
        if self.expects_key() && !byte.is_ascii_digit() {
            return Err(BencodeError::Key { offset });
        }
        self.left = self.left.checked_sub(1).ok_or(BencodeError::TooLarge {
            max: self.limits.tokens,
        })?;
        let token = match byte {
            b'i' => {
                self.offset = offset.saturating_add(1);
                Token::Int(self.int()?)
            }
            b'0'..=b'9' => Token::Bytes(self.string()?),
            b'l' | b'd' => return self.begin(byte == b'd').map(Some),
            _ => return Err(BencodeError::Unexpected { byte, offset }),
        };
        self.value_ended();
        Ok(Some(token))
    }

    /// Reads the value that comes next to its end, and returns its bytes.
    pub(crate) fn skip(&mut self) -> Result<&'a [u8], BencodeError> {
        let start = self.offset;
        let depth = self.open.len();
        loop {
            if self.next()?.is_none() || self.open.len() <= depth {
                return Ok(self.since(start));
            }
        }
    }

    fn peek(&self) -> Result<u8, BencodeError> {
        self.bytes
            .get(self.offset)
            .copied()
            .ok_or(BencodeError::Truncated {
                offset: self.bytes.len(),
            })
    }

    fn begin(&mut self, is_dict: bool) -> Result<Token<'a>, BencodeError> {
        let max = self.limits.depth.min(Limits::MAX_DEPTH);
        if self.open.len() >= max {
            return Err(BencodeError::TooDeep { max });
        }
        self.offset = self.offset.saturating_add(1);
        self.open
            .push(if is_dict { Open::DictKey } else { Open::List });
        Ok(if is_dict { Token::Dict } else { Token::List })
    }

    /// Notes that a string, an integer or a container is complete.
    fn value_ended(&mut self) {
        match self.open.last_mut() {
            None => self.is_done = true,
            Some(Open::List) => {}
            Some(open @ Open::DictKey) => *open = Open::DictValue,
            Some(open @ Open::DictValue) => *open = Open::DictKey,
        }
    }

    /// The digits, sign and `e` after an `i`.
    fn int(&mut self) -> Result<i64, BencodeError> {
        let malformed = BencodeError::Integer {
            offset: self.offset.saturating_sub(1),
        };
        let is_negative = self.peek()? == b'-';
        if is_negative {
            self.offset = self.offset.saturating_add(1);
        }
        let first = self.offset;
        // Counted downwards, since the smallest i64 has no positive twin.
        let mut value = 0_i64;
        loop {
            let byte = self.peek()?;
            self.offset = self.offset.saturating_add(1);
            match byte {
                b'0'..=b'9' => {
                    value = value
                        .checked_mul(10)
                        .and_then(|value| value.checked_sub(i64::from(byte & 0x0f)))
                        .ok_or(malformed)?;
                }
                b'e' if self.offset > first.saturating_add(1) => break,
                _ => return Err(malformed),
            }
        }
        if is_negative {
            Ok(value)
        } else {
            value.checked_neg().ok_or(malformed)
        }
    }

    /// A length, a colon and that many bytes.
    fn string(&mut self) -> Result<&'a [u8], BencodeError> {
        let malformed = BencodeError::Length {
            offset: self.offset,
        };
        let mut len = 0_usize;
        loop {
            let byte = self.peek()?;
            self.offset = self.offset.saturating_add(1);
            match byte {
                b'0'..=b'9' => {
                    len = len
                        .checked_mul(10)
                        .and_then(|len| len.checked_add(usize::from(byte & 0x0f)))
                        .ok_or(malformed)?;
                }
                b':' => break,
                _ => return Err(malformed),
            }
        }
        let end = self.offset.checked_add(len).ok_or(malformed)?;
        let string = self
            .bytes
            .get(self.offset..end)
            .ok_or(BencodeError::Truncated {
                offset: self.bytes.len(),
            })?;
        self.offset = end;
        Ok(string)
    }
}

/// The entries of a dictionary, as raw bytes and one after the other: what is not wanted costs no
/// memory. Empty where `bytes` are no dictionary. Bytes after the dictionary are not looked at.
pub(crate) struct Entries<'a> {
    tokens: Option<Tokens<'a>>,
}

/// The items of a list, as [`Entries`] is for dictionaries.
pub(crate) struct Items<'a> {
    tokens: Option<Tokens<'a>>,
}

impl<'a> Entries<'a> {
    pub(crate) fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Self {
            tokens: begun(bytes, limits, Token::Dict),
        }
    }
}

impl<'a> Items<'a> {
    pub(crate) fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Self {
            tokens: begun(bytes, limits, Token::List),
        }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), BencodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let tokens = self.tokens.as_mut()?;
        let item = match tokens.next() {
            Ok(Some(Token::Bytes(key))) => tokens.skip().map(|value| (key, value)),
            Ok(_) => {
                self.tokens = None;
                return None;
            }
            Err(error) => Err(error),
        };
        if item.is_err() {
            self.tokens = None;
        }
        Some(item)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<&'a [u8], BencodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let tokens = self.tokens.as_mut()?;
        if tokens.rest().first() == Some(&b'e') {
            self.tokens = None;
            return None;
        }
        let item = tokens.skip();
        if item.is_err() {
            self.tokens = None;
        }
        Some(item)
    }
}

/// The scanner inside the container that `bytes` begin with, where it is the kind asked for.
fn begun<'a>(bytes: &'a [u8], limits: Limits, kind: Token<'_>) -> Option<Tokens<'a>> {
    let mut tokens = Tokens::new(bytes, limits);
    match tokens.next() {
        Ok(Some(token)) if token == kind => Some(tokens),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_items_are_raw() {
        let entries: Result<Vec<_>, _> =
            Entries::new(b"d1:ali1ei2ee1:b0:1:ad1:xleee", Limits::INFO).collect();
        assert_eq!(
            entries.unwrap(),
            [
                (&b"a"[..], &b"li1ei2ee"[..]),
                (b"b", b"0:"),
                (b"a", b"d1:xlee")
            ]
        );
        let items: Result<Vec<_>, _> = Items::new(b"lllee3:abcdeeXX", Limits::INFO).collect();
        assert_eq!(items.unwrap(), [&b"llee"[..], b"3:abc", b"de"]);
    }

    #[test]
    fn other_values_have_no_entries() {
        for bytes in [&b"le"[..], b"i1e", b"", b"x", b"0:"] {
            assert_eq!(Entries::new(bytes, Limits::INFO).count(), 0);
        }
        for bytes in [&b"de"[..], b"i1e", b"", b"x", b"0:"] {
            assert_eq!(Items::new(bytes, Limits::INFO).count(), 0);
        }
    }

    #[test]
    fn an_error_is_told_once() {
        let broken: Vec<_> = Entries::new(b"d1:ai1e1:bix", Limits::INFO).collect();
        assert_eq!(broken.len(), 2);
        assert!(broken[0].is_ok() && broken[1].is_err());
        let broken: Vec<_> = Items::new(b"li1e9:a", Limits::INFO).collect();
        assert_eq!(broken.len(), 2);
        assert!(broken[0].is_ok() && broken[1].is_err());
    }
}
