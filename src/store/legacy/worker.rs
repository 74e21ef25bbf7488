//! The thread with the connection: does what is asked, in turn, and again where the server was away or
//! another process in the way.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backon::BackoffBuilder as _;
use diesel::QueryResult;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::claims::{self, Claims};
use super::row::{Claimed, DiscoveredRow, Holder};
use super::session::Session;
use super::{LegacyLogin, create, torrents};
use crate::store::StoreError;

/// The most discoveries of a transaction.
const BATCH: usize = 200;
/// The first pause after a failure; it doubles, with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause, before jitter.
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// For how long the end waits for a database that is away.
const END: Duration = Duration::from_secs(5);
/// How often another process may be in the way before that counts as an outage.
const COLLISIONS: u32 = 5;

/// What a call does while the database is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holdback {
    /// Wait until it is back, or until the tables are closed.
    Wait,
    /// Fail.
    GiveUp,
}

/// Whether the database is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TablesHealth {
    /// It is.
    Connected,
    /// It is not, or does not let us write; it is tried again as long as something waits for it.
    Away(StoreError),
}

/// What the callers tell the thread while it works.
#[derive(Clone, Debug, Default)]
pub(super) struct Controls {
    pub(super) gives_up: Arc<AtomicBool>,
    pub(super) closing: CancellationToken,
}

pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

pub(super) enum Command {
    Discovered(DiscoveredRow, Answer<()>),
    Work(Box<dyn FnOnce(&mut Worker) + Send>),
    Close,
}

pub(super) struct Worker {
    login: LegacyLogin,
    session: Option<Session>,
    controls: Controls,
    health: watch::Sender<TablesHealth>,
    holders: HashMap<Holder, Claims>,
    renew_at: Instant,
    end_by: Option<Instant>,
}

impl Worker {
    pub(super) fn new(
        login: LegacyLogin,
        controls: Controls,
        health: watch::Sender<TablesHealth>,
    ) -> Self {
        Self {
            login,
            session: None,
            controls,
            health,
            holders: HashMap::new(),
            renew_at: Instant::now(),
            end_by: None,
        }
    }

    /// Connects, once, and makes what is missing.
    pub(super) fn open(&mut self) -> Result<Vec<(&'static str, Option<String>)>, StoreError> {
        let mut session = self.connect()?;
        let created = create::missing(&mut session);
        // What was made has columns.
        session.refresh()?;
        self.session = Some(session);
        Ok(created)
    }

