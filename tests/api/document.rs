//! The document and the API agree: what it names is there, and what is answered is as it says.

use std::collections::BTreeSet;

use metafetch::daemon::api::document;
use serde_json::Value;

use crate::home::Home;
use crate::swarm::TestTorrent;

#[test]
fn every_operation_says_what_may_go_wrong_and_takes_a_token() {
    let document = serde_json::to_value(document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            // Health is for everybody.
            let is_open = ["/healthz", "/readyz"].contains(&path.as_str());
            let security = operation["security"].as_array().unwrap();
            assert_eq!(security.is_empty(), is_open, "{name}");
            assert!(
                operation["description"].is_string() || operation["summary"].is_string(),
                "{name}"
            );
            let on_all = ["400", "429", "503"].as_slice();
            let guarded = ["401", "403"].as_slice();
            let own_body = path == "/readyz" || path == "/healthz" || path == "/metrics";
            for status in [on_all, if is_open { &[] } else { guarded }].concat() {
                if own_body && status == "503" {
                    continue;
                }
                let media = &operation["responses"][status]["content"];
                assert!(
                    media["application/problem+json"].is_object(),
                    "{name}: {status}"
                );
            }
        }
    }
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

#[test]
fn the_document_names_what_was_promised() {
    let document = serde_json::to_value(document()).unwrap();
    let paths: BTreeSet<&str> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    for path in [
        "/api/v1/torrents/{infohash}",
        "/api/v1/torrents/{infohash}/torrent",
        "/api/v1/torrents/{infohash}/info",
        "/api/v1/torrents/{infohash}/attempts",
        "/api/v1/torrents/{infohash}/diagnose",
        "/api/v1/resolve",
        "/api/v1/torrents",
        "/api/v1/peers",
        "/api/v1/sessions",
        "/api/v1/stats",
        "/api/v1/queue",
        "/api/v1/events",
        "/api/v1/config",
        "/admin/failed-torrents",
        "/admin/failed-torrents/{infohash}",
        "/admin/failed-torrents/clear",
        "/admin/blocklist",
        "/admin/blocklist/{infohash}",
        "/admin/sources",
        "/admin/sources/{name}/pause",
        "/admin/sources/{name}/resume",
        "/admin/reload",
        "/admin/backup",
        "/torznab/api",
        "/rss",
        "/healthz",
        "/readyz",
        "/metrics",
    ] {
        assert!(paths.contains(path), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_properties_that_the_document_names() {
    let home = Home::start().await;
    let torrent = home.stored(TestTorrent::v1(4, 2_000)).await;
    home.resolve(&["b".repeat(40)]).await;
    let document = home.json("/openapi.json").await;
    let hex = torrent.hex();
    for (path, template) in [
        (
            format!("/api/v1/torrents/{hex}"),
            "/api/v1/torrents/{infohash}",
        ),
        (
            format!("/api/v1/torrents/{hex}/attempts"),
            "/api/v1/torrents/{infohash}/attempts",
        ),
        ("/api/v1/torrents?files=2".to_owned(), "/api/v1/torrents"),
        ("/api/v1/peers".to_owned(), "/api/v1/peers"),
        ("/api/v1/sessions".to_owned(), "/api/v1/sessions"),
        ("/api/v1/queue".to_owned(), "/api/v1/queue"),
        ("/api/v1/stats".to_owned(), "/api/v1/stats"),
        ("/api/v1/config".to_owned(), "/api/v1/config"),
        (
            "/admin/failed-torrents".to_owned(),
            "/admin/failed-torrents",
        ),
        ("/admin/sources".to_owned(), "/admin/sources"),
        ("/healthz".to_owned(), "/healthz"),
    ] {
        let answer = home.json(&path).await;
        let operation = &document["paths"][template]["get"];
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        agree(&document, schema, &answer, &path);
    }
}

/// Objects have the properties of their schema, no others, and all that are required.
fn agree(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        return agree(document, document.pointer(pointer).unwrap(), value, at);
    }
    match value {
        Value::Object(object) => {
            let Some(properties) = schema["properties"].as_object() else {
                return;
            };
            for (name, value) in object {
                let property = properties.get(name);
                let property =
                    property.unwrap_or_else(|| panic!("{at}: `{name}` is not in the document"));
                agree(document, property, value, &format!("{at}.{name}"));
            }
            for name in schema["required"].as_array().into_iter().flatten() {
                assert!(
                    object.contains_key(name.as_str().unwrap()),
                    "{at}: {name} is missing"
                );
            }
        }
        Value::Array(items) => {
            for item in items {
                agree(document, &schema["items"], item, &format!("{at}[]"));
            }
        }
        _ => {}
    }
}
