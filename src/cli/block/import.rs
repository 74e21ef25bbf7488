//! `metafetch block import`: a list of hashes, or of digests of hashes, of any length.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::cli::input::{self, Lines};
use crate::cli::{Exit, Stop, say, time};
use crate::store::{BlockEntry, MAX_SALT_BYTES, MAX_SALTS, Store};

/// Rows of a transaction: others wait for its end.
const BATCH: usize = 50_000;
/// Malformed lines that are reported one by one.
const REPORTED: u64 = 100;

/// What is imported, and how it is read.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A file with an infohash, a magnet or a SALT:DIGEST per line (blank lines and # comments are
    /// passed over), or - for stdin
    file: String,
    /// The name of the list that they come with
    #[arg(long, value_name = "NAME", default_value = "default")]
    list: String,
    /// Lines of 64 hex digits are SHA-256 of the bytes of a hash
    #[arg(long)]
    digest: bool,
    /// Lines of 64 hex digits are SHA-256 of this salt, followed by the bytes of a hash
    #[arg(long, value_name = "HEX", value_parser = salt, conflicts_with = "digest")]
    salt: Option<Salt>,
    /// Exit with 2 where a line is malformed
    #[arg(long)]
    strict: bool,
}

/// The bytes of a salt, not empty.
#[derive(Clone, Debug)]
struct Salt(Vec<u8>);

fn salt(text: &str) -> Result<Salt, String> {
    match HEXLOWER_PERMISSIVE.decode(text.as_bytes()) {
        Ok(bytes) if (1..=MAX_SALT_BYTES).contains(&bytes.len()) => Ok(Salt(bytes)),
        _ => Err(format!("expected 1 to {MAX_SALT_BYTES} bytes in hex")),
    }
}

/// Runs the command.
pub(super) async fn run(args: Args, store: &Store) -> Result<Exit, Stop> {
    let reader: Box<dyn BufRead> = if args.file == "-" {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(&args.file).map_err(|error| {
            let what = format!("`{}` can't be read: {error}", args.file);
            Stop::new(Exit::Usage, what)
        })?;
        Box::new(BufReader::new(file))
    };
    let name = if args.file == "-" {
        "stdin"
    } else {
        &args.file
    };
    let mut parser = Parser {
        // What the lines are digests with: no salt at all is a hash itself.
        salt: match args.salt {
            Some(Salt(salt)) => Some(salt),
            None => args.digest.then(Vec::new),
        },
        salts: store.block_salts().await?.into_iter().collect(),
    };
    let mut lines = Lines::new(reader);
    let (mut taken, mut added, mut malformed) = (0_u64, 0_u64, 0_u64);
    let mut batch = Vec::new();
    let mut broken = None;
    loop {
        let line = match lines.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                broken = Some(error);
                break;
            }
        };
        let entries = line
            .text
            .map_err(str::to_owned)
            .and_then(|text| parser.entries(text));
        match entries {
            Ok(entries) => {
                taken += u64::from(!entries.is_empty());
                batch.extend(entries);
            }
            Err(error) => {
                malformed += 1;
                if malformed <= REPORTED {
                    say(format_args!("{name}:{}: {error}", line.number));
                }
            }
        }
        if batch.len() >= BATCH {
            let entries = std::mem::take(&mut batch);
            added += store.block(entries, &args.list, time::now_ms()).await?;
        }
    }
    added += store.block(batch, &args.list, time::now_ms()).await?;
    if malformed > REPORTED {
        say(format_args!(
            "{name}: {} further lines are malformed",
            malformed - REPORTED
        ));
    }
    say(format_args!(
        "{taken} lines taken ({added} rows were new), {malformed} malformed"
    ));
    if let Some(error) = broken {
        let what = format!("`{name}` can't be read any further: {error}");
        return Err(Stop::new(Exit::Failed, what));
    }
    if malformed > 0 && (args.strict || taken == 0) {
        Ok(Exit::Usage)
    } else {
        Ok(Exit::Done)
    }
}

