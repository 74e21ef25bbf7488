//! Which torrents a question finds, in its order: their numbers, by a statement for each step.
//!
//! Every statement looks at a bounded number of rows. The inner one walks along one index, that of the words
//! or that of the order, and ends after [`EXAMINED`] rows; the outer one leaves out what the filters don't
//! pass. Where the inner one has come to its end, the page goes on behind its last row the next time.
//!
//! Numbers and the names of types are written into the statements, texts are bound.

use std::fmt::Write as _;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::cursor::{Key, TorrentCursor};
use super::words::{Question, Where};
use super::{MOST, TorrentQuery, TorrentSort};
use crate::store::connection::Connection;

/// The most rows that one statement looks at.
const EXAMINED: i64 = 20_000;

/// The torrents of a page.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) ids: Vec<i64>,
    pub(super) next: Option<TorrentCursor>,
    pub(super) is_cut: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Mysql,
    Postgres,
}

/// A statement, with the texts that its placeholders stand for.
struct Statement {
    dialect: Dialect,
    sql: String,
    texts: Vec<String>,
}

/// A torrent, with all that it may be sorted by.
#[derive(QueryableByName, Debug)]
struct Row {
    #[diesel(sql_type = BigInt)]
    torrent_id: i64,
    #[diesel(sql_type = BigInt)]
    size: i64,
    #[diesel(sql_type = BigInt)]
    resolved_at: i64,
    #[diesel(sql_type = Text)]
    name_key: String,
}

/// One walk along an index.
#[derive(Clone, Copy, Debug)]
struct Walk {
    order: Order,
    descending: bool,
    /// Which torrents have the words; `None` where all are walked by their order.
    words: Option<Where>,
    /// Whether what has the words is sorted by something else than its number.
    is_window: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Id,
    ResolvedAt,
    Size,
    Name,
}

impl Order {
    fn column(self) -> &'static str {
        match self {
            Self::Id => "torrent_id",
            Self::ResolvedAt => "resolved_at",
            Self::Size => "size",
            Self::Name => "name_key",
        }
    }

    fn key(self, row: &Row) -> Key {
        match self {
            Self::Id => Key::Id,
            Self::ResolvedAt => Key::Number(row.resolved_at),
            Self::Size => Key::Number(row.size),
            Self::Name => Key::Text(row.name_key.clone()),
        }
    }
}

/// The torrents of a page.
pub(super) fn ids(
    connection: &mut Connection,
    query: &TorrentQuery,
    question: &Question,
) -> QueryResult<Found> {
    let limit = usize::try_from(query.limit.clamp(1, MOST)).unwrap_or(usize::MAX);
    let walks = walks(query, question);
    let mut found = Found::default();
    let mut after = query.after.clone();
    let first = after.as_ref().map_or(0, |after| after.tier);
    for (tier, walk) in (0..).zip(walks).skip(first.into()) {
        let select = Select {
            query,
            question,
            walk,
            after: after.take(),
        };
        let left = limit - found.ids.len();
        let cursor = |row: &Row| {
            let key = walk.order.key(row);
            TorrentCursor::new(query, question, tier, key, row.torrent_id)
        };
        let mut rows = select.rows(connection, left + 1)?;
        let is_full = rows.len() > left;
        rows.truncate(left);
        found.ids.extend(rows.iter().map(|row| row.torrent_id));
        if is_full {
            // Full by the walk before: nothing of this one was told yet.
            found.next = match rows.last() {
                Some(last) => Some(cursor(last)),
                None => Some(TorrentCursor::new(query, question, tier, Key::Id, i64::MAX)),
            };
            return Ok(found);
        }
        if let Some(last) = select.last_examined(connection)? {
            if walk.is_window {
                found.is_cut = true;
            } else {
                found.next = Some(cursor(&last));
                return Ok(found);
            }
        }
    }
    Ok(found)
}

/// The walks that answer a question, one after the other.
fn walks(query: &TorrentQuery, question: &Question) -> Vec<Walk> {
    let (order, descending) = match query.sort {
        TorrentSort::Relevance | TorrentSort::ResolvedAt => (Order::ResolvedAt, !query.reverse),
        TorrentSort::Size => (Order::Size, !query.reverse),
        TorrentSort::Name => (Order::Name, query.reverse),
    };
    if question.is_empty() {
        return vec![Walk {
            order,
            descending,
            words: None,
            is_window: false,
        }];
    }
    if query.sort == TorrentSort::Relevance {
        let walk = |place| Walk {
            order: Order::Id,
            descending: true,
            words: Some(place),
            is_window: false,
        };
        return vec![walk(Where::Name), walk(Where::Rest)];
    }
    vec![Walk {
        order,
        descending,
        words: Some(Where::Anywhere),
        is_window: true,
    }]
}

