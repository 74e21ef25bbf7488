//! What is told of each part of the service, by what was seen of it.

use super::{Condition, Part};
use crate::daemon::heartbeat::Stuck;
use crate::daemon::source::SourceState;
use crate::libtorrent::{DhtHealth, Health};
use crate::store::disk::{LITTLE, TOO_LITTLE};
use crate::store::{StoreError, StoreHealth};

/// What is wrong, without a path, a host or a user.
pub(super) fn plain(error: &StoreError) -> &'static str {
    match error {
        StoreError::ReadOnly { .. } => "it is read-only",
        StoreError::Locked { .. } => "another process holds its lock",
        StoreError::Unreachable { .. } => "its server can't be reached",
        StoreError::ConnectionLost { .. } => "the connection to its server was lost",
        StoreError::AccessDenied { .. } => "its server refuses access",
        StoreError::Full { .. } => "the disk is full, or the limit of the database",
        StoreError::Corrupt { .. } => "it is damaged",
        StoreError::Io { .. } => "it can't be read or written",
        StoreError::Busy { .. } => "it is too busy",
        StoreError::Closed => "it is closed",
        _ => "it does not work",
    }
}

pub(super) fn store_part(health: &StoreHealth, read: Result<(), String>) -> Part {
    let part = |condition, reason: String| Part::new("store", condition, reason);
    let waiting = health.journal_records;
    match (&health.last_error, read) {
        (None, Ok(())) if waiting == 0 => part(
            Condition::Ok,
            "the database can be read and written".to_owned(),
        ),
        (None, Ok(())) => part(
            Condition::Degraded,
            format!("the database is back; {waiting} records of its journal are being stored"),
        ),
        (Some(error), _) if health.journal.is_some() && waiting > 0 => part(
            Condition::Degraded,
            format!(
                "the database can't be written to, since {}; {waiting} records wait in the journal \
                 ({} bytes), and nothing is lost",
                plain(error),
                health.journal_bytes
            ),
        )
        .advised(
            "bring the database back: the journal is stored by itself. The log and `metafetch doctor` \
             have the particulars",
        ),
        (Some(error), _) => part(
            Condition::Failed,
            format!("the database can't be written to, since {}", plain(error)),
        )
        .advised("bring the database back; the log and `metafetch doctor` have the particulars"),
        (None, Err(error)) => part(
            Condition::Failed,
            format!("the database can't be read: {error}"),
        )
        .advised("bring the database back; the log and `metafetch doctor` have the particulars"),
    }
}

pub(super) fn disk_part(free: Result<Option<u64>, String>) -> Part {
    let part = |condition, reason: String| Part::new("disk", condition, reason);
    let advice = "free some space, or keep the database small: `store.size_limit`, `metafetch db prune --max-size`";
    match free {
        Ok(None) => part(
            Condition::Ok,
            "the file system does not say how much is free".to_owned(),
        ),
        Ok(Some(free)) => {
            let reason = format!("{} free", bytesize::ByteSize(free));
            if free < TOO_LITTLE {
                part(Condition::Failed, reason).advised(advice)
            } else if free < LITTLE {
                part(Condition::Degraded, reason).advised(advice)
            } else {
                part(Condition::Ok, reason)
            }
        }
        Err(error) => part(
            Condition::Failed,
            format!("the disk can't be looked at: {error}"),
        )
        .advised("check the disk and its mount"),
    }
}