    pub(super) fn run(&mut self, mut commands: mpsc::Receiver<Command>) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
        else {
            return;
        };
        let mut next = None;
        loop {
            self.renew();
            let command = match next.take() {
                Some(command) => Some(command),
                None if self.holders.values().any(Claims::is_held) => {
                    let wait = self.renew_at.saturating_duration_since(Instant::now());
                    let received = runtime
                        .block_on(async { tokio::time::timeout(wait, commands.recv()).await });
                    let Ok(received) = received else { continue };
                    received
                }
                None => commands.blocking_recv(),
            };
            match command {
                Some(Command::Discovered(row, answer)) => {
                    let mut batch = vec![(row, answer)];
                    while batch.len() < BATCH && next.is_none() {
                        match commands.try_recv() {
                            Ok(Command::Discovered(row, answer)) => batch.push((row, answer)),
                            Ok(other) => next = Some(other),
                            Err(_) => break,
                        }
                    }
                    self.discovered(batch);
                }
                Some(Command::Work(work)) => work(self),
                // What was sent before still comes.
                Some(Command::Close) => commands.close(),
                None => break,
            }
        }
        for (holder, _) in std::mem::take(&mut self.holders) {
            let _ = self.once(|session| claims::release_all(session, &holder));
        }
    }

    /// All in one transaction or, where the server refuses that, each in its own.
    fn discovered(&mut self, batch: Vec<(DiscoveredRow, Answer<()>)>) {
        let (rows, answers): (Vec<DiscoveredRow>, Vec<Answer<()>>) = batch.into_iter().unzip();
        let write = |worker: &mut Self, rows: &[DiscoveredRow]| {
            worker.attempt(|session| {
                session.transaction(|session| torrents::discovered(session, rows))
            })
        };
        let done = write(self, &rows);
        let is_refused = rows.len() > 1 && done.as_ref().is_err_and(StoreError::is_refusal);
        for (row, answer) in rows.iter().zip(answers) {
            let one = match &done {
                Err(_) if is_refused => write(self, std::slice::from_ref(row)),
                done => done.clone(),
            };
            let _ = answer.send(one);
        }
    }

    /// Runs `work` until the server has done or refused it. `work` is a transaction, or changes nothing when
    /// it is done once more: a commit may have come through although its answer did not.
    pub(super) fn attempt<T>(
        &mut self,
        mut work: impl FnMut(&mut Session) -> QueryResult<T>,
    ) -> Result<T, StoreError> {
        let mut pauses = backon::ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LAST_PAUSE)
            .without_max_times()
            .with_jitter()
            .build();
        let mut collisions = 0;
        loop {
            let error = match self.once(&mut work) {
                Err(error) if error.is_transient() => error,
                done => return done,
            };
            if matches!(error, StoreError::Locked { .. }) && collisions < COLLISIONS {
                collisions += 1;
            } else {
                self.say(TablesHealth::Away(error.clone()));
            }
            tracing::debug!(%error, "the old tables can't be written to");
            if self.controls.gives_up.load(Ordering::Relaxed) || self.has_to_end() {
                return Err(error);
            }
            std::thread::sleep(pauses.next().unwrap_or(LAST_PAUSE));
        }
    }

    /// Runs `work` once; connects before, where there is no connection.
    pub(super) fn once<T>(
        &mut self,
        work: impl FnOnce(&mut Session) -> QueryResult<T>,
    ) -> Result<T, StoreError> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.connect()?,
        };
        match work(&mut session) {
            Ok(done) => {
                self.session = Some(session);
                self.say(TablesHealth::Connected);
                Ok(done)
            }
            Err(error) => {
                let error = session.error(&error);
                let is_usable = error.is_refusal() || matches!(error, StoreError::Locked { .. });
                // After anything else the connection may be in any state.
                if is_usable && !session.is_broken() {
                    self.session = Some(session);
                }
                Err(error)
            }
        }
    }

    fn connect(&self) -> Result<Session, StoreError> {
        let opened = self.login.checked();
        let opened = opened.and_then(|url| Session::open(&url));
        opened.inspect_err(|error| self.say(TablesHealth::Away(error.clone())))
    }

    fn say(&self, health: TablesHealth) {
        self.health.send_if_modified(|said| {
            let is_news = std::mem::discriminant(said) != std::mem::discriminant(&health);
            if is_news {
                *said = health;
            }
            is_news
        });
    }

    /// Whether the tables were closed so long ago that nothing is tried again.
    fn has_to_end(&mut self) -> bool {
        if self.end_by.is_none() && self.controls.closing.is_cancelled() {
            self.end_by = Some(Instant::now() + END);
        }
        self.end_by.is_some_and(|end_by| Instant::now() >= end_by)
    }

    /// One step through the rows that wait; `None` where there are more, and none was got yet.
    pub(super) fn claim(
        &mut self,
        holder: &Holder,
        limit: u32,
    ) -> Result<Option<Claimed>, StoreError> {
        if !self.holders.values().any(Claims::is_held) {
            self.renew_at = Instant::now() + claims::RENEW;
        }
        let mut state = self.holders.remove(holder).unwrap_or_default();
        let step = self.attempt(|session| {
            let mut next = state.clone();
            let step = claims::claim(session, holder, &mut next, limit)?;
            Ok((step, next))
        });
        let step = step.map(|(step, next)| {
            state = next;
            step
        });
        self.holders.insert(holder.clone(), state);
        step
    }

    pub(super) fn release(
        &mut self,
        holder: &Holder,
        ids: &[i64],
        again: bool,
    ) -> Result<(), StoreError> {
        let left = self.attempt(|session| {
            session.transaction(|session| claims::release(session, holder, ids))
        })?;
        let state = self.holders.entry(holder.clone()).or_default();
        state.released(ids, left, again);
        Ok(())
    }

    /// Tells the server that the holders are alive, when it is time.
    fn renew(&mut self) {
        if Instant::now() < self.renew_at {
            return;
        }
        self.renew_at = Instant::now() + claims::RENEW;
        let holders: Vec<Holder> = self
            .holders
            .iter()
            .filter(|(_, state)| state.is_held())
            .map(|(holder, _)| holder.clone())
            .collect();
        for holder in holders {
            if let Err(error) = self.once(|session| claims::renew(session, &holder)) {
                tracing::debug!(%error, "claims could not be renewed");
                self.renew_at = Instant::now() + LAST_PAUSE;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::backlog::Count;
    use super::super::statement::Statement;
    use super::*;
    use crate::store::databases::{Database, Kind};

    #[test]
    fn who_works_on_rows_says_so_in_time() {
        let database = Database::new(Kind::Mariadb);
        let login = LegacyLogin {
            host: "localhost".to_owned(),
            port: 0,
            user: "metafetch".to_owned(),
            password: String::new(),
            database: database.name.clone(),
            socket: Some(database.server.directory.join("socket")),
        };
        let (told, _health) = watch::channel(TablesHealth::Connected);
        let mut worker = Worker::new(login, Controls::default(), told);
        worker.open().unwrap();
        database.run(
            "INSERT INTO discovered_torrents (info_hash) VALUES ('a'), ('b');
             INSERT INTO discovered_torrents_claim VALUES (3, 'another', '2025-01-01')",
        );
        let holder = Holder::new();
        let claimed = worker.claim(&holder, 10).unwrap().unwrap();
        assert_eq!(claimed.rows.len(), 2);
        let fresh = |worker: &mut Worker| {
            let query = "SELECT CAST(COUNT(*) AS SIGNED) AS number FROM discovered_torrents_claim \
                         WHERE expires_at > CURRENT_TIMESTAMP + INTERVAL 30 SECOND";
            let counts = worker.once(|session| session.load::<Count>(Statement::new(query)));
            counts.unwrap()[0].number
        };
        database.run("UPDATE discovered_torrents_claim SET expires_at = '2025-01-01'");
        worker.renew();
        assert_eq!(fresh(&mut worker), 0, "it is not time yet");
        worker.renew_at = Instant::now();
        // Another claim does not put it off.
        assert!(worker.claim(&holder, 10).unwrap().unwrap().is_end());
        worker.renew();
        assert_eq!(fresh(&mut worker), 2);
        // Nothing is renewed any more that was given back.
        worker.release(&holder, &[1, 2], true).unwrap();
        worker.renew_at = Instant::now();
        worker.renew();
        assert_eq!(fresh(&mut worker), 0);
    }
}
