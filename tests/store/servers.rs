//! What only a server can do: refuse a login, be away, come back, be slow, encrypt.

use super::databases::{PASSWORD, PASSWORD_IN_URL};
use super::*;

mod mariadb {
    use super::*;

    #[tokio::test]
    async fn a_login_needs_the_password() {
        super::a_login_needs_the_password(Kind::Mariadb).await;
    }
    #[tokio::test]
    async fn what_a_server_refuses_is_named() {
        super::what_a_server_refuses_is_named(Kind::Mariadb).await;
    }
    #[tokio::test]
    async fn connections_that_broke_are_replaced() {
        super::connections_that_broke_are_replaced(Kind::Mariadb).await;
    }
    #[tokio::test]
    async fn tls_is_held_to() {
        super::tls_is_held_to(Kind::Mariadb).await;
    }
}

mod postgres {
    use super::*;

    #[tokio::test]
    async fn a_login_needs_the_password() {
        super::a_login_needs_the_password(Kind::Postgres).await;
    }
    #[tokio::test]
    async fn what_a_server_refuses_is_named() {
        super::what_a_server_refuses_is_named(Kind::Postgres).await;
    }
    #[tokio::test]
    async fn connections_that_broke_are_replaced() {
        super::connections_that_broke_are_replaced(Kind::Postgres).await;
    }
    #[tokio::test]
    async fn tls_is_held_to() {
        super::tls_is_held_to(Kind::Postgres).await;
    }
}

fn open_url(url: &str) -> Result<Store, StoreError> {
    Store::open_with(&url.parse().unwrap(), &impatient())
}

async fn a_login_needs_the_password(kind: Kind) {
    let database = Database::new(kind);
    let with = format!("metafetch:{PASSWORD_IN_URL}");
    let store = open_url(&database.tcp_url(&with)).unwrap();
    store.record(resolved(1)).await.unwrap();
    assert!(store.torrent(&hash(1)).await.unwrap().is_some());
    assert!(!format!("{store:?}").contains(PASSWORD));

    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("{PASSWORD}\n")).unwrap();
    let by_file = format!(
        "{}?password_file={}",
        database.tcp_url("metafetch"),
        file.path().display()
    );
    assert!(open_url(&by_file).is_ok());

    for login in ["metafetch:wr0ng", "metafetch", "nobody:wr0ng"] {
        let refused = open_url(&database.tcp_url(login)).unwrap_err();
        assert!(
            matches!(refused, StoreError::AccessDenied { .. }) && !refused.is_transient(),
            "{login}: {refused:?}"
        );
        assert!(!format!("{refused} {refused:?}").contains("wr0ng"));
    }
}

async fn what_a_server_refuses_is_named(kind: Kind) {
    let database = Database::new(kind);
    let missing = database.url().replace(&database.name, "not_there");
    let refused = open_url(&missing).unwrap_err();
    assert!(
        matches!(refused, StoreError::NoDatabase { .. }),
        "{refused:?}"
    );

    let poor = database.url().replace("metafetch@", "poor@");
    let refused = open_url(&poor).unwrap_err();
    assert!(
        matches!(refused, StoreError::AccessDenied { .. }),
        "{refused:?}"
    );

    let nowhere = match kind {
        Kind::Mariadb => "mysql://a@127.0.0.1:1/a",
        Kind::Postgres => "postgres://a@127.0.0.1:1/a",
    };
    let socket = match kind {
        Kind::Mariadb => "mysql://a@/a?socket=/not/there",
        Kind::Postgres => "postgres://a@/a?host=/not/there",
    };
    for url in [nowhere, socket] {
        let refused = open_url(url).unwrap_err();
        assert!(
            matches!(refused, StoreError::Unreachable { .. }) && refused.is_transient(),
            "{refused:?}"
        );
    }

    database.run("CREATE TABLE theirs (a INT)");
    let refused = open_url(&database.url()).unwrap_err();
    assert!(matches!(refused, StoreError::Foreign { .. }), "{refused:?}");
    database.run("DROP TABLE theirs");
    open_url(&database.url()).unwrap().close().await;
    database.run("INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101')");
    let refused = open_url(&database.url()).unwrap_err();
    assert!(
        matches!(&refused, StoreError::Newer { version, .. } if version == "99990101"),
        "{refused:?}"
    );
}

async fn connections_that_broke_are_replaced(kind: Kind) {
    let database = Database::new(kind);
    let store = Store::open(&database.url().parse().unwrap()).unwrap();
    store.record(resolved(1)).await.unwrap();
    assert!(store.torrent(&hash(1)).await.unwrap().is_some());
    match kind {
        Kind::Mariadb => database.run(&format!(
            "BEGIN NOT ATOMIC FOR one IN (SELECT id FROM information_schema.processlist \
             WHERE db = '{}' AND id <> CONNECTION_ID()) DO KILL one.id; END FOR; END",
            database.name
        )),
        Kind::Postgres => database.run(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = '{}' AND pid <> pg_backend_pid()",
            database.name
        )),
    }
    assert!(store.torrent(&hash(1)).await.unwrap().is_some());
    store.record(resolved(2)).await.unwrap();
    assert_eq!(store.counts().await.unwrap().torrents, 2);
}

async fn tls_is_held_to(kind: Kind) {
    let database = Database::new(kind);
    let with = format!("metafetch:{PASSWORD_IN_URL}");
    let trusted = database.server.directory.join("server.crt");
    let url = |options: &str| format!("{}?{options}", database.tcp_url(&with));
    let trusting = format!("tls=require&tls_ca={}", trusted.display());
    let store = open_url(&url(&trusting)).unwrap();
    store.record(resolved(1)).await.unwrap();
    open_url(&url("tls=disable")).unwrap();
    // Another authority than the one that signed.
    let stranger = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args(["-subj", "/CN=stranger", "-keyout", "/dev/null", "-out"])
        .arg(stranger.path().join("a.crt"))
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    let strange = stranger.path().join("a.crt");
    for options in [
        format!("tls=require&tls_ca={}", strange.display()),
        format!("tls=verify&tls_ca={}", strange.display()),
        "tls=require&tls_ca=/not/there".to_owned(),
        // The certificate is for `localhost`, and this is 127.0.0.1; of MySQL it is refused at once.
        format!("tls=verify&tls_ca={}", trusted.display()),
    ] {
        let refused = open_url(&url(&options)).unwrap_err();
        assert!(
            matches!(refused, StoreError::Tls { .. }),
            "{options}: {refused:?}"
        );
    }
    if kind == Kind::Postgres {
        let by_name =
            url(&trusting.replace("require", "verify")).replace("@127.0.0.1", "@localhost");
        assert!(open_url(&by_name).is_ok());
    }
}
