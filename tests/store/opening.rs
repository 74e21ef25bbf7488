//! Each way that a database can't be opened has its name.

use super::*;

#[test]
fn a_path_that_is_no_file_is_refused() {
    let (directory, path) = directory();
    fs::write(&path, "").unwrap();
    for other in [directory.path(), Path::new("/"), Path::new("/dev/full")] {
        assert!(
            matches!(error(other), StoreError::NotAFile { .. }),
            "{other:?}"
        );
    }
    let below = error(&path.join("below.db"));
    assert!(
        matches!(below, StoreError::CreateDirectory { .. }),
        "{below}"
    );
    let long = error(&directory.path().join("a".repeat(300)));
    assert!(matches!(long, StoreError::CannotOpen { .. }), "{long}");
}

#[tokio::test]
async fn missing_directories_are_made_and_an_empty_file_is_a_new_database() {
    let (directory, empty) = directory();
    let deep = directory.path().join("a/b/c.db");
    fs::write(&empty, "").unwrap();
    for path in [deep, empty] {
        let store = open(&path).unwrap();
        assert_eq!(store.counts().await, Ok(Counts::default()));
        store.record(resolved(1)).await.unwrap();
        store.close().await;
        assert_eq!(open(&path).unwrap().counts().await.unwrap().torrents, 1);
    }
}

#[tokio::test]
async fn what_is_no_database_of_ours_is_refused_and_left_as_it_is() {
    let (directory, path) = directory();
    fs::write(&path, "no database ".repeat(1_000)).unwrap();
    assert!(matches!(error(&path), StoreError::NotADatabase { .. }));
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "no database ".repeat(1_000)
    );

    let other = directory.path().join("other.db");
    raw(&other)
        .batch_execute("CREATE TABLE theirs (a)")
        .unwrap();
    let before = fs::read(&other).unwrap();
    assert!(matches!(error(&other), StoreError::Foreign { .. }));
    assert_eq!(fs::read(&other).unwrap(), before);

    let newer = directory.path().join("newer.db");
    open(&newer).unwrap().close().await;
    raw(&newer)
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101')")
        .unwrap();
    let refused = error(&newer);
    assert!(
        matches!(&refused, StoreError::Newer { version, .. } if version == "99990101"),
        "{refused}"
    );

    let damaged = directory.path().join("damaged.db");
    open(&damaged).unwrap().close().await;
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[100..4096].fill(0xff);
    fs::write(&damaged, bytes).unwrap();
    let refused = error(&damaged);
    assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused}");
}
