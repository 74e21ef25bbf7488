//! `db migrate`.

use crate::fixture::Home;

#[test]
fn a_new_database_has_all_steps_to_make_and_a_dry_run_makes_none() {
    let home = Home::new();
    let dry = home.done(&["migrate", "--dry-run"]);
    assert!(
        dry.stdout.contains("pending 00000000000001_initial"),
        "{dry:#?}"
    );
    assert!(!home.store().exists());
    let made = home.done(&["migrate"]);
    assert!(made.stdout.contains("from nothing to 2"), "{made:#?}");
    let again = home.done(&["migrate"]);
    assert!(
        again.stdout.starts_with("the schema is up to date: 2"),
        "{again:#?}"
    );
}

#[test]
fn a_database_that_is_behind_is_brought_up_to_date_and_keeps_its_rows() {
    let home = Home::new();
    let initial = include_str!("../../migrations/sqlite/00000000000001_initial/up.sql");
    home.sql(initial);
    home.sql(
        "CREATE TABLE __diesel_schema_migrations
             (version VARCHAR(50) PRIMARY KEY NOT NULL, run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
         INSERT INTO __diesel_schema_migrations (version) VALUES ('00000000000001');
         INSERT INTO failed_torrent VALUES (x'0101010101010101010101010101010101010101', 'refused',
             'connect', '', 1, 5, 6);",
    );
    let dry = home.done(&["migrate", "--dry-run"]);
    assert!(!dry.stdout.contains("initial"), "{dry:#?}");
    assert!(dry.stdout.contains("_history"), "{dry:#?}");
    let made = home.done(&["migrate"]);
    assert!(
        made.stdout.contains("from 00000000000001 to 2"),
        "{made:#?}"
    );
    let exported = home.done(&["export", "--table", "failed_torrent"]);
    assert!(
        exported.stdout.contains(r#""reason":"refused""#),
        "{exported:#?}"
    );
}

#[test]
fn what_is_not_ours_is_refused() {
    let home = Home::new();
    home.sql("CREATE TABLE theirs (a)");
    for args in [
        &["migrate"][..],
        &["migrate", "--dry-run"],
        &["check"],
        &["prune"],
        &["export"],
    ] {
        let run = home.run(args);
        assert_eq!(run.code, 1, "{run:#?}");
        assert!(run.stderr.contains("another program"), "{run:#?}");
    }
    let none = home.run(&["check", "--store", "none"]);
    assert_eq!(none.code, 2, "{none:#?}");
}
