//! What is known of one DHT node of ours, and what is wrong with it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt as _;
use tokio::time::Instant;

use crate::libtorrent::bridge::{DhtStart, Peer};
use crate::libtorrent::session::Commands;
use crate::libtorrent::settings::DhtSettings;
use crate::torrent::PeerAddr;
use crate::wire::krpc::NodeId;

/// How long a socket, and then a first node, may take before something is done about it.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);

/// What is wrong with a DHT node, from the worst.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No UDP socket listens: why.
    NoSocket(String),
    /// It knows no other node.
    NoNodes,
    /// Nothing has come in for so long, in seconds.
    Silent(u64),
    /// It knows fewer nodes than it should.
    FewNodes(u64),
    /// Nothing has come in for a while, which may be chance: worth a question, and no word.
    Quiet,
}

/// One DHT node of ours: its sockets and its health.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Where it is to listen.
    pub(crate) wanted: Vec<SocketAddr>,
    /// What its session was last told to listen at: of a port that was taken, any other.
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) tcp: Vec<SocketAddr>,
    pub(crate) udp: Vec<SocketAddr>,
    pub(crate) listen_errors: Vec<String>,
    pub(crate) bootstrapped: bool,
    pub(crate) nodes: u64,
    /// The node ids, by the socket that has them.
    pub(crate) ids: BTreeMap<SocketAddr, NodeId>,
    /// Why there is no socket, or what libtorrent says.
    pub(crate) error: Option<String>,
    started_at: Option<Instant>,
    begun_at: Instant,
    messages_in: u64,
    heard_at: Instant,
    /// Whether a bootstrap of ours has ended without nodes since there were some.
    pub(crate) tried: bool,
}

impl Identity {
    pub(crate) fn new(listen: Vec<SocketAddr>) -> Self {
        let now = Instant::now();
        Self {
            wanted: listen.clone(),
            listen,
            tcp: Vec::new(),
            udp: Vec::new(),
            listen_errors: Vec::new(),
            bootstrapped: false,
            nodes: 0,
            ids: BTreeMap::new(),
            error: None,
            started_at: None,
            begun_at: now,
            messages_in: 0,
            heard_at: now,
            tried: false,
        }
    }

    pub(crate) fn is_started(&self) -> bool {
        self.started_at.is_some()
    }

    pub(crate) fn start(&mut self) {
        let now = Instant::now();
        self.started_at = Some(now);
        self.heard_at = now;
    }

    /// Takes in how many nodes it knows, and how many messages have come in since it started. Says whether
    /// those are more than before.
    pub(crate) fn counted(&mut self, nodes: u64, messages_in: u64) -> bool {
        self.nodes = nodes;
        if nodes > 0 {
            self.tried = false;
        }
        let heard = messages_in != self.messages_in;
        if heard {
            self.messages_in = messages_in;
            self.heard_at = Instant::now();
        }
        heard
    }

    /// Whether it has a socket, and hears something.
    pub(crate) fn works(&self, settings: &DhtSettings) -> bool {
        let trouble = self.trouble(settings, Instant::now());
        !self.udp.is_empty() && !matches!(trouble, Some(Trouble::NoSocket(_) | Trouble::Silent(_)))
    }

    /// The addresses that were taken, and another port listened at instead.
    pub(crate) fn taken(&self) -> Vec<SocketAddr> {
        (self.wanted.iter().zip(&self.listen))
            .filter(|(wanted, listen)| wanted != listen)
            .map(|(wanted, _)| *wanted)
            .collect()
    }

    /// These addresses are free now: what was listened at instead of them goes.
    pub(crate) fn take_again(&mut self, free: &[SocketAddr]) {
        for (wanted, listen) in self.wanted.iter().zip(&mut self.listen) {
            if free.contains(wanted) {
                *listen = *wanted;
            }
        }
        let listen = &self.listen;
        let stays = |addr: &SocketAddr| {
            let is_of = |free: &SocketAddr| {
                let is_any = free.ip().is_unspecified() && free.is_ipv4() == addr.is_ipv4();
                free.ip() == addr.ip() || is_any
            };
            listen.contains(addr) || !free.iter().any(is_of)
        };
        self.tcp.retain(stays);
        self.udp.retain(stays);
        self.ids.retain(|addr, _| stays(addr));
        self.listens_anew();
    }

    /// Its session is told to listen elsewhere: until it does, it is no trouble that nothing listens.
    pub(crate) fn listens_anew(&mut self) {
        self.begun_at = Instant::now();
    }

