use super::*;

fn options(nodes: usize) -> CrawlOptions {
    CrawlOptions {
        nodes,
        nodes_per_ip: 10_000,
        nodes_per_network: 10_000,
        ..CrawlOptions::default()
    }
}

fn node(first: u8, number: u16) -> Node {
    let mut id = [0; 20];
    id[0] = first;
    id[18..].copy_from_slice(&number.to_be_bytes());
    id[17] = first;
    let addr = PeerAddr::new([8, 8, first, 1].into(), number + 1);
    Node::new(
        NodeAddr {
            id: NodeId(id),
            addr,
        },
        None,
        0,
    )
}

fn meet(frontier: &mut Frontier, first: u8, number: u16) -> Met {
    frontier.meet(node(first, number), 0)
}

#[test]
fn turns_go_round_over_the_prefixes() {
    let options = options(400);
    let mut frontier = Frontier::new(&options);
    for number in 0..50 {
        assert_eq!(meet(&mut frontier, 0, number), Met::New);
    }
    assert_eq!(meet(&mut frontier, 0x40, 0), Met::New);
    assert_eq!(meet(&mut frontier, 0xff, 0), Met::New);
    let firsts: Vec<u8> = (0..6)
        .map_while(|_| {
            let node = frontier.next_for_samples(0)?;
            node.ask(&options, 0);
            Some(node.record.id.0[0])
        })
        .collect();
    assert_eq!(firsts, [0, 0x40, 0xff, 0, 0, 0]);
}

#[test]
fn nobody_is_due_before_the_interval_and_everybody_after() {
    let options = options(400);
    let mut frontier = Frontier::new(&options);
    for number in 0..10 {
        meet(&mut frontier, 1, number);
    }
    let ask_all = |frontier: &mut Frontier, now: i64| {
        let mut asked = Vec::new();
        while let Some(node) = frontier.next_for_samples(now) {
            node.ask(&options, now);
            node.answered(1.0, &options, now);
            node.record.next_sample_at_ms = now + 100_000;
            asked.push(node.record.addr);
        }
        asked.len()
    };
    assert_eq!(ask_all(&mut frontier, 0), 10);
    assert_eq!(ask_all(&mut frontier, 99_999), 0);
    assert_eq!(ask_all(&mut frontier, 100_000), 10);
}

#[test]
fn a_full_bucket_gives_up_bad_then_stale_then_spent_nodes() {
    let options = options(400);
    let mut frontier = Frontier::new(&options);
    for number in 0..100 {
        assert_eq!(meet(&mut frontier, 0, number), Met::New);
    }
    assert_eq!(meet(&mut frontier, 0, 100), Met::Full, "all are new");
    assert_eq!(meet(&mut frontier, 0x80, 0), Met::New, "another bucket");
    let addr = |number: u16| node(0, number).record.addr;
    for number in 0..60 {
        let node = frontier.get_mut(&addr(number)).unwrap();
        node.ask(&options, 0);
        node.answered(1.0, &options, 0);
        node.record.next_sample_at_ms = 20_000_000 + i64::from(number);
    }
    let node = frontier.get_mut(&addr(70)).unwrap();
    node.ask(&options, 0);
    node.failed(&options, 0);
    let node = frontier.get_mut(&addr(5)).unwrap();
    node.ask(&options, 0);
    node.failed(&options, 0);
    for (newcomer, victim) in [(100, 70), (101, 5), (102, 59), (103, 58)] {
        assert_eq!(meet(&mut frontier, 0, newcomer), Met::New);
        assert!(frontier.get_mut(&addr(victim)).is_none(), "{victim}");
    }
    // Half of the bucket stays with nodes that answer.
    let more = (104..200).filter(|n| meet(&mut frontier, 0, *n) == Met::New);
    assert_eq!(more.count(), 7);
    assert_eq!(frontier.len(), 101);
}

#[test]
fn one_id_and_one_endpoint_are_there_once() {
    let mut frontier = Frontier::new(&options(400));
    assert_eq!(meet(&mut frontier, 7, 1), Met::New);
    assert_eq!(meet(&mut frontier, 7, 1), Met::Known);
    let mut other = node(7, 1);
    other.record.addr = "9.9.9.9:9".parse().unwrap();
    assert_eq!(frontier.meet(other, 0), Met::Known);
    let mut other = node(8, 1);
    other.record.addr = node(7, 1).record.addr;
    assert_eq!(frontier.meet(other, 0), Met::Known);
    let addr = node(7, 1).record.addr;
    assert_eq!(frontier.rename(&addr, NodeId([0xee; 20]), 0), Met::New);
    assert_eq!(meet(&mut frontier, 7, 1), Met::Known, "the endpoint");
    assert_eq!(frontier.len(), 1);
    assert!(frontier.remove(&addr).is_some());
    assert_eq!(meet(&mut frontier, 7, 1), Met::New);
}

#[test]
fn nodes_are_searched_where_there_are_few_and_asked_of_the_closest() {
    let options = options(400);
    let mut frontier = Frontier::new(&options);
    for first in [0x00, 0x40, 0x80] {
        for number in 0..20 {
            meet(&mut frontier, first, number);
        }
    }
    let point = frontier.empty_point();
    assert!(point.0[0] >= 0xc0, "{point}");
    // At the start nobody has answered yet.
    assert!(frontier.next_for_nodes(&point, 0).is_some());
    let node = frontier.get_mut(&node(0x40, 3).record.addr).unwrap();
    node.answered(1.0, &options, -60_000);
    let asked = frontier.next_for_nodes(&point, 0).unwrap();
    assert_eq!(asked.record.id.0[0], 0x40);
    asked.ask(&options, 0);
    assert_eq!(
        frontier.next_for_nodes(&point, 0).unwrap().record.answers,
        0
    );
}
