//! Disk and memory: while the database or the process is larger than it may be, nothing new begins.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::service::{Condition, Service};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(5);
/// Memory that nothing in work takes is not given back: after so long all goes on.
const IDLE: Duration = Duration::from_secs(60);
/// So much less than its limit something must be before all goes on: a share of a hundred.
const ROOM: u64 = 5;

/// Sizes in bytes, and what they may be.
#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    database: Option<(u64, u64)>,
    memory: Option<(u64, u64)>,
}

impl Sizes {
    /// Why nothing may begin; `is_held` is whether nothing may already, `is_in_vain` whether nothing is in work
    /// that could give memory back.
    fn hold(self, is_held: bool, is_in_vain: bool) -> Option<String> {
        let is_over = |(size, limit): (u64, u64)| {
            let limit = if is_held {
                limit - limit / 100 * ROOM
            } else {
                limit
            };
            size > limit
        };
        let [database, memory] =
            [self.database, self.memory].map(|of| of.filter(|of| is_over(*of)));
        if let Some((size, limit)) = database {
            return Some(format!(
                "the database has {size} bytes, and may have {limit}: delete some with `metafetch db prune`, or \
                 raise store.size_limit"
            ));
        }
        memory.filter(|_| !is_in_vain).map(|(size, limit)| {
            format!(
                "this process takes {size} bytes of memory, and may take {limit}: wait, or raise \
                 daemon.memory_limit"
            )
        })
    }
}

/// Looks until the service stops.
pub(super) async fn run(service: Service) {
    let mut is_held = false;
    let mut configs = service.configs();
    let unreadable = Condition::default();
    let mut database = None;
    let mut idle_since = None;
    loop {
        let sizes = sizes(&service, &unreadable, &mut database).await;
        let is_idle = is_held && service.queue().look(super::queue::State::in_work) == 0;
        idle_since = is_idle.then(|| idle_since.unwrap_or_else(Instant::now));
        let is_in_vain = idle_since.is_some_and(|since| since.elapsed() >= IDLE);
        let hold = sizes.hold(is_held, is_in_vain);
        if hold.is_some() != is_held {
            is_held = hold.is_some();
            if let Some(why) = &hold {
                tracing::warn!("nothing new begins: {why}");
            } else {
                tracing::warn!("there is room again, and all goes on");
            }
        }
        service.queue().change(|state| state.set_hold(hold));
        tokio::select! {
            () = service.stopped() => return,
            // A limit may have changed.
            changed = configs.changed() => if changed.is_err() { return },
            () = sleep(EVERY) => {}
        }
    }
}

/// `database` is the size of the database when it was last known.
async fn sizes(service: &Service, unreadable: &Condition, database: &mut Option<u64>) -> Sizes {
    let config = service.config();
    let mut sizes = Sizes::default();
    if let Some(limit) = config.store.size_limit {
        match service.store().used().await {
            Ok(size) => {
                *database = Some(size);
                if unreadable.ends() {
                    tracing::warn!("the size of the database is read again");
                }
            }
            Err(error) if unreadable.begins() => {
                tracing::warn!("the size of the database can't be read: {error}");
            }
            Err(_) => {}
        }
        sizes.database = database.map(|size| (size, limit.0));
    }
    if let Some(limit) = config.daemon.memory_limit {
        sizes.memory = memory().map(|memory| (memory, limit.0));
    }
    sizes
}

/// Bytes of memory that this process has; `None` where the system does not say.
fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_goes_on_only_with_some_room() {
        let held = |size, is_held| {
            let sizes = Sizes {
                database: Some((size, 1_000)),
                memory: None,
            };
            sizes.hold(is_held, true).is_some()
        };
        assert!(!held(1_000, false) && held(1_001, false));
        assert!(held(951, true) && !held(950, true));
        assert!(Sizes::default().hold(true, false).is_none());
        let memory = Sizes {
            database: Some((1, 2)),
            memory: Some((3, 2)),
        };
        assert!(memory.hold(true, false).unwrap().contains("memory"));
        assert!(
            memory.hold(true, true).is_none(),
            "nothing could give it back"
        );
    }

    #[test]
    fn this_process_takes_memory() {
        #[cfg(target_os = "linux")]
        assert!(memory().unwrap() > 100_000);
    }
}
