//! The words of texts: the same for what is stored and for what is looked for, on every database.
//!
//! A word is a run of letters and digits, in lower case, decomposed for compatibility (NFKD, Unicode
//! Standard Annex 15) and without diacritics: `Übermäßig.2010` is `ubermaßig` and `2010`. Scripts that are
//! written without spaces have no words that could be told apart without a dictionary: of those every
//! character and every pair of neighbours is one, so that any part of a text is found.

use std::borrow::Cow;
use std::collections::HashSet;

use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};

/// The most characters of a word: longer ones are cut, in what is stored and in what is looked for.
const WORD_CHARS: usize = 40;
/// The most different words of a torrent, those of its name first.
const WORDS: usize = 2_000;
/// The most words of a question.
const ASKED: usize = 16;
/// The most characters of a question.
const ASKED_CHARS: usize = 500;
/// The fewest characters before a `*`: shorter ones would be the beginning of too many words.
const PREFIX_CHARS: usize = 3;
/// The most bytes of a word as MySQL has it: its index leaves out those of more than 84.
const MYSQL_BYTES: usize = 80;
/// The voicing marks of Japanese are no diacritics.
const KANA_VOICING: u8 = 8;

/// A text in the form that words are compared in.
pub(super) fn folded(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Cow::Owned(text.to_ascii_lowercase());
        }
        return Cow::Borrowed(text);
    }
    let classes = CanonicalCombiningClassMapBorrowed::new();
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize(text);
    let bare: String = decomposed
        .chars()
        .filter(|c| matches!(classes.get_u8(*c), 0 | KANA_VOICING))
        .flat_map(char::to_lowercase)
        .filter(|c| matches!(classes.get_u8(*c), 0 | KANA_VOICING))
        .collect();
    // Syllables of Hangul are one character again.
    let composed = ComposingNormalizerBorrowed::new_nfc().normalize(&bare);
    Cow::Owned(composed.into_owned())
}

/// Whether this is a letter of a script that is written without spaces.
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF        // Thai, Lao
        | 0x1000..=0x109F      // Myanmar
        | 0x1780..=0x17FF      // Khmer
        | 0x3005..=0x3007
        | 0x3040..=0x30FF      // Hiragana, Katakana
        | 0x31F0..=0x31FF
        | 0x3400..=0x4DBF      // Han
        | 0x4E00..=0x9FFF
        | 0xF900..=0xFAFF
        | 0x1B000..=0x1B16F
        | 0x20000..=0x3FFFF)
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric()
}

/// A run of characters of a folded text.
enum Run<'a> {
    Word(&'a str),
    Unspaced(&'a str),
}

/// The runs of a folded text, each with what follows it.
fn runs(text: &str) -> Vec<(Run<'_>, Option<char>)> {
    let mut runs = Vec::new();
    let mut rest = text;
    while let Some(from) = rest.find(is_part) {
        let tail = rest.get(from..).unwrap_or_default();
        let unspaced = tail.chars().next().is_some_and(is_unspaced);
        let to = tail
            .find(|c| !is_part(c) || is_unspaced(c) != unspaced)
            .unwrap_or(tail.len());
        let (run, after) = tail.split_at_checked(to).unwrap_or((tail, ""));
        let next = after.chars().next();
        runs.push(if unspaced {
            (Run::Unspaced(run), next)
        } else {
            (Run::Word(run), next)
        });
        rest = after;
    }
    runs
}

fn cut(word: &str) -> &str {
    super::super::value::bounded(word, WORD_CHARS)
}

/// Every character, and every two that are neighbours.
fn grams(run: &str) -> impl Iterator<Item = &str> {
    let ends: Vec<usize> = run
        .char_indices()
        .map(|(at, _)| at)
        .chain([run.len()])
        .collect();
    let slices: Vec<&str> = [1, 2]
        .into_iter()
        .flat_map(|length| ends.windows(length + 1))
        .filter_map(|window| run.get(*window.first()?..*window.last()?))
        .collect();
    slices.into_iter()
}

/// Gives each word of a folded text to `take`, until it says that it has enough.
fn each_word(text: &str, mut take: impl FnMut(&str) -> bool) {
    for (run, _) in runs(text) {
        match run {
            Run::Word(word) => {
                if !take(cut(word)) {
                    return;
                }
            }
            Run::Unspaced(run) => {
                for gram in grams(run) {
                    if !take(gram) {
                        return;
                    }
                }
            }
        }
    }
}

/// The different words of a torrent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// Of its name.
    pub(super) name: Vec<String>,
    /// Of the paths of its files, without those of the name.
    pub(super) paths: Vec<String>,
}

