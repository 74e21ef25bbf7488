//! Who works on which row: a lease of a minute by the server's clock, in a table beside the old ones.
//!
//! What is released, and what the dead have left, stays in that table as free as long as it waits for its
//! metadata, and is given out again from there.

use std::collections::HashSet;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::backlog::{self, Count, Row, Walk};
use super::row::{BacklogRow, Claimed, Holder};
use super::session::Session;
use super::statement::{Statement, Value};
use super::table::{CLAIMS, TORRENTS, Table};

/// How long rows are held without a sign of life, in seconds.
const LEASE_SECONDS: u32 = 60;
/// How often holders give such a sign.
pub(super) const RENEW: Duration = Duration::from_secs(20);
/// For how many seconds others are waited for who are about to claim rows. Who does not get his turn goes
/// on all the same: no row is given out twice, but two may have looked for the same ones.
const TURN_SECONDS: u32 = 5;
/// Rows of a statement.
const CHUNK: usize = 500;
/// Free rows that are looked at for one claim.
const FREE_ROWS: i64 = 1_000;

/// What one holder has had.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    walk: Walk,
    held: HashSet<i64>,
    /// Rows that it has given back, and is not to get again.
    not_again: HashSet<i64>,
    /// Rows to be given out once more, where there is no table of claims.
    once_more: Vec<BacklogRow>,
    /// Those that may come there.
    unlisted: Vec<BacklogRow>,
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

impl Claims {
    pub(super) fn is_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes note that rows were released; `left` of them still wait for their metadata.
    pub(super) fn released(&mut self, ids: &[i64], left: HashSet<i64>, again: bool) {
        for id in ids {
            self.held.remove(id);
        }
        let released: HashSet<&i64> = ids.iter().collect();
        let (back, unlisted) = std::mem::take(&mut self.unlisted)
            .into_iter()
            .partition(|row| released.contains(&row.id));
        self.unlisted = unlisted;
        let back: Vec<BacklogRow> = back;
        if again {
            let back = back.into_iter().filter(|row| left.contains(&row.id));
            self.once_more.extend(back);
        } else {
            self.not_again.extend(left);
        }
    }
}

/// One step; `None` where there are more, and none was got yet.
pub(super) fn claim(
    session: &mut Session,
    holder: &Holder,
    claims: &mut Claims,
    limit: u32,
) -> QueryResult<Option<Claimed>> {
    if session.tables.get(CLAIMS).is_none() {
        return claim_alone(session, holder, claims, limit);
    }
    let lock = "CONCAT('metafetch claims ', LEFT(SHA1(DATABASE()), 32))";
    session.run(&format!("DO GET_LOCK({lock}, {TURN_SECONDS})"))?;
    let claimed = claim_in_turn(session, holder, claims, limit);
    // With a connection that breaks, the lock goes too.
    let released = session.run(&format!("DO RELEASE_LOCK({lock})"));
    let claimed = claimed?;
    released.map(|()| claimed)
}

fn claim_in_turn(
    session: &mut Session,
    holder: &Holder,
    claims: &mut Claims,
    limit: u32,
) -> QueryResult<Option<Claimed>> {
    let step = claims.walk.step(session, holder, limit)?;
    let found = if step.is_end {
        free(session, holder, claims, limit)?
    } else {
        step.rows.iter().map(|row| row.id).collect()
    };
    let rows = session.transaction(|session| take(session, holder, &found))?;
    claims.held.extend(rows.iter().map(|row| row.id));
    if rows.is_empty() && !step.is_end {
        return Ok(None);
    }
    let held_by_others = if rows.is_empty() {
        count_held(session, holder)?
    } else {
        0
    };
    Ok(Some(Claimed {
        rows,
        held_by_others,
    }))
}

