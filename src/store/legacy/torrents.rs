//! `discovered_torrents`: hashes that were seen, metadata that was received, and hashes that were tried in
//! vain.

use std::collections::BTreeMap;

use data_encoding::{BASE32, HEXLOWER};
use diesel::prelude::*;
use diesel::result::DatabaseErrorKind;
use diesel::sql_types::Text;

use super::row::{DiscoveredRow, LegacyPeer, ReceivedRow};
use super::session::Session;
use super::statement::{Statement, Value};
use super::table::{TORRENTS, Table, insert};
use super::{files, peers};
use crate::store::value::clamped;
use crate::torrent::Infohash;

/// Hashes that are looked for at a time.
const CHUNK: usize = 200;
/// The most of a list of names or sizes, however much the column takes: all of it is in the table of files.
const LIST_BYTES: usize = 1 << 20;
/// What is set in a row whose hash was announced after it was seen in another way, and the condition.
const ANNOUNCED: &str = "source = 'DHT_ANNOUNCE', name = 'Announced Torrent'";
const NOT_ANNOUNCED: &str =
    "metadata_received = 0 AND num_files < 1 AND source IN ('DHT_PEERS', 'DHT_SAMPLE')";
/// A row that lacks its metadata in either way that the old program tells it.
const INCOMPLETE: &str =
    "(metadata_received = 0 OR metadata_received IS NULL OR num_files < 1 OR num_files IS NULL)";

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = Text)]
    info_hash: String,
}

/// The hash as the tables have it: of a v2-only torrent its first 20 bytes, as the DHT knows it.
pub(super) fn hex(infohash: &Infohash) -> String {
    HEXLOWER.encode(&infohash.wire_id())
}

/// The forms that other programs may have stored a hash in.
fn forms(table: &Table, infohash: &Infohash) -> Vec<String> {
    let (hex, base32) = (hex(infohash), BASE32.encode(&infohash.wire_id()));
    if table.ignores_case("info_hash") {
        return vec![hex, base32];
    }
    let others = [hex.to_ascii_uppercase(), base32.to_ascii_lowercase()];
    [hex, base32].into_iter().chain(others).collect()
}

/// The rows of these hashes, as `info_hash` stands in them: by hash in hex, the plainest form first.
fn stored(
    session: &mut Session,
    infohashes: &[Infohash],
) -> QueryResult<BTreeMap<String, Vec<String>>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for chunk in infohashes.chunks(CHUNK) {
        let Some(table) = session.tables.get(TORRENTS) else {
            break;
        };
        let forms: Vec<Value> = chunk
            .iter()
            .flat_map(|infohash| forms(table, infohash))
            .map(Value::Text)
            .collect();
        let query = Statement::new("SELECT info_hash FROM discovered_torrents WHERE info_hash IN ");
        for row in session.load::<Stored>(query.list(forms))? {
            if let Ok(infohash) = Infohash::from_btih(row.info_hash.trim()) {
                found.entry(hex(&infohash)).or_default().push(row.info_hash);
            }
        }
    }
    for (hex, forms) in &mut found {
        forms.sort_by_key(|form| (form != hex, form.len() != hex.len(), form.clone()));
    }
    Ok(found)
}

