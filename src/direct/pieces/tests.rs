use std::collections::VecDeque;

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::*;
use crate::direct::pool::Pool;

const SIZE: usize = 40 * BLOCK + 5;

fn peer(port: u16) -> PeerAddr {
    PeerAddr::new([8, 8, 8, 8].into(), port)
}

fn alone(size: usize, reqq: Option<u32>, one_at_a_time: bool) -> Pieces {
    Pieces::new(
        Pool::default().dictionary(size, Memory::new(1 << 40)),
        peer(1),
        reqq,
        one_at_a_time,
    )
}

fn of(pool: &Pool, size: usize, port: u16) -> Pieces {
    of_memory(pool, size, port, &Memory::new(1 << 40))
}

fn of_memory(pool: &Pool, size: usize, port: u16, memory: &Memory) -> Pieces {
    let dictionary = pool.dictionary(size, memory.clone());
    Pieces::new(dictionary, peer(port), None, false)
}

fn requests(pieces: &mut Pieces) -> Vec<u32> {
    let mut requests = Vec::new();
    pieces.request(|piece| requests.push(piece));
    requests
}

fn size_of(size: usize, piece: u32) -> usize {
    let start = usize::try_from(piece).unwrap() * BLOCK;
    (size - start).min(BLOCK)
}

/// Block `piece` of a dictionary of this size, all of `byte`.
fn serve(pieces: &mut Pieces, size: usize, piece: u32, byte: u8) -> Step {
    let block = vec![byte; size_of(size, piece)];
    pieces.data(piece.into(), None, &block).unwrap()
}

/// Serves all that it is asked for, until there is nothing more.
fn serve_all(pieces: &mut Pieces, size: usize, byte: u8) -> Option<Vec<u8>> {
    let mut queue: VecDeque<u32> = requests(pieces).into();
    while let Some(piece) = queue.pop_front() {
        if let Step::Complete(bytes) = serve(pieces, size, piece, byte) {
            return Some(bytes);
        }
        queue.extend(requests(pieces));
    }
    None
}

#[test]
fn the_window_starts_at_10_and_grows_to_16() {
    let mut pieces = alone(SIZE, None, false);
    let first = requests(&mut pieces);
    assert_eq!(first, (0..10).collect::<Vec<_>>());
    assert!(requests(&mut pieces).is_empty());
    let mut asked: VecDeque<_> = first.into();
    let mut most = asked.len();
    let mut whole = None;
    while let Some(piece) = asked.pop_front() {
        if let Step::Complete(bytes) = serve(&mut pieces, SIZE, piece, 7) {
            whole = Some(bytes);
        }
        asked.extend(requests(&mut pieces));
        most = most.max(asked.len());
    }
    assert_eq!(most, WINDOW_MAX);
    assert_eq!(pieces.count(), (41, 41));
    assert_eq!(whole, Some(vec![7; SIZE]));
}

#[test]
fn the_window_stays_at_one_where_it_must() {
    let mut pieces = alone(SIZE, Some(500), true);
    for piece in 0..41 {
        assert_eq!(requests(&mut pieces), [piece]);
        let step = serve(&mut pieces, SIZE, piece, 7);
        assert_eq!(matches!(step, Step::Complete(_)), piece == 40);
    }
}

#[test]
fn no_more_requests_than_the_peer_queues() {
    for (reqq, window) in [(1, 1), (3, 3), (12, 10), (0, 10), (u32::MAX, 10)] {
        let mut pieces = alone(SIZE, Some(reqq), false);
        let first = requests(&mut pieces);
        assert_eq!(first.len(), window, "{reqq}");
        for piece in first {
            serve(&mut pieces, SIZE, piece, 7);
            requests(&mut pieces);
        }
        let most = if reqq == 0 {
            WINDOW_MAX
        } else {
            WINDOW_MAX.min(usize::try_from(reqq).unwrap())
        };
        assert_eq!(pieces.in_flight, most, "{reqq}");
    }
}

#[test]
fn blocks_that_the_protocol_does_not_allow() {
    let mut pieces = alone(BLOCK + 5, None, false);
    assert_eq!(requests(&mut pieces), [0, 1]);
    for piece in [-1, 2, i64::MIN, i64::MAX] {
        assert_eq!(
            pieces.data(piece, None, &[0; BLOCK]),
            Err(Violation::OutOfRange { piece, count: 2 })
        );
        assert!(pieces.reject(piece).is_err());
    }
    for total in [16_384, -5, i64::MAX] {
        assert!(matches!(
            pieces.data(0, Some(total), &[0; BLOCK]),
            Err(Violation::TotalSize { .. })
        ));
    }
    assert_eq!(pieces.data(0, Some(16_389), &[0; BLOCK]), Ok(Step::More));
    assert_eq!(
        pieces.data(0, None, &[0; BLOCK]),
        Err(Violation::Unasked(0)),
        "twice"
    );
    for length in [0, 4, 6, BLOCK] {
        assert!(matches!(
            pieces.data(1, None, &vec![0; length]),
            Err(Violation::Length { .. })
        ));
    }
    let mut untouched = alone(20 * BLOCK, None, false);
    requests(&mut untouched);
    assert_eq!(
        untouched.data(15, None, &[0; BLOCK]),
        Err(Violation::Unasked(15))
    );
}

