//! How each peer in work is, for the log: every half a minute, at the level `debug`.

use std::time::Duration;

use tokio::time::Instant;

use super::Work;
use crate::torrent::Arm;

/// How often it is said. All hashes say it at the same moments.
const EVERY: Duration = Duration::from_secs(30);
/// The target of these lines.
const PEERS: &str = "metafetch::peers";
/// Peers of one hash that are named, at the most.
const MOST: usize = 64;

/// The next moment of all those that count from `start`.
pub(super) fn next_report(start: Instant, now: Instant) -> Instant {
    let periods = now.duration_since(start).as_secs() / EVERY.as_secs() + 1;
    start + EVERY.saturating_mul(u32::try_from(periods).unwrap_or(u32::MAX))
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Work<'_> {
    /// Says how each peer is, where it is time, and somebody listens.
    pub(super) fn report_peers(&mut self) {
        let now = Instant::now();
        if now < self.report_at {
            return;
        }
        self.report_at = next_report(self.stations.began, now);
        if !tracing::enabled!(target: PEERS, tracing::Level::DEBUG) {
            return;
        }
        let direct = self.direct.progress().take(MOST);
        for (peer, since, progress) in direct {
            let state = progress.state();
            let (blocks, of) = state.blocks;
            tracing::debug!(
                target: PEERS,
                %peer,
                arm = Arm::Direct.as_str(),
                phase = progress.phase().as_str(),
                for_ms = ms(since.elapsed()),
                last_activity_ms = state.silent.map(ms),
                choking_us = state.choking_us,
                interested_in_us = state.interested_in_us,
                // We never are: metadata is given to those that are choked, too.
                we_are_interested = false,
                blocks,
                of,
                "peer in work"
            );
        }
        for (peer, it) in self.libtorrent.progress().take(MOST) {
            tracing::debug!(
                target: PEERS,
                %peer,
                arm = Arm::Libtorrent.as_str(),
                way = %it.way,
                phase = it.phase.as_str(),
                for_ms = ms(it.since.elapsed()),
                last_activity_ms = ms(it.changed.elapsed()),
                client = ?it.client,
                metadata_size = it.metadata_size,
                "peer in work"
            );
        }
        let (peers, refused) = (self.peers.len(), self.peers.refused());
        let (direct, libtorrent) = (
            self.direct.in_hand().count(),
            self.libtorrent.in_hand().count(),
        );
        tracing::debug!(
            target: PEERS,
            peers,
            refused,
            direct,
            libtorrent,
            phase = self.phase().as_str(),
            for_ms = ms(self.started.elapsed()),
            "hash in work"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_hashes_say_it_at_the_same_moments() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(next_report(start, at(0)), at(30));
        assert_eq!(next_report(start, at(29)), at(30));
        assert_eq!(next_report(start, at(30)), at(60));
        assert_eq!(next_report(start, at(95)), at(120));
    }
}
