//! What requests carry, read with bounds; what is wrong with it is a problem that says so.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt as _;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use utoipa::{PartialSchema, ToSchema};

use super::Api;
use super::problem::Problem;
use crate::torrent::Infohash;

/// The hash in a path, in any form: 40 hex digits or 32 of base32 (v1), 64 hex digits or a multihash (v2).
#[derive(Clone, Copy, Debug)]
pub(super) struct HashInPath(pub(super) Infohash);

impl<S: Send + Sync> FromRequestParts<S> for HashInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::invalid("the hash in the path is no UTF-8 text"))?;
        let hash = text.parse::<Infohash>();
        hash.map(Self)
            .map_err(|error| Problem::invalid(error.to_string()))
    }
}

/// Another thing in a path.
#[derive(Clone, Debug)]
pub(super) struct InPath<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(it)| Self(it))
            .map_err(|error| Problem::not_found(error.body_text()))
    }
}

/// The query of a URL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query
            .map(|axum::extract::Query(it)| Self(it))
            .map_err(|error| Problem::invalid(error.body_text()))
    }
}

/// How long to wait for a result: a whole number and `ms`, `s`, `m` or `h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait(pub(super) Duration);

impl FromStr for Wait {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let wrong =
            || "expected a time such as 500ms, 30s, 5m or 1h, of 6 digits at most".to_owned();
        if number.is_empty() || number.len() > 6 {
            return Err(wrong());
        }
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        Ok(Self(Duration::from_millis(
            number.saturating_mul(milliseconds),
        )))
    }
}

impl<'de> Deserialize<'de> for Wait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl PartialSchema for Wait {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[0-9]{1,6}(ms|s|m|h)$"))
            .examples(["30s"])
            .description(Some("A whole number and `ms`, `s`, `m` or `h`."))
            .into()
    }
}

impl ToSchema for Wait {}

/// How many items a page may have: 1 to 1000, and `DEFAULT` if not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit<const DEFAULT: u32>(pub(super) u32);

/// The most items of a page.
const MOST: u32 = 1000;

impl<const DEFAULT: u32> Default for Limit<DEFAULT> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<'de, const DEFAULT: u32> Deserialize<'de> for Limit<DEFAULT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = u32::deserialize(deserializer)?;
        if (1..=MOST).contains(&limit) {
            Ok(Self(limit))
        } else {
            let error = format!("limit is {limit}: expected a whole number from 1 to {MOST}");
            Err(D::Error::custom(error))
        }
    }
}

/// A number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounded<const MIN: i64, const MAX: i64>(i64);

/// Bytes, or how many there are of something: as many as a column holds.
pub(super) type Amount = Bounded<0, { i64::MAX }>;
/// A priority of a hash.
pub(super) type Priority = Bounded<-1000, 1000>;

impl Amount {
    /// The number.
    pub(super) fn get(self) -> u64 {
        self.0.unsigned_abs()
    }
}

impl Priority {
    /// The number.
    pub(super) fn get(self) -> i16 {
        i16::try_from(self.0).unwrap_or_default()
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        if (MIN..=MAX).contains(&number) {
            Ok(Self(number))
        } else {
            let error =
                format!("{number} is not right: expected a whole number from {MIN} to {MAX}");
            Err(D::Error::custom(error))
        }
    }
}

/// Where a page ended that is sorted by time: the time of its last item, and what tells it from others of that time.
pub(super) fn cursor(at_ms: i64, key: impl fmt::Display) -> String {
    format!("{at_ms}.{key}")
}

/// Reads a [`cursor`]. Whatever somebody makes up is a place in the list, or none.
pub(super) fn position<K: FromStr>(cursor: &str) -> Result<(i64, K), Problem> {
    let read = || {
        let (at_ms, key) = cursor.split_once('.')?;
        Some((at_ms.parse().ok()?, key.parse().ok()?))
    };
    read().ok_or_else(|| Problem::invalid("the cursor is none: take `next` of the page before"))
}

/// Reads a body whole: 413 beyond the limit, 408 where it does not come in time.
pub(super) async fn whole(api: &Api, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    let keys = api.config();
    let (limit, timeout) = (keys.api.body.0 as usize, keys.api.timeout);
    let too_large = || {
        let detail = format!(
            "the body is larger than {limit} bytes (`api.body`): split it into several requests"
        );
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    };
    let claimed = headers.get(header::CONTENT_LENGTH);
    let claimed = claimed.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if claimed.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let read = async {
        let mut bytes = Vec::new();
        let mut parts = body.into_data_stream();
        while let Some(part) = parts.next().await {
            let part = part.map_err(|_| Problem::invalid("the body ended before it was whole"))?;
            if bytes.len().saturating_add(part.len()) > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    };
    tokio::time::timeout(timeout, read)
        .await
        .unwrap_or_else(|_| {
            let detail = format!("the body did not come within {timeout:?} (`api.timeout`)");
            Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                detail,
            ))
        })
}

/// Reads a body of JSON; an empty one is as good as `{}`.
pub(super) async fn json<T: DeserializeOwned>(
    api: &Api,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    let bytes = whole(api, headers, body).await?;
    if !bytes.is_empty() && !is_media(headers, "application/json") {
        return Err(unsupported("application/json"));
    }
    let bytes = if bytes.is_empty() {
        b"{}".to_vec()
    } else {
        bytes
    };
    from_json(&bytes)
}

pub(super) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::invalid(format!("the body is not what was expected: {error}")))
}

/// Whether the body is of this media type.
pub(super) fn is_media(headers: &HeaderMap, media: &str) -> bool {
    let given = headers.get(header::CONTENT_TYPE);
    let given = given
        .and_then(|given| given.to_str().ok())
        .unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim();
    given.eq_ignore_ascii_case(media)
}

pub(super) fn unsupported(expected: impl fmt::Display) -> Problem {
    let detail = format!("the body is of another media type: expected {expected}");
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        detail,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back_and_what_is_made_up_is_refused() {
        let hash = Infohash::V1([7; 20]);
        let read = position::<Infohash>(&cursor(-5, hash)).unwrap();
        assert_eq!(read, (-5, hash));
        for made_up in ["", ".", "1", "1.", "x.07", "99999999999999999999.1", "1.é"] {
            assert!(position::<Infohash>(made_up).is_err(), "{made_up}");
            assert!(position::<i64>(made_up).is_err(), "{made_up}");
        }
    }

    #[test]
    fn waits_are_whole_numbers_with_a_unit() {
        for (text, milliseconds) in [("0s", 0), ("30s", 30_000), ("500ms", 500), ("5m", 300_000)] {
            assert_eq!(text.parse(), Ok(Wait(Duration::from_millis(milliseconds))));
        }
        for text in [
            "", "s", "30", "-1s", "1.5s", "1d", "30 s", "٣s", "9999999s", "30s ",
        ] {
            assert!(text.parse::<Wait>().is_err(), "{text}");
        }
    }
}
