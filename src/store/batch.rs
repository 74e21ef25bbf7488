//! Writes batches into the database: one transaction each, and each once, whatever becomes of the
//! connection.
//!
//! Every batch has an id, which goes into [`applied_batch`] with it. Where the connection broke before
//! the answer to the commit came, nobody knows whether the database has the batch; the next try finds
//! the id, or not.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use diesel::QueryResult;
use diesel::connection::Connection as _;
use diesel::result::Error as DieselError;

use super::applied_batch::{self, BatchId};
use super::connection::{Connection, Target, checkpoint, write_transaction};
use super::writer::Work;
use super::{
    Record, RecordResult, StoreError, failed_torrent, metadata_request, peer_group, peer_state,
    search, torrent_metadata, tracker_state, value,
};

/// How often those that are older are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What became of each record.
pub(super) type Answers = Vec<Result<(), StoreError>>;

/// Why a transaction did not take place.
enum Failure {
    /// The database has one of these batches.
    Applied,
    Error(StoreError),
}

/// The writer's connection.
pub(super) struct Database {
    target: Target,
    /// `None` after an error: a transaction that failed may have left it in any state.
    connection: Option<Connection>,
    /// The batch whose commit was seen to succeed last, and which is still listed.
    done: Option<BatchId>,
    tidied: Option<Instant>,
    /// A batch of which some records were refused, and whose commit was not seen to succeed.
    partial: Option<(BatchId, Answers)>,
}

impl Database {
    pub(super) fn connect(target: Target) -> Result<Self, StoreError> {
        Ok(Self {
            connection: Some(target.connect()?),
            target,
            done: None,
            tidied: None,
            partial: None,
        })
    }

    /// Writes a batch as it came from the callers. A record that the database refuses does not take
    /// the others with it.
    ///
    /// # Errors
    /// Nothing is known to be written. After an error that is transient the same batch is to be tried
    /// again, under the same id.
    pub(super) fn write(
        &mut self,
        batch_id: BatchId,
        records: &[&Record],
    ) -> Result<Answers, StoreError> {
        let done = self.done;
        let is_due = self
            .tidied
            .is_none_or(|tidied| tidied.elapsed() > TIDY_EVERY);
        let written = self.transaction(&[batch_id], |connection| {
            if let Some(done) = done {
                applied_batch::delete(connection, done)?;
            }
            if is_due {
                let kept_ms = i64::try_from(applied_batch::KEPT.as_millis()).unwrap_or(i64::MAX);
                applied_batch::delete_before(connection, now_ms().saturating_sub(kept_ms))?;
            }
            write_all(connection, records, false)
        });
        let answers = match written {
            Ok(()) => {
                if is_due {
                    self.tidied = Some(Instant::now());
                }
                vec![Ok(()); records.len()]
            }
            Err(Failure::Applied) => self.answers(batch_id, records),
            Err(Failure::Error(error)) if error.is_refusal() => {
                self.write_each(batch_id, records, false)?
            }
            Err(Failure::Error(error)) => return Err(error),
        };
        self.done = Some(batch_id);
        Ok(answers)
    }

    /// Writes batches from a journal, in one transaction. Their ids stay, since the journal does for
    /// a while. `None` where they have to be written one by one: the database has some of them, or
    /// refuses one of the records.
    pub(super) fn replay(
        &mut self,
        batches: &[(BatchId, Vec<&Record>)],
    ) -> Result<Option<Answers>, StoreError> {
        let ids: Vec<BatchId> = batches.iter().map(|(batch_id, _)| *batch_id).collect();
        let records = || {
            batches
                .iter()
                .flat_map(|(_, records)| records.iter().copied())
        };
        let written = self.transaction(&ids, |connection| {
            let records: Vec<&Record> = records().collect();
            write_all(connection, &records, true)
        });
        match written {
            Ok(()) => Ok(Some(vec![Ok(()); records().count()])),
            Err(Failure::Error(error)) if !error.is_refusal() => Err(error),
            Err(failure) => match (batches, failure) {
                ([(batch_id, records)], Failure::Applied) => {
                    Ok(Some(self.answers(*batch_id, records)))
                }
                ([(batch_id, records)], Failure::Error(_)) => {
                    self.write_each(*batch_id, records, true).map(Some)
                }
                _ => Ok(None),
            },
        }
    }

    /// Runs statements that are no batch, in a transaction of their own.
    pub(super) fn save(&mut self, work: &mut Work) -> Result<(), StoreError> {
        match self.transaction(&[], work) {
            Ok(()) | Err(Failure::Applied) => Ok(()),
            Err(Failure::Error(error)) => Err(error),
        }
    }

