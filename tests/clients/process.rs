//! A program that a test starts, waits for, and that cannot outlive the test.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

/// How long a program may take until it serves. Loaded machines are slow, so this is generous:
/// it only bounds how long a broken test waits.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running program, with a directory of its own; killed with all its children on drop.
pub(crate) struct Process {
    program: &'static str,
    child: Child,
    log: PathBuf,
    dir: TempDir,
}

impl Process {
    /// Starts `program` of the Debian package `package` with what `arguments` adds, in a process
    /// group of its own, with `dir` as its working and home directory and its output in a log there.
    pub(crate) fn start(
        program: &'static str,
        package: &str,
        dir: TempDir,
        arguments: impl FnOnce(&mut Command),
    ) -> Self {
        assert!(
            installed(program),
            "`{program}` is not installed: install the Debian package `{package}` \
             (`scripts/setup test` does)"
        );
        let log = dir.path().join("log");
        let output = File::create(&log).unwrap();
        // Should the test itself be killed, no destructor runs: the kernel then ends the program.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", program]);
        command
            .current_dir(dir.path())
            .env("HOME", dir.path())
            .env("LC_ALL", "C.UTF-8")
            .env_remove("http_proxy")
            .env_remove("https_proxy")
            .env_remove("all_proxy")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0);
        arguments(&mut command);
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("`setpriv` of the Debian package `util-linux` could not be started: {error}")
        });
        Self {
            program,
            child,
            log,
            dir,
        }
    }

    /// Starts a Python script of this directory; what it prints is read with [`Self::says`].
    pub(crate) fn script(name: &str, arguments: impl FnOnce(&mut Command)) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/clients")
            .join(name);
        // Debian's own interpreter: another one does not see Debian's libtorrent module.
        Self::start("/usr/bin/python3", "python3", directory(), |command| {
            command.arg("-B").arg(script);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            arguments(command);
        })
    }

    /// The next line that a script prints, which is JSON.
    pub(crate) fn says<T: DeserializeOwned>(&mut self) -> T {
        let stdout = self.child.stdout.take().unwrap();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            // The test may have given up.
            let _ = sender.send(read.map(|_| line));
        });
        match receiver.recv_timeout(DEADLINE) {
            Ok(line) => serde_json::from_str(&line.unwrap()).unwrap_or_else(|error| {
                let ended = self.child.try_wait();
                self.fail(&format!("said no JSON: {error} ({ended:?})"))
            }),
            Err(RecvTimeoutError::Timeout) => self.fail("said nothing in time"),
            Err(RecvTimeoutError::Disconnected) => self.fail("ended"),
        }
    }

    /// Asks `probe` until it answers, which it does once the program serves.
    pub(crate) fn wait_until<T>(&mut self, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(answer) = probe() {
                return answer;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                self.fail(&format!("ended before {what}: {status}"));
            }
            if Instant::now() > deadline {
                self.fail(&format!("took more than {DEADLINE:?} until {what}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it has not ended by itself.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Fails the test with what the program wrote.
    fn fail(&self, what: &str) -> ! {
        let log = fs::read(&self.log).unwrap_or_default();
        panic!(
            "{} {what}; it wrote:\n{}",
            self.program,
            String::from_utf8_lossy(&log)
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// A directory for one process.
pub(crate) fn directory() -> TempDir {
    tempfile::Builder::new()
        .prefix("metafetch-client-")
        .tempdir()
        .unwrap()
}

fn installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    // An absolute `program` replaces the directory it is joined to.
    env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