    /// What is wrong with it.
    pub(crate) fn trouble(&self, settings: &DhtSettings, now: Instant) -> Option<Trouble> {
        let Some(started_at) = self.started_at.filter(|_| !self.udp.is_empty()) else {
            let settled = now.saturating_duration_since(self.begun_at) >= SETTLES_WITHIN;
            let why =
                || (self.error.clone()).unwrap_or_else(|| "no UDP socket listens yet".to_owned());
            return settled.then(|| Trouble::NoSocket(why()));
        };
        let settled = now.duration_since(started_at) >= SETTLES_WITHIN;
        let quiet = now.duration_since(self.heard_at);
        if self.nodes == 0 {
            return settled.then_some(Trouble::NoNodes);
        }
        if quiet >= settings.silence {
            return Some(Trouble::Silent(quiet.as_secs()));
        }
        if quiet >= settings.silence / 2 {
            return Some(Trouble::Quiet);
        }
        (settled && self.nodes < settings.enough_nodes).then_some(Trouble::FewNodes(self.nodes))
    }
}

/// An identity as whoever sends queries sees it.
#[derive(Clone)]
pub(crate) struct Sender {
    /// Whether what it sends may be answered.
    pub(crate) works: bool,
    pub(crate) ids: Vec<NodeId>,
    pub(crate) commands: Commands,
}

/// Which of them has the id that is closest to the target; the first where there is none. One that does
/// not work leaves its region to those that do.
pub(crate) fn closest(senders: &[Sender], target: Option<NodeId>) -> usize {
    let any_works = senders.iter().any(|sender| sender.works);
    let usable = || {
        (0..)
            .zip(senders)
            .filter(|(_, sender)| sender.works || !any_works)
    };
    let first = usable().next().map_or(0, |(at, _)| at);
    let Some(target) = target else { return first };
    usable()
        .filter_map(|(at, sender)| {
            let nearest = sender.ids.iter().map(|id| id.distance(&target)).min()?;
            Some((nearest, at))
        })
        .min()
        .map_or(first, |(_, at)| at)
}

/// Where this identity listens: on the next port for each one, or on any.
pub(crate) fn listen_of(listen: &[SocketAddr], number: u8) -> Vec<SocketAddr> {
    let port = |port: u16| match port {
        0 => 0,
        port => port.checked_add(u16::from(number)).unwrap_or(0),
    };
    (listen.iter())
        .map(|addr| SocketAddr::new(addr.ip(), port(addr.port())))
        .collect()
}

/// What the DHT node of this identity begins with.
pub(crate) fn start_of(
    settings: &DhtSettings,
    listen: &[SocketAddr],
    states: &[Vec<u8>],
    number: u8,
) -> DhtStart {
    let many = settings.identities > 1;
    DhtStart {
        state: states.get(usize::from(number)).cloned().unwrap_or_default(),
        node_id: if many {
            id_in_region(number, settings.identities).to_vec()
        } else {
            Vec::new()
        },
        local: (listen.iter())
            .map(|addr| Peer::from(PeerAddr::from(*addr)))
            .collect(),
        observe: true,
        observe_all: settings.observe_all,
        observed_per_source: settings.observed_per_source,
    }
}

