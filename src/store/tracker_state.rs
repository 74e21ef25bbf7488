//! Table `tracker_state`: what all announces to a tracker add up to, by [`TrackerState::add`].
//!
//! | column | meaning |
//! |---|---|
//! | `tracker_url` | the announce URL, at most 700 characters, and the key |
//! | `first_announce_at`, `last_announce_at` | the first and the latest announce |
//! | `last_success_at` | the latest one that was answered; null for none |
//! | `announces`, `successful_announces` | how many, and how many of them were answered |
//! | `failures_in_a_row` | how many failed since then |
//! | `peers_returned` | peers named in all |
//! | `avg_response_ms` | mean time of the answers |
//! | `error_message` | what went wrong the last time, at most 200 characters |
//!
//! Left out: domain and type stand in the URL; intervals and scrapes, since every hash is announced once and
//! none is scraped; a status and a success rate follow from the counts; seeders and leechers belong to a
//! torrent, not to a tracker.

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::*;

use super::connection::Connection;
use super::schema::tracker_state as table;
use super::upsert;
use super::value::{clamped, text, unsigned};
use crate::history::{TrackerReply, TrackerState};

/// A longer URL is no key on every database, and no tracker has one.
const URL_CHARS: usize = 700;
const ERROR_CHARS: usize = 200;
/// Trackers of one query.
const CHUNK: usize = 100;

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = table, treat_none_as_null = true)]
pub(super) struct TrackerRow {
    tracker_url: String,
    first_announce_at: i64,
    last_announce_at: i64,
    last_success_at: Option<i64>,
    announces: i64,
    successful_announces: i64,
    failures_in_a_row: i64,
    peers_returned: i64,
    avg_response_ms: Option<f64>,
    error_message: String,
}

impl TrackerRow {
    fn new(url: &str, state: &TrackerState) -> Self {
        Self {
            tracker_url: url.to_owned(),
            first_announce_at: state.first_announce_at_ms,
            last_announce_at: state.last_announce_at_ms,
            last_success_at: state.last_success_at_ms,
            announces: clamped(state.announces),
            successful_announces: clamped(state.successful_announces),
            failures_in_a_row: state.failures_in_a_row.into(),
            peers_returned: clamped(state.peers_returned),
            avg_response_ms: state.avg_response_ms,
            error_message: text(&state.error_message, ERROR_CHARS).into_owned(),
        }
    }

    fn into_state(self) -> QueryResult<(String, TrackerState)> {
        let state = TrackerState {
            first_announce_at_ms: self.first_announce_at,
            last_announce_at_ms: self.last_announce_at,
            last_success_at_ms: self.last_success_at,
            announces: unsigned(self.announces)?,
            successful_announces: unsigned(self.successful_announces)?,
            failures_in_a_row: u32::try_from(self.failures_in_a_row).unwrap_or(u32::MAX),
            peers_returned: unsigned(self.peers_returned)?,
            avg_response_ms: self.avg_response_ms,
            error_message: self.error_message,
        };
        Ok((self.tracker_url, state))
    }
}

/// Adds replies to the rows of their trackers, in the caller's transaction.
pub(super) fn add<'a>(
    connection: &mut Connection,
    replies: impl Iterator<Item = &'a TrackerReply>,
) -> QueryResult<()> {
    let mut by_url: BTreeMap<&str, Vec<&TrackerReply>> = BTreeMap::new();
    let is_key = |url: &str| url.chars().count() <= URL_CHARS && !url.contains('\0');
    for reply in replies.filter(|reply| is_key(&reply.url)) {
        by_url.entry(&reply.url).or_default().push(reply);
    }
    let urls: Vec<&str> = by_url.keys().copied().collect();
    let mut states = find(connection, &urls)?;
    for (url, replies) in by_url {
        let mut state = states.remove(url);
        for reply in replies {
            match &mut state {
                Some(state) => state.add(reply),
                None => state = Some(TrackerState::new(reply)),
            }
        }
        if let Some(state) = state {
            upsert::tracker_state(connection, &TrackerRow::new(url, &state))?;
        }
    }
    Ok(())
}

/// What is known of these trackers; those that were never asked are missing.
pub(super) fn find(
    connection: &mut Connection,
    urls: &[&str],
) -> QueryResult<HashMap<String, TrackerState>> {
    let mut states = HashMap::new();
    for chunk in urls.chunks(CHUNK) {
        let rows = table::table
            .filter(table::tracker_url.eq_any(chunk.to_vec()))
            .select(TrackerRow::as_select())
            .load(connection)?;
        for row in rows {
            let (url, state) = row.into_state()?;
            states.insert(url, state);
        }
    }
    Ok(states)
}
