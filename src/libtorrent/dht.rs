//! The DHT nodes of the sessions: lent to whoever holds a [`Dht`](crate::discovery::dht::Dht), kept
//! alive, and watched.
//!
//! One identity (a session with one port and one node id) is what every process has. More of them
//! sit in other regions of the key space; a query leaves from the one whose id is closest to what is
//! asked for. Where BEP 42 holds (libtorrent has learnt its public address), the id follows from the
//! address, and the choice of regions has no effect: more reach then takes more addresses.
//!
//! libtorrent sends a query from its first socket of the node's address family, and takes a socket for
//! one of IPv6 only when others have told it its public IPv6 address. Until then, and on loopback
//! always, queries to IPv6 nodes are lost, and time out.
//!
//! | file | what lives there |
//! |---|---|
//! | `identity` | what is known of one DHT node of ours, and what is wrong with it |
//! | `keeper` | bootstraps it, again and again where need be |
//! | `requests` | queries that wait for their answer |
//! | `routers` | where the nodes are that it begins with |
//! | `saved` | node ids and nodes, from one run to the next |
//! | `traffic` | queries of other nodes, out of the bridge's bytes |

pub(crate) mod identity;
pub(crate) mod keeper;
pub(crate) mod requests;
pub(crate) mod routers;
pub(crate) mod saved;
pub(crate) mod traffic;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::node::Node;
use super::session::Command;
use crate::discovery::dht::{Owner, RawQuery};

/// Queries that cross the bridge at once.
const BATCH: usize = 512;
/// How often those are forgotten whose askers have gone.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Sends what comes from `owner` until nobody asks any more, or the sessions end.
pub(crate) async fn serve(node: Arc<Node>, mut owner: Owner) {
    node.observe_for(owner.observed.clone());
    let mut batch = Vec::with_capacity(BATCH);
    let mut sweep = interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = node.closed().cancelled() => break,
            _ = sweep.tick() => node.requests().sweep(Instant::now()),
            received = owner.queries.recv_many(&mut batch, BATCH) => {
                if received == 0 {
                    return;
                }
                send(&node, &mut batch);
            }
        }
    }
    // The channel first: whoever finds his query dropped must see that it is closed.
    drop(owner.queries);
    node.requests().end_all();
}

fn send(node: &Node, batch: &mut Vec<RawQuery>) {
    let identities = node.identities();
    let mut requests: Vec<Vec<_>> = identities.iter().map(|_| Vec::new()).collect();
    for query in batch.drain(..) {
        if query.reply.is_closed() {
            continue;
        }
        let at = identity::closest(&identities, query.target);
        // Without any identity the query is dropped, and its asker sees that.
        if let Some(requests) = requests.get_mut(at) {
            requests.push(node.requests().begin(query));
        }
    }
    for (identity, requests) in identities.iter().zip(requests) {
        if !requests.is_empty() {
            identity.commands.send(Command::Ask(requests));
        }
    }
}