/// A walk of a question, from a place on.
struct Select<'a> {
    query: &'a TorrentQuery,
    question: &'a Question,
    walk: Walk,
    after: Option<TorrentCursor>,
}

impl Select<'_> {
    /// The first rows that pass the filters.
    fn rows(&self, connection: &mut Connection, limit: usize) -> QueryResult<Vec<Row>> {
        let mut statement = Statement::new(connection);
        statement.push("SELECT s.torrent_id, s.size, s.resolved_at, s.name_key FROM (");
        let filters = self.filters();
        // Without filters every row of the inner statement is told.
        let most = if filters.is_empty() && !self.walk.is_window {
            i64::try_from(limit).unwrap_or(i64::MAX)
        } else {
            EXAMINED
        };
        self.examined(&mut statement, most, 0);
        // SQLite is to follow the inner one's order, and to look the others up.
        statement.push(match statement.dialect {
            Dialect::Sqlite => {
                ") AS m CROSS JOIN torrent_search AS s ON s.torrent_id = m.torrent_id"
            }
            _ => ") AS m JOIN torrent_search AS s ON s.torrent_id = m.torrent_id",
        });
        statement.push(" WHERE 1 = 1");
        for filter in filters {
            let _ = write!(statement.sql, " AND s.{filter}");
        }
        if self.walk.is_window {
            self.behind(&mut statement, "s.");
        }
        self.in_order(&mut statement, "s.");
        let _ = write!(statement.sql, " LIMIT {limit}");
        statement.load(connection)
    }

    /// The last row that [`rows`](Self::rows) looked at, where it ended before the index did.
    fn last_examined(&self, connection: &mut Connection) -> QueryResult<Option<Row>> {
        if self.filters().is_empty() && !self.walk.is_window {
            return Ok(None);
        }
        let mut statement = Statement::new(connection);
        statement.push("SELECT s.torrent_id, s.size, s.resolved_at, s.name_key FROM (");
        self.examined(&mut statement, 1, EXAMINED - 1);
        statement.push(") AS m JOIN torrent_search AS s ON s.torrent_id = m.torrent_id");
        Ok(statement.load(connection)?.pop())
    }

    /// The inner statement: `most` rows along the index, after `skipped` ones.
    fn examined(&self, statement: &mut Statement, most: i64, skipped: i64) {
        if let Some(place) = self.walk.words {
            statement.with_words(self.question, place);
            if !self.walk.is_window
                && let Some(after) = &self.after
            {
                let _ = write!(statement.sql, " AND {} < {}", statement.number(), after.id);
            }
            let _ = write!(statement.sql, " ORDER BY {} DESC", statement.number());
        } else {
            statement.push("SELECT torrent_id FROM torrent_search WHERE 1 = 1");
            // Along this index these are a range.
            let column = self.walk.order.column();
            for filter in self.filters() {
                if filter.starts_with(column) {
                    let _ = write!(statement.sql, " AND {filter}");
                }
            }
            self.behind(statement, "");
            self.in_order(statement, "");
        }
        let _ = write!(statement.sql, " LIMIT {most} OFFSET {skipped}");
    }

    /// Only what comes behind the place.
    fn behind(&self, statement: &mut Statement, table: &str) {
        let Some(after) = &self.after else { return };
        let column = self.walk.order.column();
        let than = if self.walk.descending { '<' } else { '>' };
        let key = match &after.key {
            Key::Id => {
                let _ = write!(statement.sql, " AND {table}torrent_id {than} {}", after.id);
                return;
            }
            Key::Number(number) => number.to_string(),
            Key::Text(text) => {
                let placeholder = statement.bind(text.clone());
                // The server reads it as a text of the column's collation.
                if statement.dialect == Dialect::Mysql {
                    statement.texts.push(text.clone());
                }
                placeholder
            }
        };
        let id = after.id;
        let _ = match statement.dialect {
            // It does not look such a pair up in an index.
            Dialect::Mysql => write!(
                statement.sql,
                " AND {table}{column} {than}= {key} AND ({table}{column} {than} {key} \
                 OR {table}torrent_id {than} {id})"
            ),
            Dialect::Sqlite | Dialect::Postgres => write!(
                statement.sql,
                " AND ({table}{column}, {table}torrent_id) {than} ({key}, {id})"
            ),
        };
    }

    fn in_order(&self, statement: &mut Statement, table: &str) {
        let direction = if self.walk.descending { "DESC" } else { "ASC" };
        let column = self.walk.order.column();
        let _ = write!(statement.sql, " ORDER BY {table}{column} {direction}");
        if self.walk.order != Order::Id {
            let _ = write!(statement.sql, ", {table}torrent_id {direction}");
        }
    }

    /// What a torrent has to be, each beginning with a column.
    fn filters(&self) -> Vec<String> {
        let query = self.query;
        let mut filters = Vec::new();
        if !query.content_types.is_empty() {
            let names = query.content_types.iter();
            let names: Vec<String> = names.map(|one| format!("'{}'", one.as_str())).collect();
            filters.push(format!("content_type IN ({})", names.join(", ")));
        }
        let unsigned = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let mut bound = |column: &str, than: &str, value: Option<i64>| {
            filters.extend(value.map(|value| format!("{column} {than} {value}")));
        };
        bound("size", ">=", query.min_size.map(unsigned));
        bound("size", "<=", query.max_size.map(unsigned));
        bound("files_count", ">=", query.min_files.map(unsigned));
        bound("files_count", "<=", query.max_files.map(unsigned));
        bound("resolved_at", ">=", query.resolved_since_ms);
        bound("resolved_at", "<", query.resolved_until_ms);
        filters.extend(query.private.map(|private| {
            let not = if private { "<>" } else { "=" };
            format!("private {not} FALSE")
        }));
        filters
    }
}

