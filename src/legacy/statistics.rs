//! What a run has done, counted, and the blocks that show it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A count that only grows.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Adds so many; the sum.
    pub(super) fn add(&self, number: u64) -> u64 {
        self.0.fetch_add(number, Ordering::Relaxed) + number
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Raises it to what somebody else has counted.
    pub(super) fn raise_to(&self, number: u64) {
        self.0.fetch_max(number, Ordering::Relaxed);
    }
}

/// What has been done so far.
#[derive(Debug)]
pub(super) struct Statistics {
    started: Instant,
    /// Hashes that were discovered, each time they were stored.
    pub(super) found: Count,
    /// Hashes whose metadata was asked for.
    pub(super) requested: Count,
    /// Of these, those that are in work or were.
    pub(super) begun: Count,
    /// Of these, those whose metadata came.
    pub(super) successful: Count,
    /// Those that were tried without success.
    pub(super) timed_out: Count,
    /// Those that could not be tried, and those that the database refused.
    pub(super) failed: Count,
    /// Those whose metadata came, and did not get into the database before the end.
    pub(super) unstored: Count,
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            found: Count::default(),
            requested: Count::default(),
            begun: Count::default(),
            successful: Count::default(),
            timed_out: Count::default(),
            failed: Count::default(),
            unstored: Count::default(),
        }
    }
}

/// What the network has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// DHT queries that were sent.
    pub(super) queries: u64,
    /// Peers that were found; one that has several hashes counts for each.
    pub(super) peers: u64,
}

impl Statistics {
    /// Hashes that are done, one way or the other.
    pub(super) fn processed(&self) -> u64 {
        self.successful.get() + self.timed_out.get() + self.failed.get()
    }

    /// Hashes in work.
    pub(super) fn active(&self) -> u64 {
        self.begun.get().saturating_sub(self.processed())
    }

    /// Hashes that wait.
    pub(super) fn waiting(&self) -> u64 {
        self.requested.get().saturating_sub(self.begun.get())
    }

    fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    #[expect(clippy::cast_precision_loss, reason = "for the eye")]
    fn rate(&self, queries: u64) -> f64 {
        let seconds = self.started.elapsed().as_secs_f64();
        if seconds > 0.0 {
            queries as f64 / seconds
        } else {
            0.0
        }
    }

    /// The two lines of every few seconds, with the local time.
    pub(super) fn metadata_lines(&self, clock: &str) -> Vec<String> {
        vec![
            format!(
                "[{clock}] METADATA: torrents={} requested={} active={} queue={}",
                self.found.get(),
                self.requested.get(),
                self.active(),
                self.waiting()
            ),
            format!(
                "[{clock}] METADATA: queued={} worker_queue={} worker_active={}",
                self.requested.get(),
                self.waiting(),
                self.active()
            ),
        ]
    }

    /// The block of `--verbose`. `workers` is `None` in sequential mode.
    pub(super) fn progress(
        &self,
        traffic: Traffic,
        workers: Option<i32>,
        listen: &str,
    ) -> Vec<String> {
        let mode = if workers.is_some() {
            "CONCURRENT"
        } else {
            "SEQUENTIAL"
        };
        let mut lines = vec![
            String::new(),
            format!("*** PROGRESS UPDATE ({mode} MODE) ***"),
            format!("Queries sent: {}", traffic.queries),
        ];
        if let Some(workers) = workers {
            lines.push(format!("Queries generated: {}", traffic.queries));
            lines.push(format!("Active workers: {workers}"));
        }
        lines.extend([
            format!("Torrents found: {}", self.found.get()),
            format!("Peers found: {}", traffic.peers),
            format!("Metadata fetched: {}", self.successful.get()),
            format!("Metadata queue: {} pending (WORKER POOL)", self.waiting()),
            format!("Active metadata requests: {}", self.active()),
            format!("Elapsed time: {} seconds", self.seconds()),
            format!("Rate: {:.2} queries/sec", self.rate(traffic.queries)),
            format!("Listening on: {listen} (configured)"),
        ]);
        if let Some(workers) = workers {
            lines.extend([
                "=== CONCURRENT DHT STATISTICS ===".to_owned(),
                format!("Workers: {workers}"),
                format!("Queries sent: {}", traffic.queries),
                "=================================".to_owned(),
            ]);
        }
        lines
    }

    /// The block of `--verbose` at the end of normal mode.
    pub(super) fn complete(&self, traffic: Traffic, workers: Option<i32>) -> Vec<String> {
        let mut lines = vec![
            String::new(),
            "=== CRAWLING COMPLETE ===".to_owned(),
            match workers {
                Some(_) => "Mode: Concurrent DHT Worker Pool".to_owned(),
                None => "Mode: Sequential DHT".to_owned(),
            },
            format!("Total queries sent: {}", traffic.queries),
        ];
        if workers.is_some() {
            lines.push(format!("Total queries generated: {}", traffic.queries));
            lines.push("Active workers: 0".to_owned());
        }
        lines.extend([
            format!("Total torrents found: {}", self.found.get()),
            format!("Total peers found: {}", traffic.peers),
            format!("Total metadata fetched: {}", self.successful.get()),
            format!("Metadata queue size: {}", self.waiting()),
            format!("Total metadata queued: {}", self.requested.get()),
            format!("Total metadata processed: {}", self.processed()),
            format!("Total elapsed time: {} seconds", self.seconds()),
            format!(
                "Average rate: {:.2} queries/sec",
                self.rate(traffic.queries)
            ),
        ]);
        lines
    }