#[test]
fn a_reject_means_later_and_only_rejects_mean_never() {
    let mut pieces = alone(2 * BLOCK, None, false);
    requests(&mut pieces);
    assert_eq!(pieces.reject(0), Ok(Step::Wait));
    assert_eq!(pieces.reject(1), Ok(Step::Pause));
    assert_eq!(requests(&mut pieces), [0], "one block to find out");
    assert_eq!(pieces.reject(0), Ok(Step::Pause));
    requests(&mut pieces);
    assert_eq!(pieces.reject(0), Ok(Step::Rejected));
    requests(&mut pieces);
    assert_eq!(pieces.data(0, None, &[0; BLOCK]), Ok(Step::More));
    for _ in 0..10 {
        requests(&mut pieces);
        assert_eq!(pieces.reject(1), Ok(Step::Pause), "it does serve");
    }
    requests(&mut pieces);
    assert!(matches!(
        pieces.data(1, None, &[0; BLOCK]),
        Ok(Step::Complete(_))
    ));
}

#[test]
fn the_next_peer_goes_on_where_the_last_one_stalled() {
    let pool = Pool::default();
    let mut first = of(&pool, SIZE, 1);
    for piece in requests(&mut first) {
        serve(&mut first, SIZE, piece, 7);
    }
    drop(first);
    let mut second = of(&pool, SIZE, 2);
    assert_eq!(requests(&mut second).first(), Some(&10));
    drop(second);
    let mut third = of(&pool, SIZE, 3);
    assert_eq!(serve_all(&mut third, SIZE, 7), Some(vec![7; SIZE]));
    assert_eq!(third.count(), (31, 41));
    // Of another size nothing is known.
    assert_eq!(requests(&mut of(&pool, SIZE + 1, 4)).first(), Some(&0));
}

#[test]
fn many_blocks_are_striped_over_peers_and_few_are_not() {
    let pool = Pool::default();
    let (mut one, mut two) = (of(&pool, SIZE, 1), of(&pool, SIZE, 2));
    assert_eq!(requests(&mut one), (0..10).collect::<Vec<_>>());
    assert_eq!(requests(&mut two), (10..20).collect::<Vec<_>>());
    let few = STRIPED_ABOVE * BLOCK;
    let (mut one, mut two) = (of(&pool, few, 1), of(&pool, few, 2));
    assert_eq!(requests(&mut one), requests(&mut two));
    // What the other sent first is nobody's fault.
    assert_eq!(serve(&mut one, few, 0, 7), Step::More);
    assert_eq!(serve(&mut two, few, 0, 7), Step::More);
    assert_eq!(two.count().0, 1);
}

#[test]
fn who_has_nothing_else_to_do_is_asked_for_what_another_one_holds_up() {
    let pool = Pool::default();
    let (mut stalled, mut good) = (of(&pool, SIZE, 1), of(&pool, SIZE, 2));
    assert_eq!(requests(&mut stalled).len(), 10);
    assert_eq!(serve_all(&mut good, SIZE, 7), Some(vec![7; SIZE]));
    // The other one's blocks come after all: they were asked for.
    assert_eq!(serve(&mut stalled, SIZE, 0, 7), Step::More);
}

#[test]
fn one_alone_that_lies_is_a_liar_and_others_begin_anew() {
    let pool = Pool::default();
    let mut liar = of(&pool, SIZE, 1);
    let bytes = serve_all(&mut liar, SIZE, 9).unwrap();
    assert!(liar.is_wrong(bytes));
    drop(liar);
    let mut good = of(&pool, SIZE, 2);
    assert_eq!(serve_all(&mut good, SIZE, 7), Some(vec![7; SIZE]));
    assert_eq!(good.count().0, 41);
}

#[test]
fn a_wrong_mixture_is_taken_apart_and_the_liar_found() {
    let pool = Pool::default();
    let right = vec![7; SIZE];
    let (mut liar, mut good, mut third) =
        (of(&pool, SIZE, 1), of(&pool, SIZE, 2), of(&pool, SIZE, 3));
    let lies = requests(&mut liar);
    let late = requests(&mut third);
    for piece in &lies[..3] {
        serve(&mut liar, SIZE, *piece, 9);
    }
    let mixture = serve_all(&mut good, SIZE, 7).unwrap();
    assert_ne!(mixture, right);
    assert_eq!(requests(&mut third), [] as [u32; 0], "it is being checked");
    assert!(!good.is_wrong(mixture), "not all of it was its own");
    // What others still send is theirs alone; who completed it keeps what was its own.
    assert_eq!(serve(&mut third, SIZE, late[0], 7), Step::More);
    assert_eq!(requests(&mut good), [0, 1, 2]);
    let complete: Vec<_> = (0..3)
        .map(|piece| serve(&mut good, SIZE, piece, 7))
        .collect();
    assert_eq!(complete[2], Step::Complete(right.clone()));
    assert_eq!(pool.liars(&right), [peer(1)]);
    // Who lies alone is known at once.
    for piece in &lies[3..] {
        assert_eq!(serve(&mut liar, SIZE, *piece, 9), Step::More);
    }
    let bytes = serve_all(&mut liar, SIZE, 9).unwrap();
    assert!(liar.is_wrong(bytes));
    // And another one that comes now is asked for everything.
    assert_eq!(requests(&mut of(&pool, SIZE, 4)).first(), Some(&0));
}

