//! A torrent as a `.torrent` file, and its raw info dictionary.

use std::fmt::Write as _;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::{Answer, WaitQuery, pending};
use crate::daemon::api::Api;
use crate::daemon::api::limits::Room;
use crate::daemon::api::problem::Problem;
use crate::daemon::api::request::{HashInPath, Query};
use crate::torrent::{Infohash, safe_file_name, torrent_file as metainfo};

/// The `.torrent` file of a hash.
#[utoipa::path(
    get, path = "/api/v1/torrents/{infohash}/torrent", tag = "torrents",
    params(("infohash" = inline(crate::daemon::api::openapi::AnyHash), Path, description = "The hash: hex, base32 or multihash."), WaitQuery),
    responses(
        (status = 200, description = "The file (BEP 3).", body = inline(crate::daemon::api::openapi::Binary), content_type = "application/x-bittorrent",
            headers(("Content-Disposition" = String, description = "A file name made of the torrent's name."))),
        (status = 202, description = "It waits or is worked on.", body = super::Pending),
        (status = 404, description = "`no_peers`, `unknown`.", body = Problem, content_type = "application/problem+json"),
        (status = 451, description = "`blocked`.", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "It was tried and failed.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`cooldown` and others.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::daemon::api) async fn torrent_file(
    State(api): State<Api>,
    HashInPath(infohash): HashInPath,
    Query(query): Query<WaitQuery>,
) -> Result<Response, Problem> {
    let contents = match contents(&api, infohash, query).await? {
        Ok(contents) => contents,
        Err(pending) => return Ok(pending),
    };
    let name = format!("{}.torrent", safe_file_name(&contents.name));
    let file = metainfo(&contents.info, &contents.trackers, None);
    Ok(attachment(
        file,
        "application/x-bittorrent",
        &name,
        contents.room,
    ))
}

/// The info dictionary of a hash, byte for byte as it came.
#[utoipa::path(
    get, path = "/api/v1/torrents/{infohash}/info", tag = "torrents",
    params(("infohash" = inline(crate::daemon::api::openapi::AnyHash), Path, description = "The hash: hex, base32 or multihash."), WaitQuery),
    responses(
        (status = 200, description = "The bencoded dictionary: these bytes have the hash.", body = inline(crate::daemon::api::openapi::Binary), content_type = "application/octet-stream",
            headers(("Content-Disposition" = String, description = "A file name made of the hash."))),
        (status = 202, description = "It waits or is worked on.", body = super::Pending),
        (status = 404, description = "`no_peers`, `unknown`.", body = Problem, content_type = "application/problem+json"),
        (status = 451, description = "`blocked`.", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "It was tried and failed.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`cooldown` and others.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::daemon::api) async fn dictionary(
    State(api): State<Api>,
    HashInPath(infohash): HashInPath,
    Query(query): Query<WaitQuery>,
) -> Result<Response, Problem> {
    let contents = match contents(&api, infohash, query).await? {
        Ok(contents) => contents,
        Err(pending) => return Ok(pending),
    };
    let name = format!("{infohash}.info");
    Ok(attachment(
        contents.info,
        "application/octet-stream",
        &name,
        contents.room,
    ))
}

/// What a file is made of.
struct Contents {
    name: String,
    info: Vec<u8>,
    trackers: Vec<String>,
    room: Room,
}

async fn contents(
    api: &Api,
    infohash: Infohash,
    query: WaitQuery,
) -> Result<Result<Contents, Response>, Problem> {
    Ok(match api.torrent_or_wait(infohash, query).await? {
        Answer::Torrent(torrent, room) => Ok(Contents {
            name: torrent.name,
            info: torrent.info,
            trackers: torrent.trackers,
            room,
        }),
        Answer::Unstored(resolution) => match &resolution.result {
            Ok(resolved) => Ok(Contents {
                name: resolved.info.name.clone(),
                info: resolved.raw.clone(),
                trackers: resolved.trackers.clone(),
                room: api.limits.room(resolved.raw.len())?,
            }),
            Err(_) => return Err(Problem::internal("there is no torrent")),
        },
        Answer::Pending(standing) => Err(pending(&infohash, standing)),
    })
}

fn attachment(bytes: Vec<u8>, media: &'static str, name: &str, room: Room) -> Response {
    let mut response = (StatusCode::OK, Extension(room), bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    if let Ok(value) = HeaderValue::try_from(disposition(name)) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// The name twice (RFC 6266): in ASCII for old clients, and as it is (RFC 8187).
fn disposition(name: &str) -> String {
    let ascii: String = name
        .chars()
        .map(|char| match char {
            '"' | '\\' | '%' => '_',
            ' '..='~' => char,
            _ => '_',
        })
        .collect();
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_given_in_ascii_and_as_they_are() {
        assert_eq!(
            disposition("a b.torrent"),
            "attachment; filename=\"a b.torrent\"; filename*=UTF-8''a%20b.torrent"
        );
        assert_eq!(
            disposition("Фи\"л%.torrent"),
            "attachment; filename=\"_____.torrent\"; filename*=UTF-8''%D0%A4%D0%B8%22%D0%BB%25.torrent"
        );
        let hostile = disposition(&safe_file_name("a\r\nSet-Cookie: x=1; /../\\\0\u{202e}"));
        assert!(
            hostile.is_ascii() && !hostile.contains(['\r', '\n', '\0', '/', '\\']),
            "{hostile}"
        );
    }
}
