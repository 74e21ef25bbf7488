//! Command lines that end before the network: what they print, and their exit codes.

use crate::home::Home;

/// The first line of stdout and of stderr, and the exit code.
async fn outcome(args: &[&str]) -> (i32, String, String) {
    let home = Home::without_database(&[]);
    let run = home.ended(home.bare(args)).await;
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    (run.code, first(&run.stdout), first(&run.stderr))
}

#[tokio::test]
async fn help_is_printed_and_the_exit_code_is_0() {
    for args in [
        &[][..],
        &["--help"],
        &["--queries", "5", "--help", "--nonsense"],
        &["--test-missing-libs"],
    ] {
        let home = Home::without_database(&[]);
        let run = home.ended(home.bare(args)).await;
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{args:?}");
        let mut lines = run.stdout.lines();
        assert!(lines.next().unwrap().starts_with("Usage: "), "{args:?}");
        assert_eq!(
            lines.next(),
            Some("DHT Torrent Discovery Tool with MySQL Storage")
        );
    }
}

#[tokio::test]
async fn what_is_unknown_is_named_on_stderr_with_the_usage_on_stdout() {
    for (args, unknown) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["-v"], "-v"),
        (&["--queries=1"], "--queries=1"),
        (&["--version"], "--version"),
        (&["--database", "--queries", "0"], "0"),
        (&["--debug", "--workers"], "--workers"),
    ] {
        let (code, stdout, stderr) = outcome(args).await;
        assert_eq!((code, stderr), (1, format!("Unknown argument: {unknown}")));
        assert!(stdout.starts_with("Usage: "), "{args:?}");
    }
}

#[tokio::test]
async fn workers_have_a_range_and_what_is_no_number_is_refused_without_a_crash() {
    for workers in ["0", "17", "99", "-3"] {
        let (code, stdout, stderr) = outcome(&["--workers", workers, "--help"]).await;
        let expected = "Error: Number of workers must be between 1 and 16";
        assert_eq!((code, stdout.as_str(), stderr.as_str()), (1, "", expected));
    }
    for args in [
        ["--port", "abc"],
        ["--queries", ""],
        ["--workers", "99999999999"],
        ["--queries", "2147483648"],
    ] {
        let (code, stdout, stderr) = outcome(&args).await;
        assert_eq!((code, stdout.as_str()), (1, ""), "{args:?}");
        assert!(
            stderr.starts_with(&format!("Error: {} ", args[0])),
            "{stderr}"
        );
    }
}

#[tokio::test]
async fn a_configuration_that_is_wrong_or_missing_is_named() {
    let home = Home::without_database(&[]);
    let missing = home.path("missing.toml");
    let missing = missing.to_str().unwrap();
    let run = home
        .ended(home.bare(&["--debug", "--config", missing]))
        .await;
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run:#?}");
    assert!(run.stderr.contains(missing), "{run:#?}");

    home.configure(&[], "nonsense = 1");
    let run = home.ended(home.bare(&["--debug"])).await;
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run:#?}");
    assert!(run.stderr.contains("nonsense"), "{run:#?}");
}