struct Parser {
    /// The salt of lines that are digests; `None` where they are hashes.
    salt: Option<Vec<u8>>,
    /// Every salt, stored or to be.
    salts: BTreeSet<Vec<u8>>,
}

impl Parser {
    /// What a line blocks; nothing where it is blank or a comment.
    fn entries(&mut self, line: &str) -> Result<Vec<BlockEntry>, String> {
        let text = input::content(line);
        if text.is_empty() {
            return Ok(Vec::new());
        }
        if let Some((salt, digest)) = text.split_once(':')
            && !input::is_magnet(text)
        {
            let salt = HEXLOWER_PERMISSIVE
                .decode(salt.as_bytes())
                .map_err(|_| "the salt before the colon is no hex".to_owned())?;
            return self.digest(digest, &salt).map(|entry| vec![entry]);
        }
        match self.salt.clone() {
            Some(salt) => self.digest(text, &salt).map(|entry| vec![entry]),
            None => input::infohash(text).map(|hash| BlockEntry::of_hash(&hash)),
        }
    }

    fn digest(&mut self, digest: &str, salt: &[u8]) -> Result<BlockEntry, String> {
        let digest = HEXLOWER_PERMISSIVE
            .decode(digest.as_bytes())
            .ok()
            .and_then(|digest| digest.try_into().ok())
            .ok_or("expected a digest of 64 hex digits")?;
        let entry = BlockEntry::of_digest(digest, salt)
            .ok_or_else(|| format!("the salt is longer than {MAX_SALT_BYTES} bytes"))?;
        if !salt.is_empty() && !self.salts.contains(salt) {
            if self.salts.len() >= MAX_SALTS as usize {
                return Err(format!(
                    "there may be {MAX_SALTS} salts in all, since each costs every lookup"
                ));
            }
            self.salts.insert(salt.to_vec());
        }
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torrent::sha256;

    fn parser(salt: Option<&[u8]>) -> Parser {
        Parser {
            salt: salt.map(<[u8]>::to_vec),
            salts: BTreeSet::new(),
        }
    }

    #[test]
    fn lines_are_hashes_magnets_digests_or_nothing() {
        let hash = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a";
        let digest = data_encoding::HEXLOWER.encode(&sha256(b"x"));
        let mut plain = parser(None);
        assert_eq!(plain.entries(hash).unwrap().len(), 1);
        assert_eq!(plain.entries(&digest).unwrap().len(), 2, "a v2 hash");
        let magnet = format!("magnet:?xt=urn:btih:{hash}");
        assert_eq!(plain.entries(&magnet), plain.entries(hash));
        for nothing in ["", "  ", "# c12f"] {
            assert_eq!(plain.entries(nothing), Ok(Vec::new()));
        }
        let salted = BlockEntry::of_digest(sha256(b"x"), &[0xab]).unwrap();
        let line = format!("AB:{digest}");
        assert_eq!(plain.entries(&line), Ok(vec![salted.clone()]));
        assert_eq!(parser(Some(&[0xab])).entries(&digest), Ok(vec![salted]));
        for wrong in ["x", "xy:00", "ab:00", &digest[1..], &format!("{digest}:ab")] {
            assert!(plain.entries(wrong).is_err(), "{wrong}");
        }
        assert!(parser(Some(b"")).entries(hash).is_err(), "no digest");
    }

    #[test]
    fn salts_are_bounded() {
        let digest = data_encoding::HEXLOWER.encode(&sha256(b"x"));
        let mut parser = parser(None);
        for n in 0..MAX_SALTS {
            assert!(parser.entries(&format!("{n:08x}:{digest}")).is_ok());
        }
        let one_more = parser.entries(&format!("ffffffff:{digest}"));
        assert!(one_more.unwrap_err().contains("1000 salts"));
        assert!(parser.entries(&format!("00000000:{digest}")).is_ok());
    }
}
