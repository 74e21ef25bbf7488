use std::io::Write as _;
use std::time::Duration;

use proptest::prelude::*;

use super::keys::KEYS;
use super::*;
use crate::engine::Strategy;

fn parsed(text: &str) -> Config {
    Config::parse(text).unwrap()
}

/// What is wrong, in one text.
fn wrong(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

fn layered(file: &str, variables: &[(&str, &str)]) -> Result<(Config, Origins), ConfigError> {
    let mut path = tempfile::NamedTempFile::new().unwrap();
    path.write_all(file.as_bytes()).unwrap();
    let variables = variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    Config::layered(Some(path.path()), variables)
}

#[test]
fn an_empty_file_changes_nothing() {
    assert_eq!(parsed(""), Config::default());
    assert_eq!(parsed("\u{feff}# a comment\n[engine]\n"), Config::default());
}

#[test]
fn every_kind_of_value_is_read() {
    let config = parsed(
        r#"
        engine.strategy = "race"
        engine.jobs = 0x10
        [network]
        listen = ["127.0.0.1:0", "[::1]:6881"]
        bootstrap = ["Router.Example:6881"]
        allow_local_peers = true
        [dht]
        bytes = "20 kB"
        identities = 32
        [privacy]
        proxy = "socks5://u@127.0.0.1:1080"
        proxy_password_file = "/p"
        [store]
        url = "none"
        [dht_crawler]
        password = ""
        timeout = "1m30s"
        limit = "5m"
        mark_timed_out = false
        page = 50
        "#,
    );
    assert_eq!(config.engine.strategy, Strategy::Race);
    assert_eq!(config.engine.jobs, 16);
    let listen: Vec<String> = config
        .network
        .listen
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(listen, ["127.0.0.1:0", "[::1]:6881"]);
    assert_eq!(config.network.bootstrap.len(), 1);
    assert!(config.network.allow_local_peers);
    assert_eq!(
        (config.dht.bytes, config.dht.identities),
        (Bytes(20_000), 32)
    );
    assert!(config.privacy.proxy.is_some());
    assert_eq!(config.store.url, StorePlace::Nowhere);
    let crawler = config.dht_crawler;
    assert_eq!(crawler.password, Some(Secret::new("")));
    assert_eq!(crawler.timeout, Duration::from_secs(90));
    assert_eq!(crawler.limit, Some(Duration::from_secs(300)));
    assert!(!crawler.mark_timed_out);
    assert_eq!(crawler.page, 50);
}

#[test]
fn what_does_not_exist_is_refused_with_its_line_and_the_nearest_name() {
    for (text, expected) in [
        (
            "[engine]\n\njobz = 5",
            "configuration:3: [engine] has no key `jobz`: did you mean `jobs`?",
        ),
        (
            "[engin]\njobs = 5",
            "configuration:1: [engin] is no section: did you mean `engine`?",
        ),
        (
            "[engine]\nrate = 5",
            "configuration:2: [engine] has no key `rate`: it belongs below [crawl]",
        ),
        ("jobs = 5", "configuration:1: `jobs` belongs below [engine]"),
        (
            "[store]\nxyzzy = 1",
            "configuration:2: [store] has no key `xyzzy`: there are url, size_limit, keep_attempts, keep_failed",
        ),
        (
            "engine = 5",
            "configuration:1: `engine` is a section, [engine]",
        ),
        (
            "[[engine]]\njobs = 5",
            "configuration:1: `engine` is a section, [engine]",
        ),
    ] {
        assert_eq!(wrong(text), expected, "{text}");
    }
    assert!(wrong("\"a\\u001b[31m\\n\" = 1").contains(r"\u{1b}"));
    assert!(wrong("include = \"/etc/passwd\"").contains("is no section"));
}

#[test]
fn wrong_types_and_ranges_are_refused_with_what_is_expected() {
    for (text, expected) in [
        (
            "[engine]\njobs = 0",
            "configuration:2: engine.jobs is 0: expected a whole number from 1 to 4000",
        ),
        (
            "[engine]\njobs = \"5\"",
            "engine.jobs is \"5\": expected a whole number",
        ),
        (
            "[engine]\njobs = 5.0",
            "engine.jobs is a float: expected a whole",
        ),
        (
            "[engine]\njobs = 99999999999999999999",
            "engine.jobs is 9999",
        ),
        ("[engine]\njobs = -1", "engine.jobs is -1: expected"),
        ("[engine.jobs]\na = 1", "engine.jobs is a section: expected"),
        (
            "[engine]\ntimeout = 60",
            "engine.timeout is 60: expected a time",
        ),
        (
            "[engine]\ntimeout = \"0s\"",
            "engine.timeout is \"0s\": expected a time",
        ),
        ("[engine]\ntimeout = \"8d\"", "at most a week"),
        (
            "[engine]\ntimeout = \"soon\"",
            "(expected number at 0; write it as in",
        ),
        (
            "[engine]\nstrategy = \"fast\"",
            "expected \"auto\", \"libtorrent\"",
        ),
        (
            "[engine]\ncooldown = [\"off\", \"x\"]",
            "item 2 is \"x\": expected REASON=TIME",
        ),
        (
            "[network]\nallow_local_peers = \"yes\"",
            "is \"yes\": expected true or false",
        ),
        (
            "[network]\nlisten = []",
            "network.listen is a list: expected",
        ),
        (
            "[network]\nlisten = \"127.0.0.1:0\"",
            "expected a list of addresses",
        ),
        (
            "[network]\nlisten = [\"127.0.0.1\"]",
            "item 1 is \"127.0.0.1\"",
        ),
        ("[network]\nbootstrap = [\"host\"]", "item 1 is \"host\""),
        (
            "[dht]\nbytes = \"5 GB\"",
            "dht.bytes is \"5 GB\": expected a number of bytes",
        ),
        (
            "[dht]\nidentities = 33",
            "expected a whole number from 1 to 32",
        ),
        (
            "[dht_crawler]\nlimit = \"0s\"",
            "dht_crawler.limit is \"0s\": expected a time",
        ),
        (
            "[dht_crawler]\nserver = \"\"",
            "dht_crawler.server is \"\": expected a host",
        ),
        ("[engine]\njobs = 2020-01-01", "engine.jobs is a datetime"),
    ] {
        let error = wrong(text);
        assert!(error.contains(expected), "{text}: {error}");
        assert_eq!(error.lines().count(), 1, "{text}: {error}");
    }
}

#[test]
fn all_problems_are_told_in_the_order_of_the_file() {
    let error = wrong("[store]\nx = 1\n[engine]\njobs = 0\ntimeout = 5\n[dht\n");
    let lines: Vec<&str> = error.lines().collect();
    let places: Vec<&str> = lines.iter().map(|line| &line[..16]).collect();
    let expected = [2, 4, 5, 6].map(|line| format!("configuration:{line}:"));
    assert_eq!(places, expected, "{error}");
    let many: Vec<String> = (0..50).map(|n| format!("key{n} = 1\n")).collect();
    let error = wrong(&many.concat());
    assert!(error.ends_with("\nand 30 more"), "{error}");
}

#[test]
fn no_error_and_no_debug_shows_a_password() {
    for text in [
        "[dht_crawler]\npassword = \"secret",
        "[dht_crawler]\npassword = secret",
        "[dht_crawler]\npassword = 'secret\n",
        "[dht_crawler]\npassword = [\"secret\"]",
        "[dht_crawler]\npassword = {a=\"secret\"}",
        "[dht_crawler]\npassword = \"secret\"\npassword = \"secret\"",
        "[dht_crawler]\npassword = \"\\secret\"",
        "[dht_crawler]\npassword \"secret\"",
        "[dht_crawler]\npassword = \"secret\"\npassword_file = \"/x\"",
        "[privacy]\nproxy = \"http://u:secret@h:1\"",
        "[privacy]\nproxy = [\"socks5://u:secret@h:1\"]",
        "[privacy]\nproxy = \"socks5://u:secret@\"",
        "[store]\nurl = \"mysql://u:secret@h\"",
        "[store]\nurl = \"oracle://u:secret@h/d\"",
        "[store]\nurl = [\"mysql://u:secret@h/d\"]",
    ] {
        let error = Config::parse(text).unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("secret"),
            "{text}: {error}"
        );
    }
    let (config, origins) = layered(
        "[dht_crawler]\npassword = \"secret\"\n[privacy]\nproxy = \"socks5://u:secret@h:1\"\n\
         [store]\nurl = \"mysql://u:secret@h/d\"",
        &[],
    )
    .unwrap();
    let shown = format!("{config:?} {}", effective(&config, &origins));
    assert!(!shown.contains("secret"), "{shown}");
    assert!(shown.contains("password = \"***\""), "{shown}");
    assert!(shown.contains("socks5://***@h:1"), "{shown}");
}

