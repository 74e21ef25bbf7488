//! The database is away for a while: what was acknowledged meanwhile is there afterwards, once.

use super::*;

/// Spills at once.
fn hasty() -> StoreOptions {
    StoreOptions {
        busy_timeout: Duration::from_secs(5),
        retry_for: Duration::from_millis(100),
        spill_after: Duration::ZERO,
        ..StoreOptions::default()
    }
}

fn open_with(path: &Path, options: &StoreOptions) -> Store {
    Store::open_with(&StoreUrl::Sqlite(path.to_owned()), options).unwrap()
}

/// A connection that keeps everybody from writing until it is told to `COMMIT`.
fn lock(path: &Path) -> SqliteConnection {
    let mut other = raw(path);
    other
        .batch_execute("PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE")
        .unwrap();
    other
}

/// The files beside the database whose names have this in them.
fn files(path: &Path, part: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().contains(part))
        .collect();
    files.sort();
    files
}

/// Returns once the journals of this store are empty.
pub(super) async fn replayed(store: &Store) {
    while store.health().journal_records > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Each record made by [`resolved`] is there once: its torrent, its attempts, and what its peers
/// are known by.
pub(super) async fn assert_each_once(store: &Store, numbers: impl Iterator<Item = u32>) {
    let numbers: Vec<u32> = numbers.collect();
    for number in &numbers {
        let found = store.torrent(&hash(*number)).await.unwrap();
        assert!(found.is_some(), "{number} is lost");
    }
    let counts = store.counts().await.unwrap();
    assert_eq!(counts.torrents, numbers.len() as u64);
    assert_eq!(counts.attempts, numbers.len() as u64 * 3);
    let peers: HashSet<PeerAddr> = numbers
        .iter()
        .flat_map(|&number| (0..3).map(move |n| peer(number + n)))
        .collect();
    let peers: Vec<_> = peers.into_iter().collect();
    let states = store.peer_states(&peers).await.unwrap();
    let attempts: u64 = states.values().map(|state| state.attempts).sum();
    assert_eq!(attempts, counts.attempts, "counted twice, or not at all");
}

/// A store that was closed while the database was locked, and has left its journal with these.
async fn left_behind(path: &Path, records: Vec<Record>) -> PathBuf {
    let store = open_with(path, &hasty());
    let mut other = lock(path);
    for record in records {
        store.record(record).await.unwrap();
    }
    store.close().await;
    other.batch_execute("COMMIT").unwrap();
    let mut journals = files(path, ".spill-");
    assert_eq!(journals.len(), 1, "{journals:?}");
    journals.remove(0)
}

#[tokio::test]
async fn records_are_acknowledged_while_the_database_is_locked_and_stored_in_order_later() {
    let (_directory, path) = directory();
    let store = open_with(&path, &hasty());
    store.record(resolved(0)).await.unwrap();
    let mut other = lock(&path);
    let answers = join_all((1..2_000).map(|number| store.record(resolved(number)))).await;
    assert!(answers.iter().all(Result::is_ok));
    let renamed = Record {
        attempts: Vec::new(),
        ..named(7, "the later name")
    };
    store.record(renamed).await.unwrap();

    let health = store.health();
    assert_eq!(health.journal_records, 2_000);
    assert!(matches!(health.last_error, Some(StoreError::Locked { .. })));
    assert_eq!(health.journal.as_ref(), files(&path, ".spill-").first());
    let length = fs::metadata(health.journal.unwrap()).unwrap().len();
    assert!(health.journal_bytes > 0 && health.journal_bytes <= length);
    assert_eq!(store.counts().await.unwrap().torrents, 1, "reads go on");

    other.batch_execute("COMMIT").unwrap();
    replayed(&store).await;
    assert_each_once(&store, 0..2_000).await;
    let renamed = store.torrent(&hash(7)).await.unwrap().unwrap();
    assert_eq!(renamed.name, "the later name");
    store.record(resolved(2_000)).await.unwrap();
    assert_each_once(&store, 0..2_001).await;
    assert_eq!(store.health(), StoreHealth::default());
    assert!(
        files(&path, ".spill-").is_empty(),
        "it is of no use any more"
    );
}

#[tokio::test]
async fn what_comes_while_a_journal_is_read_is_stored_after_it() {
    let (_directory, path) = directory();
    let store = open_with(&path, &hasty());
    let mut other = lock(&path);
    let answers = join_all((0..1_500).map(|number| store.record(resolved(number)))).await;
    assert!(answers.iter().all(Result::is_ok));
    other.batch_execute("COMMIT").unwrap();
    for number in 1_500..1_550 {
        store.record(resolved(number)).await.unwrap();
        let renamed = named(number, "renamed");
        let renamed = Record {
            attempts: Vec::new(),
            ..renamed
        };
        store.record(renamed).await.unwrap();
    }
    replayed(&store).await;
    assert_each_once(&store, 0..1_550).await;
    for number in 1_500..1_550 {
        let found = store.torrent(&hash(number)).await.unwrap().unwrap();
        assert_eq!(found.name, "renamed", "{number}");
    }
}

#[tokio::test]
async fn a_full_database_is_waited_for_in_the_journal() {
    let (_directory, path) = directory();
    let small = StoreOptions {
        size_limit: Some(1 << 20),
        ..hasty()
    };
    let store = open_with(&path, &small);
    let large = ResolvedTorrent {
        info: vec![b'x'; 2 << 20],
        ..torrent(hash(1))
    };
    let large = Record {
        result: RecordResult::Resolved(Box::new(large)),
        ..resolved(1)
    };
    store.record(large).await.unwrap();
    store.record(resolved(2)).await.unwrap();
    let health = store.health();
    assert!(matches!(health.last_error, Some(StoreError::Full { .. })));
    store.close().await;

    let store = open_with(&path, &hasty());
    assert_each_once(&store, 1..3).await;
    let large = store.torrent(&hash(1)).await.unwrap().unwrap();
    assert_eq!(large.metadata_size, 2 << 20);
}

#[tokio::test]
async fn without_a_journal_the_error_of_the_database_is_told() {
    let (_directory, path) = directory();
    let file = path.with_extension("file");
    fs::write(&file, "").unwrap();
    let options = StoreOptions {
        journal_dir: Some(file.join("below")),
        ..hasty()
    };
    let store = open_with(&path, &options);
    let mut other = lock(&path);
    let refused = store.record(resolved(1)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
    other.batch_execute("COMMIT").unwrap();
    store.record(resolved(2)).await.unwrap();
    assert_each_once(&store, 2..3).await;
}

#[tokio::test]
async fn a_full_journal_makes_records_wait_and_loses_none() {
    let (_directory, path) = directory();
    let options = StoreOptions {
        journal_limit: 20_000,
        ..hasty()
    };
    let store = open_with(&path, &options);
    let mut other = lock(&path);
    let one_by_one = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 0..100 {
                store.record(resolved(number)).await.unwrap();
            }
        }
    });
    let waits = async {
        loop {
            let before = store.health().journal_records;
            tokio::time::sleep(Duration::from_millis(300)).await;
            if before > 0 && store.health().journal_records == before {
                return;
            }
        }
    };
    waits.await;
    let health = store.health();
    assert!((1..100).contains(&health.journal_records), "{health:?}");
    assert!(health.journal_bytes <= 20_000, "{health:?}");
    assert!(!one_by_one.is_finished());
    other.batch_execute("COMMIT").unwrap();
    one_by_one.await.unwrap();
    replayed(&store).await;
    assert_each_once(&store, 0..100).await;
}

