//! More than one process: sharing a file, dying by `kill -9`, missing permissions.

use super::*;

on_each_database!(
    two_stores_make_and_share_one_database,
    what_was_acknowledged_survives_kill_9,
);

/// A path or URL that the process of a test reads from its environment, where it is a child of another.
pub(super) const CHILD_PATH: &str = "METAFETCH_TEST_STORE";

async fn two_stores_make_and_share_one_database(place: Place) {
    let barrier = std::sync::Barrier::new(2);
    let work = |first: u32| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        barrier.wait();
        let store = Store::open(&place.url()).unwrap();
        runtime.block_on(async {
            for chunk in 0..10 {
                let numbers = (0..50).map(|number| first + chunk * 50 + number);
                let answers = join_all(numbers.map(|number| store.record(resolved(number)))).await;
                assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            }
            store.close().await;
        });
    };
    std::thread::scope(|scope| {
        scope.spawn(|| work(0));
        scope.spawn(|| work(500));
    });
    let counts = place.open().unwrap().counts().await.unwrap();
    // Peers 500 and 501 are asked by both, and counted by addition.
    assert_eq!(
        (counts.torrents, counts.attempts, counts.peers),
        (1_000, 3_000, 1_002)
    );
    let store = place.open().unwrap();
    let states = store.peer_states(&[peer(501)]).await.unwrap();
    assert_eq!(states[&peer(501)].attempts, 3);
}

/// This test program, run again for one of the tests that only a parent starts.
pub(super) fn child(program: &Path, test: &str, path: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--ignored", "--exact", "--nocapture", test])
        .env(CHILD_PATH, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

#[tokio::test]
#[ignore = "started by what_was_acknowledged_survives_kill_9"]
async fn child_records_until_it_is_killed() {
    let url = std::env::var(CHILD_PATH).expect("only a parent starts this");
    let store = Store::open(&url.parse().unwrap()).unwrap();
    let mut first = 10_000;
    loop {
        let numbers = first..first + 20;
        first += 20;
        join_all(numbers.map(|number| {
            let writing = store.record(resolved(number));
            async move {
                writing.await.unwrap();
                println!("\nstored {number}");
            }
        }))
        .await;
    }
}

async fn what_was_acknowledged_survives_kill_9(place: Place) {
    let url = match &place {
        Place::Sqlite(_, path) => path.display().to_string(),
        Place::Server(database) => database.url(),
    };
    // This process writes too, so that the child's commits lie between ours.
    let store = Store::open(&place.url()).unwrap();
    let program = std::env::current_exe().unwrap();
    let mut child = child(
        &program,
        "processes::child_records_until_it_is_killed",
        Path::new(&url),
    )
    .spawn()
    .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = HashSet::new();
    let mut own = 0;
    for line in lines {
        if let Some(number) = line.unwrap().strip_prefix("stored ") {
            acknowledged.insert(number.parse::<u32>().unwrap());
            if acknowledged.len() % 100 == 0 {
                store.record(resolved(own)).await.unwrap();
                own += 1;
            }
            if acknowledged.len() == 1_000 {
                child.kill().unwrap();
            }
        }
    }
    let status = child.wait().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9),
        "{status}"
    );
    assert!(
        acknowledged.len() >= 1_000,
        "only {} were stored",
        acknowledged.len()
    );
    drop(store);
    let store = place.open().unwrap();
    for number in acknowledged.into_iter().chain(0..own) {
        assert!(
            store.torrent(&hash(number)).await.unwrap().is_some(),
            "{number} is lost"
        );
        assert_eq!(store.files(&hash(number)).await.unwrap().len(), 10);
    }
    let counts = store.counts().await.unwrap();
    assert_eq!(counts.files, counts.torrents * 10);
    assert_eq!(
        counts.attempts,
        counts.torrents * 3,
        "no record is there by half"
    );
}

#[test]
#[ignore = "started by what_may_not_be_written_is_named"]
fn child_opens_what_it_may_not_write() {
    let path = std::env::var_os(CHILD_PATH).expect("only a parent starts this");
    let error = Store::open_with(&StoreUrl::Sqlite(path.into()), &impatient()).err();
    println!("\nopened: {error:?}");
}

/// Permissions do not bind root, so the child gives that up where it is root.
#[tokio::test]
async fn what_may_not_be_written_is_named() {
    let (directory, path) = directory();
    open(&path).unwrap().close().await;
    let is_root = fs::metadata(&path).unwrap().uid() == 0;
    // Where another user can read and run it.
    let program = directory.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let locked = directory.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::copy(&path, locked.join("old.db")).unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    mode(directory.path(), 0o777).unwrap();
    mode(&program, 0o755).unwrap();
    mode(&path, 0o444).unwrap();
    mode(&locked.join("old.db"), 0o444).unwrap();
    mode(&locked, 0o555).unwrap();
    for (path, expected) in [
        (path, "Some(ReadOnly"),
        (locked.join("new.db"), "Some(CannotOpen"),
        (locked.join("below/new.db"), "Some(CreateDirectory"),
        (locked.join("old.db"), "Some(ReadOnly"),
    ] {
        let mut child = child(
            &program,
            "processes::child_opens_what_it_may_not_write",
            &path,
        );
        if is_root {
            child.uid(65_534).gid(65_534);
        }
        let output = String::from_utf8(child.output().unwrap().stdout).unwrap();
        assert!(
            output.contains(&format!("opened: {expected}")),
            "{path:?}: {output}"
        );
    }
    mode(&locked, 0o755).unwrap();
}