impl Words {
    /// The words of a name and of the paths of files: the first 2,000 different ones.
    pub(super) fn of<'a>(name: &str, paths: impl IntoIterator<Item = &'a str>) -> Self {
        let mut seen: HashSet<String> = HashSet::new();
        let mut add = |text: &str, to: &mut Vec<String>| {
            each_word(&folded(text), |word| {
                if seen.len() < WORDS && !seen.contains(word) {
                    seen.insert(word.to_owned());
                    to.push(word.to_owned());
                }
                seen.len() < WORDS
            });
            seen.len() < WORDS
        };
        let mut words = Self::default();
        if add(name, &mut words.name) {
            for path in paths {
                if !add(path, &mut words.paths) {
                    break;
                }
            }
        }
        words
    }

    /// As SQLite and PostgreSQL have them, with spaces between: words of the name twice, the second time with
    /// a `_` before.
    pub(super) fn plain(&self) -> String {
        let name = self.name.iter();
        let mut text: Vec<String> = name.map(|word| format!("{word} _{word}")).collect();
        text.extend(self.paths.iter().cloned());
        text.join(" ")
    }

    /// As MySQL has them.
    pub(super) fn mysql(&self) -> String {
        let name = self.name.iter();
        let mut text: Vec<String> = name
            .map(|word| format!("a_{0} n_{0}", mysql_word(word)))
            .collect();
        let paths = self.paths.iter();
        text.extend(paths.map(|word| format!("a_{}", mysql_word(word))));
        text.join(" ")
    }
}

/// A word in ASCII: `_` and four digits of base 36 for each other character, since what MySQL takes for a
/// letter depends on its version. With what comes before it no word is too short, too common or too long for
/// MySQL's index.
fn mysql_word(word: &str) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(word.len());
    for c in word.chars() {
        let mut encoded = String::new();
        if c.is_ascii() {
            encoded.push(c);
        } else {
            encoded.push('_');
            let code = u32::from(c);
            for power in [46_656, 1_296, 36, 1] {
                let digit = usize::try_from(code / power % 36).unwrap_or_default();
                encoded.push(DIGITS.get(digit).copied().map_or('0', char::from));
            }
        }
        if text.len() + encoded.len() > MYSQL_BYTES {
            break;
        }
        text.push_str(&encoded);
    }
    text
}

/// A word that is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Term {
    word: String,
    /// Or what begins with it.
    is_prefix: bool,
}

/// Which torrents have the words of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// Anywhere.
    Anywhere,
    /// All of them in the name.
    Name,
    /// Anywhere, but not all of them in the name.
    Rest,
}

/// The words that a text asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Question {
    terms: Vec<Term>,
}