#[test]
fn the_environment_wins_over_the_file() {
    let (config, origins) = layered(
        "[engine]\njobs = 5\nretry = 6\n",
        &[
            ("METAFETCH_ENGINE_JOBS", "7"),
            ("METAFETCH_ENGINE_RETRY", ""),
            ("METAFETCH_NETWORK_LISTEN", "127.0.0.1:0 [::1]:0"),
            ("METAFETCH_NETWORK_ALLOW_LOCAL_PEERS", "yes"),
            ("METAFETCH_DHT_CRAWLER_NOISE_TIMEOUT", "3s"),
            ("METAFETCH_DHT_BYTES", "1kB"),
            ("METAFETCH_STORE_URL", "a.db"),
            ("METAFETCH_STORE", "none"),
            ("METAFETCH_STORE_PASSWORD", "x"),
            ("METAFETCH_PROXY_PASSWORD", "x"),
            ("OTHER", "x"),
        ],
    )
    .unwrap();
    assert_eq!((config.engine.jobs, config.engine.retry), (7, 6));
    assert_eq!(config.network.listen.len(), 2);
    assert!(config.network.allow_local_peers);
    assert_eq!(config.dht_crawler.noise_timeout, Duration::from_secs(3));
    assert_eq!(config.dht.bytes, Bytes(1000));
    assert_eq!(config.store.url, StorePlace::Nowhere);
    let origin = |section, name| origins.get(&(section, name)).map(ToString::to_string);
    assert_eq!(origin("engine", "jobs").unwrap(), "METAFETCH_ENGINE_JOBS");
    assert!(origin("engine", "retry").unwrap().ends_with(":3"));
    assert_eq!(origin("store", "url").unwrap(), "METAFETCH_STORE");
    assert_eq!(origin("engine", "timeout"), None);
}

