//! Private servers of MariaDB and PostgreSQL for the tests, and databases in them.
//!
//! The first test that needs a server starts one in a temporary directory, on a Unix socket and a free
//! port of the loopback interface; the tests that run at the same time or soon after, in other processes
//! too, share it. Each test has a database of its own. A watchdog, which outlives the tests, stops the
//! servers and removes the directory when none has used them for a while, whatever became of the tests.

#![allow(
    dead_code,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::zombie_processes,
    reason = "each test takes what it needs, a fault is to fail it, and the watchdog ends what is started"
)]

pub(crate) mod proxy;

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, MysqlConnection, PgConnection};
use rustix::fs::{FlockOperation, flock};

/// The password of the user `metafetch` over TCP, with what must be escaped in URLs and settings.
pub(crate) const PASSWORD: &str = "p:a/s@s'w\\o%rd";
/// The same, as it stands in a URL.
pub(crate) const PASSWORD_IN_URL: &str = "p%3Aa%2Fs%40s%27w%5Co%25rd";

/// How long a server may take to start on a busy machine.
const START: Duration = Duration::from_secs(30);

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Mariadb,
    Postgres,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) kind: Kind,
    /// Holds the Unix socket.
    pub(crate) directory: PathBuf,
    /// On 127.0.0.1.
    pub(crate) port: u16,
    /// Locked as long as this process may use the server.
    _users: File,
}

/// A new, empty database.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) server: &'static Server,
    pub(crate) name: String,
}

impl Database {
    pub(crate) fn new(kind: Kind) -> Self {
        Self::on(Server::shared(kind))
    }

