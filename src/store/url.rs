//! Where the store is, as a user names it: `sqlite:PATH` or a plain path, or the URL of a database on a
//! server.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use directories::ProjectDirs;

use super::server_url::ServerUrl;

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// A SQLite database in this file, which is made where it is missing.
    Sqlite(PathBuf),
    /// A database of a MySQL or MariaDB server.
    Mysql(ServerUrl),
    /// A database of a PostgreSQL server.
    Postgres(ServerUrl),
}

/// Text that does not say where a store is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// An empty path, an in-memory database, a NUL.
    #[error("`{0}` names no file: give the path of the database, such as sqlite:metafetch.db")]
    NotAPath(String),
    /// A URL of another kind. Only the scheme is named: the rest may have a password.
    #[error(
        "a `{0}:` store is not known: give a path, sqlite:PATH, mysql://USER@HOST/DATABASE \
         or postgres://USER@HOST/DATABASE"
    )]
    Unsupported(String),
    /// A URL of a server that is not whole.
    #[error(
        "the {scheme}:// URL is not right, since {what}: give {scheme}://USER@HOST:PORT/DATABASE"
    )]
    Server {
        /// The scheme.
        scheme: &'static str,
        /// What is wrong.
        what: String,
    },
    /// An option behind `?` that is none.
    #[error("`{option}` is no option of a store's URL: there are {known}")]
    Option {
        /// The option.
        option: String,
        /// Those that there are.
        known: String,
    },
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

    /// Whether it has a password in it.
    #[must_use]
    pub fn has_password(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Mysql(url) | Self::Postgres(url) => url.has_password(),
        }
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
                let rest = rest.strip_prefix("//").unwrap_or(rest);
                return match scheme.to_ascii_lowercase().as_str() {
                    "mysql" => ServerUrl::parse("mysql", rest, "socket").map(Self::Mysql),
                    "mariadb" => ServerUrl::parse("mariadb", rest, "socket").map(Self::Mysql),
                    "postgres" => ServerUrl::parse("postgres", rest, "host").map(Self::Postgres),
                    "postgresql" => {
                        ServerUrl::parse("postgresql", rest, "host").map(Self::Postgres)
                    }
                    other => Err(StoreUrlError::Unsupported(other.to_owned())),
                };
            }
            // Without the slashes it would be a path, with the password in its name.
            Some((scheme, _))
                if ["mysql", "mariadb", "postgres", "postgresql"]
                    .iter()
                    .any(|server| scheme.eq_ignore_ascii_case(server)) =>
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
            Self::Mysql(url) | Self::Postgres(url) => url.fmt(f),
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
    fn servers_are_told_by_their_scheme_and_without_the_password() {
        for (scheme, mysql) in [
            ("mysql", true),
            ("MariaDB", true),
            ("postgres", false),
            ("postgresql", false),
        ] {
            let url: StoreUrl = format!("{scheme}://me:secret@db/metafetch")
                .parse()
                .unwrap();
            assert_eq!(matches!(url, StoreUrl::Mysql(_)), mysql, "{scheme}");
            assert!(url.has_password());
            assert!(!format!("{url} {url:?}").contains("secret"));
        }
        let error = "oracle://me:secret@db/a".parse::<StoreUrl>().unwrap_err();
        assert_eq!(error, StoreUrlError::Unsupported("oracle".to_owned()));
        assert!(!error.to_string().contains("secret"));
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
