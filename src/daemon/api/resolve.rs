//! Many hashes: put into the queue, and answered line by line as each comes to an end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::known::Known;
use super::limits::Room;
use super::problem::Problem;
use super::request::{self, Priority, Query, Wait};
use super::torrents::LARGE;
use crate::daemon::SourceName;
use crate::engine::{Resolution, Wanted};
use crate::torrent::{Infohash, Magnet};

/// Hashes of a batch that are being put into the queue at a time.
const AT_ONCE: usize = 64;
/// Lines that wait for the client.
const LINES: usize = 64;
/// Peers, and trackers, of a hash that is named more than once.
const MERGED: usize = 100;
/// Characters that are shown of a text that is no hash.
const SHOWN: usize = 100;

/// A batch.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// Magnets, and infohashes in any form.
    #[schema(min_items = 1, example = json!(["c12fe1c06bba254a9dc9f519b335aa7c1367a88a"]))]
    hashes: Vec<String>,
    /// How long to wait for results; at most, and without it, `api.wait`.
    wait: Option<Wait>,
    /// Those with a higher priority go first among the hashes that are asked for here; 0 is usual.
    #[schema(value_type = Option<i16>, minimum = -1000, maximum = 1000)]
    priority: Option<Priority>,
}

/// The same for a batch of text lines.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BatchQuery {
    /// Of a batch of text lines: how long to wait for results.
    #[param(inline)]
    wait: Option<Wait>,
    /// Of a batch of text lines: its priority.
    #[param(value_type = Option<i16>, minimum = -1000, maximum = 1000)]
    priority: Option<Priority>,
}

/// A line of the answer. A hash with a result has that of `metafetch resolve --format jsonl`.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
#[schema(as = BatchLine)]
pub(super) enum OtherLine {
    /// It has no result yet, and is still wanted.
    Pending {
        /// The hash, in hex.
        infohash: String,
    },
    /// It could not be put into the queue.
    Refused {
        /// The hash, in hex.
        infohash: String,
        /// Why, such as `queue_full`.
        reason: String,
        /// The sentence.
        detail: String,
    },
    /// It is no hash.
    Malformed {
        /// How many stand before it in the batch.
        index: usize,
        /// Its beginning.
        input: String,
        /// What is wrong with it.
        detail: String,
    },
}

/// Resolves many hashes. The answer is a stream of JSON lines, each written as soon as its hash has a result, as
/// `metafetch resolve --format jsonl` prints them (`status` is `resolved` or `failed`); and `pending` where there is
/// none in time, `refused` where the queue is full, `malformed` where it is no hash. A hash that is named more than once
/// has one line. Who goes away does not take
/// anything back: the hashes stay wanted.
#[utoipa::path(
    post, path = "/api/v1/resolve", tag = "torrents",
    params(BatchQuery),
    request_body(content((Batch = "application/json"), (String = "text/plain")), description = "A batch as JSON, or one magnet or hash per line."),
    responses(
        (status = 200, description = "JSON lines.", body = String, content_type = "application/x-ndjson"),
    ),
)]
pub(super) async fn resolve(
    State(api): State<Api>,
    Query(query): Query<BatchQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let config = api.config();
    let place = api.limits.batches.take(config.api.streams)?;
    let batch = read(&api, query, &headers, body).await?;
    let most = config.api.batch as usize;
    if batch.hashes.is_empty() {
        return Err(Problem::invalid("the batch is empty: name a hash at least"));
    }
    if batch.hashes.len() > most {
        let detail = format!(
            "the batch has {} hashes, and {most} are allowed (`api.batch`): split it into several",
            batch.hashes.len()
        );
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(Problem::new(status, "batch_too_large", detail));
    }
    let wait = batch
        .wait
        .map_or(config.api.wait, |wait| wait.0.min(config.api.wait));
    let until = Instant::now() + wait;
    let (lines, receiver) = mpsc::channel::<Line>(LINES);
    tokio::spawn(async move {
        let stop = api.stop.clone();
        stop.run_until_cancelled(work(api, batch, until, lines))
            .await;
        // Whether or not somebody still listens.
        drop(place);
    });
    let stream = stream::unfold((receiver, None), |(mut lines, sent)| async move {
        drop(sent);
        let Line { bytes, room } = lines.recv().await?;
        Some((Ok::<_, Infallible>(bytes), (lines, Some(room))))
    });
    let media = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((media, Body::from_stream(stream)).into_response())
}