    /// Whether there are torrents that are still to be indexed.
    pub(super) fn is_indexing(&mut self) -> bool {
        let connection = self.connection.as_mut();
        connection.is_some_and(|connection| search::is_indexing(connection).unwrap_or(false))
    }

    /// Indexes so many of them. Whether others are left.
    pub(super) fn index(&mut self, most: i64) -> Result<bool, StoreError> {
        let mut more = false;
        let indexed = self.transaction(&[], |connection| {
            more = search::index_some(connection, most)?;
            Ok(())
        });
        match indexed {
            Ok(()) | Err(Failure::Applied) => Ok(more),
            Err(Failure::Error(error)) => Err(error),
        }
    }

    /// Writes what can be written of a batch in which the database refuses something.
    fn write_each(
        &mut self,
        batch_id: BatchId,
        records: &[&Record],
        late: bool,
    ) -> Result<Answers, StoreError> {
        let target = self.target.clone();
        let mut answers = Answers::new();
        let written = self.transaction(&[batch_id], |connection| {
            answers.clear();
            for record in records {
                // A transaction in another is a savepoint.
                let written =
                    connection.transaction(|connection| write_all(connection, &[record], late));
                match written.map_err(|error| (target.error(&error), error)) {
                    Ok(()) => answers.push(Ok(())),
                    Err((refusal, _)) if refusal.is_refusal() => answers.push(Err(refusal)),
                    Err((_, error)) => return Err(error),
                }
            }
            Ok(())
        });
        match written {
            Ok(()) => Ok(answers),
            Err(Failure::Applied) => Ok(self.answers(batch_id, records)),
            Err(Failure::Error(error)) => {
                // It may have been committed all the same.
                if answers.len() == records.len() {
                    self.partial = Some((batch_id, answers));
                }
                Err(error)
            }
        }
    }

    /// What becomes of the records of a batch that the database has, as far as is known.
    pub(super) fn answers(&self, batch_id: BatchId, records: &[&Record]) -> Answers {
        match &self.partial {
            Some((partial, answers)) if *partial == batch_id => answers.clone(),
            _ => vec![Ok(()); records.len()],
        }
    }

    /// Runs `write` in a transaction that marks these batches as applied.
    fn transaction(
        &mut self,
        batches: &[BatchId],
        mut write: impl FnMut(&mut Connection) -> QueryResult<()>,
    ) -> Result<(), Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.target.connect().map_err(Failure::Error)?,
        };
        // The first error is kept aside: where SQLite has rolled back by itself, diesel's own attempt
        // to do so fails, and it reports that instead.
        let mut first = None;
        let target = &self.target;
        let result = write_transaction(&mut connection, |connection| {
            let applied_at = now_ms();
            let mut run = || {
                for batch_id in batches {
                    if !applied_batch::insert(connection, *batch_id, applied_at)? {
                        return Ok(false);
                    }
                }
                write(connection).map(|()| true)
            };
            let failure = match run() {
                Ok(true) => return Ok(()),
                Ok(false) => Failure::Applied,
                Err(error) => Failure::Error(target.error(&error)),
            };
            first = Some(failure);
            Err(DieselError::RollbackTransaction)
        });
        match result {
            Ok(()) => {
                self.connection = Some(connection);
                Ok(())
            }
            Err(error) => Err(first.unwrap_or_else(|| Failure::Error(self.target.error(&error)))),
        }
    }

    /// Makes what was written as durable as the database's file.
    pub(super) fn checkpoint(&mut self) {
        if let Some(Err(error)) = self.connection.as_mut().map(checkpoint) {
            tracing::debug!(%error, "the log of the database was left for the next start");
        }
    }
}

