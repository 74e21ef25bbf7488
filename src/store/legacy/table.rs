//! Which of the old tables there are, and which columns they have. Others may have changed them: a column
//! that is not there is left out, and a text is cut to what its column takes.

use std::borrow::Cow;
use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::session::Session;
use super::statement::{Statement, Value};
use crate::store::value::bounded;

pub(super) const TORRENTS: &str = "discovered_torrents";
pub(super) const PEERS: &str = "discovered_peers";
pub(super) const FILES: &str = "torrent_files";
pub(super) const LOG: &str = "log";
/// Made by this program, beside those of the old one.
pub(super) const CLAIMS: &str = "discovered_torrents_claim";
/// The five, in the order in which they depend on each other.
pub(super) const ALL: [&str; 5] = [TORRENTS, PEERS, FILES, LOG, CLAIMS];

/// What a column takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Characters(usize),
    Bytes(usize),
    Whatever,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    columns: HashMap<String, Room>,
    /// Whether the column compares texts without regard to case.
    ignores_case: HashMap<String, bool>,
    /// Indexes over one column: the column, and the name.
    indexes: HashMap<String, String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Tables(HashMap<String, Table>);

#[derive(QueryableByName)]
struct ColumnRow {
    #[diesel(sql_type = Text)]
    in_table: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = BigInt)]
    length: i64,
    #[diesel(sql_type = Text)]
    collation: String,
    #[diesel(sql_type = Text)]
    extra: String,
}

#[derive(QueryableByName)]
struct IndexRow {
    #[diesel(sql_type = Text)]
    in_table: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    in_column: String,
}

impl Tables {
    pub(super) fn read(session: &mut Session) -> QueryResult<Self> {
        let names = || ALL.into_iter().map(Value::text);
        let mut tables: HashMap<String, Table> = HashMap::new();
        let columns = Statement::new(
            "SELECT LOWER(table_name) AS in_table, LOWER(column_name) AS name, \
                 LOWER(CONVERT(data_type USING utf8mb4)) AS kind, \
                 CAST(LEAST(COALESCE(character_maximum_length, 0), 2147483647) AS SIGNED) AS length, \
                 COALESCE(collation_name, '') AS collation, UPPER(COALESCE(extra, '')) AS extra \
             FROM information_schema.columns \
             WHERE table_schema = DATABASE() AND table_name IN ",
        );
        for row in session.load::<ColumnRow>(columns.list(names()))? {
            // The server computes these.
            if row.extra.contains(" GENERATED") {
                continue;
            }
            let length = usize::try_from(row.length).unwrap_or(usize::MAX);
            let room = match row.kind.as_str() {
                "char" | "varchar" => Room::Characters(length),
                "tinytext" | "text" | "mediumtext" | "longtext" | "binary" | "varbinary"
                | "tinyblob" | "blob" | "mediumblob" | "longblob" => Room::Bytes(length),
                _ => Room::Whatever,
            };
            let table = tables.entry(row.in_table).or_default();
            let ignores_case = row.collation.ends_with("_ci");
            table.ignores_case.insert(row.name.clone(), ignores_case);
            table.columns.insert(row.name, room);
        }
        let indexes = Statement::new(
            "SELECT LOWER(table_name) AS in_table, index_name AS name, \
                 LOWER(MAX(column_name)) AS in_column \
             FROM information_schema.statistics \
             WHERE table_schema = DATABASE() AND table_name IN ",
        )
        .list(names())
        .sql(" GROUP BY table_name, index_name HAVING COUNT(*) = 1 AND MAX(sub_part) IS NULL");
        for row in session.load::<IndexRow>(indexes)? {
            let table = tables.entry(row.in_table).or_default();
            table.indexes.insert(row.in_column, row.name);
        }
        Ok(Self(tables))
    }

    /// The table of this name, where it is there.
    pub(super) fn get(&self, name: &str) -> Option<&Table> {
        self.0.get(name)
    }
}

impl Table {
    /// The names of the columns that the server does not compute.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.keys().map(String::as_str)
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.contains_key(column)
    }

    /// Whether texts in this column are found in whatever case.
    pub(super) fn ignores_case(&self, column: &str) -> bool {
        self.ignores_case.get(column).copied().unwrap_or_default()
    }

    /// The name of an index over this column alone.
    pub(super) fn index(&self, column: &str) -> Option<&str> {
        self.indexes.get(column).map(String::as_str)
    }

    /// The most bytes that the column takes of texts of any characters.
    pub(super) fn bytes(&self, column: &str) -> usize {
        match self.columns.get(column) {
            Some(Room::Bytes(bytes)) => *bytes,
            // A character has a byte at least.
            Some(Room::Characters(characters)) => *characters,
            _ => usize::MAX,
        }
    }

    /// `text`, cut to what the column takes, and without NUL.
    pub(super) fn fit(&self, column: &str, text: &str) -> String {
        let text: Cow<'_, str> = if text.contains('\0') {
            Cow::Owned(text.replace('\0', "\u{fffd}"))
        } else {
            Cow::Borrowed(text)
        };
        match self.columns.get(column) {
            Some(Room::Characters(characters)) => bounded(&text, *characters).to_owned(),
            Some(Room::Bytes(bytes)) => {
                let end = (0..=text.len().min(*bytes)).rev();
                let end = end.into_iter().find(|end| text.is_char_boundary(*end));
                text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
            }
            _ => text.into_owned(),
        }
    }

    /// Those of these values that have a column, cut to what it takes.
    pub(super) fn row<'a>(&self, values: Vec<(&'a str, Value)>) -> Vec<(&'a str, Value)> {
        let mut values = values;
        values.retain(|(column, _)| self.has(column));
        for (column, value) in &mut values {
            if let Value::Text(text) = value {
                *text = self.fit(column, text);
            }
        }
        values
    }
}

/// `INSERT INTO table (columns) VALUES (row), (row)`; all rows have the same columns. `None` where there is
/// nothing to insert.
pub(super) fn insert(table: &str, rows: Vec<Vec<(&str, Value)>>) -> Option<Statement> {
    let columns: Vec<&str> = rows.first()?.iter().map(|(column, _)| *column).collect();
    if columns.is_empty() {
        return None;
    }
    let columns = columns.join(", ");
    let mut statement = Statement::new(&format!("INSERT INTO {table} ({columns}) VALUES "));
    for (index, row) in rows.into_iter().enumerate() {
        if index > 0 {
            statement = statement.sql(", ");
        }
        statement = statement.list(row.into_iter().map(|(_, value)| value));
    }
    Some(statement)
}