async fn read(
    api: &Api,
    query: BatchQuery,
    headers: &HeaderMap,
    body: Body,
) -> Result<Batch, Problem> {
    let is_text = request::is_media(headers, "text/plain");
    if !is_text && !request::is_media(headers, "application/json") {
        return Err(request::unsupported("application/json or text/plain"));
    }
    let bytes = request::whole(api, headers, body).await?;
    if !is_text {
        return request::from_json(&bytes);
    }
    let text =
        String::from_utf8(bytes).map_err(|_| Problem::invalid("the body is no UTF-8 text"))?;
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(Batch {
        hashes: lines.map(str::to_owned).collect(),
        wait: query.wait,
        priority: query.priority,
    })
}

/// Puts all of it into the queue, whether somebody listens or not, and tells results to who does.
async fn work(api: Api, batch: Batch, until: Instant, lines: mpsc::Sender<Line>) {
    let priority = batch.priority.map(Priority::get).unwrap_or_default();
    let asking = merged(batch.hashes).into_iter().map(|it| {
        let (api, lines) = (&api, &lines);
        async move {
            match it {
                Ok(wanted) => ask(api, wanted, priority, lines).await,
                Err(malformed) => Said::Line(Line::small(&malformed)),
            }
        }
    });
    let mut asking = stream::iter(asking).buffer_unordered(AT_ONCE);
    let mut waiting = FuturesUnordered::new();
    let mut is_asking = true;
    while is_asking || !waiting.is_empty() {
        tokio::select! {
            asked = asking.next(), if is_asking => match asked {
                None => is_asking = false,
                // With nobody there the rest is put into the queue all the same.
                Some(_) if lines.is_closed() => {}
                Some(Said::Line(line)) => { let _ = lines.send(line).await; }
                Some(Said::Wait(infohash, result)) => {
                    waiting.push(wait(&api, infohash, result, until));
                }
            },
            line = waiting.next(), if !waiting.is_empty() => if let Some(line) = line {
                let _ = lines.send(line).await;
            },
            () = lines.closed(), if !is_asking => break,
        }
    }
}

/// What the texts of a batch name, each hash once: with the peers and trackers of all that name it.
fn merged(texts: Vec<String>) -> Vec<Result<Wanted, OtherLine>> {
    let mut items: Vec<Result<Wanted, OtherLine>> = Vec::with_capacity(texts.len());
    let mut places = HashMap::new();
    for (index, text) in texts.into_iter().enumerate() {
        let wanted = match wanted(&text) {
            Ok(wanted) => wanted,
            Err(detail) => {
                items.push(Err(malformed(index, &text, detail)));
                continue;
            }
        };
        let place = *places.entry(wanted.infohash).or_insert(items.len());
        match items.get_mut(place) {
            Some(Ok(first)) => {
                add(&mut first.peers, wanted.peers);
                add(&mut first.trackers, wanted.trackers);
            }
            _ => items.push(Ok(wanted)),
        }
    }
    items
}

fn add<T: PartialEq>(to: &mut Vec<T>, more: Vec<T>) {
    for one in more {
        if to.len() < MERGED && !to.contains(&one) {
            to.push(one);
        }
    }
}

fn malformed(index: usize, text: &str, detail: String) -> OtherLine {
    let mut input: String = text.chars().take(SHOWN).collect();
    if input.len() < text.len() {
        input.push('…');
    }
    OtherLine::Malformed {
        index,
        input,
        detail,
    }
}

type Results = tokio::sync::watch::Receiver<Option<Arc<Resolution>>>;

enum Said {
    Line(Line),
    Wait(Infohash, Results),
}

