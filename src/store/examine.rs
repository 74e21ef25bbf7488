//! Whether a database can be worked with, without changing anything in it.

use std::time::Duration;

use diesel::prelude::*;

use super::connection::{Connection, Target, write_transaction};
use super::schema::{crawl_session, dht_node_state, metadata_request, torrent_metadata};
use super::{Schema, StoreError, StoreOptions, StoreUrl, failed_torrent, upkeep};

/// How long to wait for the lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// What was seen of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// Its schema.
    pub schema: Schema,
    /// Bytes that it takes, as it counts them.
    pub bytes: u64,
    /// What its own quick check found wrong; `None` where that was left out: the file is large, or the
    /// database has no such check.
    pub damage: Option<Vec<String>>,
    /// The latest time in any row: UTC, milliseconds since 1970. `None` where nothing has a time, or
    /// the schema is behind.
    pub latest_ms: Option<i64>,
}

impl Examined {
    /// Connects, makes sure that it is ours and can be written to, and looks at it. A SQLite file of up to
    /// `check_below` bytes is read through. Blocks. A missing SQLite file is made: look for it before.
    pub fn of(url: &StoreUrl, check_below: u64) -> Result<Self, StoreError> {
        let schema = Schema::of(url)?;
        let options = StoreOptions {
            busy_timeout: BUSY_TIMEOUT,
            ..StoreOptions::default()
        };
        let target = Target::prepare(url, &options)?;
        let mut connection = target.connect()?;
        let said = |error: &diesel::result::Error| target.error(error);
        if !schema.applied.is_empty() {
            can_write(&mut connection).map_err(|error| said(&error))?;
        }
        let room = upkeep::room(&mut connection).map_err(|error| said(&error))?;
        let damage = if room.bytes <= check_below {
            upkeep::quick_check(&mut connection).map_err(|error| said(&error))?
        } else {
            None
        };
        let latest_ms = if schema.pending.is_empty() {
            latest(&mut connection).map_err(|error| said(&error))?
        } else {
            None
        };
        Ok(Self {
            schema,
            bytes: room.bytes,
            damage,
            latest_ms,
        })
    }
}

/// On a read-only file SQLite lets a transaction begin, and refuses only a write.
fn can_write(connection: &mut Connection) -> QueryResult<()> {
    write_transaction(connection, |connection| {
        failed_torrent::delete(connection, &[Vec::new()])
    })
}

/// By an index each.
fn latest(connection: &mut Connection) -> QueryResult<Option<i64>> {
    use diesel::dsl::max;
    let times: [Option<i64>; 4] = [
        torrent_metadata::table
            .select(max(torrent_metadata::last_seen_at))
            .first(connection)?,
        metadata_request::table
            .select(max(metadata_request::started_at))
            .first(connection)?,
        dht_node_state::table
            .select(max(dht_node_state::last_seen_at))
            .first(connection)?,
        crawl_session::table
            .select(max(crawl_session::heartbeat_at))
            .first(connection)?,
    ];
    Ok(times.into_iter().flatten().max())
}