#[test]
fn variables_that_are_wrong_are_named() {
    for (name, value, expected) in [
        (
            "METAFETCH_ENGINE_JOBS",
            "many",
            "METAFETCH_ENGINE_JOBS: engine.jobs is `many`: expected a whole",
        ),
        (
            "METAFETCH_ENGINE_JOBZ",
            "1",
            "METAFETCH_ENGINE_JOBZ: there is no such key: did you mean METAFETCH_ENGINE_JOBS?",
        ),
        (
            "METAFETCH_PROXY",
            "http://u:hidden@h",
            "METAFETCH_PROXY: privacy.proxy is not right (the proxy is no URL",
        ),
    ] {
        let error = layered("", &[(name, value)]).unwrap_err().to_string();
        assert!(
            error.contains(expected) && !error.contains("hidden"),
            "{error}"
        );
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt as _;
        let value = OsString::from_vec(vec![0xff]);
        let variables = [(OsString::from("METAFETCH_ENGINE_JOBS"), value)];
        assert!(Config::layered(None, variables.into_iter()).is_err());
    }
}

#[test]
fn the_file_is_named_by_the_path_or_else_by_the_variable() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[engine]\njobs = 9\n").unwrap();
    let by_variable = [(OsString::from(CONFIG), file.path().into())];
    let (config, _) = Config::layered(None, by_variable.clone().into_iter()).unwrap();
    assert_eq!(config.engine.jobs, 9);
    let missing = Config::layered(Some(Path::new("/no/such")), by_variable.into_iter());
    assert!(missing.unwrap_err().to_string().starts_with("/no/such: "));
    let empty = [(OsString::from(CONFIG), OsString::new())];
    assert!(Config::layered(None, empty.into_iter()).is_ok());
}

#[test]
fn the_template_says_every_key_with_its_default() {
    let template = template();
    assert_eq!(parsed(&template), Config::default());
    let set: Vec<&str> = template
        .lines()
        .filter(|line| !line.starts_with("# "))
        .map(|line| line.trim_start_matches('#'))
        .filter(|line| !line.starts_with("password = ")) // it excludes `password_file`
        .filter(|line| cfg!(feature = "opentelemetry") || !line.starts_with("otlp = "))
        .collect();
    let set = set.join("\n");
    let mut config = parsed(&set);
    let left_out = ["password", "otlp"];
    for key in KEYS {
        assert!(set.contains(&format!("\n{} = ", key.name)) || left_out.contains(&key.name));
        if key.example.is_some() {
            let default = key.value(&Config::default());
            assert_eq!(default, None, "{}: an example beside a default", key.name);
        } else {
            assert_eq!(
                key.value(&config),
                key.value(&Config::default()),
                "{}",
                key.name
            );
        }
    }
    config.privacy = PrivacyKeys::default();
    config.store = StoreKeys::default();
    config.telemetry.otlp = None;
    config.daemon = DaemonKeys::default();
    config.dht_crawler = DhtCrawlerKeys::default();
    assert_eq!(config, Config::default());
}

#[test]
fn what_is_in_effect_is_a_configuration_again() {
    let (config, origins) = layered(
        "[engine]\ncooldown = [\"no_peers=90s\", \"growth=1m,2h\", \"off\"]\njobs = 3\n\
         [dht_crawler]\nuser = \"a\\\"\\\\\\u0001b\"\nlimit = \"90m\"\n",
        &[],
    )
    .unwrap();
    assert_eq!(parsed(&effective(&config, &origins)), config);
}

#[test]
fn a_store_in_a_file_keeps_its_path() {
    for (given, path) in [
        ("a.db", "a.db"),
        ("sqlite:////a", "//a"),
        ("sqlite:mysql:x", "mysql:x"),
    ] {
        let config = parsed(&format!("[store]\nurl = \"{given}\""));
        assert_eq!(config.store.url, StorePlace::At(PathBuf::from(path).into()));
        assert_eq!(parsed(&effective(&config, &Origins::new())), config);
    }
}

#[test]
fn the_documentation_is_that_of_the_keys() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let is_current = std::fs::read_to_string(path).is_ok_and(|text| text == markdown());
    let renew = "cargo run -- config reference > docs/configuration.md";
    assert!(is_current, "docs/configuration.md is old: {renew}");
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_an_error(
        text in prop_oneof![
            any::<String>(),
            "(\\[?[a-z_]{0,12}\\]? ?=? ?[\"'\\[{]?[a-z0-9:]{0,9}[\"'\\]}]?\n){0,8}",
        ],
    ) {
        if let Err(error) = Config::parse(&text) {
            prop_assert!(error.to_string().lines().count() <= 21 + text.lines().count());
        }
    }
}
