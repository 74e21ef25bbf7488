use std::net::Ipv4Addr;

use tokio::time::Instant;

use super::super::service::{Asked, Standing};
use super::super::source::SourceState;
use super::*;
use crate::discovery::crawl::{Discovered, DiscoverySource};
use crate::engine::Unresolved;
use crate::store::WantedTorrent;
use crate::torrent::{Failure, PeerAddr, PeerHint, Phase};
use crate::wire::krpc::NodeId;

fn hash(number: u8) -> Infohash {
    Infohash::V1([number; 20])
}

fn row(infohash: Infohash, source: SourceName, priority: i16, at: i64) -> WantedTorrent {
    WantedTorrent {
        infohash,
        source: source.as_str().to_owned(),
        priority,
        trackers: Vec::new(),
        peers: Vec::new(),
        requested_at_ms: at,
    }
}

fn failed(infohash: Infohash, reason: Reason, says_nothing: bool) -> Arc<Resolution> {
    let mut resolution = Resolution::internal(infohash, "");
    resolution.result = Err(Arc::new(Unresolved {
        failure: Failure::new(reason, Phase::Lookup, "test"),
        attempts: [].into(),
        retry_at_ms: None,
        says_nothing,
    }));
    Arc::new(resolution)
}

/// A state as after the first pages were read, with one place.
fn state() -> State {
    let mut config = Config::default();
    config.engine.jobs = 1;
    config.sources.directories = vec!["/none".into()];
    let mut state = State::new();
    state.configure(&config);
    for (name, page) in state.pages(Instant::now()) {
        state.read(name, &page, Some(Vec::new()));
    }
    state
}

fn want(state: &mut State, number: u8, source: SourceName, priority: i16) -> Asked {
    let row = row(hash(number), source, priority, i64::from(number));
    state.wanted(&row, Wanted::from(hash(number)), true)
}

fn begin(state: &mut State) -> (Infohash, Task) {
    let task = state.begin().expect("something may begin");
    (task.wanted.infohash, task)
}

