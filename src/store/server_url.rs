//! Where a database server is, and how to log in there: the part of a store's URL behind
//! `mysql://`, `mariadb://`, `postgres://` or `postgresql://`.
//!
//! `USER[:PASSWORD]@HOST[:PORT]/DATABASE[?OPTIONS]`, percent-encoded, with the options `tls`, `tls_ca`,
//! `password_file`, and `socket` (of MySQL) or `host` (of PostgreSQL) for a Unix socket.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use super::StoreError;
use super::url::StoreUrlError;

/// The environment variable with the password.
const PASSWORD: &str = "METAFETCH_STORE_PASSWORD";
/// The environment variable with the path of a file that has the password.
const PASSWORD_FILE: &str = "METAFETCH_STORE_PASSWORD_FILE";

/// Bundles of the system's certificate authorities, by distribution.
const SYSTEM_CA: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// A database on a server. Its texts are without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    scheme: &'static str,
    pub(super) user: Option<String>,
    password: Option<String>,
    password_file: Option<PathBuf>,
    pub(super) host: Host,
    pub(super) port: Option<u16>,
    pub(super) database: String,
    pub(super) tls: Tls,
    tls_ca: Option<PathBuf>,
}

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// The Unix socket that the client's library takes for the usual one.
    Local,
    /// A name or an address.
    Name(String),
    /// A Unix socket of MySQL, or the directory of PostgreSQL's.
    Socket(PathBuf),
}

/// Whether the connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    /// Never.
    Disable,
    /// Where the server offers it.
    Prefer,
    /// Always.
    Require,
    /// Always, and the certificate is checked, with the name in it.
    Verify,
}

