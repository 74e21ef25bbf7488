use super::*;

fn parsed(words: &[&str]) -> Parsed {
    parse(words.iter().map(OsString::from))
}

fn args(words: &[&str]) -> Args {
    match parsed(words) {
        Parsed::Run(args) => *args,
        other => panic!("{words:?}: {other:?}"),
    }
}

#[test]
fn the_defaults_are_those_of_the_documents() {
    let args = args(&["--debug"]);
    assert_eq!((args.queries, args.workers, args.bep51), (-1, 4, true));
    assert_eq!((args.server, args.port, args.metadata), (None, None, None));
}

#[test]
fn each_flag_sets_what_it_names() {
    let all = args(&[
        "--server",
        "db",
        "--port",
        "13306",
        "--user",
        "u",
        "--password",
        "p",
        "--database",
        "d",
        "--queries",
        "7",
        "--metadata",
        "a,b",
        "--metadata_database",
        "--debug",
        "--verbose",
        "--metadata_log",
        "--sequential",
        "--workers",
        "16",
        "--no-bep51",
        "--config",
        "m.toml",
    ]);
    let expected = Args {
        server: Some("db".into()),
        port: Some(13306),
        user: Some("u".into()),
        password: Some("p".into()),
        database: Some("d".into()),
        queries: 7,
        metadata: Some("a,b".into()),
        metadata_database: true,
        debug: true,
        verbose: true,
        metadata_log: true,
        sequential: true,
        workers: 16,
        bep51: false,
        config: Some("m.toml".into()),
    };
    assert_eq!(all, expected);
    assert!(
        !format!("{all:?}").contains("\"p\""),
        "the password is not shown"
    );
}

#[test]
fn the_first_word_that_ends_the_program_does() {
    let help = Parsed::Help { missing: false };
    let workers = Parsed::Refused("Error: Number of workers must be between 1 and 16".to_owned());
    let unknown = |word: &str| Parsed::Unknown(format!("Unknown argument: {word}"));
    for (words, expected) in [
        (&[][..], help.clone()),
        (&["--help"], help.clone()),
        (&["--debug", "--help", "--nonsense"], help.clone()),
        (&["--workers", "99", "--help"], workers.clone()),
        (&["--workers", "0"], workers.clone()),
        (&["--workers", "17x"], workers.clone()),
        (&["--workers", "-1"], workers),
        (&["--test-missing-libs"], Parsed::Help { missing: true }),
        (&["--nonsense", "--help"], unknown("--nonsense")),
        (&["--queries=5"], unknown("--queries=5")),
        (&["-h"], unknown("-h")),
        (&["--version"], unknown("--version")),
        (&["--Debug"], unknown("--Debug")),
        (&["hash"], unknown("hash")),
        (&["--debug", "--server"], unknown("--server")),
        (&["--queries"], unknown("--queries")),
        (&["--database", "--queries", "0"], unknown("0")),
        (&[""], unknown("")),
        (&["--metadata-database"], unknown("--metadata-database")),
        (&["--no_bep51"], unknown("--no_bep51")),
    ] {
        assert_eq!(parsed(words), expected, "{words:?}");
    }
}

#[test]
fn the_last_of_a_repeated_flag_counts_and_an_empty_list_is_none() {
    assert_eq!(args(&["--queries", "1", "--queries", "2"]).queries, 2);
    assert_eq!(args(&["--metadata", "a", "--metadata", ""]).metadata, None);
    assert_eq!(
        args(&["--database", "--queries"]).database,
        Some("--queries".into())
    );
}

#[test]
fn integers_are_read_as_c_does_and_what_is_none_is_refused() {
    for (text, number) in [
        ("13306xyz", 13306),
        (" +2x", 2),
        ("-1", -1),
        ("0", 0),
        ("007", 7),
        ("1.5", 1),
        ("\t\n 9", 9),
        ("2147483647", i32::MAX),
        ("-2147483648", i32::MIN),
    ] {
        assert_eq!(args(&["--queries", text]).queries, number, "{text}");
    }
    for text in [
        "",
        "abc",
        "+",
        "-",
        " ",
        "--queries",
        "2147483648",
        "99999999999999999999",
        "+ 1",
    ] {
        let Parsed::Refused(why) = parsed(&["--port", text]) else {
            panic!("{text}");
        };
        assert!(why.starts_with("Error: --port "), "{why}");
    }
}