pub(super) fn dht_part(is_wanted: bool, is_away: bool, health: Option<&Health>) -> Part {
    let part = |condition, reason: String| Part::new("dht", condition, reason);
    if !is_wanted {
        return part(Condition::Off, "the DHT is not to be asked".to_owned());
    }
    let Some(health) = health else {
        return part(
            Condition::Failed,
            "libtorrent, which has the DHT node, did not start".to_owned(),
        )
        .advised("the log says why; check the libtorrent settings");
    };
    let away =
        "the network seems to be away: nothing comes in, whoever is asked; hashes wait for it";
    let network = "check the network of this host; the work goes on by itself";
    match &health.dht {
        DhtHealth::Off => part(Condition::Off, "the DHT is not to be asked".to_owned()),
        DhtHealth::Failed(_) => part(
            Condition::Failed,
            "the DHT node does not work: it has no socket, or no node answers".to_owned(),
        )
        .advised("check the network, `network.listen` and `network.bootstrap`; the log has the particulars"),
        _ if is_away => part(Condition::Failed, away.to_owned()).advised(network),
        DhtHealth::Starting => part(Condition::Failed, "no DHT node has answered yet".to_owned())
            .advised("wait for some seconds; if it stays so, check the network and `network.bootstrap`"),
        DhtHealth::Ready { nodes } => part(Condition::Ok, format!("{nodes} DHT nodes are known")),
        DhtHealth::Degraded { nodes, .. } => part(
            Condition::Degraded,
            format!("{nodes} DHT nodes are known, but not all is as it should be"),
        )
        .advised("the log says what; `metafetch doctor` checks the network"),
    }
}

pub(super) fn ports_part(health: Option<&Health>) -> Part {
    let part = |condition, reason: String| Part::new("ports", condition, reason);
    let Some(health) = health else {
        return part(Condition::Off, "nothing listens for peers".to_owned());
    };
    let listening = format!(
        "{} TCP and {} UDP endpoints are listened at",
        health.tcp.len(),
        health.udp.len()
    );
    match health.listen_errors.len() {
        0 => part(Condition::Ok, listening),
        errors => part(
            Condition::Degraded,
            format!("{listening}; {errors} could not be, and are tried again"),
        )
        .advised("see in the log which port is taken; end who has it, or change `network.listen`"),
    }
}

pub(super) fn queue_part(sources: &[SourceState]) -> Part {
    let part = |condition, reason: String| Part::new("queue", condition, reason);
    let enabled = || sources.iter().filter(|source| source.enabled);
    // What they are may have paths in it.
    let problems = enabled().filter(|source| source.problem.is_some());
    let problems: Vec<&str> = problems.map(|source| source.name.as_str()).collect();
    let paused = enabled().filter(|source| source.paused);
    let paused: Vec<&str> = paused.map(|source| source.name.as_str()).collect();
    let (waiting, in_work) = enabled().fold((0_u64, 0_u64), |(waiting, in_work), source| {
        (
            waiting.saturating_add(source.waiting),
            in_work.saturating_add(source.in_work),
        )
    });
    let state = format!("{waiting} hashes wait, {in_work} are in work");
    if !problems.is_empty() {
        return part(
            Condition::Degraded,
            format!("{state}; something is wrong with {}", problems.join(", ")),
        )
        .advised("GET /admin/sources has the particulars");
    }
    if paused.is_empty() {
        return part(Condition::Ok, state);
    }
    part(
        Condition::Degraded,
        format!("{state}; paused: {}", paused.join(", ")),
    )
    .advised("resume the sources when it is time: POST /admin/sources/{name}/resume")
}