/// Without a table of claims: nobody else is known of.
fn claim_alone(
    session: &mut Session,
    holder: &Holder,
    claims: &mut Claims,
    limit: u32,
) -> QueryResult<Option<Claimed>> {
    let step = claims.walk.step(session, holder, limit)?;
    let rows = if step.is_end {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let rest = claims.once_more.split_off(most.min(claims.once_more.len()));
        std::mem::replace(&mut claims.once_more, rest)
    } else {
        step.rows
    };
    if rows.is_empty() && !step.is_end {
        return Ok(None);
    }
    claims.unlisted.extend(rows.iter().cloned());
    Ok(Some(Claimed {
        rows,
        held_by_others: 0,
    }))
}

/// Ids of rows that were given out before and are free again, or that the holder has without knowing: the
/// connection broke before it was told.
fn free(
    session: &mut Session,
    holder: &Holder,
    claims: &Claims,
    limit: u32,
) -> QueryResult<Vec<i64>> {
    let Some(table) = session.tables.get(TORRENTS).cloned() else {
        return Ok(Vec::new());
    };
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    let mut after = i64::MIN;
    loop {
        let query = Statement::new(
            "SELECT CAST(c.id AS SIGNED) AS id FROM discovered_torrents_claim c \
             JOIN discovered_torrents t ON t.id = c.id \
             WHERE (c.expires_at IS NULL OR c.expires_at <= CURRENT_TIMESTAMP OR c.holder = ",
        )
        .text(holder.as_str())
        .sql(") AND ")
        .sql(backlog::waits(&table))
        .sql(" AND c.id > ")
        .number(after)
        .sql(&format!(" ORDER BY c.id LIMIT {FREE_ROWS}"));
        let ids = session.load::<Id>(query)?;
        let Some(last) = ids.last() else { break };
        after = last.id;
        found.extend(
            ids.iter()
                .map(|row| row.id)
                .filter(|id| !claims.not_again.contains(id) && !claims.held.contains(id)),
        );
        if found.len() >= most {
            break;
        }
    }
    found.truncate(most);
    Ok(found)
}

/// Takes those of these rows that are free and still wait.
fn take(session: &mut Session, holder: &Holder, ids: &[i64]) -> QueryResult<Vec<BacklogRow>> {
    let Some(table) = session.tables.get(TORRENTS).cloned() else {
        return Ok(Vec::new());
    };
    let mut rows = Vec::new();
    for ids in ids.chunks(CHUNK) {
        let mut insert = Statement::new(
            "INSERT INTO discovered_torrents_claim (id, holder, expires_at) VALUES ",
        );
        for (index, id) in ids.iter().enumerate() {
            insert = insert
                .sql(if index == 0 { "(" } else { ", (" })
                .number(*id)
                .sql(", ")
                .text(holder.as_str())
                .sql(&format!(
                    ", CURRENT_TIMESTAMP + INTERVAL {LEASE_SECONDS} SECOND)"
                ));
        }
        // Assignments are made from the left: the second sees what the first has done.
        session.execute(insert.sql(
            " ON DUPLICATE KEY UPDATE \
             holder = IF(expires_at > CURRENT_TIMESTAMP, holder, VALUES(holder)), \
             expires_at = IF(holder = VALUES(holder), VALUES(expires_at), expires_at)",
        ))?;
        // Somebody may have completed one after it was found and before it was taken.
        let query = Statement::new(&format!(
            "SELECT {} FROM discovered_torrents_claim c JOIN discovered_torrents t ON t.id = c.id \
             WHERE c.id IN ",
            backlog::columns(&table)
        ))
        .list(ids.iter().map(|id| Value::Number(*id)))
        .sql(" AND c.holder = ")
        .text(holder.as_str())
        .sql(" AND ")
        .sql(backlog::waits(&table));
        let mut taken: Vec<BacklogRow> = session
            .load::<Row>(query)?
            .into_iter()
            .map(BacklogRow::from)
            .collect();
        forget_done(session, holder, &table, ids)?;
        // In the order in which they were found.
        taken.sort_by_key(|row| ids.iter().position(|id| *id == row.id));
        rows.extend(taken);
    }
    Ok(rows)
}