/// A random id in the region of this one of so many.
fn id_in_region(number: u8, of: u8) -> [u8; 20] {
    let mut id: [u8; 20] = rand::rng().random();
    let width = 0x1_0000 / u32::from(of.max(1));
    let start = width * u32::from(number);
    let prefix = start + rand::rng().random_range(0..width.max(1));
    let prefix = u16::try_from(prefix).unwrap_or(u16::MAX);
    if let Some(first) = id.first_chunk_mut::<2>() {
        *first = prefix.to_be_bytes();
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> DhtSettings {
        DhtSettings {
            silence: Duration::from_secs(60),
            enough_nodes: 8,
            ..DhtSettings::new(Vec::new())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_is_told_from_a_slow_start() {
        let settings = settings();
        let mut identity = Identity::new(Vec::new());
        let now = Instant::now;
        assert_eq!(identity.trouble(&settings, now()), None);
        tokio::time::advance(SETTLES_WITHIN).await;
        let no_socket = Trouble::NoSocket("no UDP socket listens yet".to_owned());
        assert_eq!(identity.trouble(&settings, now()), Some(no_socket));
        identity.udp.push("127.0.0.1:1".parse().unwrap());
        identity.start();
        assert_eq!(identity.trouble(&settings, now()), None);
        tokio::time::advance(SETTLES_WITHIN).await;
        assert_eq!(identity.trouble(&settings, now()), Some(Trouble::NoNodes));
        identity.counted(3, 1);
        assert_eq!(
            identity.trouble(&settings, now()),
            Some(Trouble::FewNodes(3))
        );
        identity.counted(8, 2);
        assert_eq!(identity.trouble(&settings, now()), None);
        tokio::time::advance(Duration::from_secs(31)).await;
        identity.counted(8, 2);
        assert_eq!(identity.trouble(&settings, now()), Some(Trouble::Quiet));
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(
            identity.trouble(&settings, now()),
            Some(Trouble::Silent(62))
        );
        identity.counted(8, 3);
        assert_eq!(identity.trouble(&settings, now()), None);
    }

    #[test]
    fn every_identity_has_a_region_and_a_port_of_its_own() {
        for of in [1, 2, 3, 16, 255] {
            for number in 0..of {
                let id = id_in_region(number, of);
                let prefix = u32::from(u16::from_be_bytes([id[0], id[1]]));
                assert_eq!(prefix / (0x1_0000 / u32::from(of)), u32::from(number));
            }
        }
        let listen = ["127.0.0.1:6881", "[::1]:0", "127.0.0.1:65535"].map(|l| l.parse().unwrap());
        let second: Vec<_> = ["127.0.0.1:6882", "[::1]:0", "127.0.0.1:0"]
            .map(|l| l.parse().unwrap())
            .into();
        assert_eq!(listen_of(&listen, 1), second);
        assert_eq!(listen_of(&listen, 0), listen);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_listened_at_instead_goes_when_the_port_is_free() {
        let addr = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let wanted = ["127.0.0.1:6881", "127.0.0.2:6881", "[::]:6881"].map(addr);
        let mut identity = Identity::new(wanted.to_vec());
        assert_eq!(identity.taken(), []);
        identity.listen[0].set_port(0);
        identity.listen[2].set_port(0);
        assert_eq!(identity.taken(), [wanted[0], wanted[2]]);
        identity.udp = ["127.0.0.1:40000", "127.0.0.2:6881", "[::1]:40001"]
            .map(addr)
            .to_vec();
        identity.take_again(&[wanted[0]]);
        assert_eq!(identity.taken(), [wanted[2]]);
        assert_eq!(identity.udp, ["127.0.0.2:6881", "[::1]:40001"].map(addr));
        identity.take_again(&[wanted[2]]);
        assert_eq!(identity.udp, [wanted[1]]);
        assert_eq!(identity.listen, wanted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_is_taken_again_may_take_a_moment() {
        let wanted: SocketAddr = "127.0.0.1:6881".parse().unwrap();
        let mut identity = Identity::new(vec![wanted]);
        identity.listen[0].set_port(0);
        identity.udp = vec!["127.0.0.1:40000".parse().unwrap()];
        identity.start();
        identity.counted(8, 1);
        tokio::time::advance(SETTLES_WITHIN * 2).await;
        identity.take_again(&[wanted]);
        assert!(identity.udp.is_empty());
        assert_eq!(identity.trouble(&settings(), Instant::now()), None);
        tokio::time::advance(SETTLES_WITHIN).await;
        let trouble = identity.trouble(&settings(), Instant::now());
        assert!(matches!(trouble, Some(Trouble::NoSocket(_))), "{trouble:?}");
    }

    #[test]
    fn a_query_leaves_from_the_closest_id() {
        let commands = Commands::nowhere();
        let sender = |first: u8| Sender {
            works: true,
            ids: vec![NodeId([first; 20])],
            commands: commands.clone(),
        };
        let none = Sender {
            works: true,
            ids: Vec::new(),
            commands: commands.clone(),
        };
        let mut senders = [none, sender(0x10), sender(0x80), sender(0xc0)];
        let at = |first: u8| closest(&senders, Some(NodeId([first; 20])));
        assert_eq!((at(0x00), at(0x90), at(0xff)), (1, 2, 3));
        assert_eq!(closest(&senders, None), 0);
        assert_eq!(closest(&[], Some(NodeId([1; 20]))), 0);
        // Those that have failed leave theirs to others, as long as there is one.
        (senders[0].works, senders[2].works) = (false, false);
        let at = |senders: &[Sender], first: u8| closest(senders, Some(NodeId([first; 20])));
        assert_eq!((at(&senders, 0x90), closest(&senders, None)), (3, 1));
        for sender in &mut senders {
            sender.works = false;
        }
        assert_eq!(at(&senders, 0x90), 2);
    }
}