#[tokio::test]
async fn a_hash_is_removed_only_after_its_answer() {
    let mut state = state();
    let asked = want(&mut state, 1, SourceName::Api, 0);
    assert!(!asked.joined);
    let standing = |state: &State| state.standing(&hash(1));
    let source = SourceName::Api;
    assert_eq!(standing(&state), Some(Standing::Queued { source }));
    let (infohash, task) = begin(&mut state);
    assert_eq!(standing(&state), Some(Standing::InWork { source }));
    assert!(state.begin().is_none(), "there is one place");
    assert!(!state.has_to_remove());
    let resolution = failed(infohash, Reason::NoPeers, false);
    let end = state.ended(&task, &resolution, Instant::now());
    assert_eq!(end, End::Answered);
    assert_eq!(state.take_to_remove(9), [hash(1)]);
    assert_eq!(standing(&state), None);
    assert!(asked.result.borrow().is_some());
    assert_eq!(state.rows(SourceName::Api), 0);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_answer_stays_and_comes_again_later() {
    for (reason, says_nothing) in [
        (Reason::Cancelled, true),
        (Reason::Internal, true),
        (Reason::NoPeers, true),
    ] {
        let mut state = state();
        let asked = want(&mut state, 1, SourceName::Directory, 0);
        let (infohash, task) = begin(&mut state);
        let resolution = failed(infohash, reason, says_nothing);
        let end = state.ended(&task, &resolution, Instant::now());
        assert_eq!(end, End::Kept, "{reason}");
        assert!(!state.has_to_remove());
        // Whoever stops gives no answer.
        assert_eq!(asked.result.borrow().is_some(), reason != Reason::Cancelled);
        assert!(state.begin().is_none(), "not at once");
        assert!(state.pages(Instant::now()).is_empty());
        tokio::time::advance(super::super::lane::AGAIN_AFTER).await;
        let pages = state.pages(Instant::now());
        let [(name, page)] = pages.as_slice() else {
            panic!("{pages:?}");
        };
        let row = row(hash(1), *name, 0, 1);
        state.read(*name, page, Some(vec![row]));
        assert_eq!(begin(&mut state).0, hash(1));
    }
}

#[test]
fn a_failure_that_says_nothing_is_an_answer_in_the_end() {
    for (reason, says_nothing) in [(Reason::NoPeers, true), (Reason::Internal, false)] {
        let mut state = state();
        let ends: Vec<End> = (0..TRIES)
            .map(|_| {
                want(&mut state, 1, SourceName::Api, 0);
                let (infohash, task) = begin(&mut state);
                let resolution = failed(infohash, reason, says_nothing);
                state.ended(&task, &resolution, Instant::now())
            })
            .collect();
        assert_eq!(ends, [End::Kept, End::Kept, End::Answered], "{reason}");
    }
}

#[test]
fn a_result_that_is_not_stored_is_told_and_the_row_stays() {
    let mut state = state();
    let asked = want(&mut state, 1, SourceName::Api, 0);
    let (infohash, task) = begin(&mut state);
    let mut resolution = (*failed(infohash, Reason::NoPeers, false)).clone();
    resolution.store_error = Some("the disk is full".to_owned());
    let end = state.ended(&task, &Arc::new(resolution), Instant::now());
    assert_eq!(end, End::Kept);
    assert!(!state.has_to_remove());
    assert!(asked.result.borrow().is_some());
    assert_eq!(state.totals().store_errors, 1);
}

#[test]
fn a_result_that_the_database_refuses_again_and_again_is_given_up() {
    let mut state = state();
    let mut ends = Vec::new();
    for _ in 0..TRIES {
        want(&mut state, 1, SourceName::Api, 0);
        let (infohash, task) = begin(&mut state);
        let mut resolution = (*failed(infohash, Reason::NoPeers, false)).clone();
        resolution.store_error = Some("refused".to_owned());
        resolution.store_refused = true;
        ends.push(state.ended(&task, &Arc::new(resolution), Instant::now()));
    }
    assert_eq!(ends, [End::Kept, End::Kept, End::Answered]);
    assert!(state.has_to_remove());
}

#[test]
fn what_waits_once_more_has_the_higher_priority_and_all_peers() {
    let mut state = state();
    want(&mut state, 1, SourceName::Api, 0);
    want(&mut state, 2, SourceName::Directory, 0);
    let again = row(hash(2), SourceName::Directory, 5, 2);
    let mut wanted = Wanted::from(hash(2));
    let peer = PeerHint::Addr(PeerAddr::new(Ipv4Addr::LOCALHOST.into(), 1));
    wanted.peers.push(peer.clone());
    assert!(state.known(&wanted, 5).is_none(), "its row is to change");
    let asked = state.wanted(&again, wanted, false);
    assert!(asked.joined);
    assert_eq!(
        state.waits(SourceName::Directory),
        1,
        "it has its row there"
    );
    state.set_paused(SourceName::Api, true);
    let (first, task) = begin(&mut state);
    assert_eq!(first, hash(2));
    assert_eq!(task.wanted.peers, [peer]);
    // In work: whoever asks joins without a row.
    assert!(state.known(&Wanted::from(hash(2)), 0).is_some());
}

#[test]
fn peers_that_are_named_while_it_is_in_work_are_tried_should_it_fail() {
    let mut state = state();
    state.jobs = 10;
    want(&mut state, 1, SourceName::Api, 0);
    let (infohash, task) = begin(&mut state);
    let mut wanted = Wanted::from(infohash);
    let peer = PeerHint::Addr(PeerAddr::new(Ipv4Addr::LOCALHOST.into(), 1));
    wanted.peers.push(peer.clone());
    let row = row(infohash, SourceName::Api, 0, 1);
    let asked = state.wanted(&row, wanted, false);
    assert!(asked.joined && state.begin().is_none());
    let resolution = failed(infohash, Reason::Refused, false);
    state.ended(&task, &resolution, Instant::now());
    assert!(!state.has_to_remove() && asked.result.borrow().is_none());
    let (_, task) = begin(&mut state);
    assert_eq!(task.wanted.peers, [peer]);
    state.ended(&task, &resolution, Instant::now());
    assert!(state.has_to_remove() && asked.result.borrow().is_some());
}

#[test]
fn one_that_is_wanted_again_while_its_row_goes_keeps_it() {
    let mut state = state();
    want(&mut state, 1, SourceName::Api, 0);
    let (infohash, task) = begin(&mut state);
    state.ended(
        &task,
        &failed(infohash, Reason::NoPeers, false),
        Instant::now(),
    );
    state.keep_rows(&[row(hash(1), SourceName::Api, 0, 2)]);
    assert!(state.take_to_remove(9).is_empty());
    assert_eq!(state.rows(SourceName::Api), 1);
}

/// What a source has of the page that is due, with these rows.
fn read(state: &mut State, of: SourceName, rows: &[WantedTorrent]) {
    for (name, page) in state.pages(Instant::now()) {
        let rows = if name == of { rows } else { &[] };
        state.read(name, &page, Some(rows.to_vec()));
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_a_directory_that_the_api_wants_too_stays_with_its_row() {
    let mut state = state();
    want(&mut state, 1, SourceName::Directory, 0);
    let stored = row(hash(1), SourceName::Directory, 7, 1);
    assert!(state.known(&Wanted::from(hash(1)), 7).is_none());
    state.wanted(&stored, Wanted::from(hash(1)), false);
    let (infohash, task) = begin(&mut state);
    assert_eq!(task.source, SourceName::Directory);
    let resolution = failed(infohash, Reason::NoPeers, true);
    let end = state.ended(&task, &resolution, Instant::now());
    assert_eq!(end, End::Kept);
    assert!(state.begin().is_none());
    tokio::time::advance(super::super::lane::AGAIN_AFTER).await;
    read(&mut state, SourceName::Directory, &[stored]);
    let (infohash, task) = begin(&mut state);
    let resolution = failed(infohash, Reason::NoPeers, false);
    state.ended(&task, &resolution, Instant::now());
    assert_eq!(state.take_to_remove(9), [hash(1)]);
    let rows = [SourceName::Api, SourceName::Directory].map(|name| state.rows(name));
    assert_eq!(rows, [0, 0]);
}

#[test]
fn one_in_work_is_not_queued_again_where_nothing_new_is_known_of_it() {
    let mut state = state();
    let first = want(&mut state, 1, SourceName::Api, 0);
    let (infohash, task) = begin(&mut state);
    let stored = row(infohash, SourceName::Api, 3, 1);
    let again = state.wanted(&stored, Wanted::from(infohash), false);
    assert!(again.joined);
    assert_eq!(
        (state.waits(SourceName::Api), state.rows(SourceName::Api)),
        (0, 1)
    );
    let resolution = failed(infohash, Reason::NoPeers, false);
    state.ended(&task, &resolution, Instant::now());
    for asked in [first, again] {
        assert!(asked.result.borrow().is_some());
    }
    assert!(state.begin().is_none() && state.has_to_remove());
}

#[test]
fn one_that_has_its_answer_while_it_is_wanted_again_keeps_its_row() {
    let mut state = state();
    want(&mut state, 1, SourceName::Directory, 0);
    let (infohash, task) = begin(&mut state);
    let stored = row(infohash, SourceName::Directory, 0, 1);
    assert!(state.keep_rows(std::slice::from_ref(&stored)).is_empty());
    let resolution = failed(infohash, Reason::NoPeers, false);
    state.ended(&task, &resolution, Instant::now());
    state.wanted(&stored, Wanted::from(infohash), false);
    assert!(state.take_to_remove(9).is_empty());
    assert_eq!(state.rows(SourceName::Directory), 1);
    assert_eq!(begin(&mut state).0, infohash);
}

#[tokio::test(start_paused = true)]
async fn rows_that_could_not_be_written_go_and_those_that_were_are_read() {
    let mut state = state();
    want(&mut state, 1, SourceName::Directory, 0);
    let (infohash, task) = begin(&mut state);
    let resolution = failed(infohash, Reason::NoPeers, false);
    state.ended(&task, &resolution, Instant::now());
    let again = [row(infohash, SourceName::Api, 0, 2)];
    let kept = state.keep_rows(&again);
    assert_eq!(state.rows(SourceName::Directory), 1);
    state.not_written(kept, [SourceName::Api], Instant::now());
    assert_eq!(state.rows(SourceName::Directory), 0);
    assert_eq!(state.take_to_remove(9), [infohash]);
    tokio::time::advance(super::super::lane::AGAIN_AFTER).await;
    read(
        &mut state,
        SourceName::Api,
        &[row(hash(2), SourceName::Api, 0, 2)],
    );
    assert_eq!(begin(&mut state).0, hash(2));
}

#[test]
fn what_is_named_of_a_hash_has_a_bound() {
    let mut state = state();
    for round in 0..5_u16 {
        let named =
            (0..60).map(|port| PeerAddr::new(Ipv4Addr::LOCALHOST.into(), 1 + round * 60 + port));
        let wanted = Wanted {
            peers: named.map(PeerHint::Addr).collect(),
            trackers: (0..60)
                .map(|at| format!("udp://{round}.example:{at}"))
                .collect(),
            ..Wanted::from(hash(1))
        };
        state.wanted(&row(hash(1), SourceName::Api, 0, 1), wanted, round == 0);
    }
    let (_, task) = begin(&mut state);
    assert_eq!(
        (task.wanted.peers.len(), task.wanted.trackers.len()),
        (NAMED, NAMED)
    );
}

#[test]
fn what_was_paused_before_is_no_longer_once_somebody_resumed_it() {
    let mut state = state();
    let is_paused = |state: &State| {
        let crawl = |source: &SourceState| source.name == SourceName::Crawl;
        state.states().into_iter().find(crawl).unwrap().paused
    };
    state.restore_paused(SourceName::Crawl, true);
    assert!(is_paused(&state));
    state.set_paused(SourceName::Crawl, false);
    state.restore_paused(SourceName::Crawl, true);
    assert!(!is_paused(&state));
}

#[test]
fn nothing_begins_of_a_source_that_is_paused_held_or_at_its_limit() {
    let mut state = state();
    state.jobs = 10;
    state.source(SourceName::Api).limit = 1;
    for number in 1..4 {
        want(&mut state, number, SourceName::Api, 0);
    }
    want(&mut state, 9, SourceName::Directory, 0);
    state.set_hold(Some("full".to_owned()));
    assert!(state.begin().is_none());
    assert!(state.states().iter().all(|source| source.problem.is_some()));
    state.set_hold(None);
    assert!(state.set_paused(SourceName::Directory, true));
    assert_eq!(begin(&mut state).0, hash(1));
    assert!(state.begin().is_none(), "a limit and a pause");
    state.set_paused(SourceName::Directory, false);
    assert_eq!(begin(&mut state).0, hash(9));
    assert!(state.begin().is_none());
}

#[test]
fn what_the_crawl_resolves_answers_whoever_waits_and_what_it_does_not_answers_nobody() {
    let mut state = state();
    state.jobs = 10;
    state.set_paused(SourceName::Api, true);
    let found = |number: u8| Discovered {
        infohash: NodeId([number; 20]),
        source: DiscoverySource::Sample,
        peers: Vec::new(),
        from: PeerAddr::new(Ipv4Addr::LOCALHOST.into(), 1),
    };
    assert!((state.crawl_room() - 1.0).abs() < f32::EPSILON);
    let asked = want(&mut state, 1, SourceName::Api, 0);
    state.discovered(found(1));
    let (infohash, task) = begin(&mut state);
    assert_eq!(task.source, SourceName::Crawl);
    // It is not the API's: whoever asks needs a row.
    assert!(state.known(&Wanted::from(hash(7)), 0).is_none());
    let resolution = failed(infohash, Reason::NoPeers, false);
    state.ended(&task, &resolution, Instant::now());
    assert!(asked.result.borrow().is_none());
    assert_eq!(state.waits(SourceName::Api), 1);
    state.stop();
    assert!(state.crawl_room().abs() < f32::EPSILON);
    assert!(state.begin().is_none());
}

#[test]
fn listeners_that_have_gone_are_forgotten() {
    let mut state = state();
    for number in 0..=u8::MAX {
        for more in 0..20 {
            let mut bytes = [number; 20];
            bytes[0] = more;
            state.listen(bytes);
        }
    }
    assert!(
        state.results.len() <= LISTENERS + 1,
        "{}",
        state.results.len()
    );
}

#[test]
fn suspects_hold_nobody_up_and_one_of_three_deaths_is_given_up() {
    let mut state = state();
    state.jobs = 10;
    let suspects = [(1, 2), (2, 2), (3, 3)];
    state.set_suspects(
        suspects
            .map(|(number, deaths)| ([number; 20], deaths))
            .into(),
    );
    for number in 1..=4 {
        want(&mut state, number, SourceName::Api, 0);
    }
    let begun = [(); 3].map(|()| begin(&mut state).1);
    let hashes = begun.each_ref().map(|task| task.wanted.infohash);
    assert_eq!(hashes, [hash(1), hash(3), hash(4)]);
    assert!(state.begin().is_none(), "one suspect at a time");
    let given_up = begun.each_ref().map(|task| task.is_given_up);
    assert_eq!(given_up, [false, true, false]);
    let [first, third, _] = begun;
    let resolution = failed(hash(3), Reason::Internal, false);
    let end = state.ended(&third, &resolution, Instant::now());
    assert_eq!(end, End::Answered, "at once");
    // Put back, it is suspected still.
    let resolution = failed(hash(1), Reason::Cancelled, true);
    state.ended(&first, &resolution, Instant::now());
    assert_eq!(begin(&mut state).0, hash(2));
    want(&mut state, 1, SourceName::Api, 0);
    assert!(state.begin().is_none());
}