#[tokio::test]
async fn closing_does_not_wait_for_ever() {
    let (_directory, path) = directory();
    let options = StoreOptions {
        journal_limit: 0,
        ..hasty()
    };
    let store = open_with(&path, &options);
    let mut other = lock(&path);
    let clone = store.clone();
    let writing = async {
        let refused = clone.record(resolved(1)).await.unwrap_err();
        assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
    };
    tokio::join!(writing, store.close());
    other.batch_execute("COMMIT").unwrap();
    assert_each_once(&open_with(&path, &hasty()), 0..0).await;
}

#[tokio::test]
async fn the_next_start_stores_what_a_journal_has_kept() {
    let (_directory, path) = directory();
    let journal = left_behind(&path, (0..50).map(resolved).collect()).await;
    // The process was killed while it wrote another.
    let mut torn = fs::OpenOptions::new().append(true).open(&journal).unwrap();
    std::io::Write::write_all(&mut torn, b"0123abcd {\"batch_id\":[1,2").unwrap();
    // The next one will be killed after its commits, before it removes the journal.
    let copy = fs::read(&journal).unwrap();

    let store = open_with(&path, &hasty());
    assert_each_once(&store, 0..50).await;
    assert!(files(&path, ".spill-").is_empty());
    store.close().await;

    fs::write(&journal, copy).unwrap();
    let store = open_with(&path, &hasty());
    assert_each_once(&store, 0..50).await;
    assert!(files(&path, ".spill-").is_empty());
}