impl Question {
    /// The words of a text, or why it can't be looked for. A text of nothing but spaces asks for nothing.
    pub(super) fn of(text: &str) -> Result<Self, String> {
        if text.chars().nth(ASKED_CHARS).is_some() {
            return Err(format!(
                "the text to look for has more than {ASKED_CHARS} characters"
            ));
        }
        let folded = folded(text);
        let mut terms: Vec<Term> = Vec::new();
        let mut add = |word: &str, is_prefix: bool| {
            let term = Term {
                word: word.to_owned(),
                is_prefix,
            };
            if !terms.contains(&term) {
                terms.push(term);
            }
        };
        for (run, next) in runs(&folded) {
            match run {
                Run::Word(word) => {
                    let is_prefix = next == Some('*');
                    if is_prefix && word.chars().nth(PREFIX_CHARS - 1).is_none() {
                        return Err(format!(
                            "`{word}*` would be the beginning of too many words: a `*` stands behind \
                             {PREFIX_CHARS} characters or more"
                        ));
                    }
                    add(cut(word), is_prefix);
                }
                Run::Unspaced(run) => {
                    // A pair finds less than its characters, and is in no text without them.
                    let is_single = run.chars().nth(1).is_none();
                    for gram in grams(run) {
                        if is_single || gram.chars().nth(1).is_some() {
                            add(gram, false);
                        }
                    }
                }
            }
        }
        if terms.len() > ASKED {
            return Err(format!(
                "the text to look for has {} words, more than {ASKED}",
                terms.len()
            ));
        }
        if terms.is_empty() && !text.trim().is_empty() {
            return Err("the text to look for has no letter and no digit".to_owned());
        }
        Ok(Self { terms })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a path has one of the words.
    pub(super) fn touches(&self, path: &str) -> bool {
        let mut touches = false;
        each_word(&folded(path), |word| {
            touches = self.terms.iter().any(|term| {
                if term.is_prefix {
                    word.starts_with(&term.word)
                } else {
                    word == term.word
                }
            });
            !touches
        });
        touches
    }

    /// Its words, each said in the language of a database.
    fn joined(&self, separator: &str, one: impl Fn(&Term) -> String) -> String {
        let terms: Vec<String> = self.terms.iter().map(one).collect();
        terms.join(separator)
    }

    /// What FTS5 is asked. Words have letters and digits only, so that none ends its quotes.
    pub(super) fn sqlite(&self, place: Where) -> String {
        let all = |mark: &str| {
            self.joined(" AND ", |term| {
                let star = if term.is_prefix { " *" } else { "" };
                format!("\"{mark}{}\"{star}", term.word)
            })
        };
        match place {
            Where::Anywhere => all(""),
            Where::Name => all("_"),
            Where::Rest => format!("({}) NOT ({})", all(""), all("_")),
        }
    }

    /// A `tsquery` of PostgreSQL.
    pub(super) fn postgres(&self, place: Where) -> String {
        let all = |mark: &str| {
            self.joined(" & ", |term| {
                let star = if term.is_prefix { ":*" } else { "" };
                format!("'{mark}{}'{star}", term.word)
            })
        };
        match place {
            Where::Anywhere => all(""),
            Where::Name => all("_"),
            Where::Rest => format!("({}) & !({})", all(""), all("_")),
        }
    }

    /// What MySQL is asked in its boolean mode: for words anywhere, or in the name.
    pub(super) fn mysql(&self, in_name: bool) -> String {
        let mark = if in_name { 'n' } else { 'a' };
        self.joined(" ", |term| {
            let star = if term.is_prefix { "*" } else { "" };
            format!("+{mark}_{}{star}", mysql_word(&term.word))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_torrent_has_each_word_once_and_marks_those_of_its_name() {
        let words = Words::of("A.b-A", ["b/C c.B", "d"]);
        assert_eq!(
            (words.name.join(" "), words.paths.join(" ")),
            ("a b".into(), "c d".into())
        );
        assert_eq!(words.plain(), "a _a b _b c d");
        assert_eq!(words.mysql(), "a_a n_a a_b n_b a_c a_d");
        let many: Vec<String> = (0..5_000).map(|number| format!("w{number}")).collect();
        let words = Words::of("name", many.iter().map(String::as_str));
        assert_eq!(words.name.len() + words.paths.len(), WORDS);
    }

    #[test]
    fn mysql_gets_words_that_it_neither_leaves_out_nor_splits() {
        assert_eq!(mysql_word("of1"), "of1");
        // U+0431 is 1073, which is 0, 0, 29 and 29 in base 36.
        assert_eq!(mysql_word("a\u{431}"), "a_00tt");
        assert_eq!(mysql_word(&"\u{10ffff}".repeat(40)).len(), MYSQL_BYTES);
    }

    proptest! {
        #[test]
        fn a_question_says_nothing_but_words(text in "\\PC{0,60}") {
            let Ok(question) = Question::of(&text) else { return Ok(()) };
            for said in [question.sqlite(Where::Rest), question.postgres(Where::Rest), question.mysql(true)] {
                let words = said.split(|c: char| !c.is_alphanumeric() && c != '_');
                for word in words.filter(|word| !word.is_empty() && !["AND", "NOT"].contains(word)) {
                    prop_assert_eq!(folded(word).into_owned(), word);
                }
                let other = said.replace(|c: char| c.is_alphanumeric(), "");
                prop_assert!(other.chars().all(|c| "_\" '*:&|!()+".contains(c)), "{}", other);
                prop_assert!(!said.contains("''") && !said.contains("\"\""), "{}", said);
            }
        }

        #[test]
        fn whatever_is_stored_is_found_by_its_own_words(name in "\\PC{0,60}") {
            let words = Words::of(&name, []);
            for word in &words.name {
                let question = Question::of(word).unwrap();
                prop_assert!(question.terms.iter().all(|term| words.name.contains(&term.word)), "{}", word);
            }
        }
    }
}
