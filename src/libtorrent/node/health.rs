//! How the arm is: its sockets, and its DHT nodes.

use std::net::SocketAddr;

use tokio::time::Instant;

use super::Node;
use crate::libtorrent::dht::identity::{Identity, Trouble};
use crate::libtorrent::lock;

/// How the words on two troubles begin.
const SILENT: &str = "nothing has come in";
const FEW: &str = "too few nodes";

/// What the log is told of an identity's health.
#[derive(Clone, Debug)]
pub(super) struct Word {
    text: String,
    /// It is no warning: it is told elsewhere, or is hardly any trouble.
    is_minor: bool,
}

/// How the arm is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// TCP endpoints we listen at.
    pub tcp: Vec<SocketAddr>,
    /// UDP endpoints we listen at; the DHT and uTP share them.
    pub udp: Vec<SocketAddr>,
    /// Endpoints that could not be listened at, each once, with the reason and what was done.
    pub listen_errors: Vec<String>,
    /// The DHT node.
    pub dht: DhtHealth,
    /// How often libtorrent has said that it dropped alerts.
    pub alerts_dropped: u64,
    /// Fetches in flight.
    pub torrents: usize,
}

/// How the DHT node is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DhtHealth {
    /// It was not asked for.
    #[default]
    Off,
    /// It knows no other node yet.
    Starting,
    /// It works.
    Ready {
        /// Nodes in the routing table.
        nodes: u64,
    },
    /// It works, but not as well as it should. It is being seen to.
    Degraded {
        /// Nodes in the routing table.
        nodes: u64,
        /// What is wrong.
        reason: String,
    },
    /// It can't work, for now. It is tried again and again.
    Failed(String),
}

impl DhtHealth {
    /// Whether it knows nodes that answer.
    #[must_use]
    pub fn works(&self) -> bool {
        matches!(self, Self::Ready { .. } | Self::Degraded { .. })
    }
}

impl Node {
    /// What is wrong with the DHT node of this identity. What is new is logged, once.
    pub(crate) fn dht_trouble(&self, at: usize) -> Option<Trouble> {
        let dht = self.settings.dht.as_ref()?;
        let now = Instant::now();
        let mut state = lock(&self.state);
        let state = &mut *state;
        let identity = state.identities.get(at)?;
        let trouble = identity.trouble(dht, now);
        let is_new = !identity.tried && trouble == Some(Trouble::NoNodes);
        let word = (trouble.as_ref().filter(|_| !is_new))
            .and_then(|trouble| self.word_of(trouble, identity));
        // Where another identity hears something, the network is there, and this one has lost its port.
        let hears = |identity: &Identity| {
            let trouble = identity.trouble(dht, now);
            identity.works(dht) && !matches!(trouble, Some(Trouble::Quiet))
        };
        let told_elsewhere = dht.silence_is_told_elsewhere && !state.identities.iter().any(hears);
        let word = word.map(|text| Word {
            is_minor: text.starts_with(FEW) || told_elsewhere && text.starts_with(SILENT),
            text,
        });
        if let Some(said) = state.said.get_mut(at) {
            let kind =
                |word: &Option<Word>| word.as_ref().map(|word| kind_of(&word.text).to_owned());
            if kind(said) != kind(&word) {
                let nodes = identity.nodes;
                match (&word, &*said) {
                    (Some(Word { text, is_minor }), _) if *is_minor => {
                        tracing::info!(identity = at, "the DHT: {text}");
                    }
                    (Some(Word { text, .. }), _) => {
                        tracing::warn!(identity = at, "the DHT: {text}");
                    }
                    (None, _) if is_new => {}
                    // What was a warning when it began is one when it ends.
                    (None, Some(before)) if !before.is_minor => {
                        tracing::warn!(identity = at, nodes, "the DHT works again");
                    }
                    (None, _) => tracing::info!(identity = at, nodes, "the DHT works again"),
                }
                *said = word;
            }
        }
        trouble
    }

