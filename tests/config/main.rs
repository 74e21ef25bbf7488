//! `metafetch config`, and the configuration of the commands, as a user meets them. Nothing here
//! reaches the network: each run ends before, or asks nobody.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fault here is to fail the test"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const HASH: &str = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a";

/// A directory for one test, and the program in it.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    fn run(&self, args: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_metafetch"));
        for (name, _) in std::env::vars() {
            if name.starts_with("METAFETCH_") {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("HOME", self.dir.path())
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }

    /// `metafetch config check` of this file: the exit code and what it says.
    fn check(&self, file: &Path) -> (i32, String) {
        let output = self.run(&["config", "check", file.to_str().unwrap()], &[]);
        assert!(output.stdout.is_empty());
        (output.status.code().unwrap(), text(&output.stderr))
    }

    /// A configuration that asks and listens to nobody but this host.
    fn alone(&self, rest: &str) -> String {
        let file = self.file(
            "alone.toml",
            format!("[network]\nlisten = [\"127.0.0.1:0\"]\n[store]\nurl = \"none\"\n{rest}"),
        );
        file.to_str().unwrap().to_owned()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// `metafetch resolve` of a hash that nobody is asked for.
const RESOLVE: [&str; 6] = [
    "resolve",
    HASH,
    "--no-dht",
    "--no-trackers",
    "--format=jsonl",
    "--quiet",
];

#[test]
fn init_writes_a_file_that_is_right_and_overwrites_none() {
    let place = Place::new();
    let written = place.run(&["config", "init"], &[]);
    assert_eq!(written.status.code(), Some(0), "{written:?}");
    let path = place.path("metafetch.toml");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it may come to hold passwords");
    let (code, says) = place.check(&path);
    assert_eq!(
        (code, says.trim_end().ends_with("all is right")),
        (0, true),
        "{says}"
    );

    std::fs::write(&path, "mine").unwrap();
    let again = place.run(&["config", "init"], &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        text(&again.stderr).contains("is there already"),
        "{again:?}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");

    let printed = place.run(&["config", "init", "-"], &[]);
    assert!(text(&printed.stdout).contains("\n[dht_crawler]\n"));
    let nowhere = place.run(&["config", "init", "no/such/dir"], &[]);
    assert_eq!(nowhere.status.code(), Some(1));
}

#[test]
fn check_names_file_line_and_key() {
    let place = Place::new();
    let file = place.file("a.toml", "[engine]\njobs = 4001\ntimout = \"5s\"\n");
    let (code, says) = place.check(&file);
    assert_eq!(code, 2);
    let path = file.display();
    let expected = format!(
        "metafetch: {path}:2: engine.jobs is 4001: expected a whole number from 1 to 4000\n\
         {path}:3: [engine] has no key `timout`: did you mean `timeout`?\n"
    );
    assert_eq!(says, expected);
}

#[test]
fn files_that_are_none_are_refused_at_once() {
    let place = Place::new();
    let fifo = place.path("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let large = place.path("large");
    let file = std::fs::File::create(&large).unwrap();
    file.set_len(100 << 20).unwrap();
    let closed = place.file("closed", "");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o0)).unwrap();
    let nested = format!("[engine]\njobs = {}", "[".repeat(500_000));
    for (path, expected) in [
        (place.path("missing"), "can't be opened: No such file"),
        (place.dir.path().to_owned(), "no regular file"),
        (fifo, "no regular file"),
        ("/dev/zero".into(), "no regular file"),
        (large, "more than 1 MiB"),
        (
            place.file("binary", b"# a\n# b\njobs = \"\xff\""),
            "binary:3: this line is not UTF-8",
        ),
        (place.file("nul", "\0\0\0\0"), "this is not TOML"),
        (place.file("nested", nested), "this is not TOML"),
    ] {
        let (code, says) = place.check(&path);
        assert_eq!(code, 2, "{}: {says}", path.display());
        assert!(says.contains(expected), "{says}");
        assert!(says.contains(path.to_str().unwrap()), "{says}");
    }
    // Root may read everything.
    if std::fs::read(&closed).is_err() {
        assert!(
            place
                .check(&closed)
                .1
                .contains("can't be opened: Permission denied")
        );
    }
}

#[test]
fn show_says_where_each_value_comes_from_and_no_password() {
    let place = Place::new();
    let file = place.file(
        "a.toml",
        "[engine]\njobs = 5\nretry = 1\n[dht_crawler]\npassword = \"secret\"\n",
    );
    let file = file.to_str().unwrap();
    let variables = [
        ("METAFETCH_CONFIG", file),
        ("METAFETCH_ENGINE_RETRY", "2"),
        ("METAFETCH_STORE", "mysql://me:secret@db/metafetch"),
    ];
    let shown = place.run(&["config", "show"], &variables);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    let shown = text(&shown.stdout);
    let origin = |key: &str| {
        let start = format!("{key} ");
        let line = shown.lines().find(|line| line.starts_with(&start));
        let (value, origin) = line.unwrap().rsplit_once(" # ").unwrap();
        (value.trim_end().to_owned(), origin.to_owned())
    };
    assert_eq!(origin("jobs"), ("jobs = 5".into(), format!("{file}:2")));
    assert_eq!(
        origin("retry"),
        ("retry = 2".into(), "METAFETCH_ENGINE_RETRY".into())
    );
    assert_eq!(
        origin("strategy"),
        ("strategy = \"auto\"".into(), "default".into())
    );
    assert_eq!(origin("url").1, "METAFETCH_STORE");
    assert_eq!(origin("password").0, "password = \"***\"");
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn check_reads_the_files_with_passwords() {
    let place = Place::new();
    let missing = place.file("a.toml", "[dht_crawler]\npassword_file = \"/no/such\"\n");
    let (code, says) = place.check(&missing);
    assert_eq!(code, 2);
    assert!(
        says.contains("dht_crawler.password_file: /no/such: "),
        "{says}"
    );
    let proxy = place.file(
        "b.toml",
        "[privacy]\nproxy = \"socks5://u@h:1\"\nproxy_password_file = \"/no/such\"\n",
    );
    let (code, says) = place.check(&proxy);
    assert_eq!(code, 2);
    assert!(says.contains("privacy.proxy: /no/such: "), "{says}");
}

#[test]
fn a_command_takes_the_file_and_a_flag_wins() {
    let place = Place::new();
    let file = place.alone("");
    let ran = place.run(&[&RESOLVE[..], &["--config", &file]].concat(), &[]);
    assert_eq!(ran.status.code(), Some(3), "{ran:?}");
    assert!(
        text(&ran.stdout).contains("\"status\":\"failed\""),
        "{ran:?}"
    );
    let by_variable = [("METAFETCH_CONFIG", file.as_str())];
    assert_eq!(place.run(&RESOLVE, &by_variable).status.code(), Some(3));

    let store = place.path("by-flag.db");
    let flag = ["--config", &file, "--store", store.to_str().unwrap()];
    let ran = place.run(&[&RESOLVE[..], &flag].concat(), &[]);
    assert_eq!(ran.status.code(), Some(3), "{ran:?}");
    assert!(store.exists());
    let store = place.path("by-variable.db");
    let variables = [("METAFETCH_STORE_URL", store.to_str().unwrap())];
    let ran = place.run(&[&RESOLVE[..], &["--config", &file]].concat(), &variables);
    assert_eq!(ran.status.code(), Some(3), "{ran:?}");
    assert!(store.exists());
}

#[test]
fn commands_end_before_the_network_where_the_configuration_is_wrong() {
    let place = Place::new();
    let file = place.file("a.toml", "[engine]\njobs = 0\n");
    let file = file.to_str().unwrap();
    for command in [
        &RESOLVE[..],
        &["crawl"],
        &["doctor", "--no-dht"],
        &["failed", "list"],
    ] {
        let ran = place.run(&[command, &["--config", file]].concat(), &[]);
        assert_eq!(ran.status.code(), Some(2), "{command:?}: {ran:?}");
        assert!(
            text(&ran.stderr).contains("a.toml:2: engine.jobs is 0"),
            "{ran:?}"
        );
        assert!(ran.stdout.is_empty());
    }
    let file = place.alone("[privacy]\nproxy = \"socks5://u@127.0.0.1:1\"\n");
    let ran = place.run(&[&RESOLVE[..], &["--config", &file]].concat(), &[]);
    assert_eq!(ran.status.code(), Some(2), "{ran:?}");
    assert!(
        text(&ran.stderr).contains("privacy.proxy: the proxy's user"),
        "{ran:?}"
    );
    let variables = [("METAFETCH_ENGINE_JOBZ", "5")];
    let ran = place.run(&[&RESOLVE[..], &["--store=none"]].concat(), &variables);
    assert_eq!(ran.status.code(), Some(2), "{ran:?}");
    assert!(
        text(&ran.stderr).contains("did you mean METAFETCH_ENGINE_JOBS?"),
        "{ran:?}"
    );
}

#[test]
fn a_wrong_variable_of_a_flag_does_not_matter_where_the_flag_is_given() {
    let place = Place::new();
    let file = place.alone("");
    let variables = [("METAFETCH_STORE", "oracle://me:secret@db/x")];
    let flags = ["--config", &file, "--store", "none"];
    let ran = place.run(&[&RESOLVE[..], &flags].concat(), &variables);
    assert_eq!(ran.status.code(), Some(3), "{ran:?}");
    let ran = place.run(&[&RESOLVE[..], &["--config", &file]].concat(), &variables);
    assert_eq!(ran.status.code(), Some(2), "{ran:?}");
    assert!(text(&ran.stderr).contains("--store: "), "{ran:?}");
    assert!(!text(&ran.stderr).contains("secret"), "{ran:?}");
}
