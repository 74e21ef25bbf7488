//! Start, reload, a second service, the end.

use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;

use crate::running::{Home, Running};

#[tokio::test]
async fn a_wrong_configuration_changes_nothing_and_a_right_one_what_can_change() {
    let home = Home::new("engine.jobs = 5");
    let running = home.start().await;
    home.configure("engine.jobs = 6\nsources.crawl_weight = 7\ndht.identities = 2");
    running.signal(Signal::HUP);
    running
        .says("changed: engine.jobs, sources.crawl_weight")
        .await;
    running.says("only a restart changes: dht.identities").await;
    home.configure("engine.jobs = 7\nengine.xyzzy = 1");
    running.signal(Signal::HUP);
    running
        .says("the configuration is wrong, and nothing changes")
        .await;
    home.configure("engine.jobs = 6\nsources.crawl_weight = 7");
    running.signal(Signal::HUP);
    // Those of the wrong one were not taken on.
    running.says("changed: nothing").await;
}

#[tokio::test]
async fn a_second_service_on_the_same_store_says_who_is_there() {
    let home = Home::new("");
    let first = home.start().await;
    let mut second = Running::of(home.command());
    assert_eq!(second.ends().await, Some(1));
    let pid = format!("process {}", first.child.id().unwrap());
    second.says(&pid).await;
}

#[tokio::test]
async fn an_empty_directory_is_enough() {
    let home = tempfile::tempdir().unwrap();
    let command = |args: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_metafetch"));
        command
            .args(args)
            .current_dir(home.path())
            .kill_on_drop(true);
        command.env("METAFETCH_STORE", "store.db");
        command.env("METAFETCH_API_LISTEN", "127.0.0.1:0");
        command.stderr(std::process::Stdio::piped());
        command
    };
    let init = command(&["config", "init"]).output().await.unwrap();
    assert!(init.status.success(), "{init:?}");
    let mut running = Running::of(command(&[
        "daemon",
        "--no-dht",
        "--no-trackers",
        "--listen",
        "127.0.0.1:0",
    ]));
    running.says("the service works").await;
    running.signal(Signal::INT);
    assert_eq!(running.ends().await, Some(0), "{}", running.stderr());
}

#[tokio::test]
async fn systemd_is_told_how_it_is() {
    let home = Home::new("");
    let path = home.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let told = || {
        let mut bytes = [0; 4096];
        let mut all = String::new();
        while let Ok(length) = socket.recv(&mut bytes) {
            all.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        all
    };
    let mut command = home.command();
    command.env("NOTIFY_SOCKET", &path);
    command.env("WATCHDOG_USEC", "20000000");
    let mut running = Running::of(command);
    let mut all = String::new();
    let mut wait = async |what: &str| {
        let waited = tokio::time::timeout(std::time::Duration::from_secs(90), async {
            while !all.contains(what) {
                all.push_str(&told());
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        });
        assert!(waited.await.is_ok(), "no {what}");
    };
    wait("READY=1").await;
    wait("WATCHDOG=1").await;
    wait("STATUS=").await;
    running.says("the service works").await;
    running.signal(Signal::HUP);
    wait("RELOADING=1").await;
    running.signal(Signal::TERM);
    wait("STOPPING=1").await;
    assert_eq!(running.ends().await, Some(0), "{}", running.stderr());
}
