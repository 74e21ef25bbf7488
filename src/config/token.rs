//! Tokens of the HTTP API: who has one may ask, and the configuration holds only its digest.

use std::fmt;

use data_encoding::HEXLOWER;
use subtle::ConstantTimeEq as _;

use super::value::{Given, Setting, quoted};
use crate::torrent::sha256;

/// Random bytes of a token: nobody guesses 256 bits, so the digest needs no salt and no rounds.
const RANDOM_BYTES: usize = 32;
/// What every token begins with, so that one that leaked is found by a search.
const PREFIX: &str = "metafetch_";
/// Hex digits of a digest that are shown, to tell tokens apart.
const SHOWN: usize = 8;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Scope {
    /// To read, and to ask for hashes.
    Read,
    /// That, and `/admin`.
    Admin,
}

impl Scope {
    /// Its name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

/// A token as the configuration knows it: what it allows, and its SHA-256.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken {
    scope: Scope,
    digest: [u8; 32],
}

impl ApiToken {
    /// A new token, and what the configuration is to hold of it.
    #[must_use]
    pub fn generate(scope: Scope) -> (String, Self) {
        let random: [u8; RANDOM_BYTES] = rand::random();
        let token = format!("{PREFIX}{}", HEXLOWER.encode(&random));
        let digest = sha256(token.as_bytes());
        (token, Self { scope, digest })
    }

    /// From `read:DIGEST` or `admin:DIGEST`, where the digest is the SHA-256 of the token in hex.
    ///
    /// # Errors
    /// What is wrong with it; never the text itself, which may be a token.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scope, digest) = text.split_once(':').unwrap_or_default();
        let scope = match scope {
            "read" => Scope::Read,
            "admin" => Scope::Admin,
            _ => {
                return Err(
                    "it begins with neither `read:` nor `admin:`: `metafetch config token` makes one"
                        .to_owned(),
                );
            }
        };
        let digest = HEXLOWER.decode(digest.to_ascii_lowercase().as_bytes());
        let digest = digest.ok().and_then(|digest| digest.try_into().ok());
        let digest = digest.ok_or(
            "after the scope come the 64 hex digits of the token's SHA-256, not the token: \
             `metafetch config token` prints both",
        )?;
        Ok(Self { scope, digest })
    }

    /// What it allows.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The digest of a token that somebody shows.
    #[must_use]
    pub fn digest_of(token: &str) -> [u8; 32] {
        sha256(token.as_bytes())
    }

    /// Whether the token with this digest is the one, in a time that tells nothing.
    #[must_use]
    pub fn has(&self, digest: &[u8; 32]) -> bool {
        self.digest.ct_eq(digest).into()
    }
}

impl fmt::Display for ApiToken {
    /// As the configuration has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            self.scope.as_str(),
            HEXLOWER.encode(&self.digest)
        )
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiToken({}:..)", self.scope.as_str())
    }
}

impl Setting for ApiToken {
    const HIDDEN: bool = true;

    fn read(given: Given<'_>) -> Result<Self, String> {
        Self::parse(given.text().unwrap_or_default())
    }

    /// The digest is no secret, but of no use to a reader either: its start tells tokens apart.
    fn write(&self) -> Option<String> {
        let digest = HEXLOWER.encode(&self.digest);
        let start = digest.get(..SHOWN).unwrap_or_default();
        Some(quoted(&format!("{}:{start}***", self.scope.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_digest_alone() {
        let (token, kept) = ApiToken::generate(Scope::Admin);
        let read = ApiToken::parse(&kept.to_string()).unwrap();
        assert_eq!(read, kept);
        assert!(read.has(&ApiToken::digest_of(&token)));
        assert!(!read.has(&ApiToken::digest_of(&token[1..])));
        assert!(!kept.to_string().contains(&token[PREFIX.len()..]));
        let (other, _) = ApiToken::generate(Scope::Admin);
        assert_ne!(token, other);
        assert_eq!(token.len(), PREFIX.len() + 2 * RANDOM_BYTES);
    }

    #[test]
    fn a_token_in_place_of_its_digest_is_refused_and_not_shown() {
        let (token, _) = ApiToken::generate(Scope::Read);
        for text in [
            "",
            "read",
            "root:00",
            &token,
            &format!("read:{token}"),
            "read:00",
        ] {
            let error = ApiToken::parse(text).unwrap_err();
            assert!(!error.contains(&token), "{error}");
        }
    }

    #[test]
    fn neither_debug_nor_the_configuration_shows_a_digest() {
        let (_, kept) = ApiToken::generate(Scope::Read);
        let digest = kept.to_string();
        assert!(!digest.contains(&format!("{kept:?}")));
        let shown = Setting::write(&kept).unwrap();
        assert!(
            shown.starts_with("\"read:") && shown.ends_with("***\""),
            "{shown}"
        );
        assert!(!shown.contains(&digest[20..]));
    }
}
