//! The queries that every table needs alike: the next page by its key, the row of a key, deletion.

use diesel::prelude::*;

use super::rows::{
    AttemptRow, BlockedRow, FailedRow, FileRow, GroupRow, NodeRow, PeerRow, SaltRow, SessionRow,
    TrackerRow, WantedRow,
};
use crate::store::connection::Connection;
use crate::store::schema::{
    blocked_infohash, blocked_salt, crawl_session, dht_node_state, failed_torrent,
    metadata_request, peer_group, peer_state, torrent_file, torrent_metadata, tracker_state,
    wanted_torrent,
};
use crate::store::value::DELIVERED;

/// A table whose rows are read in the order of their key, a page at a time, so that memory is bounded
/// and no cursor stays open.
pub(in crate::store) trait Keyed: Sized {
    /// The rows after `after`, `limit` at most.
    fn page(
        connection: &mut Connection,
        after: Option<&Self>,
        limit: i64,
    ) -> QueryResult<Vec<Self>>;
    /// Deletes the row with this key; says how many there were.
    fn delete(&self, connection: &mut Connection) -> QueryResult<usize>;
}

/// A table whose rows are found by the same key in any database.
pub(in crate::store) trait Portable: Keyed {
    /// The row that is this one, in this database.
    fn stored(&self, connection: &mut Connection) -> QueryResult<Option<Self>>;
    /// Adds the row, whose key is free.
    fn insert(&self, connection: &mut Connection) -> QueryResult<()>;
}

/// A table whose rows are deleted when they are old.
pub(in crate::store) trait Aged: Keyed {
    /// Of the rows after `after`, `limit` at most that are older than a time (UTC,
    /// milliseconds since 1970); with `true` only those that never were of use.
    fn old_page(
        connection: &mut Connection,
        after: Option<&Self>,
        old: (i64, bool),
        limit: i64,
    ) -> QueryResult<Vec<Self>>;
    /// How many rows [`Aged::old_page`] gives in all.
    fn count_old(connection: &mut Connection, before: i64, useless: bool) -> QueryResult<i64>;
    /// The time of the row that `skipped` of these are older than; `None` where there are fewer.
    fn time_of(
        connection: &mut Connection,
        skipped: i64,
        useless: bool,
    ) -> QueryResult<Option<i64>>;
    /// Its own time.
    fn time(&self) -> i64;
}

/// [`Aged`] for a table: the order of its key, what comes after a row, when it was, and when it was of
/// no use.
macro_rules! aged {
    ($row:ty, $table:ident, $order:expr, |$it:ident| after $after:expr, at $time:ident, useless $useless:expr) => {
        impl Aged for $row {
            fn old_page(
                connection: &mut Connection,
                after: Option<&Self>,
                (before, useless): (i64, bool),
                limit: i64,
            ) -> QueryResult<Vec<Self>> {
                let mut query = $table::table
                    .filter($table::$time.lt(before))
                    .select(<$row>::as_select())
                    .order($order)
                    .limit(limit)
                    .into_boxed();
                if useless {
                    query = query.filter($useless);
                }
                if let Some($it) = after {
                    query = query.filter($after);
                }
                query.load(connection)
            }

            fn count_old(
                connection: &mut Connection,
                before: i64,
                useless: bool,
            ) -> QueryResult<i64> {
                let mut query = $table::table
                    .filter($table::$time.lt(before))
                    .count()
                    .into_boxed();
                if useless {
                    query = query.filter($useless);
                }
                query.get_result(connection)
            }

            fn time_of(
                connection: &mut Connection,
                skipped: i64,
                useless: bool,
            ) -> QueryResult<Option<i64>> {
                let mut query = $table::table
                    .select($table::$time)
                    .order($table::$time)
                    .limit(1)
                    .offset(skipped)
                    .into_boxed();
                if useless {
                    query = query.filter($useless);
                }
                query.first(connection).optional()
            }

            fn time(&self) -> i64 {
                self.$time
            }
        }
    };
}

/// [`Keyed`] for a table: the columns of its key in order, what comes after a row, and what is it.
macro_rules! keyed {
    ($row:ty, $table:ident, $order:expr, |$it:ident| after $after:expr, is $same:expr) => {
        impl Keyed for $row {
            fn page(
                connection: &mut Connection,
                after: Option<&Self>,
                limit: i64,
            ) -> QueryResult<Vec<Self>> {
                let mut query = $table::table
                    .select(<$row>::as_select())
                    .order($order)
                    .limit(limit)
                    .into_boxed();
                if let Some($it) = after {
                    query = query.filter($after);
                }
                query.load(connection)
            }

            fn delete(&self, connection: &mut Connection) -> QueryResult<usize> {
                let $it = self;
                diesel::delete($table::table.filter($same)).execute(connection)
            }
        }
    };
}

