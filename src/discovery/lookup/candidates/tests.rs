use super::*;

const TARGET: NodeId = NodeId([0; 20]);

/// An id whose first byte is `first`: the higher, the farther.
fn id(first: u8, last: u8) -> NodeId {
    let mut id = [0; 20];
    id[0] = first;
    id[19] = last;
    NodeId(id)
}

fn node(first: u8, addr: &str) -> NodeAddr {
    NodeAddr {
        id: id(first, 1),
        addr: addr.parse().unwrap(),
    }
}

fn public(number: u8) -> NodeAddr {
    node(number, &format!("9.9.{number}.1:6881"))
}

#[test]
fn the_closest_is_asked_first_and_each_once() {
    let mut candidates = Candidates::new(TARGET, false);
    for number in [9, 3, 7] {
        assert!(candidates.offer(public(number)));
        assert!(!candidates.offer(public(number)), "known");
    }
    let order: Vec<_> = std::iter::from_fn(|| candidates.next()).collect();
    assert_eq!(order, [3, 7, 9].map(|n| public(n).addr));
    assert_eq!(candidates.in_flight(), 3);
    assert!(!candidates.is_over());
    for addr in order {
        assert!(!candidates.is_over());
        assert!(candidates.answered(&addr, id(addr_number(&addr), 1)));
    }
    assert!(candidates.is_over() && candidates.is_short());
    assert_eq!(candidates.closest(), Some(6));
}

fn addr_number(addr: &PeerAddr) -> u8 {
    match addr.ip() {
        IpAddr::V4(ip) => ip.octets()[2],
        IpAddr::V6(_) => 0,
    }
}

#[test]
fn it_is_over_when_the_eight_closest_that_are_alive_have_answered() {
    let mut candidates = Candidates::new(TARGET, false);
    for number in 1..=20 {
        candidates.offer(public(number));
    }
    // The first is dead, the second late.
    let dead = candidates.next().unwrap();
    let late = candidates.next().unwrap();
    candidates.failed(&dead);
    candidates.late(&late);
    for number in 3..=10 {
        assert!(!candidates.is_over(), "{number}");
        let addr = candidates.next().unwrap();
        assert_eq!(addr_number(&addr), number);
        candidates.answered(&addr, id(number, 1));
    }
    assert!(candidates.is_over() && !candidates.is_short());
    assert_eq!(candidates.next(), None, "farther ones are not asked");
    // One that is closer opens it again.
    assert!(candidates.offer(node(2, "8.8.8.8:1")));
    assert!(!candidates.is_over());
    assert!(!candidates.offer(public(1)), "it did not answer before");
}

#[test]
fn late_ones_are_waited_for_where_there_is_nobody_else() {
    let mut candidates = Candidates::new(TARGET, false);
    candidates.offer(public(1));
    let addr = candidates.next().unwrap();
    candidates.late(&addr);
    assert!(!candidates.is_over());
    candidates.failed(&addr);
    assert!(candidates.is_over());
}

#[test]
fn a_host_is_one_node_and_a_network_two() {
    let mut candidates = Candidates::new(TARGET, true);
    assert!(candidates.offer(node(1, "9.9.9.1:1")));
    assert!(!candidates.offer(node(2, "9.9.9.1:2")));
    assert!(candidates.offer(node(3, "9.9.9.2:1")));
    assert!(!candidates.offer(node(4, "9.9.9.3:1")));
    assert!(candidates.offer(node(5, "[2a00::1:0:0:0:1]:1")));
    assert!(!candidates.offer(node(6, "[2a00::1:0:0:0:2]:1")));
    // Local ones are told apart by their port.
    assert!(candidates.offer(node(7, "127.0.0.1:1")));
    assert!(candidates.offer(node(8, "127.0.0.1:2")));
    assert!(!candidates.offer(node(9, "127.0.0.1:0")));
    let mut strict = Candidates::new(TARGET, false);
    assert!(!strict.offer(node(7, "127.0.0.1:1")));
    assert_eq!((strict.refused(), candidates.refused()), (1, 1));
}