#[tokio::test]
async fn a_journal_that_was_read_in_part_is_read_to_its_end() {
    let (_directory, path) = directory();
    let journal = left_behind(&path, (0..50).map(resolved).collect()).await;
    let all = fs::read(&journal).unwrap();
    let half: Vec<&[u8]> = all
        .split_inclusive(|byte| *byte == b'\n')
        .take(25)
        .collect();
    fs::write(&journal, half.concat()).unwrap();
    open_with(&path, &hasty()).close().await;
    fs::write(&journal, all).unwrap();
    assert_each_once(&open_with(&path, &hasty()), 0..50).await;
}

#[tokio::test]
async fn a_damaged_journal_is_kept_and_what_is_sound_is_stored() {
    let (_directory, path) = directory();
    let journal = left_behind(&path, (0..50).map(resolved).collect()).await;
    let mut bytes = fs::read(&journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&journal, &bytes).unwrap();

    let store = open_with(&path, &hasty());
    assert_eq!(store.counts().await.unwrap().torrents, 49);
    let kept = files(&path, ".spill-");
    assert_eq!(
        kept,
        [journal.with_extension(format!(
            "{}.damaged",
            journal.extension().unwrap().to_str().unwrap()
        ))]
    );
    assert_eq!(fs::read(&kept[0]).unwrap(), bytes);
    store.close().await;
    drop(open_with(&path, &hasty()));
    assert_eq!(files(&path, ".spill-"), kept, "and stays");
}

#[tokio::test]
async fn a_journal_of_a_newer_program_is_left_to_it() {
    let (_directory, path) = directory();
    open_with(&path, &hasty()).close().await;
    let journal = PathBuf::from(format!("{}.spill-1-00000000", path.display()));
    fs::write(&journal, "metafetch-spill 2\nwhat that may be\n").unwrap();
    let store = open_with(&path, &hasty());
    store.record(resolved(1)).await.unwrap();
    store.close().await;
    let text = fs::read_to_string(&journal).unwrap();
    assert_eq!(text, "metafetch-spill 2\nwhat that may be\n");
}

#[tokio::test]
async fn what_the_database_refuses_of_a_journal_is_kept_there() {
    let (_directory, path) = directory();
    let records = (0..20).map(|number| match number {
        7 => named(number, "poison"),
        _ => resolved(number),
    });
    let journal = left_behind(&path, records.collect()).await;
    raw(&path)
        .batch_execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON torrent_metadata WHEN NEW.name = 'poison' \
             BEGIN SELECT RAISE(ABORT, 'poison is refused'); END;",
        )
        .unwrap();
    let store = open_with(&path, &hasty());
    assert_each_once(&store, (0..20).filter(|number| *number != 7)).await;
    let kept = fs::read_to_string(format!("{}.damaged", journal.display())).unwrap();
    assert!(kept.contains("poison"), "{kept}");
}

