//! The rows of `discovered_torrents` that wait for their metadata: how many they are, and a walk through
//! them.
//!
//! Rows that wait may be few among millions that do not, so each step looks at a bounded part of an index,
//! and the next goes on behind it. No row is looked at twice in one walk.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::row::{BacklogRow, Holder};
use super::session::Session;
use super::statement::{Statement, Value};
use super::table::{CLAIMS, TORRENTS, Table};

/// Entries of an index that a step looks at.
const WINDOW: i64 = 5_000;
/// Sources that are walked through side by side; where there are more, all rows are looked at instead.
const SOURCES: usize = 16;

/// Torrents that announced themselves.
const ANNOUNCED: &str = "DHT_ANNOUNCE";
/// What the old crawler made up for itself and stored.
const MADE_UP: &str = "DHT_ITEM";

/// How far a walk is: the class, and in each of them the last id that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Walk {
    after: [i64; 3],
}

/// What a step found.
pub(super) struct Step {
    /// Rows that wait, and that nobody else holds.
    pub(super) rows: Vec<BacklogRow>,
    /// Whether nothing is left to look at.
    pub(super) is_end: bool,
}

#[derive(QueryableByName)]
pub(super) struct Row {
    #[diesel(sql_type = BigInt)]
    pub(super) id: i64,
    #[diesel(sql_type = Text)]
    pub(super) info_hash: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) source: Option<String>,
}

impl From<Row> for BacklogRow {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            info_hash: row.info_hash,
            source: row.source.unwrap_or_default(),
        }
    }
}

#[derive(QueryableByName)]
struct End {
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
    #[diesel(sql_type = BigInt)]
    entries: i64,
}

#[derive(QueryableByName)]
struct Source {
    #[diesel(sql_type = Nullable<Text>)]
    source: Option<String>,
}

#[derive(QueryableByName)]
pub(super) struct Count {
    #[diesel(sql_type = BigInt)]
    pub(super) number: i64,
}

/// The condition of a row of `t` that waits: no files, and not marked as timed out.
pub(super) fn waits(table: &Table) -> &'static str {
    match (table.has("num_files"), table.has("timed_out")) {
        (true, true) => "(t.num_files < 1 OR t.num_files IS NULL) AND t.timed_out = 0",
        (true, false) => "(t.num_files < 1 OR t.num_files IS NULL)",
        (false, true) => "t.timed_out = 0",
        (false, false) => "FALSE",
    }
}

/// How a row of `t` is read.
pub(super) fn columns(table: &Table) -> &'static str {
    if table.has("source") {
        "CAST(t.id AS SIGNED) AS id, t.info_hash AS info_hash, t.source AS source"
    } else {
        "CAST(t.id AS SIGNED) AS id, t.info_hash AS info_hash, NULL AS source"
    }
}

/// How many rows wait, whoever holds them.
pub(super) fn total(session: &mut Session) -> QueryResult<u64> {
    let Some(table) = session.tables.get(TORRENTS) else {
        return Ok(0);
    };
    let count = Statement::new(&format!(
        "SELECT CAST(COUNT(*) AS SIGNED) AS number FROM discovered_torrents t WHERE {}",
        waits(table)
    ));
    let counts = session.load::<Count>(count)?;
    Ok(counts
        .first()
        .map_or(0, |count| count.number.unsigned_abs()))
}

/// A part of the table that is read in the order of the ids.
enum Lane {
    /// The rows of this source, by an index.
    Source(Value),
    /// All rows, and of them those with another source than these, or with one of them.
    All {
        among: bool,
        sources: Vec<&'static str>,
    },
}

impl Walk {
    /// Up to `limit` rows further on, for this holder.
    pub(super) fn step(
        &mut self,
        session: &mut Session,
        holder: &Holder,
        limit: u32,
    ) -> QueryResult<Step> {
        let Some(table) = session.tables.get(TORRENTS).cloned() else {
            return Ok(Step {
                rows: Vec::new(),
                is_end: true,
            });
        };
        if !table.has("id") || !table.has("info_hash") {
            return Ok(Step {
                rows: Vec::new(),
                is_end: true,
            });
        }
        for class in 0..self.after.len() {
            let lanes = lanes(session, &table, class)?;
            let Some(after) = self.after.get_mut(class) else {
                break;
            };
            let (rows, moved) = step(session, &table, &lanes, after, (holder, limit))?;
            if moved {
                return Ok(Step {
                    rows,
                    is_end: false,
                });
            }
        }
        Ok(Step {
            rows: Vec::new(),
            is_end: true,
        })
    }
}