/// [`Portable`] for a table: what makes two rows the same.
macro_rules! portable {
    ($row:ty, $table:ident, |$it:ident| $same:expr) => {
        impl Portable for $row {
            fn stored(&self, connection: &mut Connection) -> QueryResult<Option<Self>> {
                let $it = self;
                $table::table
                    .filter($same)
                    .select(<$row>::as_select())
                    .first(connection)
                    .optional()
            }

            fn insert(&self, connection: &mut Connection) -> QueryResult<()> {
                diesel::insert_into($table::table)
                    .values(self)
                    .execute(connection)
                    .map(drop)
            }
        }
    };
}

keyed!(AttemptRow, metadata_request, metadata_request::id,
    |row| after metadata_request::id.gt(row.id), is metadata_request::id.eq(row.id));
portable!(AttemptRow, metadata_request, |row| {
    metadata_request::infohash
        .eq(&row.infohash)
        .and(metadata_request::peer_ip.eq(&row.peer_ip))
        .and(metadata_request::peer_port.eq(row.peer_port))
        .and(metadata_request::outcome.eq(&row.outcome))
        .and(metadata_request::started_at.eq(row.started_at))
        .and(metadata_request::arm.eq(&row.arm))
        .and(metadata_request::transport.eq(&row.transport))
        .and(metadata_request::encrypted.eq(row.encrypted))
});

aged!(AttemptRow, metadata_request, metadata_request::id,
    |row| after metadata_request::id.gt(row.id),
    at started_at, useless metadata_request::outcome.ne(DELIVERED));

keyed!(PeerRow, peer_state, (peer_state::peer_ip, peer_state::peer_port),
    |row| after peer_state::peer_ip.gt(row.peer_ip.clone()).or(peer_state::peer_ip
        .eq(row.peer_ip.clone())
        .and(peer_state::peer_port.gt(row.peer_port))),
    is peer_state::peer_ip.eq(&row.peer_ip).and(peer_state::peer_port.eq(row.peer_port)));
portable!(PeerRow, peer_state, |row| peer_state::peer_ip
    .eq(&row.peer_ip)
    .and(peer_state::peer_port.eq(row.peer_port)));

aged!(PeerRow, peer_state, (peer_state::peer_ip, peer_state::peer_port),
    |row| after peer_state::peer_ip.gt(row.peer_ip.clone()).or(peer_state::peer_ip
        .eq(row.peer_ip.clone())
        .and(peer_state::peer_port.gt(row.peer_port))),
    at last_seen_at, useless peer_state::deliveries.eq(0));

keyed!(FailedRow, failed_torrent, failed_torrent::infohash,
    |row| after failed_torrent::infohash.gt(row.infohash.clone()),
    is failed_torrent::infohash.eq(&row.infohash));
portable!(FailedRow, failed_torrent, |row| failed_torrent::infohash
    .eq(&row.infohash));

aged!(FailedRow, failed_torrent, failed_torrent::infohash,
    |row| after failed_torrent::infohash.gt(row.infohash.clone()),
    at retry_at, useless failed_torrent::failures.ge(0));

keyed!(GroupRow, peer_group, (peer_group::kind, peer_group::name),
    |row| after peer_group::kind.gt(row.kind.clone()).or(peer_group::kind
        .eq(row.kind.clone())
        .and(peer_group::name.gt(row.name.clone()))),
    is peer_group::kind.eq(&row.kind).and(peer_group::name.eq(&row.name)));
portable!(GroupRow, peer_group, |row| peer_group::kind
    .eq(&row.kind)
    .and(peer_group::name.eq(&row.name)));

aged!(GroupRow, peer_group, (peer_group::kind, peer_group::name),
    |row| after peer_group::kind.gt(row.kind.clone()).or(peer_group::kind
        .eq(row.kind.clone())
        .and(peer_group::name.gt(row.name.clone()))),
    at weighed_at, useless peer_group::deliveries.eq(0));