impl ServerUrl {
    /// Reads what follows `SCHEME://`. `socket` is how the option for a Unix socket is called.
    pub(super) fn parse(
        scheme: &'static str,
        rest: &str,
        socket: &str,
    ) -> Result<Self, StoreUrlError> {
        let wrong = |what: &str| StoreUrlError::Server {
            scheme,
            what: what.to_owned(),
        };
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest
            .split_once('/')
            .ok_or_else(|| wrong("it names no database"))?;
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':')) {
            Some(Some((user, password))) => (Some(user), Some(password)),
            _ => (login, None),
        };
        let decoded =
            |text: &str| decode(text).ok_or_else(|| wrong("it is no UTF-8, or has a NUL"));
        let (host, port) = split_port(host).ok_or_else(|| wrong("its port is no number"))?;
        let mut url = Self {
            scheme,
            user: user
                .filter(|user| !user.is_empty())
                .map(decoded)
                .transpose()?,
            password: password.map(decoded).transpose()?,
            password_file: None,
            host: match decoded(host)? {
                host if host.is_empty() => Host::Local,
                host => Host::Name(host),
            },
            port,
            database: decoded(database)?,
            tls: Tls::Prefer,
            tls_ca: None,
        };
        let mut tls = None;
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = decoded(value)?;
            match name {
                "tls" => {
                    tls = Some(tls_of(&value).ok_or_else(|| {
                        wrong("`tls` is one of disable, prefer, require and verify")
                    })?);
                }
                "tls_ca" => url.tls_ca = Some(value.into()),
                "password_file" => url.password_file = Some(value.into()),
                name if name == socket => {
                    if !value.starts_with('/') {
                        return Err(wrong(&format!("`{socket}` is no absolute path")));
                    }
                    url.host = Host::Socket(value.into());
                }
                name => {
                    return Err(StoreUrlError::Option {
                        option: name.chars().take(40).collect(),
                        known: format!("tls, tls_ca, password_file, {socket}"),
                    });
                }
            }
        }
        url.tls = tls.unwrap_or(if url.is_local() {
            Tls::Prefer
        } else {
            Tls::Require
        });
        url.check_names()?;
        Ok(url)
    }

    /// What was given in parts. Encrypted only where the server offers it: who logs in by flags has no way
    /// to say more, and the password is the one given, none of the environment.
    pub(super) fn of_login(
        user: String,
        password: String,
        host: Host,
        port: u16,
        database: String,
    ) -> Self {
        Self {
            scheme: "mysql",
            user: Some(user).filter(|user| !user.is_empty()),
            password: Some(password),
            password_file: None,
            host,
            port: Some(port),
            database,
            tls: Tls::Prefer,
            tls_ca: None,
        }
    }

    /// Whether the names of the host and of the database can stand in the URL of diesel, which decodes
    /// neither, and in commands that we propose.
    pub(super) fn check_names(&self) -> Result<(), StoreUrlError> {
        let wrong = |what: &str| {
            Err(StoreUrlError::Server {
                scheme: self.scheme,
                what: what.to_owned(),
            })
        };
        if self.database.is_empty() {
            return wrong("it names no database");
        }
        let plain = |text: &str, more: &[u8]| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        if !plain(&self.database, b"_-$") {
            return wrong("the name of the database may have letters, digits, `_`, `-` and `$`");
        }
        match &self.host {
            Host::Name(host) if !plain(host, b".-_:") => {
                wrong("its host is neither a name nor an address")
            }
            _ => Ok(()),
        }
    }

    /// Whether the URL itself has the password, where others can read it in the list of processes.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Whether nobody is between us and the server.
    fn is_local(&self) -> bool {
        match &self.host {
            Host::Local | Host::Socket(_) => true,
            Host::Name(name) => {
                name == "localhost"
                    || name
                        .parse::<IpAddr>()
                        .is_ok_and(|address| address.is_loopback())
            }
        }
    }

    /// From the URL, its file, or the environment.
    pub(super) fn password(&self) -> Result<Option<String>, StoreError> {
        if self.password.is_some() {
            return Ok(self.password.clone());
        }
        if let Some(path) = &self.password_file {
            return read_password(path).map(Some);
        }
        if let Ok(password) = std::env::var(PASSWORD) {
            return Ok(Some(password));
        }
        std::env::var_os(PASSWORD_FILE)
            .map(|path| read_password(Path::new(&path)))
            .transpose()
    }

    /// The certificates to trust, where the URL names them.
    pub(super) fn tls_ca(&self) -> Result<Option<&Path>, StoreError> {
        match self.tls_ca.as_deref() {
            Some(path) if !path.is_file() => Err(StoreError::Tls {
                database: self.to_string(),
                detail: format!("there is no file `{}`", path.display()),
            }),
            named => Ok(named),
        }
    }

    /// [`tls_ca`](Self::tls_ca) or, where the URL names none, those of the system.
    pub(super) fn authorities(&self) -> Result<PathBuf, StoreError> {
        let system = || {
            SYSTEM_CA
                .map(Path::new)
                .into_iter()
                .find(|path| path.exists())
        };
        self.tls_ca()?
            .or_else(system)
            .map(Path::to_owned)
            .ok_or_else(|| StoreError::Tls {
                database: self.to_string(),
                detail: "the system has no certificate authorities".to_owned(),
            })
    }
}

fn decode(text: &str) -> Option<String> {
    let text = percent_decode_str(text).decode_utf8().ok()?;
    (!text.contains('\0')).then(|| text.into_owned())
}

/// `None` where the port is none.
fn split_port(host: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => host
            .rsplit_once(':')
            .map_or((host, None), |(host, port)| (host, Some(port))),
    };
    match port {
        Some(port) => Some((host, Some(port.parse().ok()?))),
        None => Some((host, None)),
    }
}

fn tls_of(name: &str) -> Option<Tls> {
    Some(match name {
        "disable" => Tls::Disable,
        "prefer" => Tls::Prefer,
        "require" => Tls::Require,
        "verify" => Tls::Verify,
        _ => return None,
    })
}

