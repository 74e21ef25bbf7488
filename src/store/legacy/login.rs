//! Where the old crawler's database is, as its own flags named it.

use std::fmt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::store::server_url::{Host, ServerUrl};
use crate::store::{StoreError, StoreUrl};

/// The environment variable with the path of the socket, which the client libraries of MySQL and MariaDB
/// have always heeded.
const SOCKET: &str = "MYSQL_UNIX_PORT";
/// Where servers listen by default, by distribution.
const USUAL_SOCKETS: [&str; 4] = [
    "/run/mysqld/mysqld.sock",
    "/var/run/mysqld/mysqld.sock",
    "/var/lib/mysql/mysql.sock",
    "/tmp/mysql.sock",
];
/// The port of MySQL.
const PORT: u16 = 3306;

/// A database of a MySQL or MariaDB server, and who logs in there. Its texts are without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct LegacyLogin {
    /// A name or an address. `localhost` is the Unix socket, and only where that takes no connection
    /// 127.0.0.1.
    pub host: String,
    /// The port; 0 is 3306.
    pub port: u16,
    /// The user; empty for the name of the system's user.
    pub user: String,
    /// The password, which may be empty.
    pub password: String,
    /// The database, which must exist.
    pub database: String,
    /// The Unix socket, where another one than the usual is meant. Only for `localhost`.
    pub socket: Option<PathBuf>,
}

impl LegacyLogin {
    /// The same place for a [`Store`](crate::store::Store). Sees whether a socket takes connections.
    #[must_use]
    pub fn store_url(&self) -> StoreUrl {
        StoreUrl::Mysql(self.server())
    }

    /// The server's URL; an error where the name of the host or of the database cannot be one.
    pub(super) fn checked(&self) -> Result<ServerUrl, StoreError> {
        let url = self.server();
        url.check_names()?;
        Ok(url)
    }

    fn server(&self) -> ServerUrl {
        let port = if self.port == 0 { PORT } else { self.port };
        let (user, password) = (self.user.clone(), self.password.clone());
        ServerUrl::of_login(user, password, self.place(), port, self.database.clone())
    }

    fn place(&self) -> Host {
        if self.host != "localhost" {
            return Host::Name(self.host.clone());
        }
        let named = self
            .socket
            .clone()
            .or_else(|| std::env::var_os(SOCKET).map(PathBuf::from));
        let socket = match named {
            Some(named) => Some(named).filter(|path| takes_connections(path)),
            None => USUAL_SOCKETS
                .into_iter()
                .map(PathBuf::from)
                .find(|path| takes_connections(path)),
        };
        socket.map_or_else(|| Host::Name("127.0.0.1".to_owned()), Host::Socket)
    }
}

fn takes_connections(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

impl fmt::Debug for LegacyLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacyLogin")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn login(host: &str, socket: Option<PathBuf>) -> LegacyLogin {
        LegacyLogin {
            host: host.to_owned(),
            port: 0,
            user: "me".to_owned(),
            password: "hu%sh".to_owned(),
            database: "Torrents".to_owned(),
            socket,
        }
    }

    #[test]
    fn localhost_is_the_socket_and_then_the_port() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let nobody = login("localhost", Some(path.clone())).store_url();
        assert_eq!(nobody.to_string(), "mysql://me@127.0.0.1:3306/Torrents");
        let _listener = UnixListener::bind(&path).unwrap();
        let url = login("localhost", Some(path.clone())).store_url();
        let says = format!("mysql://me@:3306/Torrents at {}", path.display());
        assert_eq!(url.to_string(), says);
        let tcp = login("127.0.0.1", Some(path)).store_url();
        assert_eq!(tcp.to_string(), "mysql://me@127.0.0.1:3306/Torrents");
    }

    #[test]
    fn the_password_is_in_no_text_and_odd_names_are_refused() {
        let plain = login("db.example", None);
        let url = plain.store_url();
        assert!(!format!("{plain:?} {url:?} {url}").contains("hu"));
        assert!(plain.checked().is_ok());
        for (host, database) in [
            ("a b", "x"),
            ("a", "x/y"),
            ("a", ""),
            ("a", "x?y"),
            ("a/b", "x"),
        ] {
            let odd = LegacyLogin {
                database: database.to_owned(),
                ..login(host, None)
            };
            let error = odd.checked().unwrap_err().to_string();
            assert!(!error.contains("hu%sh"), "{error}");
        }
    }
}