    /// On this server.
    pub(crate) fn on(server: &'static Server) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let kind = server.kind;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        let collation = match kind {
            // Not what the store needs: it must not depend on this.
            Kind::Mariadb => "CHARACTER SET latin1",
            Kind::Postgres => "ENCODING 'UTF8' TEMPLATE template0",
        };
        server.run(&format!("DROP DATABASE IF EXISTS {name}"));
        server.run(&format!("CREATE DATABASE {name} {collation}"));
        if kind == Kind::Postgres {
            server.run(&format!("ALTER DATABASE {name} OWNER TO metafetch"));
        }
        Self { server, name }
    }

    /// By the socket.
    pub(crate) fn url(&self) -> String {
        let directory = self.server.directory.display();
        match self.server.kind {
            Kind::Mariadb => {
                format!("mysql://metafetch@/{}?socket={directory}/socket", self.name)
            }
            Kind::Postgres => format!(
                "postgres://metafetch@:{}/{}?host={directory}",
                self.server.port, self.name
            ),
        }
    }

    /// By TCP, where a password is asked for.
    pub(crate) fn tcp_url(&self, login: &str) -> String {
        let scheme = match self.server.kind {
            Kind::Mariadb => "mariadb",
            Kind::Postgres => "postgresql",
        };
        format!(
            "{scheme}://{login}@127.0.0.1:{}/{}",
            self.server.port, self.name
        )
    }

    /// Runs statements in it, as another program does.
    pub(crate) fn run(&self, sql: &str) {
        self.server.run_in(&self.diesel_url(), sql);
    }

    /// The URL that diesel takes, by the socket.
    pub(crate) fn diesel_url(&self) -> String {
        diesel_url(
            self.server.kind,
            &self.server.directory,
            self.server.port,
            "metafetch",
            &self.name,
        )
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Of 8 MB each; those of MariaDB are small, and slow to drop.
        if self.server.kind == Kind::Postgres && !std::thread::panicking() {
            self.server
                .run(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

impl Server {
    /// The server that all tests share.
    pub(crate) fn shared(kind: Kind) -> &'static Self {
        static MARIADB: OnceLock<Server> = OnceLock::new();
        static POSTGRES: OnceLock<Server> = OnceLock::new();
        let cell = match kind {
            Kind::Mariadb => &MARIADB,
            Kind::Postgres => &POSTGRES,
        };
        cell.get_or_init(|| Self::join_or_start(kind))
    }

    /// A MariaDB of this test alone, which may be killed.
    pub(crate) fn alone() -> &'static Self {
        let kind = Kind::Mariadb;
        let (directory, port) = start(kind, None);
        let users = File::open(directory.join("users")).unwrap();
        flock(&users, FlockOperation::LockShared).unwrap();
        Box::leak(Box::new(Self {
            kind,
            directory,
            port,
            _users: users,
        }))
    }

    /// Kills the server of this test as a power cut does, and starts it again.
    pub(crate) fn kill_and_start_again(&self) {
        let pid = fs::read_to_string(self.directory.join("pid")).unwrap();
        let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        // Its port is free once it is gone.
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let account = Account::of_server(&self.directory);
        let pid = serve_mariadb(&self.directory, self.port, &account);
        watch(&self.directory.join("users"), &self.directory, pid);
        // The old socket is there until the new one takes its place.
        let deadline = Instant::now() + START;
        while std::os::unix::net::UnixStream::connect(self.directory.join("socket")).is_err() {
            assert!(Instant::now() < deadline, "MariaDB did not start again");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn join_or_start(kind: Kind) -> Self {
        let name = match kind {
            Kind::Mariadb => "mariadb",
            Kind::Postgres => "postgres",
        };
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp");
        fs::create_dir_all(&target).unwrap();
        let users = File::create(target.join(format!("{name}.users"))).unwrap();
        flock(&users, FlockOperation::LockShared).unwrap();
        let starting = File::create(target.join(format!("{name}.starting"))).unwrap();
        flock(&starting, FlockOperation::LockExclusive).unwrap();
        let place = target.join(format!("{name}.place"));
        let ready = |directory: &Path| {
            let port = fs::read_to_string(directory.join("ready")).ok()?;
            Some((directory.to_owned(), port.trim().parse::<u16>().ok()?))
        };
        let known = fs::read_to_string(&place).ok();
        let running = known.and_then(|directory| ready(Path::new(directory.trim())));
        let (directory, port) = running.unwrap_or_else(|| {
            let (directory, port) = start(kind, Some(&target.join(format!("{name}.users"))));
            fs::write(directory.join("ready"), port.to_string()).unwrap();
            fs::write(&place, directory.display().to_string()).unwrap();
            (directory, port)
        });
        Self {
            kind,
            directory,
            port,
            _users: users,
        }
    }

    /// Runs statements as the administrator.
    pub(crate) fn run(&self, sql: &str) {
        self.run_in(&admin_url(self.kind, &self.directory, self.port), sql);
    }

    fn run_in(&self, url: &str, sql: &str) {
        match self.kind {
            Kind::Mariadb => MysqlConnection::establish(url).unwrap().batch_execute(sql),
            Kind::Postgres => PgConnection::establish(url).unwrap().batch_execute(sql),
        }
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

fn admin_url(kind: Kind, directory: &Path, port: u16) -> String {
    let (user, database) = match kind {
        Kind::Mariadb => ("root", "mysql"),
        Kind::Postgres => ("postgres", "postgres"),
    };
    diesel_url(kind, directory, port, user, database)
}

fn diesel_url(kind: Kind, directory: &Path, port: u16, user: &str, database: &str) -> String {
    let directory = directory.display();
    match kind {
        Kind::Mariadb => {
            format!("mysql://{user}@localhost/{database}?unix_socket={directory}/socket")
        }
        Kind::Postgres => format!("dbname={database} user={user} host={directory} port={port}"),
    }
}

/// Starts a server for those who lock the file `users`, or else the one of that name in its directory; its
/// directory and its port.
fn start(kind: Kind, users: Option<&Path>) -> (PathBuf, u16) {
    // Short, since the path of a socket ends at 108 bytes, and where other users may go.
    let directory = tempfile::Builder::new()
        .prefix("metafetch-db-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap()
        .keep();
    let account = Account::of_server(&directory);
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let own_users = directory.join("users");
    if users.is_none() {
        File::create(&own_users).unwrap();
    }
    let child = match kind {
        Kind::Mariadb => {
            install_mariadb(&directory, &account);
            serve_mariadb(&directory, port, &account)
        }
        Kind::Postgres => start_postgres(&directory, port, &account),
    };
    watch(users.unwrap_or(&own_users), &directory, child);
    let deadline = Instant::now() + START;
    let url = admin_url(kind, &directory, port);
    loop {
        let made = match kind {
            Kind::Mariadb => MysqlConnection::establish(&url).map(|mut connection| {
                let password = PASSWORD.replace('\\', r"\\").replace('\'', r"\'");
                connection.batch_execute(&format!(
                    "CREATE USER metafetch@localhost; CREATE USER metafetch@'127.0.0.1' \
                     IDENTIFIED BY '{password}'; GRANT ALL ON *.* TO metafetch@localhost; \
                     GRANT ALL ON *.* TO metafetch@'127.0.0.1'; CREATE USER poor@localhost;"
                ))
            }),
            Kind::Postgres => PgConnection::establish(&url).map(|mut connection| {
                let password = PASSWORD.replace('\'', "''");
                connection.batch_execute(&format!(
                    "CREATE ROLE metafetch LOGIN PASSWORD '{password}'; CREATE ROLE poor LOGIN;"
                ))
            }),
        };
        match made {
            Ok(made) => break made.unwrap(),
            Err(error) if Instant::now() > deadline => {
                let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
                panic!("{kind:?} did not start: {error}\n{log}");
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    (directory, port)
}

/// The server is not ours any more: the watchdog ends it.
fn watch(users: &Path, directory: &Path, pid: u32) {
    quiet(Command::new("sh"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/databases/watchdog.sh"))
        .arg(users)
        .arg(directory)
        .arg(pid.to_string())
        .process_group(0)
        .spawn()
        .unwrap();
}

fn install_mariadb(directory: &Path, account: &Account) {
    let mut install = account.command(directory, "mariadb-install-db");
    install
        .arg("--no-defaults")
        .arg(format!("--datadir={}", directory.join("data").display()))
        .args([
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--innodb-log-file-size=8M",
        ]);
    run(install);
    certificate(directory, account);
}

fn serve_mariadb(directory: &Path, port: u16, account: &Account) -> u32 {
    let data = directory.join("data");
    let path = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let mut server = account.command(directory, "mariadbd");
    server
        .arg("--no-defaults")
        .arg(path("datadir", &data))
        .arg(path("socket", &directory.join("socket")))
        .arg(path("pid-file", &directory.join("pid")))
        .arg(format!("--port={port}"))
        .args([
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--skip-sync-frm",
            "--skip-innodb-file-per-table",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=0",
            "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=8M",
            "--performance-schema=OFF",
            "--max-connections=300",
            "--max-connect-errors=1000000",
        ]);
    if directory.join("users").exists() {
        // It may be killed, and is to have what it has committed.
        server.arg("--innodb-flush-log-at-trx-commit=2");
    }
    if directory.join("server.key").exists() {
        server
            .arg(path("ssl-cert", &directory.join("server.crt")))
            .arg(path("ssl-key", &directory.join("server.key")));
    }
    server.process_group(0).spawn().unwrap().id()
}

fn start_postgres(directory: &Path, port: u16, account: &Account) -> u32 {
    let programs = postgres_programs();
    let data = directory.join("data");
    let mut install = account.command(directory, programs.join("initdb"));
    install.arg("-D").arg(&data).args([
        "-U",
        "postgres",
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
        "--no-sync",
        "--no-locale",
        "-E",
        "UTF8",
    ]);
    run(install);
    certificate(directory, account);
    let mut server = account.command(directory, programs.join("postgres"));
    server.arg("-D").arg(&data);
    let mut settings = vec![
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories={}", directory.display()),
        "fsync=off".to_owned(),
        "synchronous_commit=off".to_owned(),
        "full_page_writes=off".to_owned(),
        "shared_buffers=16MB".to_owned(),
        "max_connections=200".to_owned(),
        "autovacuum=off".to_owned(),
    ];
    if directory.join("server.key").exists() {
        settings.extend([
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}/server.crt", directory.display()),
            format!("ssl_key_file={}/server.key", directory.display()),
        ]);
    }
    for setting in settings {
        server.args(["-c", &setting]);
    }
    server.process_group(0).spawn().unwrap().id()
}

/// A certificate that signs itself, for `localhost`: `server.crt`, to be trusted by who gives its path.
fn certificate(directory: &Path, account: &Account) {
    let mut openssl = account.command(directory, "openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
    ]);
    openssl.arg(directory.join("server.key"));
    openssl.arg("-out").arg(directory.join("server.crt"));
    run(openssl);
}

/// Debian keeps them apart by version; the newest is taken.
fn postgres_programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    versions
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse::<u32>().ok()?;
            let programs = entry.path().join("bin");
            programs
                .join("initdb")
                .exists()
                .then_some((version, programs))
        })
        .max()
        .map_or_else(PathBuf::new, |(_, programs)| programs)
}

/// Whom the server runs as: neither of them runs as root.
struct Account {
    ids: Option<(u32, u32)>,
}

impl Account {
    /// Ours or, where that is root, the one of nobody; gives it the directory.
    fn of_server(directory: &Path) -> Self {
        let is_root =
            std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0;
        let ids = is_root.then_some((65_534, 65_534));
        if let Some((user, group)) = ids {
            std::os::unix::fs::chown(directory, Some(user), Some(group)).unwrap();
        }
        Self { ids }
    }

    fn command(&self, directory: &Path, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = quiet(Command::new(program));
        let log = File::options()
            .create(true)
            .append(true)
            .open(directory.join("log"))
            .unwrap();
        command
            .current_dir(directory)
            .env("HOME", directory)
            .env("LC_ALL", "C")
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/usr/bin"));
        if let Some((user, group)) = self.ids {
            command.uid(user).gid(group);
        }
        command
    }
}

fn quiet(mut command: Command) -> Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn run(mut command: Command) {
    let program = command.get_program().to_owned();
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => {
            let log = command.get_current_dir().unwrap().join("log");
            let log = fs::read_to_string(log).unwrap_or_default();
            panic!("{}: {status}\n{log}", program.display());
        }
        Err(error) => panic!(
            "{}: {error}; `scripts/setup test` installs what the tests need",
            program.display()
        ),
    }
}