/// Makes rows for hashes that have none, refreshes the others, and adds the peers.
pub(super) fn discovered(session: &mut Session, rows: &[DiscoveredRow]) -> QueryResult<()> {
    // In the order of the hashes, so that two processes lock the rows in the same order.
    let mut by_hash: BTreeMap<String, (&DiscoveredRow, Vec<&LegacyPeer>)> = BTreeMap::new();
    for row in rows {
        let (first, peers) = by_hash
            .entry(hex(&row.infohash))
            .or_insert_with(|| (row, Vec::new()));
        if row.source == "DHT_ANNOUNCE" {
            *first = row;
        }
        peers.extend(&row.peers);
    }
    let infohashes: Vec<Infohash> = by_hash.values().map(|(row, _)| row.infohash).collect();
    let stored = stored(session, &infohashes)?;
    let Some(table) = session.tables.get(TORRENTS).cloned() else {
        return Err(no_table(session));
    };
    let known: Vec<Value> = stored
        .values()
        .flatten()
        .cloned()
        .map(Value::Text)
        .collect();
    if let Some(touch) = touch(&table).filter(|_| !known.is_empty()) {
        let update = Statement::new(&format!(
            "UPDATE discovered_torrents SET {touch} WHERE info_hash IN "
        ));
        let count = u64::try_from(known.len()).unwrap_or(u64::MAX);
        if session.execute(update.list(known))? < count {
            return Err(vanished());
        }
    }
    let announced: Vec<Value> = by_hash
        .iter()
        .filter(|(_, (row, _))| row.source == "DHT_ANNOUNCE")
        .filter_map(|(hex, _)| stored.get(hex))
        .flatten()
        .cloned()
        .map(Value::Text)
        .collect();
    let has = |column| table.has(column);
    let can_tell = ["source", "name", "metadata_received", "num_files"]
        .into_iter()
        .all(has);
    if can_tell && !announced.is_empty() {
        let update = format!("UPDATE discovered_torrents SET {ANNOUNCED} WHERE {NOT_ANNOUNCED}");
        let update = Statement::new(&update).sql(" AND info_hash IN ");
        session.execute(update.list(announced))?;
    }
    let new: Vec<Vec<(&str, Value)>> = by_hash
        .iter()
        .filter(|(hex, _)| !stored.contains_key(*hex))
        .map(|(hex, (row, _))| table.row(new_row(hex, row)))
        .collect();
    if let Some(statement) = insert(TORRENTS, new) {
        // Another process may have been quicker.
        let touch = touch(&table).unwrap_or("info_hash = info_hash");
        session.execute(statement.sql(&format!(" ON DUPLICATE KEY UPDATE {touch}")))?;
    }
    let seen: Vec<peers::Seen<'_>> = by_hash
        .iter()
        .flat_map(|(hex, (_, peers))| {
            let key = stored.get(hex).and_then(|forms| forms.first());
            let key = key.unwrap_or(hex).as_str();
            peers.iter().map(move |peer| (key, *peer))
        })
        .collect();
    peers::seen(session, &seen)
}

/// What is set when a hash is seen again.
fn touch(table: &Table) -> Option<&'static str> {
    match (table.has("last_seen_at"), table.has("updated_at")) {
        (true, true) => Some("last_seen_at = CURRENT_TIMESTAMP, updated_at = CURRENT_TIMESTAMP"),
        (true, false) => Some("last_seen_at = CURRENT_TIMESTAMP"),
        (false, true) => Some("updated_at = CURRENT_TIMESTAMP"),
        (false, false) => None,
    }
}

/// What stands in a row of which only the hash is known.
fn new_row<'a>(hex: &str, row: &DiscoveredRow) -> Vec<(&'a str, Value)> {
    let name = match row.source {
        "DHT_ANNOUNCE" => "Announced Torrent",
        _ => "Unknown Torrent",
    };
    let mut values = vec![
        ("info_hash", Value::text(hex)),
        ("name", Value::text(name)),
        ("size", Value::Number(0)),
        ("num_files", Value::Number(0)),
        ("file_names", Value::text("")),
        ("file_sizes", Value::text("[]")),
        ("piece_length", Value::Number(0)),
        ("num_pieces", Value::Number(0)),
        ("private_torrent", Value::Number(0)),
        ("source", Value::text(row.source)),
        ("metadata_received", Value::Number(0)),
        ("timed_out", Value::Number(0)),
        (
            "magnet_link",
            Value::Text(format!("magnet:?xt=urn:btih:{hex}")),
        ),
        ("content_type", Value::text("")),
        ("creation_date", Value::Null),
    ];
    values.extend(never_known());
    values.extend(now(&[
        "discovered_at",
        "last_seen_at",
        "created_at",
        "updated_at",
    ]));
    values
}