keyed!(TrackerRow, tracker_state, tracker_state::tracker_url,
    |row| after tracker_state::tracker_url.gt(row.tracker_url.clone()),
    is tracker_state::tracker_url.eq(&row.tracker_url));
portable!(TrackerRow, tracker_state, |row| tracker_state::tracker_url
    .eq(&row.tracker_url));

aged!(TrackerRow, tracker_state, tracker_state::tracker_url,
    |row| after tracker_state::tracker_url.gt(row.tracker_url.clone()),
    at last_announce_at, useless tracker_state::peers_returned.eq(0));

keyed!(NodeRow, dht_node_state, (dht_node_state::node_ip, dht_node_state::node_port),
    |row| after dht_node_state::node_ip.gt(row.node_ip.clone()).or(dht_node_state::node_ip
        .eq(row.node_ip.clone())
        .and(dht_node_state::node_port.gt(row.node_port))),
    is dht_node_state::node_ip.eq(&row.node_ip).and(dht_node_state::node_port.eq(row.node_port)));
portable!(NodeRow, dht_node_state, |row| dht_node_state::node_ip
    .eq(&row.node_ip)
    .and(dht_node_state::node_port.eq(row.node_port)));

aged!(NodeRow, dht_node_state, (dht_node_state::node_ip, dht_node_state::node_port),
    |row| after dht_node_state::node_ip.gt(row.node_ip.clone()).or(dht_node_state::node_ip
        .eq(row.node_ip.clone())
        .and(dht_node_state::node_port.gt(row.node_port))),
    at last_seen_at, useless dht_node_state::answers.eq(0));

keyed!(SessionRow, crawl_session, crawl_session::session_id,
    |row| after crawl_session::session_id.gt(row.session_id.clone()),
    is crawl_session::session_id.eq(&row.session_id));
portable!(SessionRow, crawl_session, |row| crawl_session::session_id
    .eq(&row.session_id));

aged!(SessionRow, crawl_session, crawl_session::session_id,
    |row| after crawl_session::session_id.gt(row.session_id.clone()),
    at started_at, useless crawl_session::resolved.eq(0));

keyed!(BlockedRow, blocked_infohash, (blocked_infohash::value, blocked_infohash::salt),
    |row| after blocked_infohash::value.gt(row.value.clone()).or(blocked_infohash::value
        .eq(row.value.clone())
        .and(blocked_infohash::salt.gt(row.salt.clone()))),
    is blocked_infohash::value.eq(&row.value).and(blocked_infohash::salt.eq(&row.salt)));
portable!(BlockedRow, blocked_infohash, |row| blocked_infohash::value
    .eq(&row.value)
    .and(blocked_infohash::salt.eq(&row.salt)));

keyed!(SaltRow, blocked_salt, blocked_salt::salt,
    |row| after blocked_salt::salt.gt(row.salt.clone()),
    is blocked_salt::salt.eq(&row.salt));
portable!(SaltRow, blocked_salt, |row| blocked_salt::salt
    .eq(&row.salt));

keyed!(WantedRow, wanted_torrent, wanted_torrent::infohash,
    |row| after wanted_torrent::infohash.gt(row.infohash.clone()),
    is wanted_torrent::infohash.eq(&row.infohash));
portable!(WantedRow, wanted_torrent, |row| wanted_torrent::infohash
    .eq(&row.infohash));

impl Keyed for FileRow {
    fn page(
        connection: &mut Connection,
        after: Option<&Self>,
        limit: i64,
    ) -> QueryResult<Vec<Self>> {
        let same = torrent_metadata::id.eq(torrent_file::torrent_id);
        let mut query = torrent_file::table
            .inner_join(torrent_metadata::table.on(same))
            .order((torrent_file::torrent_id, torrent_file::position))
            .limit(limit)
            .select((
                torrent_file::torrent_id,
                torrent_metadata::infohash,
                torrent_file::position,
                torrent_file::path,
                torrent_file::length,
            ))
            .into_boxed();
        if let Some(row) = after {
            query = query.filter(
                torrent_file::torrent_id
                    .gt(row.torrent_id)
                    .or(torrent_file::torrent_id
                        .eq(row.torrent_id)
                        .and(torrent_file::position.gt(row.position))),
            );
        }
        query.load(connection)
    }

    fn delete(&self, connection: &mut Connection) -> QueryResult<usize> {
        diesel::delete(torrent_file::table.find((self.torrent_id, self.position)))
            .execute(connection)
    }
}