impl Statement {
    fn new(connection: &Connection) -> Self {
        Self {
            dialect: match connection {
                Connection::Sqlite(_) => Dialect::Sqlite,
                Connection::Mysql(_) => Dialect::Mysql,
                Connection::Postgres(_) => Dialect::Postgres,
            },
            sql: String::new(),
            texts: Vec::new(),
        }
    }

    fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// Binds a text, and gives what stands for it.
    fn bind(&mut self, text: String) -> String {
        self.texts.push(text);
        match self.dialect {
            Dialect::Postgres => format!("${}", self.texts.len()),
            Dialect::Sqlite | Dialect::Mysql => "?".to_owned(),
        }
    }

    /// What a torrent's number is called where the words are.
    fn number(&self) -> &'static str {
        match self.dialect {
            Dialect::Sqlite => "rowid",
            Dialect::Mysql | Dialect::Postgres => "torrent_id",
        }
    }

    /// All torrents that have the words.
    fn with_words(&mut self, question: &Question, place: Where) {
        match self.dialect {
            Dialect::Sqlite => {
                let words = self.bind(question.sqlite(place));
                let _ = write!(
                    self.sql,
                    "SELECT rowid AS torrent_id FROM torrent_terms WHERE torrent_terms MATCH {words}"
                );
            }
            Dialect::Mysql => {
                let words = self.bind(question.mysql(place == Where::Name));
                let _ = write!(
                    self.sql,
                    "SELECT torrent_id FROM torrent_search \
                     WHERE MATCH (terms) AGAINST ({words} IN BOOLEAN MODE)"
                );
                if place == Where::Rest {
                    let words = self.bind(question.mysql(true));
                    let _ = write!(
                        self.sql,
                        " AND NOT MATCH (terms) AGAINST ({words} IN BOOLEAN MODE)"
                    );
                }
            }
            Dialect::Postgres => {
                let words = self.bind(question.postgres(place));
                let _ = write!(
                    self.sql,
                    "SELECT torrent_id FROM torrent_search WHERE terms @@ {words}::tsquery"
                );
            }
        }
    }

    fn load(self, connection: &mut Connection) -> QueryResult<Vec<Row>> {
        macro_rules! load {
            ($connection:expr) => {{
                let mut query = diesel::sql_query(self.sql).into_boxed();
                for text in self.texts {
                    query = query.bind::<Text, _>(text);
                }
                query.load($connection)
            }};
        }
        match connection {
            Connection::Sqlite(connection) => load!(connection),
            Connection::Mysql(connection) => load!(connection),
            Connection::Postgres(connection) => load!(connection),
        }
    }
}
