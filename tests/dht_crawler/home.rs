//! A place to run `dht_crawler` in: an empty directory, a configuration that keeps it on loopback, and a
//! database of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use diesel::sql_types::{Nullable, Text};
use diesel::{Connection as _, MysqlConnection, QueryableByName, RunQueryDsl as _, sql_query};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use crate::command::Run;
use crate::databases::{Database, Kind, PASSWORD};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Home {
    directory: TempDir,
    pub(crate) database: Option<Database>,
}

impl Home {
    /// With a database. `dht` are the nodes to start from.
    pub(crate) fn new(dht: &[SocketAddr]) -> Self {
        let home = Self::without_database(dht);
        Self {
            database: Some(Database::new(Kind::Mariadb)),
            ..home
        }
    }

    pub(crate) fn without_database(dht: &[SocketAddr]) -> Self {
        let home = Self {
            directory: tempfile::tempdir().unwrap(),
            database: None,
        };
        fs::create_dir(home.cwd()).unwrap();
        home.configure(dht, "");
        home
    }

    /// Writes the configuration: loopback alone, and this in the section of the program.
    pub(crate) fn configure(&self, dht: &[SocketAddr], section: &str) {
        self.configure_at(([127, 0, 0, 1], 0).into(), dht, section);
    }

    /// The same, to listen there.
    pub(crate) fn configure_at(&self, listen: SocketAddr, dht: &[SocketAddr], section: &str) {
        let nodes: Vec<_> = dht.iter().map(|node| format!("\"{node}\"")).collect();
        let nodes = if nodes.is_empty() {
            // Nobody is there.
            "\"127.0.0.1:9\"".to_owned()
        } else {
            nodes.join(", ")
        };
        let text = format!(
            "[network]\nlisten = [\"{listen}\"]\nbootstrap = [{nodes}]\n\
             allow_local_peers = true\n\n[dht_crawler]\n{section}\n"
        );
        fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("metafetch.toml")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where it runs: nothing is to be written there.
    pub(crate) fn cwd(&self) -> PathBuf {
        self.directory.path().join("cwd")
    }

    /// The program with these arguments, and nothing of a database.
    pub(crate) fn bare(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dht_crawler"));
        command
            .args(args)
            .env("METAFETCH_CONFIG", self.config())
            .env("HOME", self.directory.path())
            .env_remove("XDG_STATE_HOME")
            .env_remove("XDG_DATA_HOME")
            .env_remove("MYSQL_UNIX_PORT")
            .current_dir(self.cwd())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The program with these arguments and its database.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let port = self.database.as_ref().unwrap().server.port;
        self.command_at(port, args)
    }

    /// The same, by another port.
    pub(crate) fn command_at(&self, port: u16, args: &[&str]) -> Command {
        let name = &self.database.as_ref().unwrap().name;
        let port = port.to_string();
        let login = [
            "--server",
            "127.0.0.1",
            "--port",
            &port,
            "--user",
            "metafetch",
            "--password",
            PASSWORD,
            "--database",
            name,
        ];
        let all: Vec<&str> = login.iter().chain(args).copied().collect();
        self.bare(&all)
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Run {
        self.ended(self.command(args)).await
    }

    /// Runs it to its end; whatever it did, it wrote no files.
    pub(crate) async fn ended(&self, mut command: Command) -> Run {
        let run = crate::command::run(&mut command).await;
        assert_eq!(fs::read_dir(self.cwd()).unwrap().count(), 0, "{run:#?}");
        run
    }

    /// The rows of a statement, each the text of its first column, which it must call `value`.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Nullable<Text>)]
            value: Option<String>,
        }
        let url = self.database.as_ref().unwrap().diesel_url();
        let mut connection = MysqlConnection::establish(&url).unwrap();
        // What comes is UTF-8.
        sql_query("SET NAMES utf8mb4")
            .execute(&mut connection)
            .unwrap();
        let rows: Vec<Row> = sql_query(sql).load(&mut connection).unwrap();
        rows.into_iter()
            .map(|row| row.value.unwrap_or_else(|| "NULL".to_owned()))
            .collect()
    }

    /// The one row of a statement.
    pub(crate) fn row(&self, sql: &str) -> String {
        let mut rows = self.rows(sql);
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows.remove(0)
    }

    pub(crate) fn execute(&self, sql: &str) {
        self.database.as_ref().unwrap().run(sql);
    }
}

/// A program that runs.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    errors: Lines<BufReader<ChildStderr>>,
    complaints: String,
    pub(crate) seen: Vec<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let errors = BufReader::new(child.stderr.take().unwrap()).lines();
        Self {
            child,
            lines,
            errors,
            complaints: String::new(),
            seen: Vec::new(),
        }
    }

    /// Reads on until a line contains this.
    pub(crate) async fn until(&mut self, part: &str) -> String {
        let found = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.seen.push(line.clone());
                if line.contains(part) {
                    return line;
                }
            }
            panic!("it ended without {part:?}: {:#?}", self.seen);
        };
        let line = tokio::time::timeout(PATIENCE, found).await;
        line.unwrap_or_else(|_| panic!("no {part:?} came"))
    }

    /// Reads on until a line on stderr contains this.
    pub(crate) async fn complains(&mut self, part: &str) {
        let found = async {
            while let Some(line) = self.errors.next_line().await.unwrap() {
                self.complaints.push_str(&line);
                self.complaints.push('\n');
                if line.contains(part) {
                    return;
                }
            }
            panic!("it ended without {part:?}: {}", self.complaints);
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("no {part:?} came"));
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().unwrap().to_string();
        let kill = std::process::Command::new("kill")
            .args([signal, &pid])
            .status();
        assert!(kill.unwrap().success());
    }

    /// Reads all that is left; the exit code, what stood on stdout, and on stderr.
    pub(crate) async fn end(mut self) -> (i32, Vec<String>, String) {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.seen.push(line);
        }
        while let Some(line) = self.errors.next_line().await.unwrap() {
            self.complaints.push_str(&line);
            self.complaints.push('\n');
        }
        let status = self.child.wait().await.unwrap();
        (status.code().unwrap_or(1000), self.seen, self.complaints)
    }
}
