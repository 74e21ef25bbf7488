//! A database for the old tables, and rows for them.

use std::fmt::Write as _;

use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use metafetch::store::{DiscoveredRow, LegacyLogin, LegacyPeer, LegacyTables, ReceivedRow};
use metafetch::torrent::Infohash;

use crate::databases::{Database, Kind, Server};

/// An empty database.
pub(crate) struct Legacy {
    pub(crate) database: Database,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Nullable<Text>)]
    line: Option<String>,
}

impl Legacy {
    pub(crate) fn new() -> Self {
        Self {
            database: Database::new(Kind::Mariadb),
        }
    }

    /// On a server of this test alone.
    pub(crate) fn alone() -> Self {
        Self {
            database: Database::on(Server::alone()),
        }
    }

    /// With the tables as the old crawler made them.
    pub(crate) fn with_tables() -> Self {
        let legacy = Self::new();
        legacy.run_all(include_str!("../db/legacy.sql"));
        legacy
    }

    /// By the socket.
    pub(crate) fn login(&self) -> LegacyLogin {
        LegacyLogin {
            host: "localhost".to_owned(),
            port: 1,
            user: "metafetch".to_owned(),
            password: String::new(),
            database: self.database.name.clone(),
            socket: Some(self.database.server.directory.join("socket")),
        }
    }

    pub(crate) async fn tables(&self) -> LegacyTables {
        let (tables, made) = LegacyTables::open(&self.login()).await.unwrap();
        assert!(made.iter().all(|(_, wrong)| wrong.is_none()), "{made:?}");
        tables
    }

    pub(crate) fn run(&self, sql: &str) {
        self.database.run(sql);
    }

    /// Runs statements, each ended by a line with nothing but `;`.
    pub(crate) fn run_all(&self, sql: &str) {
        let statements = sql.split("\n;").filter(|sql| !sql.trim().is_empty());
        statements.for_each(|sql| self.run(sql));
    }

    /// What a query gives that names its one column `line`.
    pub(crate) fn lines(&self, sql: &str) -> Vec<Option<String>> {
        let mut connection = MysqlConnection::establish(&self.database.diesel_url()).unwrap();
        let rows: Vec<Line> = diesel::sql_query(sql).load(&mut connection).unwrap();
        rows.into_iter().map(|row| row.line).collect()
    }

    /// These columns of each row of a table that passes, `NULL` written out, with ` | ` between them.
    pub(crate) fn rows(&self, table: &str, columns: &str, condition: &str) -> Vec<String> {
        let columns: Vec<String> = columns
            .split_whitespace()
            .map(|column| format!("COALESCE(CAST({column} AS CHAR), 'NULL')"))
            .collect();
        let sql = format!(
            "SELECT CONCAT_WS(' | ', {}) AS line FROM {table} WHERE {condition} ORDER BY id",
            columns.join(", ")
        );
        self.lines(&sql).into_iter().map(Option::unwrap).collect()
    }

    pub(crate) fn count(&self, table: &str, condition: &str) -> u64 {
        let sql = format!("SELECT CAST(COUNT(*) AS CHAR) AS line FROM {table} WHERE {condition}");
        self.lines(&sql)[0].as_ref().unwrap().parse().unwrap()
    }

    /// Rows that wait, with ids from 1: their hashes are their ids.
    pub(crate) fn fill(&self, rows: u32, source: impl Fn(u32) -> &'static str) {
        let mut from = 1;
        while from <= rows {
            let until = (from + 4_999).min(rows);
            let mut sql =
                "INSERT INTO discovered_torrents (id, info_hash, source) VALUES ".to_owned();
            for id in from..=until {
                let comma = if id == from { "" } else { "," };
                let _ = write!(sql, "{comma}({id}, '{id:040x}', {})", source(id));
            }
            self.run(&sql);
            from = until + 1;
        }
    }
}

pub(crate) fn hash(number: u32) -> Infohash {
    format!("{number:040x}").parse().unwrap()
}

pub(crate) fn discovered(number: u32, peers: &[&str]) -> DiscoveredRow {
    DiscoveredRow {
        infohash: hash(number),
        source: "DHT_ANNOUNCE",
        peers: peers.iter().map(|addr| peer(addr)).collect(),
    }
}

pub(crate) fn peer(addr: &str) -> LegacyPeer {
    LegacyPeer {
        addr: addr.parse().unwrap(),
        source: "DHT_ANNOUNCE",
        peer_id: None,
        client_name: None,
        client_version: None,
        connection_type: None,
    }
}

pub(crate) fn received(number: u32, files: &[(&str, u64)]) -> Box<ReceivedRow> {
    let infohash = hash(number);
    Box::new(ReceivedRow {
        infohash,
        row_key: None,
        source: "METADATA_ONLY",
        name: "a name".to_owned(),
        size: files.iter().map(|(_, size)| size).sum(),
        files: files
            .iter()
            .map(|(path, size)| ((*path).to_owned(), *size))
            .collect(),
        file_count: files.len(),
        piece_length: 16_384,
        pieces: 4,
        private: true,
        magnet_link: format!("magnet:?xt=urn:btih:{infohash}&dn=a%20name"),
        content_type: "audio",
        peers: Vec::new(),
    })
}