/// The lanes of a class.
fn lanes(session: &mut Session, table: &Table, class: usize) -> QueryResult<Vec<Lane>> {
    if !table.has("source") {
        let all = Lane::All {
            among: false,
            sources: Vec::new(),
        };
        return Ok(if class == 1 { vec![all] } else { Vec::new() });
    }
    let has_index = table.index("source").is_some();
    let of = |source: &'static str| {
        vec![if has_index {
            Lane::Source(Value::text(source))
        } else {
            Lane::All {
                among: true,
                sources: vec![source],
            }
        }]
    };
    match class {
        0 => return Ok(of(ANNOUNCED)),
        1 => {}
        _ => return Ok(of(MADE_UP)),
    }
    if has_index {
        let sources = sources(session)?;
        if sources.len() <= SOURCES {
            let others = sources.into_iter().filter(|source| match source {
                Value::Text(source) => !is_source(source, ANNOUNCED) && !is_source(source, MADE_UP),
                _ => true,
            });
            return Ok(others.map(Lane::Source).collect());
        }
    }
    Ok(vec![Lane::All {
        among: false,
        sources: vec![ANNOUNCED, MADE_UP],
    }])
}

/// The sources that there are, and one more where they are too many. Goes from one to the next in the
/// index: servers do not always see by themselves that they need not read all of it.
fn sources(session: &mut Session) -> QueryResult<Vec<Value>> {
    let unknown = "SELECT source FROM discovered_torrents WHERE source IS NULL LIMIT 1";
    let unknown = session.load::<Source>(Statement::new(unknown))?;
    let mut sources: Vec<Value> = unknown.iter().map(|_| Value::Null).collect();
    let mut next = Statement::new("SELECT MIN(source) AS source FROM discovered_torrents");
    while sources.len() <= SOURCES {
        let row = session.load::<Source>(next)?.pop();
        let Some(source) = row.and_then(|row| row.source) else {
            break;
        };
        next =
            Statement::new("SELECT MIN(source) AS source FROM discovered_torrents WHERE source > ")
                .text(&source);
        sources.push(Value::Text(source));
    }
    Ok(sources)
}

/// As the collation of the column compares them.
fn is_source(source: &str, name: &str) -> bool {
    source.trim_end().eq_ignore_ascii_case(name)
}

/// Goes on in all lanes to the same id; whether that is further than before.
fn step(
    session: &mut Session,
    table: &Table,
    lanes: &[Lane],
    after: &mut i64,
    (holder, limit): (&Holder, u32),
) -> QueryResult<(Vec<BacklogRow>, bool)> {
    let limit = limit.max(1);
    // As far as the lane that ends soonest was looked at.
    let mut horizon: Option<i64> = None;
    let mut ends = Vec::new();
    for lane in lanes {
        let window = Statement::new(
            "SELECT CAST(MAX(w.id) AS SIGNED) AS last, CAST(COUNT(*) AS SIGNED) AS entries FROM (",
        );
        let window = window
            .sql("SELECT t.id ")
            .sql(&lane.table(table))
            .sql("WHERE ");
        let window = lane
            .entries(window)
            .sql(" AND t.id > ")
            .number(*after)
            .sql(&format!(" ORDER BY t.id LIMIT {WINDOW}) w"));
        let end = session.load::<End>(window)?.pop();
        let Some(last) = end.as_ref().and_then(|end| end.last) else {
            continue;
        };
        ends.push((lane, last));
        if end.is_some_and(|end| end.entries >= WINDOW) {
            horizon = Some(horizon.map_or(last, |horizon| horizon.min(last)));
        }
    }
    let Some(furthest) = ends.iter().map(|(_, last)| *last).max() else {
        return Ok((Vec::new(), false));
    };
    let horizon = horizon.unwrap_or(furthest);
    let mut rows: BTreeMap<i64, BacklogRow> = BTreeMap::new();
    for (lane, _) in ends {
        for row in read(session, table, lane, (*after, horizon), (holder, limit))? {
            rows.insert(row.id, row.into());
        }
    }
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_cut = rows.len() >= most;
    let rows: Vec<BacklogRow> = rows.into_values().take(most).collect();
    *after = match rows.last() {
        Some(last) if is_cut => last.id,
        _ => horizon,
    };
    Ok((rows, true))
}