#[tokio::test]
async fn a_newer_result_of_another_process_stays() {
    let (_directory, path) = directory();
    let at = |at_ms, record: Record| Record {
        at_ms,
        attempts: Vec::new(),
        ..record
    };
    let journal = left_behind(
        &path,
        vec![
            at(100, named(1, "older")),
            failed(hash(2), 1, 100),
            failed(hash(3), 1, 100),
            at(100, named(4, "older")),
            failed(hash(5), 1, 300),
        ],
    )
    .await;
    let kept = fs::read(&journal).unwrap();
    fs::remove_file(&journal).unwrap();
    let store = open_with(&path, &hasty());
    for record in [
        at(200, named(1, "newer")),
        failed(hash(2), 2, 200),
        at(200, named(3, "newer")),
        failed(hash(4), 1, 200),
        failed(hash(5), 2, 200),
    ] {
        store.record(record).await.unwrap();
    }
    store.close().await;
    fs::write(&journal, kept).unwrap();

    let store = open_with(&path, &hasty());
    let name = async |number| store.torrent(&hash(number)).await.unwrap().unwrap().name;
    let failures = async |number| {
        let failed = store.failed_torrent(&hash(number)).await.unwrap();
        failed.map(|failed| failed.failures)
    };
    assert_eq!((name(1).await.as_str(), failures(1).await), ("newer", None));
    assert_eq!(failures(2).await, Some(2));
    assert_eq!((name(3).await.as_str(), failures(3).await), ("newer", None));
    assert_eq!(
        (name(4).await.as_str(), failures(4).await),
        ("older", Some(1))
    );
    assert_eq!(failures(5).await, Some(1), "the journal has the newer one");
}

#[test]
fn two_stores_with_journals_of_their_own_lose_nothing_and_count_once() {
    let (_directory, path) = directory();
    let barrier = std::sync::Barrier::new(3);
    let work = |first: u32| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = open_with(&path, &hasty());
            barrier.wait();
            for chunk in 0..10 {
                let numbers = (0..50).map(|number| first + chunk * 50 + number);
                let answers = join_all(numbers.map(|number| store.record(resolved(number)))).await;
                assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            }
            store.close().await;
        });
    };
    std::thread::scope(|scope| {
        let workers = [scope.spawn(|| work(0)), scope.spawn(|| work(500))];
        barrier.wait();
        while !workers
            .iter()
            .all(std::thread::ScopedJoinHandle::is_finished)
        {
            let mut other = lock(&path);
            std::thread::sleep(Duration::from_millis(50));
            other.batch_execute("COMMIT").unwrap();
        }
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = open_with(&path, &hasty());
    runtime.block_on(assert_each_once(&store, 0..1_000));
    assert!(files(&path, ".spill-").is_empty());
}

#[tokio::test]
#[ignore = "started by what_was_acknowledged_into_a_journal_survives_kill_9"]
async fn child_spills_until_it_is_killed() {
    let path = std::env::var_os(processes::CHILD_PATH).expect("only a parent starts this");
    let store = open_with(Path::new(&path), &hasty());
    println!("\nopened");
    while !Path::new(&path).with_extension("locked").exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut first = 0;
    loop {
        let numbers = first..first + 10;
        first += 10;
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

#[tokio::test]
async fn what_was_acknowledged_into_a_journal_survives_kill_9() {
    let (_directory, path) = directory();
    drop(open_with(&path, &hasty()));
    let program = std::env::current_exe().unwrap();
    let name = "outage::child_spills_until_it_is_killed";
    let mut child = processes::child(&program, name, &path).spawn().unwrap();
    let mut other = None;
    let mut acknowledged = HashSet::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line == "opened" {
            other = Some(lock(&path));
            fs::write(path.with_extension("locked"), "").unwrap();
        } else if let Some(number) = line.strip_prefix("stored ") {
            acknowledged.insert(number.parse::<u32>().unwrap());
            if acknowledged.len() == 300 {
                child.kill().unwrap();
            }
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= 300, "{}", acknowledged.len());
    assert_eq!(files(&path, ".spill-").len(), 1);
    other.unwrap().batch_execute("COMMIT").unwrap();

    let store = open_with(&path, &hasty());
    // The last batch may be there although nobody was told.
    let stored = u32::try_from(store.counts().await.unwrap().torrents).unwrap();
    assert_each_once(&store, 0..stored).await;
    assert!(acknowledged.iter().all(|number| *number < stored));
    assert!(files(&path, ".spill-").is_empty());
}