/// Columns that no info dictionary and no peer tells of, with what stands there instead.
fn never_known<'a>() -> Vec<(&'a str, Value)> {
    let empty = [
        "comment",
        "created_by",
        "encoding",
        "announce_url",
        "language",
        "category",
    ];
    let lists = ["trackers", "announce_list"];
    let counts = ["seeders_count", "leechers_count", "download_speed"];
    let mut values: Vec<(&str, Value)> = Vec::new();
    values.extend(empty.map(|column| (column, Value::text(""))));
    values.extend(lists.map(|column| (column, Value::text("[]"))));
    values.extend(counts.map(|column| (column, Value::Number(0))));
    values
}

fn now<'a>(columns: &[&'a str]) -> Vec<(&'a str, Value)> {
    columns.iter().map(|column| (*column, Value::Now)).collect()
}

/// Completes the row of a hash, or makes it.
pub(super) fn received(session: &mut Session, row: &ReceivedRow) -> QueryResult<()> {
    let hex = hex(&row.infohash);
    let found = stored(session, &[row.infohash])?.remove(&hex);
    let found = found.unwrap_or_default();
    let named = match &row.row_key {
        // Any text that the hash was read out of, such as 20 raw characters.
        Some(key) if found.contains(key) || is_stored(session, key)? => Some(key),
        _ => found.first(),
    };
    let key = named.unwrap_or(&hex);
    let Some(table) = session.tables.get(TORRENTS).cloned() else {
        return Err(no_table(session));
    };
    let told = table.row(told(&table, row));
    let kept = table.row(never_known());
    if named.is_some() {
        let update = Statement::new("UPDATE discovered_torrents SET ");
        let update = assignments(update, &told, &kept).sql(" WHERE info_hash = ");
        if session.execute(update.text(key))? == 0 {
            return Err(vanished());
        }
    } else {
        let mut values = vec![
            ("info_hash", Value::text(key)),
            ("source", Value::text(row.source)),
            ("creation_date", Value::Null),
        ];
        values.extend(now(&["discovered_at", "created_at"]));
        let mut values = table.row(values);
        values.extend(told.clone());
        values.extend(kept.clone());
        if let Some(statement) = insert(TORRENTS, vec![values]) {
            let statement = statement.sql(" ON DUPLICATE KEY UPDATE ");
            session.execute(assignments(statement, &told, &kept))?;
        }
    }
    files::replace(session, key, &row.files)?;
    let seen: Vec<peers::Seen<'_>> = row.peers.iter().map(|peer| (key.as_str(), peer)).collect();
    peers::seen(session, &seen)
}

/// Whether there is a row with this very text.
fn is_stored(session: &mut Session, info_hash: &str) -> QueryResult<bool> {
    let query = Statement::new("SELECT info_hash FROM discovered_torrents WHERE info_hash = ");
    let rows = session.load::<Stored>(query.text(info_hash))?;
    Ok(!rows.is_empty())
}

/// The columns that metadata tells of.
fn told<'a>(table: &Table, row: &ReceivedRow) -> Vec<(&'a str, Value)> {
    let sizes = row.files.iter().map(|(_, size)| size.to_string());
    // The brackets have room too.
    let room = |column| table.bytes(column).min(LIST_BYTES);
    let sizes = joined(sizes, room("file_sizes").saturating_sub(2));
    let names = row.files.iter().map(|(path, _)| path.as_str());
    let names = joined(names, room("file_names"));
    let count = |number: usize| Value::Number(i64::try_from(number).unwrap_or(i64::MAX));
    let mut values = vec![
        ("name", Value::text(&row.name)),
        ("size", Value::Number(clamped(row.size))),
        ("num_files", count(row.file_count)),
        ("file_names", Value::Text(names)),
        ("file_sizes", Value::Text(format!("[{sizes}]"))),
        ("piece_length", Value::Number(clamped(row.piece_length))),
        ("num_pieces", Value::Number(clamped(row.pieces))),
        ("private_torrent", Value::Number(row.private.into())),
        ("metadata_received", Value::Number(1)),
        ("timed_out", Value::Number(0)),
        ("magnet_link", Value::text(&row.magnet_link)),
        ("content_type", Value::text(row.content_type)),
    ];
    values.extend(now(&["last_seen_at", "updated_at"]));
    values
}

