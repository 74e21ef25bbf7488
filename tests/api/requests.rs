//! Requests that make no sense.

use reqwest::{Method, StatusCode};

use crate::home::{Home, problem};

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_methods_and_hashes_are_problems() {
    let home = Home::start().await;
    for path in [
        "/nowhere",
        "/api/v1/stats/",
        "/api/v2/stats",
        "/api/v1/torrents/",
        "/..%2f..%2fetc/passwd",
        "/admin",
        "/api",
    ] {
        assert_eq!(
            home.problem(path).await,
            (404, "not_found".to_owned()),
            "{path}"
        );
    }
    for hash in [
        "x",
        "%00",
        "%ff",
        "..%2f..%2fetc%2fpasswd",
        &"a".repeat(39),
        &"g".repeat(40),
        &"a".repeat(5000),
        "1320aa",
        "%E2%80%AE",
    ] {
        let path = format!("/api/v1/torrents/{hash}");
        assert_eq!(
            home.problem(&path).await,
            (400, "invalid_request".to_owned()),
            "{path}"
        );
    }
    for wait in ["", "30", "-1s", "1y", "30s30s", "%00"] {
        let path = format!("/api/v1/torrents/{}?wait={wait}", "a".repeat(40));
        assert_eq!(
            home.problem(&path).await,
            (400, "invalid_request".to_owned()),
            "{path}"
        );
    }
    for (method, path) in [
        (Method::DELETE, "/api/v1/stats"),
        (Method::PUT, "/admin/reload"),
        (Method::GET, "/api/v1/resolve"),
        (Method::OPTIONS, "/api/v1/stats"),
        (Method::PATCH, "/admin/blocklist"),
    ] {
        let response = home.request(method.clone(), path).send().await.unwrap();
        let allow = response.headers().get("allow").cloned();
        assert!(
            allow.is_some_and(|allow| !allow.is_empty()),
            "{method} {path}"
        );
        assert_eq!(
            problem(response).await,
            (405, "method_not_allowed".to_owned()),
            "{method} {path}"
        );
    }
    let head = home
        .request(Method::HEAD, "/api/v1/stats")
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert!(head.bytes().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_another_type_or_shape_are_problems() {
    let home = Home::start().await;
    let send = async |path: &str, media: &str, body: &'static str| {
        let request = home
            .request(Method::POST, path)
            .header("content-type", media)
            .body(body);
        problem(request.send().await.unwrap()).await
    };
    for (path, media, body, status) in [
        ("/api/v1/resolve", "application/xml", "<a/>", 415),
        ("/api/v1/resolve", "application/json", "{", 400),
        ("/api/v1/resolve", "application/json", "[]", 400),
        (
            "/api/v1/resolve",
            "application/json",
            "{\"hashes\":[]}",
            400,
        ),
        (
            "/api/v1/resolve",
            "application/json",
            "{\"hashes\":[],\"extra\":1}",
            400,
        ),
        ("/api/v1/resolve", "text/plain", "\n# nothing\n", 400),
        ("/admin/failed-torrents/clear", "text/plain", "all", 415),
        ("/admin/blocklist", "application/json", "null", 400),
    ] {
        assert_eq!(
            send(path, media, body).await.0,
            status,
            "{path} {media} {body}"
        );
    }
}
