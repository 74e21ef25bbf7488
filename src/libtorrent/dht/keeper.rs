//! Keeps one DHT node of ours alive: opens its socket again, bootstraps it again, until it works.
//!
//! libtorrent bootstraps once, when it starts. This does it whenever the node knows nobody, or too
//! few, or hears nothing: asks every router for nodes (resolving its name anew), the nodes that the
//! caller remembers, and some of those in the routing table, and has libtorrent ping what they name.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::seq::IndexedRandom as _;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::identity::Trouble;
use super::routers;
use crate::discovery::dht::RawQuery;
use crate::libtorrent::node::Node;
use crate::libtorrent::session::{Command, Commands};
use crate::libtorrent::settings::DhtSettings;
use crate::torrent::PeerAddr;
use crate::wire::krpc::{Answer, NodeId, Query, Want};

/// How long a node may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// The pause after which a bootstrap is tried again: doubled each time, up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// How often a port that was taken is looked at: whoever knows us knows us there.
const TRY_PORT_EVERY: Duration = Duration::from_secs(5);
/// Remembered nodes, and nodes of the routing table, that are asked.
const REMEMBERED: usize = 32;
const KNOWN: usize = 8;
/// Nodes that are pinged after a bootstrap.
const MAX_PINGED: usize = 64;

/// Watches one identity until the sessions end.
pub(crate) async fn keep(node: Arc<Node>, settings: DhtSettings, at: usize, commands: Commands) {
    let closed = node.closed().clone();
    let _ = closed
        .run_until_cancelled(async {
            let keeper = Keeper {
                node,
                settings,
                at,
                commands,
            };
            keeper.run().await;
        })
        .await;
}

struct Keeper {
    node: Arc<Node>,
    settings: DhtSettings,
    at: usize,
    commands: Commands,
}

impl Keeper {
    async fn run(&self) {
        let every = (self.settings.silence / 4).min(Duration::from_secs(1));
        let mut pause = FIRST_PAUSE.min(every);
        let mut next = Instant::now();
        let mut look_at = Instant::now() + TRY_PORT_EVERY;
        loop {
            sleep(every).await;
            if Instant::now() >= look_at {
                self.node.take_ports_again(self.at, &self.commands);
                look_at = Instant::now() + TRY_PORT_EVERY;
            }
            self.commands.send(Command::PostDhtNodes);
            let Some(trouble) = self.node.dht_trouble(self.at) else {
                pause = FIRST_PAUSE.min(every);
                continue;
            };
            if Instant::now() < next {
                continue;
            }
            match trouble {
                Trouble::NoSocket(_) => self.commands.send(Command::ReopenSockets),
                trouble => self.bootstrap(trouble == Trouble::Quiet).await,
            }
            next = Instant::now() + pause;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Asks for nodes. Where nothing is wrong but that it is `quiet`, the nodes of the routing table
    /// are enough to ask: routers have others to serve.
    async fn bootstrap(&self, quiet: bool) {
        let target =
            (self.node.own_ids(self.at).first().copied()).unwrap_or_else(|| NodeId(rand::random()));
        let known = self.node.live_nodes(self.at, &self.commands).await;
        let mut asked: Vec<PeerAddr> = (known.sample(&mut rand::rng(), KNOWN))
            .map(|node| node.addr)
            .collect();
        if !quiet || asked.is_empty() {
            asked.extend(routers::addresses(&self.settings.bootstrap, self.node.proxy()).await);
            let remembered = &self.settings.remembered;
            asked.extend(remembered.sample(&mut rand::rng(), REMEMBERED));
        }
        asked.sort_unstable();
        asked.dedup();
        asked.retain(|addr| self.node.may_dial(addr));

        let answers = asked.iter().map(|addr| self.find_nodes(*addr, target));
        let mut found = Vec::new();
        for answer in join_all(answers).await.into_iter().flatten() {
            found.extend(answer);
        }
        found.sort_unstable();
        found.dedup();
        found.retain(|addr| self.node.may_dial(addr));
        let pinged: Vec<_> = (found.sample(&mut rand::rng(), MAX_PINGED))
            .map(|addr| (*addr).into())
            .collect();
        self.node.bootstrap_ended(self.at);
        if !pinged.is_empty() {
            self.commands.send(Command::Ping(pinged));
            // A lookup on the way to ourselves fills the table.
            self.commands.send(Command::GetPeers(target.0));
            self.commands.send(Command::PostDhtNodes);
        }
    }

    /// The node itself, and the nodes that it names; `None` where it does not answer.
    async fn find_nodes(&self, addr: PeerAddr, target: NodeId) -> Option<Vec<PeerAddr>> {
        let (reply, answer) = oneshot::channel();
        let request = self.node.requests().begin(RawQuery {
            to: addr,
            target: Some(target),
            message: Query::FindNode { target }.encode(Want::Both),
            reply,
        });
        self.commands.send(Command::Ask(vec![request]));
        let message = timeout(ANSWER_WITHIN, answer).await.ok()?.ok()?;
        let answer = Answer::decode(&message).ok()?;
        let named = answer.nodes.into_iter().map(|node| node.addr);
        Some(std::iter::once(addr).chain(named).collect())
    }
}
