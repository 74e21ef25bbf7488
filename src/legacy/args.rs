//! The command line of `dht_crawler`: words from left to right, and the first that ends the program does.
//!
//! A flag is one word, its value the next one, whatever that is. The last of a repeated flag counts.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// DHT workers, at the least and at the most.
const WORKERS: std::ops::RangeInclusive<i32> = 1..=16;

/// What the command line says.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Args {
    /// `--server`, `--port`, `--user`, `--password`, `--database`: `None` where they were not given.
    pub(super) server: Option<String>,
    pub(super) port: Option<i32>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: Option<String>,
    /// Below 0: without an end.
    pub(super) queries: i32,
    /// A comma list, or the path of a file; not there where it is empty.
    pub(super) metadata: Option<OsString>,
    pub(super) metadata_database: bool,
    pub(super) debug: bool,
    pub(super) verbose: bool,
    pub(super) metadata_log: bool,
    pub(super) sequential: bool,
    pub(super) workers: i32,
    pub(super) bep51: bool,
    pub(super) config: Option<PathBuf>,
}

impl std::fmt::Debug for Args {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args")
            .field("server", &self.server)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("queries", &self.queries)
            .field("metadata", &self.metadata)
            .field("metadata_database", &self.metadata_database)
            .field("workers", &self.workers)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Default for Args {
    fn default() -> Self {
        Self {
            server: None,
            port: None,
            user: None,
            password: None,
            database: None,
            queries: -1,
            metadata: None,
            metadata_database: false,
            debug: false,
            verbose: false,
            metadata_log: false,
            sequential: false,
            workers: 4,
            bep51: true,
            config: None,
        }
    }
}

/// What the program is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Run(Box<Args>),
    /// The usage, and exit 0; with the libraries shown as missing, or as they are.
    Help {
        missing: bool,
    },
    /// This line on stderr, the usage on stdout, and exit 1.
    Unknown(String),
    /// This line on stderr, and exit 1.
    Refused(String),
}

/// What a flag does with its value.
enum Flag {
    Switch(fn(&mut Args)),
    Text(fn(&mut Args, String)),
    Os(fn(&mut Args, OsString)),
    Int(fn(&mut Args, i32) -> Result<(), String>),
}

const FLAGS: [(&str, Flag); 15] = [
    (
        "--server",
        Flag::Text(|args, text| args.server = Some(text)),
    ),
    (
        "--port",
        Flag::Int(|args, port| {
            args.port = Some(port);
            Ok(())
        }),
    ),
    ("--user", Flag::Text(|args, text| args.user = Some(text))),
    (
        "--password",
        Flag::Text(|args, text| args.password = Some(text)),
    ),
    (
        "--database",
        Flag::Text(|args, text| args.database = Some(text)),
    ),
    (
        "--queries",
        Flag::Int(|args, queries| {
            args.queries = queries;
            Ok(())
        }),
    ),
    (
        "--metadata",
        Flag::Os(|args, list| args.metadata = Some(list).filter(|list| !list.is_empty())),
    ),
    (
        "--metadata_database",
        Flag::Switch(|args| args.metadata_database = true),
    ),
    ("--debug", Flag::Switch(|args| args.debug = true)),
    ("--verbose", Flag::Switch(|args| args.verbose = true)),
    (
        "--metadata_log",
        Flag::Switch(|args| args.metadata_log = true),
    ),
    ("--sequential", Flag::Switch(|args| args.sequential = true)),
    ("--workers", Flag::Int(set_workers)),
    ("--no-bep51", Flag::Switch(|args| args.bep51 = false)),
    (
        "--config",
        Flag::Os(|args, path| args.config = Some(path.into())),
    ),
];

fn set_workers(args: &mut Args, workers: i32) -> Result<(), String> {
    if !WORKERS.contains(&workers) {
        return Err("Error: Number of workers must be between 1 and 16".to_owned());
    }
    args.workers = workers;
    Ok(())
}

/// Reads the words behind the program's name.
pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Parsed {
    let mut words = words.into_iter().peekable();
    if words.peek().is_none() {
        return Parsed::Help { missing: false };
    }
    let mut args = Args::default();
    while let Some(word) = words.next() {
        let name = word.to_string_lossy();
        match &*name {
            "--help" => return Parsed::Help { missing: false },
            "--test-missing-libs" => return Parsed::Help { missing: true },
            _ => {}
        }
        let unknown = || Parsed::Unknown(format!("Unknown argument: {}", word.to_string_lossy()));
        let Some((flag, does)) = FLAGS.iter().find(|(flag, _)| *flag == name) else {
            return unknown();
        };
        if let Flag::Switch(set) = does {
            set(&mut args);
            continue;
        }
        // A flag whose value is missing is no argument that is known.
        let Some(value) = words.next() else {
            return unknown();
        };
        match does {
            Flag::Switch(_) => {}
            Flag::Text(set) => set(&mut args, value.to_string_lossy().into_owned()),
            Flag::Os(set) => set(&mut args, value),
            Flag::Int(set) => {
                let set = integer(flag, &value).and_then(|number| set(&mut args, number));
                if let Err(why) = set {
                    return Parsed::Refused(why);
                }
            }
        }
    }
    Parsed::Run(Box::new(args))
}

/// An integer as `strtol` reads it: blanks, a sign, digits, and whatever follows.
fn integer(flag: &str, value: &OsStr) -> Result<i32, String> {
    let text = value.to_string_lossy();
    let number = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let (sign, rest) = match number.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", number.strip_prefix('+').unwrap_or(number)),
    };
    let end = rest
        .find(|digit: char| !digit.is_ascii_digit())
        .unwrap_or(rest.len());
    let digits = rest.get(..end).unwrap_or_default();
    let shown: String = text.chars().take(40).collect();
    if digits.is_empty() {
        return Err(format!("Error: {flag} needs a number, not '{shown}'"));
    }
    format!("{sign}{digits}").parse().map_err(|_| {
        format!(
            "Error: {flag} must be between {} and {}, and '{shown}' is not",
            i32::MIN,
            i32::MAX
        )
    })
}

#[cfg(test)]
mod tests;
