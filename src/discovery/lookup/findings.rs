//! What the nodes said about one hash, merged.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::Ranked;
use crate::torrent::PeerAddr;
use crate::wire::krpc::ScrapeFilter;

/// Peers that are kept. The largest swarms have more than anybody needs.
const KEPT: usize = 1000;
/// Peers nobody else has named that one node may add. Honest answers hold 50 to 100; a node that makes
/// them up is to fill no more than its share.
const KEPT_OF_ONE: usize = 64;
/// How much larger than the median one filter may be: a node that fills its filter would make the
/// swarm look huge.
const TALL: f64 = 4.0;
/// Addresses that a filter may hold whatever the others do.
const SMALL: f64 = 50.0;

#[derive(Clone, Copy, Debug)]
struct Finding {
    reports: u32,
    /// It is a node of the DHT that the lookup met.
    is_node: bool,
    /// When it changed last.
    version: u64,
}

/// Peers, each with the number of nodes that named it, and filters of seeds and leeches.
#[derive(Debug, Default)]
pub(super) struct Findings {
    peers: HashMap<PeerAddr, Finding>,
    /// Counts changes.
    version: u64,
    seeds: Vec<ScrapeFilter>,
    leeches: Vec<ScrapeFilter>,
}

impl Findings {
    /// Takes in the peers that one node named; says whether something changed.
    pub(super) fn named(&mut self, peers: impl IntoIterator<Item = PeerAddr>) -> bool {
        let before = self.version;
        let version = before + 1;
        let mut new = 0;
        // Nobody counts twice.
        for peer in peers.into_iter().collect::<HashSet<_>>() {
            let full = self.peers.len() >= KEPT || new >= KEPT_OF_ONE;
            match self.peers.get_mut(&peer) {
                Some(known) => {
                    known.reports = known.reports.saturating_add(1);
                    known.version = version;
                }
                None if full => continue,
                None => {
                    let finding = Finding {
                        reports: 1,
                        is_node: false,
                        version,
                    };
                    self.peers.insert(peer, finding);
                    new += 1;
                }
            }
            self.version = version;
        }
        self.version != before
    }

    /// Marks the peers that are nodes; says whether something changed.
    pub(super) fn mark_nodes(&mut self, is_node: impl Fn(&PeerAddr) -> bool) -> bool {
        let before = self.version;
        let version = before + 1;
        for (peer, finding) in &mut self.peers {
            if !finding.is_node && is_node(peer) {
                finding.is_node = true;
                finding.version = version;
                self.version = version;
            }
        }
        self.version != before
    }

    /// Takes in the filters of one node (BEP 33).
    pub(super) fn scraped(&mut self, seeds: Option<&ScrapeFilter>, leeches: Option<&ScrapeFilter>) {
        self.seeds.extend(seeds);
        self.leeches.extend(leeches);
    }

    /// What changed after `version`, those with the most reports first, and the version now.
    pub(super) fn since(&self, version: u64) -> (Vec<Ranked>, u64) {
        let changed = self
            .peers
            .iter()
            .filter(|(_, known)| known.version > version);
        let ranked = changed.map(|(addr, known)| Ranked {
            addr: *addr,
            reports: if known.is_node { 0 } else { known.reports },
        });
        let mut peers: Vec<_> = ranked.collect();
        peers.sort_unstable_by_key(|peer| (Reverse(peer.reports), peer.addr));
        (peers, self.version)
    }

    /// How many peers there are.
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    /// About how many seeds and leeches there are, where a node said.
    pub(super) fn scrape(&self) -> (Option<u32>, Option<u32>) {
        (estimate(&self.seeds), estimate(&self.leeches))
    }
}

fn estimate(filters: &[ScrapeFilter]) -> Option<u32> {
    let mut estimates: Vec<f64> = filters.iter().map(ScrapeFilter::estimate).collect();
    estimates.sort_by(f64::total_cmp);
    let median = *estimates.get(estimates.len().checked_sub(1)? / 2)?;
    let most = (median * TALL).max(SMALL);
    let mut merged = ScrapeFilter::EMPTY;
    for filter in filters.iter().filter(|filter| filter.estimate() <= most) {
        merged.merge(filter);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some thousands at most, and not below zero"
    )]
    let estimate = merged.estimate().round() as u32;
    Some(estimate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> PeerAddr {
        text.parse().unwrap()
    }

    fn ranked(text: &str, reports: u32) -> Ranked {
        Ranked {
            addr: addr(text),
            reports,
        }
    }

    #[test]
    fn peers_are_ranked_by_reports_and_nodes_come_last() {
        let mut findings = Findings::default();
        assert!(findings.named(["1.1.1.1:1", "1.1.1.1:1", "2.2.2.2:2"].map(addr)));
        let (first, version) = findings.since(0);
        assert_eq!(first, [ranked("1.1.1.1:1", 1), ranked("2.2.2.2:2", 1)]);
        assert!(findings.named(["2.2.2.2:2", "3.3.3.3:3"].map(addr)));
        let (changed, version) = findings.since(version);
        assert_eq!(changed, [ranked("2.2.2.2:2", 2), ranked("3.3.3.3:3", 1)]);
        assert!(!findings.named([]));
        assert!(findings.mark_nodes(|peer| *peer == addr("2.2.2.2:2")));
        assert!(!findings.mark_nodes(|peer| *peer == addr("2.2.2.2:2")));
        assert_eq!(findings.since(version).0, [ranked("2.2.2.2:2", 0)]);
        assert_eq!(findings.since(0).0.last(), Some(&ranked("2.2.2.2:2", 0)));
    }

    #[test]
    fn a_node_that_makes_peers_up_does_not_crowd_out_the_others() {
        let mut findings = Findings::default();
        let fake =
            |node: u8| (1..=200).map(move |port| PeerAddr::new([6, 6, 6, node].into(), port));
        for node in 0..10 {
            findings.named(fake(node));
        }
        let honest: Vec<_> = (1..=50)
            .map(|host| PeerAddr::new([8, 8, 8, host].into(), 1))
            .collect();
        findings.named(honest.clone());
        findings.named(honest.clone());
        let (ranked, _) = findings.since(0);
        assert_eq!(ranked.len(), 10 * KEPT_OF_ONE + honest.len());
        // Those that two have named come first.
        assert!(
            ranked
                .iter()
                .take(50)
                .all(|peer| honest.contains(&peer.addr) && peer.reports == 2)
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut findings = Findings::default();
        for port in 1..5000 {
            findings.named([PeerAddr::new([8, 8, 8, 8].into(), port)]);
        }
        assert_eq!(findings.len(), KEPT);
    }

    fn filter(ones: usize) -> ScrapeFilter {
        let mut bits = [0; 256];
        bits[..ones].fill(0xff);
        ScrapeFilter::from_bytes(&bits).unwrap()
    }

    #[test]
    fn a_full_filter_does_not_make_a_swarm_huge() {
        let mut findings = Findings::default();
        assert_eq!(findings.scrape(), (None, None));
        findings.scraped(Some(&filter(10)), None);
        findings.scraped(Some(&filter(12)), None);
        findings.scraped(Some(&filter(256)), Some(&filter(0)));
        assert_eq!(findings.scrape(), (Some(49), Some(0)));
    }
}