    /// The statistics of the end, once; `requests` asks for those of the requests, too, whose first line
    /// has this prefix.
    pub(super) fn last(&self, traffic: Traffic, requests: Option<&str>) -> Vec<String> {
        let mut lines = vec![
            String::new(),
            "*** GRACEFUL SHUTDOWN INITIATED ***".to_owned(),
            "Saving final statistics...".to_owned(),
            "Final Statistics:".to_owned(),
            format!("- Total queries sent: {}", traffic.queries),
            format!("- Total torrents found: {}", self.found.get()),
            format!("- Total peers found: {}", traffic.peers),
            format!("- Total metadata fetched: {}", self.successful.get()),
        ];
        if let Some(prefix) = requests {
            lines.extend([
                format!("{prefix}[MetadataManager] "),
                "=== ENHANCED METADATA STATISTICS ===".to_owned(),
                format!("Total requests: {}", self.requested.get()),
                format!("Successful requests: {}", self.successful.get()),
                format!("Failed requests: {}", self.failed.get()),
                format!("Timeout requests: {}", self.timed_out.get()),
                format!("Success rate: {:.2}%", self.success_rate()),
                "=====================================".to_owned(),
                String::new(),
            ]);
        }
        lines.extend([
            "Metadata Worker Pool Statistics:".to_owned(),
            format!("- Total queued: {}", self.requested.get()),
            format!("- Total processed: {}", self.processed()),
            format!("- Successful: {}", self.successful.get()),
            format!("- Failed: {}", self.failed.get()),
            format!("- Timeouts: {}", self.timed_out.get()),
            format!("- Active requests: {}", self.active()),
            format!("- Queue size: {}", self.waiting()),
            "Shutting down metadata worker pool...".to_owned(),
        ]);
        lines
    }

    #[expect(clippy::cast_precision_loss, reason = "for the eye")]
    fn success_rate(&self) -> f64 {
        match self.requested.get() {
            0 => 0.0,
            requested => self.successful.get() as f64 * 100.0 / requested as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Statistics {
        let statistics = Statistics::default();
        statistics.found.add(9);
        statistics.requested.add(8);
        statistics.begun.add(6);
        statistics.successful.add(2);
        statistics.timed_out.add(1);
        statistics.failed.add(1);
        statistics
    }

    const TRAFFIC: Traffic = Traffic {
        queries: 100,
        peers: 7,
    };

    #[test]
    fn the_numbers_of_the_end_are_true() {
        let lines = some().last(TRAFFIC, None);
        for line in [
            "Final Statistics:",
            "- Total queries sent: 100",
            "- Total torrents found: 9",
            "- Total peers found: 7",
            "- Total metadata fetched: 2",
            "- Total queued: 8",
            "- Total processed: 4",
            "- Timeouts: 1",
            "- Active requests: 2",
            "- Queue size: 2",
        ] {
            assert_eq!(lines.iter().filter(|it| *it == line).count(), 1, "{line}");
        }
        assert!(!lines.iter().any(|line| line.contains("ENHANCED")));
        let more = some().last(TRAFFIC, Some("[METADATA_LOG] "));
        assert!(more.contains(&"[METADATA_LOG] [MetadataManager] ".to_owned()));
        assert!(
            more.contains(&"Success rate: 25.00%".to_owned()),
            "{more:?}"
        );
    }

    #[test]
    fn what_only_threads_have_is_not_shown_without_them() {
        let sequential = some().progress(TRAFFIC, None, "0.0.0.0:6881").join("\n");
        assert!(sequential.contains("*** PROGRESS UPDATE (SEQUENTIAL MODE) ***"));
        assert!(sequential.contains("\nListening on: 0.0.0.0:6881 (configured)"));
        assert!(!sequential.contains("workers"), "{sequential}");
        let concurrent = some().progress(TRAFFIC, Some(4), "0.0.0.0:6881").join("\n");
        assert!(concurrent.contains("\nActive workers: 4\n"));
        assert!(concurrent.contains("=== CONCURRENT DHT STATISTICS ==="));
    }

    #[test]
    fn the_lines_of_the_clock() {
        assert_eq!(
            some().metadata_lines("12:00:01"),
            [
                "[12:00:01] METADATA: torrents=9 requested=8 active=2 queue=2",
                "[12:00:01] METADATA: queued=8 worker_queue=2 worker_active=2",
            ]
        );
    }
}
