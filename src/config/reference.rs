//! The keys for people: a file to start from, the documentation, and what is in effect.

use std::fmt::Write as _;

use super::keys::{KEYS, Key, SECTIONS};
use super::{CONFIG, Config, Origins};

/// How wide a comment may be, in characters.
const WIDTH: usize = 98;

/// A file with every key, its meaning and its default. All of it is comment: what is not set keeps
/// the default of the version that runs.
#[must_use]
pub fn template() -> String {
    let mut text = format!(
        "# Configuration of metafetch: `--config FILE` or {CONFIG} names this file.\n\
         # Every line with a key is its default, or an example where there is none; take away the\n\
         # first # to change it. `metafetch config check FILE` says whether all is right.\n"
    );
    let config = Config::default();
    for (section, about) in SECTIONS {
        let _ = write!(text, "\n{}[{section}]\n", comment(&joined(about)));
        for key in keys_of(section) {
            text.push('\n');
            text.push_str(&comment(&joined(key.meaning)));
            text.push_str(&comment(&format!("Takes {}.", key.expected)));
            let value = key.value(&config);
            if value.is_none() {
                text.push_str("# Not set. For example:\n");
            }
            let value = value.or(key.example.map(str::to_owned));
            let _ = writeln!(text, "#{} = {}", key.name, value.unwrap_or_default());
        }
    }
    text
}

/// The reference of all keys as Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = format!(
        "# Configuration

<!-- Made by `cargo run -- config reference > docs/configuration.md`; a test fails where it is old. -->

Each value comes from the first of these that has it:

1. the flag of the command line,
2. the environment: the variable of the key, `METAFETCH_<SECTION>_<KEY>`, such as `METAFETCH_NETWORK_LISTEN`;
   a list has white space between its items, and an empty variable is as good as none,
3. the TOML file that `--config FILE` or `{CONFIG}` names,
4. the default.

`metafetch config init` writes a file with every key, `metafetch config check FILE` says what is wrong with one, and
`metafetch config show --config FILE` shows what is in effect, and why.

A file has at most 1 MiB and must be UTF-8. A key that does not exist, and a value of another type or out of its range,
is an error that names the line. Paths are taken from the directory that the program runs in. Times are numbers with
units: `500ms`, `90s`, `1h30m`, `7d`. The service, `metafetch daemon`, reads it all again when it gets SIGHUP: see
docs/daemon.md. `--cooldown` adds to `engine.cooldown`; every other list is replaced.
"
    );
    let config = Config::default();
    for (section, about) in SECTIONS {
        let _ = write!(text, "\n## `[{section}]`\n\n{}\n", joined(about));
        for key in keys_of(section) {
            let default = key.value(&config);
            let default = default.map_or_else(|| "none".to_owned(), |value| format!("`{value}`"));
            let _ = write!(
                text,
                "\n### `{}`\n\n{}\n\n- takes {}\n- default: {default}\n",
                key.name,
                joined(key.meaning),
                key.expected,
            );
            if let Some(flag) = key.flag {
                let _ = writeln!(text, "- flag: `{flag}`");
            }
            if key.reloads {
                let _ = writeln!(text, "- the service takes a new value on at a reload");
            }
            let _ = write!(text, "- variable: `{}`", key.variable());
            match key.also {
                Some(also) => {
                    let _ = writeln!(text, ", or `{also}`, which wins");
                }
                None => text.push('\n'),
            }
        }
    }
    text
}

/// Every value that is in effect and where it comes from, as a file without passwords.
#[must_use]
pub fn effective(config: &Config, origins: &Origins) -> String {
    let mut text = String::new();
    for (section, _) in SECTIONS {
        let start = if text.is_empty() { "" } else { "\n" };
        let _ = writeln!(text, "{start}[{section}]");
        for key in keys_of(section) {
            let line = match key.value(config) {
                Some(value) => format!("{} = {value}", key.name),
                None => format!("# {} is not set", key.name),
            };
            let origin = origins.get(&(key.section, key.name));
            let origin = origin.map_or_else(|| "default".to_owned(), ToString::to_string);
            let _ = writeln!(text, "{line:<40} # {origin}");
        }
    }
    text
}

/// A key, with its value as it is in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its section.
    pub section: &'static str,
    /// Its name.
    pub key: &'static str,
    /// What it means.
    pub meaning: String,
    /// Which values it takes.
    pub expected: &'static str,
    /// Its value as a file has it, without any password; `None` where none is set.
    pub value: Option<String>,
    /// Its default.
    pub default: Option<String>,
}

/// Every key with its value, in the order of the file.
#[must_use]
pub fn entries(config: &Config) -> Vec<Entry> {
    let defaults = Config::default();
    let keys = KEYS.iter();
    keys.map(|key| Entry {
        section: key.section,
        key: key.name,
        meaning: joined(key.meaning),
        expected: key.expected,
        value: key.value(config),
        default: key.value(&defaults),
    })
    .collect()
}

fn keys_of(section: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.section == section)
}

/// The lines of a doc comment as one paragraph.
fn joined(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    lines.join(" ")
}

/// A paragraph as lines of comment.
fn comment(paragraph: &str) -> String {
    let mut text = String::new();
    let mut line = String::from("#");
    for word in paragraph.split_whitespace() {
        if line.chars().count() + word.chars().count() >= WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
    text
}