pub(super) fn loops_part(stuck: &[Stuck]) -> Part {
    if stuck.is_empty() {
        return Part::new("loops", Condition::Ok, "all loops go round");
    }
    let stuck: Vec<String> = stuck
        .iter()
        .map(|it| format!("{} for {} s", it.name, it.silent_seconds))
        .collect();
    let reason = format!("nothing was heard of {}", stuck.join(", "));
    Part::new("loops", Condition::Failed, reason)
        .advised("restart the service, and report what the log has; systemd does so by itself")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::daemon::source::SourceName;

    fn full(database: &str) -> StoreError {
        StoreError::Full {
            database: database.to_owned(),
        }
    }

    #[test]
    fn a_store_that_spills_is_degraded_and_one_that_can_not_has_failed() {
        let well = StoreHealth::default();
        assert_eq!(store_part(&well, Ok(())).condition, Condition::Ok);
        let unread = store_part(&well, Err("no answer".to_owned()));
        assert_eq!(unread.condition, Condition::Failed);
        let away = StoreHealth {
            last_error: Some(full("/secret/path.db")),
            ..StoreHealth::default()
        };
        let part = store_part(&away, Ok(()));
        assert_eq!(part.condition, Condition::Failed);
        assert!(part.advice.is_some());
        assert!(!format!("{part:?}").contains("secret"), "{part:?}");
        let spilling = StoreHealth {
            journal: Some(PathBuf::from("/secret/journal")),
            journal_records: 7,
            ..away
        };
        let part = store_part(&spilling, Err("no answer".to_owned()));
        assert_eq!(part.condition, Condition::Degraded);
        assert!(part.reason.contains("7 records"), "{part:?}");
        assert!(!format!("{part:?}").contains("secret"), "{part:?}");
        let back = StoreHealth {
            last_error: None,
            ..spilling
        };
        assert_eq!(store_part(&back, Ok(())).condition, Condition::Degraded);
    }

    #[test]
    fn a_disk_fails_before_it_is_full() {
        let condition = |free| disk_part(free).condition;
        assert_eq!(condition(Ok(Some(u64::MAX))), Condition::Ok);
        assert_eq!(condition(Ok(None)), Condition::Ok);
        assert_eq!(condition(Ok(Some(LITTLE - 1))), Condition::Degraded);
        assert_eq!(condition(Ok(Some(0))), Condition::Failed);
        assert_eq!(condition(Err("gone".to_owned())), Condition::Failed);
    }

    #[test]
    fn a_dht_that_is_off_is_no_failure_and_one_that_is_away_is() {
        let with = |dht| Health {
            dht,
            ..Health::default()
        };
        let ready = with(DhtHealth::Ready { nodes: 9 });
        let condition =
            |wanted, away, health: Option<&Health>| dht_part(wanted, away, health).condition;
        assert_eq!(condition(false, false, None), Condition::Off);
        assert_eq!(condition(true, false, None), Condition::Failed);
        assert_eq!(condition(true, false, Some(&ready)), Condition::Ok);
        assert_eq!(condition(true, true, Some(&ready)), Condition::Failed);
        let starting = with(DhtHealth::Starting);
        assert_eq!(condition(true, false, Some(&starting)), Condition::Failed);
        let failed = with(DhtHealth::Failed("no UDP socket at 10.1.2.3".to_owned()));
        let part = dht_part(true, false, Some(&failed));
        assert_eq!(part.condition, Condition::Failed);
        assert!(!part.reason.contains("10.1.2.3"), "{part:?}");
    }

    #[test]
    fn sources_with_a_problem_or_a_pause_are_named() {
        let crawl = SourceState {
            name: SourceName::Crawl,
            enabled: true,
            paused: false,
            weight: 1,
            limit: 1,
            waiting: 3,
            in_work: 2,
            resolved: 0,
            failed: 0,
            problem: None,
        };
        assert_eq!(
            queue_part(std::slice::from_ref(&crawl)).condition,
            Condition::Ok
        );
        let paused = SourceState {
            paused: true,
            ..crawl.clone()
        };
        let part = queue_part(std::slice::from_ref(&paused));
        assert_eq!(part.condition, Condition::Degraded);
        assert!(part.reason.contains("crawl"), "{part:?}");
        let off = SourceState {
            enabled: false,
            ..paused
        };
        assert_eq!(queue_part(&[off]).condition, Condition::Ok);
        let wrong = SourceState {
            problem: Some("/secret/path is not there".to_owned()),
            ..crawl
        };
        let part = queue_part(&[wrong]);
        assert_eq!(part.condition, Condition::Degraded);
        assert!(part.reason.contains("crawl"), "{part:?}");
        assert!(!part.reason.contains("secret"), "{part:?}");
    }

    #[test]
    fn a_loop_that_is_stuck_is_named() {
        assert_eq!(loops_part(&[]).condition, Condition::Ok);
        let stuck = Stuck {
            name: "queue",
            silent_seconds: 40,
        };
        let part = loops_part(&[stuck]);
        assert_eq!(part.condition, Condition::Failed);
        assert!(part.reason.contains("queue for 40 s"), "{part:?}");
    }
}
