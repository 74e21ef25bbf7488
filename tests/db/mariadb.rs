//! A private MariaDB server in a temporary directory, on a socket alone.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, MysqlConnection};
use tempfile::TempDir;

pub(crate) struct Mariadb {
    directory: TempDir,
    server: Child,
}

impl Mariadb {
    /// With an empty database `old`.
    pub(crate) fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("db").tempdir().unwrap();
        let data = format!("--datadir={}/data", directory.path().display());
        let installed = Command::new("mariadb-install-db")
            .args([
                "--no-defaults",
                "--user=root",
                "--auth-root-authentication-method=normal",
            ])
            .args(["--skip-test-db", &data])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(installed.success());
        let server = Command::new("mariadbd")
            .args(["--no-defaults", "--user=root", "--skip-networking", &data])
            .arg(format!("--socket={}/socket", directory.path().display()))
            .arg("--innodb-flush-log-at-trx-commit=0")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mariadb = Self { directory, server };
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut root = loop {
            match MysqlConnection::establish(&mariadb.url("mysql")) {
                Ok(connection) => break connection,
                Err(error) if Instant::now() > deadline => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        root.batch_execute("CREATE DATABASE old CHARACTER SET utf8mb4")
            .unwrap();
        mariadb
    }

    /// The URL of one of its databases.
    pub(crate) fn url(&self, database: &str) -> String {
        let socket = self.directory.path().join("socket").display().to_string();
        format!(
            "mysql://root@localhost/{database}?unix_socket={}",
            socket.replace('/', "%2F")
        )
    }

    /// Runs statements, each ended by a line with nothing but `;`.
    pub(crate) fn run(&self, sql: &str) {
        let mut connection = MysqlConnection::establish(&self.url("old")).unwrap();
        for statement in sql.split("\n;") {
            if !statement.trim().is_empty() {
                connection.batch_execute(statement).unwrap();
            }
        }
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