/// As many of these texts as have room, with `, ` between them. Of a first one that has none, its start.
fn joined<T: AsRef<str>>(texts: impl Iterator<Item = T>, bytes: usize) -> String {
    let mut list = String::new();
    for (index, text) in texts.enumerate() {
        let text = text.as_ref();
        let separator = if index == 0 { "" } else { ", " };
        let length = list.len() + separator.len() + text.len();
        if length > bytes && index > 0 {
            break;
        }
        list.push_str(separator);
        list.push_str(text);
    }
    list
}

/// `column = value, ...`; those of `kept` only where nothing stands there yet.
fn assignments(
    mut statement: Statement,
    told: &[(&str, Value)],
    kept: &[(&str, Value)],
) -> Statement {
    let mut separator = "";
    for (column, value) in told {
        let start = format!("{separator}{column} = ");
        statement = statement.sql(&start).value(value.clone());
        separator = ", ";
    }
    for (column, value) in kept {
        let stored = match value {
            Value::Text(_) => format!("NULLIF({column}, '')"),
            _ => (*column).to_owned(),
        };
        let start = format!("{separator}{column} = COALESCE({stored}, ");
        statement = statement.sql(&start).value(value.clone()).sql(")");
        separator = ", ";
    }
    statement
}

/// Marks rows that lack their metadata.
pub(super) fn timed_out(session: &mut Session, infohash_texts: &[String]) -> QueryResult<u64> {
    let Some(table) = session.tables.get(TORRENTS).cloned() else {
        return Err(no_table(session));
    };
    if !table.has("timed_out") {
        return Ok(0);
    }
    let mut rows = 0;
    for chunk in infohash_texts.chunks(CHUNK) {
        let mut texts: Vec<String> = Vec::new();
        for text in chunk {
            texts.push(text.clone());
            if let Ok(infohash) = Infohash::from_btih(text.trim()) {
                texts.extend(forms(&table, &infohash));
            }
        }
        let update =
            Statement::new("UPDATE discovered_torrents SET timed_out = 1 WHERE info_hash IN ")
                .list(texts.into_iter().map(Value::Text));
        let has = |column| table.has(column);
        let incomplete = match (has("metadata_received"), has("num_files")) {
            (true, true) => INCOMPLETE,
            (true, false) => "(metadata_received = 0 OR metadata_received IS NULL)",
            (false, true) => "(num_files < 1 OR num_files IS NULL)",
            (false, false) => "TRUE",
        };
        rows += session.execute(update.sql(" AND ").sql(incomplete))?;
    }
    Ok(rows)
}

/// The error that has all of it done once more: somebody deleted a row that was just found.
fn vanished() -> diesel::result::Error {
    diesel::result::Error::DatabaseError(
        DatabaseErrorKind::SerializationFailure,
        Box::new("a row of discovered_torrents was deleted".to_owned()),
    )
}

/// The error where there is no table to write to, as the server would have it.
fn no_table(session: &mut Session) -> diesel::result::Error {
    match session.run("SELECT 1 FROM discovered_torrents LIMIT 0") {
        Err(error) => error,
        Ok(()) => diesel::result::Error::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_between_two_texts() {
        let texts = ["a", "bb", "ccc"];
        for (bytes, list) in [
            (100, "a, bb, ccc"),
            (10, "a, bb, ccc"),
            (9, "a, bb"),
            (5, "a, bb"),
            (4, "a"),
            (0, "a"),
        ] {
            assert_eq!(joined(texts.into_iter(), bytes), list, "{bytes}");
        }
        assert_eq!(joined([""; 0].into_iter(), 5), "");
    }
}