#[test]
fn who_answers_as_another_is_out_and_may_be_named_once_more() {
    let mut candidates = Candidates::new(TARGET, false);
    let addr = public(1).addr;
    for claim in [1, 2] {
        assert!(candidates.offer(NodeAddr {
            id: id(claim, 1),
            addr
        }));
        assert_eq!(candidates.next(), Some(addr));
        assert!(!candidates.answered(&addr, id(99, 9)));
        assert!(candidates.is_over());
    }
    assert!(!candidates.offer(NodeAddr { id: id(3, 1), addr }));
    assert!(candidates.is_node(&addr));
}

#[test]
fn made_up_ids_neither_end_a_lookup_nor_fill_it() {
    let mut candidates = Candidates::new(TARGET, false);
    let made_up = |number| NodeAddr {
        id: id(0, number),
        addr: format!("7.7.{number}.7:1").parse().unwrap(),
    };
    let taken = (1..=100).filter(|number| candidates.offer(made_up(*number)));
    assert_eq!(taken.count(), MAX_TOO_CLOSE);
    for number in 1..=9 {
        candidates.offer(public(number));
    }
    while let Some(addr) = candidates.next() {
        let id = match addr_number(&addr) {
            _ if addr.port() == 1 => candidates_id(&candidates, &addr),
            number => id(number, 1),
        };
        candidates.answered(&addr, id);
    }
    assert!(candidates.is_over());
    let is_new = |number| {
        let mut list = candidates.list.iter();
        list.any(|known| known.node == public(number) && known.state == State::New)
    };
    assert!(!is_new(8) && is_new(9));
}

fn candidates_id(candidates: &Candidates, addr: &PeerAddr) -> NodeId {
    let known = candidates
        .list
        .iter()
        .find(|known| known.node.addr == *addr);
    known.unwrap().node.id
}

#[test]
fn memory_is_bounded_and_the_closest_are_kept() {
    let mut candidates = Candidates::new(TARGET, false);
    for number in (0..=u16::MAX).rev() {
        let [high, low] = number.to_be_bytes();
        let mut id = [1; 20];
        id[1..3].copy_from_slice(&[high, low]);
        candidates.offer(NodeAddr {
            id: NodeId(id),
            addr: format!("5.{high}.{low}.1:1").parse().unwrap(),
        });
    }
    assert_eq!(candidates.list.len(), KEPT);
    assert_eq!(candidates.hosts.len(), KEPT);
    assert_eq!(candidates.next().unwrap().ip().to_string(), "5.0.0.1");
}

#[test]
fn a_liar_does_not_hide_the_honest_node_of_an_address() {
    for honest_comes_late in [false, true] {
        let mut candidates = Candidates::new(TARGET, false);
        // Closer than the honest one, or under its id, at a port where nobody is.
        let (lie, honest) = (node(1, "9.9.9.1:1"), node(3, "9.9.9.1:6881"));
        assert!(candidates.offer(lie));
        if !honest_comes_late {
            assert!(!candidates.offer(honest), "one at a time");
        }
        assert_eq!(candidates.next(), Some(lie.addr));
        candidates.failed(&lie.addr);
        assert!(!candidates.offer(lie), "the same again");
        assert_eq!(candidates.offer(honest), honest_comes_late);
        assert_eq!(candidates.next(), Some(honest.addr));
        assert!(candidates.answered(&honest.addr, honest.id));
        // No third one.
        assert!(!candidates.offer(node(2, "9.9.9.1:2")));
    }
}

#[test]
fn a_liar_that_names_two_nodes_at_an_address_hides_nobody_there() {
    for all_at_once in [false, true] {
        let mut candidates = Candidates::new(TARGET, false);
        let (liar, other) = (node(5, "7.7.7.7:1").addr, node(6, "8.8.8.8:1").addr);
        let (first, second) = (node(1, "9.9.9.1:1"), node(2, "9.9.9.1:2"));
        let honest = node(3, "9.9.9.1:6881");
        assert!(candidates.named(first, &liar));
        if all_at_once {
            assert!(!candidates.named(second, &liar));
            assert!(!candidates.named(honest, &other), "one at a time");
        }
        assert_eq!(candidates.next(), Some(first.addr));
        candidates.failed(&first.addr);
        assert!(!candidates.named(second, &liar), "he had his say");
        assert_eq!(candidates.named(honest, &other), !all_at_once);
        assert_eq!(candidates.next(), Some(honest.addr));
        assert!(candidates.answered(&honest.addr, honest.id));
    }
}
