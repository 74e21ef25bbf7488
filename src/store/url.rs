//! Where the store is, as a user names it: `sqlite:PATH` or a plain path.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use directories::ProjectDirs;

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// A SQLite database in this file, which is made where it is missing.
    Sqlite(PathBuf),
}

/// Text that does not say where a store is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// An empty path, an in-memory database, a NUL.
    #[error("`{0}` names no file: give the path of the database, such as sqlite:metafetch.db")]
    NotAPath(String),
    /// A database that this build can't open. Only the scheme is named: the rest has a password.
    #[error(
        "a `{0}:` store cannot be opened, since this build knows SQLite only: \
         give sqlite:PATH or a path"
    )]
    Unsupported(String),
    /// There is no home directory to put the default store into.
    #[error("there is no home directory for the default store: give its path, or set HOME")]
    NoHome,
}

impl StoreUrl {
    /// `metafetch.db` in the user's data directory, such as `~/.local/share/metafetch`.
    pub fn default_path() -> Result<Self, StoreUrlError> {
        ProjectDirs::from("", "", "metafetch")
            .map(|dirs| Self::Sqlite(dirs.data_dir().join("metafetch.db")))
            .ok_or(StoreUrlError::NoHome)
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        let path = match text.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sqlite") => {
                rest.strip_prefix("//").unwrap_or(rest)
            }
            Some((scheme, rest))
                if rest.starts_with("//")
                    && !scheme.is_empty()
                    && scheme
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) =>
            {
                return Err(StoreUrlError::Unsupported(scheme.to_ascii_lowercase()));
            }
            _ => text,
        };
        if path.is_empty() || path == ":memory:" || path.contains('\0') {
            return Err(StoreUrlError::NotAPath(text.chars().take(80).collect()));
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }
}

impl From<PathBuf> for StoreUrl {
    fn from(path: PathBuf) -> Self {
        Self::Sqlite(path)
    }
}

impl fmt::Display for StoreUrl {
    /// Fit for messages: without a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_urls_and_paths_name_a_file() {
        for (text, path) in [
            ("sqlite:a.db", "a.db"),
            ("sqlite:/var/a.db", "/var/a.db"),
            ("sqlite://a/b.db", "a/b.db"),
            ("sqlite:///var/a.db", "/var/a.db"),
            ("SQLite:a.db", "a.db"),
            ("/var/a.db", "/var/a.db"),
            ("a b:c.db", "a b:c.db"),
            (r"C:\data\a.db", r"C:\data\a.db"),
        ] {
            assert_eq!(text.parse(), Ok(StoreUrl::Sqlite(path.into())), "{text}");
        }
    }

    #[test]
    fn servers_are_refused_by_scheme_and_without_the_password() {
        for scheme in ["mysql", "mariadb", "postgres", "postgresql"] {
            let error = format!("{scheme}://me:secret@db/metafetch")
                .parse::<StoreUrl>()
                .unwrap_err();
            assert_eq!(error, StoreUrlError::Unsupported(scheme.to_owned()));
            assert!(error.to_string().contains("SQLite only"));
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn what_names_no_file_is_refused() {
        for text in [
            "",
            "sqlite:",
            "sqlite://",
            "sqlite::memory:",
            ":memory:",
            "a\0b",
        ] {
            let parsed = text.parse::<StoreUrl>();
            assert!(
                matches!(parsed, Err(StoreUrlError::NotAPath(_))),
                "{text:?}"
            );
        }
    }
}
