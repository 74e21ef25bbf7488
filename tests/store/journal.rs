//! The text of a journal: whatever is written reads back, and whatever is broken is noticed.

use std::time::Duration;

use metafetch::history::Attempt;
use metafetch::store::journal::{Entry, HEADER, Line, Lines, line};
use metafetch::store::{BatchId, FailedTorrent, Record, RecordResult, ResolvedTorrent};
use metafetch::torrent::{Infohash, PeerAddr, PeerSource, Phase, Reason, Way};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn infohash() -> impl Strategy<Value = Infohash> {
    prop_oneof![
        any::<[u8; 20]>().prop_map(Infohash::V1),
        any::<[u8; 32]>().prop_map(Infohash::V2),
        (any::<[u8; 20]>(), any::<[u8; 32]>()).prop_map(|(v1, v2)| Infohash::Hybrid { v1, v2 }),
    ]
}

fn peer() -> impl Strategy<Value = PeerAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(|(ip, port)| PeerAddr::new(ip, port))
}

fn phase() -> impl Strategy<Value = Phase> {
    select(vec![Phase::Lookup, Phase::Handshake, Phase::Verify])
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let way = (
        select(Way::ALL.to_vec()),
        select(vec![PeerSource::Dht, PeerSource::Inbound]),
    );
    let times = (
        any::<i64>(),
        any::<Duration>(),
        option::of(any::<Duration>()),
    );
    let end = (phase(), option::of(select(Reason::ALL.to_vec())));
    let texts = (
        any::<String>(),
        any::<String>(),
        option::of(any::<String>()),
    );
    (peer(), way, times, end, texts, option::of(any::<u64>())).prop_map(
        |(peer, (way, source), times, (phase, outcome), (detail, why, client), metadata_size)| {
            Attempt {
                way,
                peer,
                source,
                started_at_ms: times.0,
                duration: times.1,
                connect_time: times.2,
                phase,
                outcome,
                detail,
                why,
                metadata_size,
                client,
            }
        },
    )
}

fn resolved() -> impl Strategy<Value = RecordResult> {
    let hashes = (infohash(), option::of(any::<[u8; 32]>()));
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<bool>());
    let texts = (any::<String>(), any::<String>(), any::<String>());
    let lists = (
        vec(any::<u8>(), 0..200),
        vec(any::<String>(), 0..3),
        vec((any::<String>(), any::<u64>()), 0..3),
    );
    (hashes, numbers, texts, lists, option::of(peer())).prop_map(
        |(hashes, numbers, texts, (info, trackers, files), peer)| {
            RecordResult::Resolved(Box::new(ResolvedTorrent {
                infohash: hashes.0,
                infohash_v2: hashes.1,
                name: texts.0,
                size: numbers.0,
                piece_length: numbers.1,
                pieces_count: numbers.2,
                private: numbers.3,
                source: texts.1,
                info,
                trackers,
                files,
                arm: texts.2,
                peer,
            }))
        },
    )
}

fn failed() -> impl Strategy<Value = RecordResult> {
    let times = (any::<u32>(), any::<i64>(), any::<i64>());
    (
        select(Reason::ALL.to_vec()),
        phase(),
        any::<String>(),
        times,
    )
        .prop_map(
            |(reason, phase, detail, (failures, failed_at_ms, retry_at_ms))| {
                RecordResult::Failed(FailedTorrent {
                    reason,
                    phase,
                    detail,
                    failures,
                    failed_at_ms,
                    retry_at_ms,
                })
            },
        )
}

fn entry() -> impl Strategy<Value = Entry> {
    let result = prop_oneof![resolved(), failed(), Just(RecordResult::AttemptsOnly)];
    let record = (infohash(), result, vec(attempt(), 0..3), any::<i64>());
    let record = record.prop_map(|(infohash, result, attempts, at_ms)| Record {
        infohash,
        result,
        attempts,
        tracker_replies: Vec::new(),
        at_ms,
    });
    vec(record, 0..3).prop_map(|records| Entry {
        batch_id: BatchId::random(),
        records,
    })
}

fn written(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = HEADER.as_bytes().to_vec();
    for entry in entries {
        let records: Vec<_> = entry.records.iter().collect();
        bytes.extend(line(entry.batch_id, &records).unwrap());
    }
    bytes
}

fn read(bytes: &[u8]) -> Vec<Line> {
    let mut lines = Lines::new(bytes, 0);
    std::iter::from_fn(|| lines.next_line().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_journal_reads_back(entries in vec(entry(), 0..4)) {
        let expected: Vec<_> = entries.iter().cloned().map(Line::Entry).collect();
        prop_assert_eq!(read(&written(&entries)), expected);
    }

    #[test]
    fn a_journal_that_was_cut_has_its_first_entries(
        entries in vec(entry(), 1..4),
        at in any::<prop::sample::Index>(),
    ) {
        let bytes = written(&entries);
        let cut = at.index(bytes.len());
        let mut lines = read(&bytes[..cut]);
        let is_torn = lines.pop_if(|line| *line == Line::Torn).is_some();
        let expected: Vec<_> = entries.iter().cloned().map(Line::Entry).take(lines.len()).collect();
        prop_assert_eq!(&lines, &expected);
        let at_end = bytes[..cut].is_empty() || bytes[..cut].ends_with(b"\n");
        // All of a line but its end is not torn: nothing is missing.
        let is_whole = bytes[cut] == b'\n' && cut >= HEADER.len();
        prop_assert_eq!(is_torn, !at_end && !is_whole);
    }

    #[test]
    fn a_byte_that_was_changed_is_noticed(
        entries in vec(entry(), 1..4),
        at in any::<prop::sample::Index>(),
        bits in 1_u8..,
    ) {
        let mut bytes = written(&entries);
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        let lines = read(&bytes);
        let mut rest = entries.into_iter();
        let mut is_noticed = false;
        for line in &lines {
            match line {
                Line::Entry(entry) => {
                    prop_assert!(rest.by_ref().any(|written| written == *entry), "made up");
                }
                Line::Damaged | Line::Torn | Line::OtherVersion => is_noticed = true,
            }
        }
        let is_last = at + 1 == bytes.len();
        let all = lines.iter().filter(|line| matches!(line, Line::Entry(_))).count();
        prop_assert!(is_noticed || (is_last && all == lines.len()));
    }

    #[test]
    fn garbage_is_no_journal(bytes in vec(any::<u8>(), 0..500)) {
        prop_assert!(read(&bytes).iter().all(|line| !matches!(line, Line::Entry(_))));
    }
}