/// The first line of the file.
fn read_password(path: &Path) -> Result<String, StoreError> {
    let text = std::fs::read_to_string(path).map_err(|error| StoreError::PasswordFile {
        path: path.display().to_string(),
        detail: error.to_string(),
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match &self.host {
            Host::Name(name) if name.contains(':') => write!(f, "[{name}]")?,
            Host::Name(name) => f.write_str(name)?,
            Host::Local | Host::Socket(_) => {}
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "/{}", self.database)?;
        match &self.host {
            Host::Socket(path) => write!(f, " at {}", path.display()),
            Host::Local | Host::Name(_) => Ok(()),
        }
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rest: &str) -> Result<ServerUrl, StoreUrlError> {
        ServerUrl::parse("mysql", rest, "socket")
    }

    #[test]
    fn each_part_is_read() {
        let url =
            parse("us%40er:p%3Aa%2Fs%25s@db.example:3307/meta_fetch?tls=verify&tls_ca=/a%20b")
                .unwrap();
        assert_eq!(url.user.as_deref(), Some("us@er"));
        assert_eq!(url.password(), Ok(Some("p:a/s%s".to_owned())));
        assert_eq!(url.host, Host::Name("db.example".to_owned()));
        assert_eq!(
            (url.port, url.database.as_str()),
            (Some(3307), "meta_fetch")
        );
        assert_eq!(
            (url.tls, url.tls_ca.as_deref()),
            (Tls::Verify, Some(Path::new("/a b")))
        );
        assert_eq!(url.to_string(), "mysql://us@er@db.example:3307/meta_fetch");
        let socket = parse("me@/a?socket=/run/my.sock").unwrap();
        assert_eq!(socket.host, Host::Socket("/run/my.sock".into()));
        assert_eq!(parse("/a").unwrap().host, Host::Local);
        let v6 = parse("[2a00::1]:1/a").unwrap();
        assert_eq!(v6.host, Host::Name("2a00::1".to_owned()));
        assert_eq!(v6.to_string(), "mysql://[2a00::1]:1/a");
    }

    #[test]
    fn a_connection_to_another_host_is_encrypted_unless_told_otherwise() {
        for (rest, tls) in [
            ("db.example/a", Tls::Require),
            ("10.1.2.3/a", Tls::Require),
            ("[2a00::1]/a", Tls::Require),
            ("db.example/a?tls=disable", Tls::Disable),
            ("localhost/a", Tls::Prefer),
            ("127.0.0.2:5/a", Tls::Prefer),
            ("[::1]/a", Tls::Prefer),
            ("/a?socket=/s", Tls::Prefer),
            ("/a?socket=/s&tls=require", Tls::Require),
        ] {
            assert_eq!(parse(rest).unwrap().tls, tls, "{rest}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_without_the_password() {
        for (rest, says) in [
            ("me:secret@host", "no database"),
            ("me:secret@host/", "no database"),
            ("me:secret@host:x/a", "port"),
            ("me:secret@host:99999/a", "port"),
            ("me:secret@ho%20st/a", "host"),
            ("me:secret@host/a%00", "NUL"),
            ("me:secret@host/a%3Bb", "letters"),
            ("me:secret@host/a?sslmode=off", "`sslmode`"),
            ("me:secret@host/a?tls=maybe", "verify"),
            ("me:secret@host/a?socket=there", "absolute"),
        ] {
            let error = parse(rest).unwrap_err();
            assert!(error.to_string().contains(says), "{rest}: {error}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
        let url = parse("me:secret@host/a").unwrap();
        assert!(!format!("{url} {url:?}").contains("secret"));
        assert!(url.has_password());
    }

    #[test]
    fn a_password_comes_from_a_file_too() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hush\n").unwrap();
        let url = parse(&format!("me@h/a?password_file={}", file.path().display())).unwrap();
        assert_eq!(url.password(), Ok(Some("hush".to_owned())));
        assert!(!url.has_password());
        let url = parse("me@h/a?password_file=/nowhere").unwrap();
        assert!(matches!(
            url.password(),
            Err(StoreError::PasswordFile { .. })
        ));
    }
}