    /// What is said of a trouble; nothing of one that may be chance.
    fn word_of(&self, trouble: &Trouble, identity: &Identity) -> Option<String> {
        let routers = || {
            let dht = self.settings.dht.as_ref();
            match dht.map(|dht| dht.bootstrap.as_slice()).unwrap_or_default() {
                [] => "no router is configured".to_owned(),
                routers => format!("asked {}", routers.join(", ")),
            }
        };
        match trouble {
            Trouble::NoSocket(why) => Some(format!("no UDP socket: {why}")),
            Trouble::NoNodes => Some(match &identity.error {
                Some(error) => format!("no node answers ({error}); {}", routers()),
                None => format!("no node answers; {}", routers()),
            }),
            Trouble::Silent(seconds) => {
                Some(format!("{SILENT}: for {seconds} s; is the network away?"))
            }
            Trouble::FewNodes(nodes) => Some(format!("{FEW}: {nodes}; {}", routers())),
            Trouble::Quiet => None,
        }
    }

    pub(crate) fn health(&self, torrents: usize) -> Health {
        let state = lock(&self.state);
        let each = |list: fn(&Identity) -> &Vec<SocketAddr>| {
            (state.identities.iter().flat_map(list).copied()).collect()
        };
        Health {
            tcp: each(|identity| &identity.tcp),
            udp: each(|identity| &identity.udp),
            listen_errors: (state.identities.iter())
                .flat_map(|identity| identity.listen_errors.iter().cloned())
                .collect(),
            dht: self.dht_health(&state.identities),
            alerts_dropped: state.alerts_dropped,
            torrents,
        }
    }

    /// The DHT works where one identity does; what is wrong with another one degrades it.
    fn dht_health(&self, identities: &[Identity]) -> DhtHealth {
        let Some(dht) = &self.settings.dht else {
            return DhtHealth::Off;
        };
        let now = Instant::now();
        let mut working = 0;
        let mut wrong = None;
        let mut starting = false;
        for identity in identities {
            let trouble = identity.trouble(dht, now);
            let works = matches!(trouble, None | Some(Trouble::Quiet | Trouble::FewNodes(_)));
            working += if works { identity.nodes } else { 0 };
            match &trouble {
                Some(Trouble::NoNodes) if !identity.tried => starting = true,
                Some(trouble) => wrong = wrong.or_else(|| self.word_of(trouble, identity)),
                // No socket yet, or no node: but not for long.
                None => match &identity.error {
                    Some(error) if identity.nodes == 0 => wrong = wrong.or(Some(error.clone())),
                    _ => starting |= identity.nodes == 0,
                },
            }
        }
        match (working, wrong) {
            (0, _) if starting => DhtHealth::Starting,
            (0, Some(reason)) => DhtHealth::Failed(reason),
            (0, None) => DhtHealth::Starting,
            (nodes, Some(reason)) => DhtHealth::Degraded { nodes, reason },
            (nodes, None) => DhtHealth::Ready { nodes },
        }
    }
}

/// The part of a word on the DHT's health that does not change from one look to the next.
fn kind_of(word: &str) -> &str {
    word.split(':').next().unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::libtorrent::settings::{DhtSettings, Settings};

    /// What the log is told of each identity, where it is told elsewhere that the network is away: whether it
    /// is minor.
    fn told(node: &Node) -> [Option<bool>; 2] {
        [0, 1].map(|at| {
            node.dht_trouble(at);
            lock(&node.state).said[at]
                .as_ref()
                .map(|word| word.is_minor)
        })
    }

    #[tokio::test(start_paused = true)]
    async fn one_port_that_is_silent_is_a_warning_and_all_of_them_are_none() {
        let dht = DhtSettings {
            identities: 2,
            silence: Duration::from_secs(60),
            enough_nodes: 8,
            silence_is_told_elsewhere: true,
            ..DhtSettings::new(Vec::new())
        };
        for both in [false, true] {
            let node = Node::new(&Settings {
                dht: Some(dht.clone()),
                ..Settings::loopback()
            });
            let hear = |at: usize, messages| {
                node.with_identity(at, |identity, _| {
                    identity.counted(100, messages);
                });
            };
            for at in [0, 1] {
                node.with_identity(at, |identity, _| {
                    identity.udp = vec!["127.0.0.1:1".parse().unwrap()];
                    identity.start();
                });
                hear(at, 1);
            }
            tokio::time::advance(Duration::from_secs(3)).await;
            assert_eq!(told(&node), [None, None]);
            // One has heard something a little later.
            hear(1, 2);
            tokio::time::advance(Duration::from_secs(58)).await;
            if !both {
                hear(1, 3);
            }
            assert_eq!(told(&node), [Some(both), None]);
            hear(0, 2);
            assert_eq!(told(&node), [None, None]);
        }
    }
}