/// A line with its end, and the room that it takes until it is sent.
struct Line {
    bytes: Bytes,
    room: Room,
}

impl Line {
    fn small(of: &impl Serialize) -> Self {
        Self {
            bytes: line(of),
            room: Room::default(),
        }
    }
}

async fn ask(api: &Api, wanted: Wanted, priority: i16, lines: &mpsc::Sender<Line>) -> Said {
    let infohash = wanted.infohash;
    // In a task of its own: its turn must not last for as long as the client takes no lines.
    let known = tokio::spawn(at_once(api.clone(), wanted.clone(), lines.clone()));
    if let Ok(Some(line)) = known.await {
        return Said::Line(line);
    }
    match api.service.want(wanted, SourceName::Api, priority).await {
        Ok(asked) => Said::Wait(infohash, asked.result),
        Err(error) => {
            let problem = Problem::from(error);
            Said::Line(Line::small(&OtherLine::Refused {
                infohash: infohash.to_string(),
                reason: problem.reason().to_owned(),
                detail: problem.detail().to_owned(),
            }))
        }
    }
}

/// What the store can answer does not wait for the queue. Where it can't be asked, the queue says so.
async fn at_once(api: Api, wanted: Wanted, lines: mpsc::Sender<Line>) -> Option<Line> {
    // Never closed.
    let _turn = api.limits.lookups.acquire().await;
    let known = api.known_in_time(&wanted.infohash).await.ok()?;
    let (is_large, room) = match &known {
        Known::Resolved(..) if lines.is_closed() => {
            return Some(Line {
                bytes: Bytes::new(),
                room: Room::default(),
            });
        }
        Known::Resolved(torrent, room) => (torrent.info.len() > LARGE, room.clone()),
        _ => (false, Room::default()),
    };
    let write = move || {
        let resolution = known.at_once(&wanted)?;
        Some(line(&resolution.line()))
    };
    let bytes = if is_large {
        tokio::task::spawn_blocking(write).await.ok()??
    } else {
        write()?
    };
    Some(Line { bytes, room })
}

async fn wait(api: &Api, infohash: Infohash, mut result: Results, until: Instant) -> Line {
    let ended = timeout_at(until, result.wait_for(Option::is_some)).await;
    let resolution = ended.ok().and_then(Result::ok).and_then(|it| it.clone());
    let pending = || {
        Line::small(&OtherLine::Pending {
            infohash: infohash.to_string(),
        })
    };
    let Some(resolution) = resolution else {
        return pending();
    };
    let size = resolution.result.as_ref().map_or(0, |it| it.raw.len());
    if size <= LARGE {
        return Line::small(&resolution.line());
    }
    let room = api.limits.room_in_time(size).await;
    let written = tokio::task::spawn_blocking(move || line(&resolution.line())).await;
    // A runtime that ends.
    written.map_or_else(|_| pending(), |bytes| Line { bytes, room })
}

fn wanted(text: &str) -> Result<Wanted, String> {
    let is_magnet = text
        .get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case("magnet:"));
    if is_magnet {
        let magnet = text.parse::<Magnet>();
        return magnet.map(Wanted::from).map_err(|error| error.to_string());
    }
    let infohash = text.trim().parse::<Infohash>();
    infohash
        .map(Wanted::from)
        .map_err(|error| error.to_string())
}

/// A line with its end.
fn line(of: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(of).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_that_is_named_twice_is_asked_for_once_with_all_its_trackers() {
        let hash = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a";
        let magnet = |tracker: &str| format!("magnet:?xt=urn:btih:{hash}&tr={tracker}");
        let texts = vec![
            magnet("http://a.example/"),
            "x".to_owned(),
            hash.to_uppercase(),
            magnet("http://b.example/"),
            magnet("http://a.example/"),
        ];
        let items = merged(texts);
        assert_eq!(items.len(), 2);
        let first = items[0].as_ref().unwrap();
        assert_eq!(first.trackers, ["http://a.example/", "http://b.example/"]);
        assert!(matches!(
            items[1],
            Err(OtherLine::Malformed { index: 1, .. })
        ));
    }
}