/// Writes all records; the caller has begun the transaction. Where they come `late`, out of a
/// journal, another process may have stored a newer result of a hash: that stays.
pub(super) fn write_all(
    connection: &mut Connection,
    records: &[&Record],
    late: bool,
) -> QueryResult<()> {
    for record in records {
        let (mut resolved_at, mut failed_at) = (None, None);
        if late {
            resolved_at = torrent_metadata::resolved_at(connection, &record.infohash)?;
            failed_at = failed_torrent::find(connection, &record.infohash)?
                .map(|failed| failed.failed_at_ms);
        }
        match &record.result {
            RecordResult::Resolved(torrent) => {
                let mut identity = record.infohash;
                if resolved_at <= Some(record.at_ms) {
                    let starts = record.attempts.iter().map(|attempt| attempt.started_at_ms);
                    let discovered_at = starts.fold(record.at_ms, i64::min);
                    identity =
                        torrent_metadata::put(connection, torrent, discovered_at, record.at_ms)?;
                }
                if failed_at <= Some(record.at_ms) {
                    failed_torrent::delete(connection, &value::keys(&identity))?;
                    failed_torrent::delete(connection, &value::keys(&record.infohash))?;
                }
            }
            RecordResult::Failed(failed) => {
                if resolved_at.max(failed_at) <= Some(failed.failed_at_ms) {
                    failed_torrent::put(connection, &record.infohash, failed)?;
                }
            }
            RecordResult::AttemptsOnly => {}
        }
        metadata_request::insert(connection, &record.infohash, &record.attempts)?;
    }
    let attempts = || records.iter().flat_map(|record| &record.attempts);
    peer_state::add(connection, attempts())?;
    peer_group::add(connection, attempts())?;
    let replies = records.iter().flat_map(|record| &record.tracker_replies);
    tracker_state::add(connection, replies)
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Attempt;
    use crate::store::{FailedTorrent, StoreOptions, StoreUrl};
    use crate::torrent::{Arm, Infohash, PeerAddr, PeerSource, Phase, Reason, Way};

    fn database(directory: &tempfile::TempDir) -> Database {
        let url = StoreUrl::Sqlite(directory.path().join("a.db"));
        let target = Target::prepare(&url, &StoreOptions::default()).unwrap();
        drop(target.migrate().unwrap());
        Database::connect(target).unwrap()
    }

    fn record(port: u16) -> Record {
        Record {
            infohash: Infohash::V1([1; 20]),
            result: RecordResult::Failed(FailedTorrent {
                reason: Reason::Refused,
                phase: Phase::Connect,
                detail: "no".to_owned(),
                failures: 1,
                failed_at_ms: 2,
                retry_at_ms: 3,
            }),
            attempts: vec![Attempt {
                way: Way::plain(Arm::Direct),
                peer: PeerAddr::new([1, 2, 3, 4].into(), port),
                source: PeerSource::Dht,
                started_at_ms: 1,
                duration: Duration::from_millis(1),
                connect_time: None,
                phase: Phase::Connect,
                outcome: Some(Reason::Refused),
                detail: "no".to_owned(),
                why: String::new(),
                metadata_size: None,
                client: None,
            }],
            tracker_replies: Vec::new(),
            at_ms: 2,
        }
    }

    fn attempts(database: &mut Database) -> u64 {
        let connection = database.connection.as_mut().unwrap();
        metadata_request::count(connection).unwrap()
    }

    fn ids(database: &mut Database) -> i64 {
        use diesel::prelude::*;
        let connection = database.connection.as_mut().unwrap();
        crate::store::schema::applied_batch::table
            .count()
            .get_result(connection)
            .unwrap()
    }

    #[test]
    fn a_batch_that_is_tried_again_is_written_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut database = database(&directory);
        let record = record(1);
        let id = BatchId::random();
        for _ in 0..3 {
            assert_eq!(database.write(id, &[&record]), Ok(vec![Ok(())]));
            // Applied: the transaction is rolled back, and the connection is made anew.
            database.connection = Some(database.target.connect().unwrap());
            assert_eq!(attempts(&mut database), 1);
        }
        // Out of a journal as well, also among others.
        let other = BatchId::random();
        let batches = [(id, vec![&record]), (other, vec![&record])];
        assert_eq!(database.replay(&batches), Ok(None));
        assert_eq!(database.replay(&batches[..1]), Ok(Some(vec![Ok(())])));
        assert_eq!(database.replay(&batches[1..]), Ok(Some(vec![Ok(())])));
        assert_eq!(attempts(&mut database), 2);
    }

    #[test]
    fn ids_go_with_the_next_batch_and_with_age() {
        let directory = tempfile::tempdir().unwrap();
        let mut database = database(&directory);
        let connection = database.connection.as_mut().unwrap();
        let kept_ms = i64::try_from(applied_batch::KEPT.as_millis()).unwrap();
        for age_ms in [kept_ms + 60_000, kept_ms - 60_000] {
            let applied_at = now_ms() - age_ms;
            assert!(applied_batch::insert(connection, BatchId::random(), applied_at).unwrap());
        }
        for port in 1..5 {
            let record = record(port);
            assert!(database.write(BatchId::random(), &[&record]).is_ok());
            assert_eq!(ids(&mut database), 2, "the young one, and the last one");
        }
    }

    #[test]
    fn what_was_refused_of_a_batch_is_known_when_it_is_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut database = database(&directory);
        let record = record(1);
        let refusal = StoreError::Value("as it was".to_owned());
        let id = BatchId::random();
        assert!(database.write(id, &[&record, &record]).is_ok());
        let answers = vec![Ok(()), Err(refusal)];
        database.partial = Some((id, answers.clone()));
        assert_eq!(database.write(id, &[&record, &record]), Ok(answers));
    }
}