#[test]
fn a_check_that_nobody_ends_holds_up_nobody() {
    let pool = Pool::default();
    let (mut first, mut second) = (of(&pool, SIZE, 1), of(&pool, SIZE, 2));
    assert!(serve_all(&mut first, SIZE, 7).is_some());
    assert_eq!(requests(&mut second), [] as [u32; 0], "it is being checked");
    assert!(second.until_news().now_or_never().is_none());
    drop(first);
    assert!(second.until_news().now_or_never().is_some());
    assert_eq!(serve_all(&mut second, SIZE, 7), Some(vec![7; SIZE]));
}

#[test]
fn whoever_waited_for_a_check_that_fails_is_woken() {
    let pool = Pool::default();
    let (mut liar, mut idle) = (of(&pool, SIZE, 1), of(&pool, SIZE, 2));
    let bytes = serve_all(&mut liar, SIZE, 9).unwrap();
    assert_eq!(requests(&mut idle), [] as [u32; 0]);
    assert!(liar.is_wrong(bytes));
    assert!(idle.until_news().now_or_never().is_some());
    assert_eq!(serve_all(&mut idle, SIZE, 7), Some(vec![7; SIZE]));
}

#[test]
fn memory_is_taken_by_blocks_and_not_by_claims() {
    let (pool, other) = (Pool::default(), Pool::default());
    let memory = Memory::new(64 << 10);
    let size = 3 * BLOCK;
    let (mut claims, mut serves) = (
        of_memory(&pool, size, 1, &memory),
        of_memory(&other, size, 2, &memory),
    );
    assert_eq!(requests(&mut claims), [0, 1, 2]);
    assert_eq!(requests(&mut serves), [0, 1, 2]);
    assert_eq!(serve(&mut serves, size, 0, 7), Step::More);
    assert_eq!(serve(&mut claims, size, 0, 9), Step::NoRoom);
    assert!(claims.until_room().now_or_never().is_none());
    drop((serves, other));
    assert!(claims.until_room().now_or_never().is_some());
    assert_eq!(requests(&mut claims), [0]);
    for piece in [1, 2] {
        assert_eq!(serve(&mut claims, size, piece, 7), Step::More);
    }
    assert_eq!(
        serve(&mut claims, size, 0, 7),
        Step::Complete(vec![7; size])
    );
}

proptest! {
    /// However peers come, serve, reject, stall and lie: there is no panic, whoever is given up as the
    /// only liar has lied, and an honest peer at the end completes the dictionary.
    #[test]
    fn an_honest_peer_always_ends_it(
        blocks in 1..24_usize,
        steps in prop::collection::vec((0..4_usize, 0..5_u8, any::<prop::sample::Index>()), 0..200),
    ) {
        let size = blocks * BLOCK - 3;
        let pool = Pool::default();
        let lies = |at: usize| at == 0 || at == 1;
        let byte = |at: usize| if lies(at) { 9 } else { 7 };
        let mut peers: Vec<Option<(Pieces, Vec<u32>)>> = (0..4).map(|_| None).collect();
        for (at, what, pick) in steps {
            let port = u16::try_from(at).unwrap() + 1;
            let (pieces, asked) =
                peers[at].get_or_insert_with(|| (of(&pool, size, port), Vec::new()));
            pieces.request(|piece| asked.push(piece));
            if what == 0 {
                peers[at] = None;
                continue;
            }
            if asked.is_empty() {
                continue;
            }
            let piece = asked.swap_remove(pick.index(asked.len()));
            if what == 1 {
                prop_assert!(pieces.reject(piece.into()).is_ok());
            } else if let Step::Complete(bytes) = serve(pieces, size, piece, byte(at)) {
                if bytes == vec![7; size] {
                    return Ok(());
                }
                if pieces.is_wrong(bytes) {
                    prop_assert!(lies(at));
                    peers[at] = None;
                }
            }
        }
        drop(peers);
        let mut honest = of(&pool, size, 9);
        let mut bytes = serve_all(&mut honest, size, 7);
        if let Some(mixture) = bytes.take_if(|bytes| *bytes != vec![7; size]) {
            prop_assert!(!honest.is_wrong(mixture));
            bytes = serve_all(&mut honest, size, 7);
        }
        prop_assert_eq!(bytes, Some(vec![7; size]));
        let liars = pool.liars(&vec![7; size]);
        prop_assert!(liars.iter().all(|liar| [peer(1), peer(2)].contains(liar)));
    }
}
