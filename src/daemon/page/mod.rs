//! The dashboard: a page at `/` that shows the service and works it, through the API.
//!
//! It is plain HTML, CSS and ECMAScript modules, which are part of the program: nothing is built, and nothing is fetched
//! from elsewhere. All text that comes from torrents and peers enters the page as text nodes.
//!
//! | file | what lives there |
//! |---|---|
//! | `index.html`, `style.css`, `theme.js`, `icon.svg` | the frame, its looks, and the choice of light and dark |
//! | `app.js` | which view is shown, the menu, the token |
//! | `api.js`, `live.js` | requests and streams; what happens in the service, as it happens |
//! | `dom.js`, `format.js`, `shell.js` | elements, values as people read them, notices and parts that load |
//! | `chart.js`, `stats.js`, `files.js`, `attempts.js`, `asked.js` | what several views share |
//! | `views/*.js` | one view each |

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};

/// What the page may do: load its own files, and talk to its own service.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const INDEX: &str = include_str!("index.html");

macro_rules! assets {
    ($($path:literal),+ $(,)?) => {
        /// The files of the page by their paths.
        const ASSETS: &[(&str, &str)] = &[$(($path, include_str!($path))),+];
    };
}

assets![
    "api.js",
    "app.js",
    "asked.js",
    "attempts.js",
    "chart.js",
    "dom.js",
    "files.js",
    "format.js",
    "icon.svg",
    "live.js",
    "shell.js",
    "stats.js",
    "style.css",
    "theme.js",
    "views/ask.js",
    "views/blocklist.js",
    "views/diagnose.js",
    "views/failed.js",
    "views/health.js",
    "views/overview.js",
    "views/peers.js",
    "views/queue.js",
    "views/settings.js",
    "views/torrent.js",
    "views/torrents.js",
];

/// The digest of all files: part of their addresses, so that browsers may keep them for ever, and never mix two
/// versions.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Sha256::new();
    for text in ASSETS
        .iter()
        .flat_map(|(path, text)| [*path, *text])
        .chain([INDEX])
    {
        digest.update(text.len().to_le_bytes());
        digest.update(text);
    }
    let digest = data_encoding::HEXLOWER.encode(&digest.finalize());
    digest.chars().take(16).collect()
});

static PAGE: LazyLock<String> = LazyLock::new(|| INDEX.replace("{version}", &VERSION));

/// The page and its files. They hold nothing of the service, so they take no token: the page asks for one.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(index))
        .route("/assets/{version}/{*path}", get(asset))
}

async fn index(request: HeaderMap) -> Response {
    let tag = format!("\"{}\"", *VERSION);
    let known = request.get_all(header::IF_NONE_MATCH).iter();
    let is_known = known
        .filter_map(|tags| tags.to_str().ok())
        .flat_map(|tags| tags.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == tag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        PAGE.as_str().into_response()
    };
    add_headers(&mut response, "text/html; charset=utf-8", "no-cache");
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

async fn asset(Path((version, path)): Path<(String, String)>) -> Response {
    let asset = ASSETS.iter().find(|(name, _)| *name == path);
    // A page of another version than this one: it is to be loaded again, and nothing of it to be kept.
    let Some((_, text)) = asset.filter(|_| version == *VERSION) else {
        let mut response = (
            StatusCode::NOT_FOUND,
            "there is no such file: load the page again\n",
        )
            .into_response();
        add_headers(&mut response, "text/plain; charset=utf-8", "no-store");
        return response;
    };
    let mut response = (*text).into_response();
    let media = match path.rsplit_once('.') {
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        _ => "image/svg+xml",
    };
    add_headers(&mut response, media, "public, max-age=31536000, immutable");
    response
}

fn add_headers(response: &mut Response, media: &'static str, cache: &'static str) {
    let all = [
        (header::CONTENT_TYPE, media),
        (header::CACHE_CONTROL, cache),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // To our own API alone: it then knows its page.
        (header::REFERRER_POLICY, "same-origin"),
        (
            header::HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in all {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn answer(path: &str, known: Option<&str>) -> (StatusCode, HeaderMap, String) {
        let mut request = Request::get(path);
        if let Some(known) = known {
            request = request.header("if-none-match", known);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = router::<()>().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        (
            parts.status,
            parts.headers,
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }

    fn files_below(directory: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                files_below(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn every_file_is_served() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/daemon/page");
        let mut found = BTreeSet::new();
        files_below(&directory, "", &mut found);
        let served = ASSETS.iter().map(|(path, _)| (*path).to_owned());
        let served: BTreeSet<String> = served
            .chain(["index.html".into(), "mod.rs".into()])
            .collect();
        assert_eq!(found, served);
    }

    #[test]
    fn no_file_reads_markup_from_a_text_or_names_another_host() {
        let hosts = |text: &str| {
            let rest = text.replace("http://www.w3.org/2000/svg", "");
            rest.contains("http://") || rest.contains("https://")
        };
        for (path, text) in ASSETS.iter().chain(&[("index.html", INDEX)]) {
            for wrong in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "setHTML",
                "DOMParser",
                "createContextualFragment",
                "srcdoc",
                "eval(",
                "new Function",
                "javascript:",
                " style=",
                "<style",
                "@import",
                "url(",
            ] {
                assert!(!text.contains(wrong), "{path}: {wrong}");
            }
            assert!(!hosts(text), "{path} names a host");
        }
        // Handlers in the markup are scripts, too.
        for handler in [" onclick", " onload", " onerror", " onsubmit"] {
            assert!(!INDEX.contains(handler), "{handler}");
        }
    }

    #[tokio::test]
    async fn the_page_names_files_that_are_there_and_may_be_kept() {
        let (status, headers, page) = answer("/", None).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["cache-control"], "no-cache");
        assert_eq!(headers["content-security-policy"], POLICY);
        let names = page.split('"').filter(|part| part.starts_with("assets/"));
        let names: BTreeSet<&str> = names.collect();
        assert_eq!(names.len(), 4, "{names:?}");
        for name in names {
            let (status, headers, body) = answer(&format!("/{name}"), None).await;
            assert_eq!(status, StatusCode::OK, "{name}");
            assert_eq!(
                headers["cache-control"],
                "public, max-age=31536000, immutable"
            );
            assert_eq!(headers["x-content-type-options"], "nosniff");
            assert!(!body.is_empty());
        }
    }

    #[tokio::test]
    async fn a_page_that_is_known_is_not_sent_again() {
        let (_, headers, _) = answer("/", None).await;
        let tag = headers["etag"].to_str().unwrap().to_owned();
        for known in [tag.clone(), format!("\"x\", W/{tag}")] {
            let (status, headers, body) = answer("/", Some(&known)).await;
            assert_eq!((status, body.as_str()), (StatusCode::NOT_MODIFIED, ""));
            assert_eq!(headers["etag"], tag.as_str());
        }
        assert_eq!(answer("/", Some("\"x\"")).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn files_of_another_version_or_none_are_not_there() {
        let version = VERSION.as_str();
        for path in [
            "/assets/0000000000000000/app.js".to_owned(),
            format!("/assets/{version}/mod.rs"),
            format!("/assets/{version}/../mod.rs"),
            format!("/assets/{version}/%2e%2e/mod.rs"),
            format!("/assets/{version}/"),
            format!("/assets/{version}"),
        ] {
            let (status, headers, _) = answer(&path, None).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert!(
                headers
                    .get("cache-control")
                    .is_none_or(|cache| cache == "no-store")
            );
        }
    }
}