/// How many rows that wait are held by others.
fn count_held(session: &mut Session, holder: &Holder) -> QueryResult<u64> {
    let Some(table) = session.tables.get(TORRENTS) else {
        return Ok(0);
    };
    let query = Statement::new(
        "SELECT CAST(COUNT(*) AS SIGNED) AS number FROM discovered_torrents_claim c \
         JOIN discovered_torrents t ON t.id = c.id \
         WHERE c.expires_at > CURRENT_TIMESTAMP AND c.holder <> ",
    )
    .text(holder.as_str())
    .sql(" AND ")
    .sql(backlog::waits(table));
    let counts = session.load::<Count>(query)?;
    Ok(counts
        .first()
        .map_or(0, |count| count.number.unsigned_abs()))
}

/// Gives rows back; those that still wait for their metadata.
pub(super) fn release(
    session: &mut Session,
    holder: &Holder,
    ids: &[i64],
) -> QueryResult<HashSet<i64>> {
    let mut left = HashSet::new();
    let Some(table) = session.tables.get(TORRENTS).cloned() else {
        return Ok(left);
    };
    let has_claims = session.tables.get(CLAIMS).is_some();
    for ids in ids.chunks(CHUNK) {
        let these = || ids.iter().map(|id| Value::Number(*id));
        if has_claims {
            forget_done(session, holder, &table, ids)?;
            let free = Statement::new(
                "UPDATE discovered_torrents_claim SET holder = '', expires_at = NULL WHERE id IN ",
            );
            session.execute(
                free.list(these())
                    .sql(" AND holder = ")
                    .text(holder.as_str()),
            )?;
        }
        let query = Statement::new(
            "SELECT CAST(t.id AS SIGNED) AS id FROM discovered_torrents t WHERE t.id IN ",
        )
        .list(these())
        .sql(" AND ")
        .sql(backlog::waits(&table));
        left.extend(session.load::<Id>(query)?.into_iter().map(|row| row.id));
    }
    Ok(left)
}

/// Deletes the claims of rows that do not wait any more.
fn forget_done(
    session: &mut Session,
    holder: &Holder,
    table: &Table,
    ids: &[i64],
) -> QueryResult<()> {
    let delete = Statement::new(&format!(
        "DELETE c FROM discovered_torrents_claim c \
         LEFT JOIN discovered_torrents t ON t.id = c.id AND {} \
         WHERE t.id IS NULL AND c.id IN ",
        backlog::waits(table)
    ))
    .list(ids.iter().map(|id| Value::Number(*id)))
    .sql(" AND c.holder = ")
    .text(holder.as_str());
    session.execute(delete).map(drop)
}

/// Gives back all that this holder has.
pub(super) fn release_all(session: &mut Session, holder: &Holder) -> QueryResult<()> {
    if session.tables.get(CLAIMS).is_none() {
        return Ok(());
    }
    let free = Statement::new(
        "UPDATE discovered_torrents_claim SET holder = '', expires_at = NULL WHERE holder = ",
    );
    session.execute(free.text(holder.as_str()))?;
    sweep(session)
}

/// Deletes the claims of rows that do not wait any more, whoever has died with them.
pub(super) fn sweep(session: &mut Session) -> QueryResult<()> {
    let Some(table) = session.tables.get(TORRENTS).cloned() else {
        return Ok(());
    };
    session
        .execute(Statement::new(&format!(
            "DELETE c FROM discovered_torrents_claim c \
             LEFT JOIN discovered_torrents t ON t.id = c.id AND {} \
             WHERE t.id IS NULL AND (c.expires_at IS NULL OR c.expires_at <= CURRENT_TIMESTAMP)",
            backlog::waits(&table)
        )))
        .map(drop)
}

/// Tells that this holder is alive. What others have taken meanwhile is theirs.
pub(super) fn renew(session: &mut Session, holder: &Holder) -> QueryResult<()> {
    if session.tables.get(CLAIMS).is_none() {
        return Ok(());
    }
    let renew = Statement::new(&format!(
        "UPDATE discovered_torrents_claim \
         SET expires_at = CURRENT_TIMESTAMP + INTERVAL {LEASE_SECONDS} SECOND WHERE holder = "
    ));
    session.execute(renew.text(holder.as_str())).map(drop)
}