fn read(
    session: &mut Session,
    table: &Table,
    lane: &Lane,
    (after, until): (i64, i64),
    (holder, limit): (&Holder, u32),
) -> QueryResult<Vec<Row>> {
    let query = format!("SELECT {} {}WHERE ", columns(table), lane.table(table));
    let query = lane
        .rows(Statement::new(&query))
        .sql(" AND t.id > ")
        .number(after)
        .sql(" AND t.id <= ")
        .number(until)
        .sql(" AND ")
        .sql(waits(table));
    // What this holder has got is behind it, but for what it was not told of since the connection broke.
    let query = if session.tables.get(CLAIMS).is_some() {
        query
            .sql(
                " AND NOT EXISTS (SELECT 1 FROM discovered_torrents_claim c \
             WHERE c.id = t.id AND c.expires_at > CURRENT_TIMESTAMP AND c.holder <> ",
            )
            .text(holder.as_str())
            .sql(")")
    } else {
        query
    };
    session.load(query.sql(&format!(" ORDER BY t.id LIMIT {limit}")))
}

impl Lane {
    /// `FROM ...` by the index that has this lane's rows in the order of their ids.
    fn table(&self, table: &Table) -> String {
        let column = match self {
            Self::Source(_) => "source",
            Self::All { .. } => "id",
        };
        let index = table.index(column).map_or_else(String::new, |index| {
            format!(" FORCE INDEX (`{}`)", index.replace('`', "``"))
        });
        format!("FROM discovered_torrents t{index} ")
    }

    /// The condition of the index's entries that a step looks at.
    fn entries(&self, statement: Statement) -> Statement {
        match self {
            Self::Source(Value::Null) => statement.sql("t.source IS NULL"),
            Self::Source(source) => statement.sql("t.source = ").value(source.clone()),
            Self::All { .. } => statement.sql("TRUE"),
        }
    }

    /// The condition of this lane's rows.
    fn rows(&self, statement: Statement) -> Statement {
        match self {
            Self::All { among, sources } if !sources.is_empty() => {
                let is = if *among {
                    "t.source IN "
                } else {
                    "COALESCE(t.source, '') NOT IN "
                };
                let sources = sources.iter().map(|source| Value::text(source));
                statement.sql(is).list(sources)
            }
            lane => lane.entries(statement),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::create;
    use super::*;
    use crate::store::LegacyUrl;
    use crate::store::databases::{Database, Kind};

    fn number(session: &mut Session, query: &str) -> i64 {
        let query = format!("SELECT CAST(({query}) AS SIGNED) AS number");
        session.load::<Count>(Statement::new(&query)).unwrap()[0].number
    }

    /// The server counts what it reads, whatever it says that it would.
    #[test]
    fn a_step_looks_at_a_part_of_the_table_however_long_that_is() {
        let database = Database::new(Kind::Mariadb);
        let url = LegacyUrl::new(&database.url()).unwrap();
        let mut session = Session::open(url.server()).unwrap();
        let made = create::missing(&mut session);
        assert!(made.iter().all(|(_, wrong)| wrong.is_none()), "{made:?}");
        session.refresh().unwrap();
        session
            .run(
                "INSERT INTO discovered_torrents (info_hash, source, timed_out) \
                 SELECT SHA1(seq), IF(seq % 100 = 0, 'MANUAL', 'DHT_ITEM'), \
                     seq NOT BETWEEN 59000 AND 59999 \
                 FROM seq_1_to_60000",
            )
            .unwrap();
        let read = "SELECT SUM(variable_value) FROM information_schema.session_status \
                    WHERE variable_name LIKE 'HANDLER_READ%'";
        let (mut walk, mut found, mut steps) = (Walk::default(), Vec::new(), 0);
        loop {
            let before = number(&mut session, read);
            let step = walk.step(&mut session, &Holder::new(), 100).unwrap();
            let after = number(&mut session, read);
            assert!(after - before < 5 * WINDOW, "{} rows", after - before);
            steps += 1;
            if step.is_end {
                break;
            }
            assert!(step.rows.len() <= 100);
            found.extend(step.rows.into_iter().map(|row| row.id));
        }
        assert!(steps < 40, "{steps}");
        let manual = (590..=599).map(|number| number * 100);
        let others = (59_000..=59_999).filter(|id| id % 100 != 0);
        assert!(found.into_iter().eq(manual.chain(others)));
    }
}
