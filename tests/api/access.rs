//! Who may ask: tokens, scopes, and without tokens this host by its own names.

use metafetch::config::{ApiToken, Scope};
use metafetch::daemon::api::document;
use reqwest::{Method, StatusCode};

use crate::home::{Home, problem};

/// Every operation of the document, with something in the place of parameters.
fn operations() -> Vec<(Method, String)> {
    let document = serde_json::to_value(document()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path
            .replace("{infohash}", &"a".repeat(40))
            .replace("{name}", "crawl");
        for method in item.as_object().unwrap().keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            operations.push((method, path.clone()));
        }
    }
    operations
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tokens_nothing_is_reachable_without_one_but_health() {
    let (read, read_kept) = ApiToken::generate(Scope::Read);
    let (admin, admin_kept) = ApiToken::generate(Scope::Admin);
    let home = Home::with(&format!("tokens = [\"{read_kept}\", \"{admin_kept}\"]")).await;
    let ask = async |method: &Method, path: &str, token: Option<&str>| {
        let mut request = home.request(method.clone(), path);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap()
    };
    let others = ["/openapi.json", "/nowhere"].map(|path| (Method::GET, path.to_owned()));
    let operations: Vec<_> = (operations().into_iter().chain(others))
        .filter(|(_, path)| !["/healthz", "/readyz"].contains(&path.as_str()))
        .collect();
    assert!(operations.len() > 25);
    for (method, path) in &operations {
        for token in [
            None,
            Some(""),
            Some("metafetch_00"),
            Some(&*admin_kept.to_string()),
        ] {
            let response = ask(method, path, token).await;
            assert!(
                response.headers().contains_key("www-authenticate"),
                "{method} {path}"
            );
            assert_eq!(
                problem(response).await,
                (401, "unauthorized".to_owned()),
                "{method} {path}"
            );
        }
        let is_admins = path.starts_with("/admin/") || path == "/api/v1/config";
        if is_admins {
            let response = ask(method, path, Some(&read)).await;
            assert_eq!(
                problem(response).await,
                (403, "forbidden".to_owned()),
                "{method} {path}"
            );
        }
    }
    // Who may not ask learns no methods either.
    for (method, path) in [
        (Method::PUT, "/api/v1/stats"),
        (Method::GET, "/admin/reload"),
    ] {
        assert_eq!(
            problem(ask(&method, path, None).await).await.0,
            401,
            "{path}"
        );
        assert_eq!(
            problem(ask(&method, path, Some(&admin)).await).await.0,
            405,
            "{path}"
        );
    }
    for path in ["/healthz", "/readyz", "/"] {
        let status = ask(&Method::GET, path, None).await.status();
        assert_ne!(status, StatusCode::UNAUTHORIZED, "{path}");
    }
    for (path, token) in [
        ("/api/v1/stats", &read),
        ("/api/v1/stats", &admin),
        ("/admin/sources", &admin),
    ] {
        assert_eq!(
            ask(&Method::GET, path, Some(token)).await.status(),
            StatusCode::OK,
            "{path}"
        );
    }
    // Readers of feeds send no headers.
    assert_eq!(
        home.get(&format!("/rss?apikey={read}")).await.status(),
        StatusCode::OK
    );
    assert_eq!(
        home.get(&format!("/torznab/api?t=caps&apikey={read}"))
            .await
            .status(),
        StatusCode::OK
    );
    assert_eq!(
        home.problem(&format!("/api/v1/stats?apikey={read}"))
            .await
            .0,
        401
    );
    // No token is told to anybody.
    let config = ask(&Method::GET, "/api/v1/config", Some(&admin))
        .await
        .text()
        .await
        .unwrap();
    let digest = admin_kept.to_string();
    assert!(
        config.contains("\"tokens\"") && !config.contains(&digest[14..]),
        "{config}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tokens_pages_and_names_of_others_reach_nothing() {
    let home = Home::start().await;
    let with = async |name: &str, value: &str| {
        let request = home
            .request(Method::POST, "/admin/reload")
            .header(name, value);
        request.send().await.unwrap()
    };
    for (name, value, reason) in [
        ("host", "rebound.example", "forbidden_host"),
        ("origin", "http://evil.example", "forbidden_origin"),
        ("origin", "null", "forbidden_origin"),
        ("sec-fetch-site", "cross-site", "forbidden_origin"),
    ] {
        assert_eq!(
            problem(with(name, value).await).await,
            (403, reason.to_owned()),
            "{name}: {value}"
        );
    }
    assert_eq!(
        with("origin", &format!("http://{}", home.at))
            .await
            .status(),
        StatusCode::OK
    );
    // CORS is off.
    let response = with("origin", "http://evil.example").await;
    assert!(
        response
            .headers()
            .keys()
            .all(|name| !name.as_str().starts_with("access-control"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_browsers_to_keep_still() {
    let home = Home::start().await;
    for path in ["/api/v1/stats", "/nowhere", "/rss", "/openapi.json"] {
        let response = home.get(path).await;
        let headers = response.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
    }
}
