//! What a session is told: our settings, and every libtorrent setting that follows from them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::bridge::{Limits, Setting};
use super::dht::identity::listen_of;
use crate::proxy::Proxy;
use crate::torrent::{self, Encryption, PeerAddr};

/// Bits of libtorrent's `alert_mask`.
const ALERT_ERROR: u32 = 1;
const ALERT_TRACKER: u32 = 1 << 4;
const ALERT_STATUS: u32 = 1 << 6;
const ALERT_DHT: u32 = 1 << 10;

/// libtorrent's `enc_policy`.
const FORCED: u8 = 0;
const ENABLED: u8 = 1;
const DISABLED: u8 = 2;
/// libtorrent's `enc_level`: RC4 alone, or what follows the key exchange in the clear as well.
const ONLY_RC4: u8 = 2;
const ANY_LEVEL: u8 = 3;

/// Everything a user can decide about the libtorrent arm. There is no default: a default session
/// would talk to the world.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own, as in the configuration"
)]
pub struct Settings {
    /// Addresses to listen on, TCP and UDP; port 0 takes any free one. The first is where outgoing
    /// uTP comes from.
    pub listen: Vec<SocketAddr>,
    /// The DHT node, or none.
    pub dht: Option<DhtSettings>,
    /// Whether loopback, private and reserved addresses are dialled and accepted.
    pub allow_local_peers: bool,
    /// Peer exchange (BEP 11).
    pub pex: bool,
    /// Local service discovery (BEP 14).
    pub lsd: bool,
    /// Port mapping by `UPnP` and NAT-PMP.
    pub port_mapping: bool,
    /// Whether peers may connect to us.
    pub incoming: bool,
    /// The largest info dictionary that is accepted, in bytes.
    pub max_metadata_size: u32,
    /// How long a connection may take to stand. Checked once a second.
    pub connect_timeout: Duration,
    /// How long the handshake may take. Checked once a second.
    pub handshake_timeout: Duration,
    /// How long the extension handshake may take from there. Checked once a second.
    pub extension_timeout: Duration,
    /// How long the first block may take from there. Checked once a second.
    pub first_block_timeout: Duration,
    /// How long no further block may come. Checked once a second.
    pub transfer_timeout: Duration,
    /// The fewest bytes of metadata a second, on average: it is looked at once `first_block_timeout` is
    /// over. 0 for none.
    pub min_rate: u32,
    /// Connections at a time, in each session. libtorrent takes at most 80 % of the file limit.
    pub connections_limit: u32,
    /// Connections begun per second, in each session, beyond those begun with a fetch.
    pub connection_speed: u32,
    /// Alerts that may wait before libtorrent drops some.
    pub alert_queue_size: u32,
    /// The start of our peer id, such as `-MF0100-`.
    pub peer_fingerprint: String,
    /// How we name ourselves to trackers and in extension handshakes.
    pub user_agent: String,
    /// libtorrent's `anonymous_mode`, and no client name in peer ids, extension handshakes and to
    /// trackers. DHT messages still carry libtorrent's name and version.
    pub anonymous: bool,
    /// Whether connections to peers are encrypted, those that come in as well.
    pub encryption: Encryption,
    /// Addresses to connect from, one of each family at the most. Where there is one alone, peers of the
    /// other family are not connected to; where there are both, `listen` is to name them, too.
    pub bind: Vec<IpAddr>,
    /// What everything goes through. Then nobody can connect to us, and there is one UDP socket, of
    /// IPv4, at the first port of `listen`.
    pub proxy: Option<Proxy>,
    /// Fetches at a time: removing a torrent costs the more the more there are.
    pub max_torrents: usize,
}

/// The DHT node (BEP 5).
#[derive(Clone, Debug)]
pub struct DhtSettings {
    /// Nodes to begin with, as `HOST:PORT`.
    pub bootstrap: Vec<String>,
    /// What [`Libtorrent::dht_state`](super::Libtorrent::dht_state) returned in an earlier run.
    pub state: Option<Vec<u8>>,
    /// DHT nodes of ours, 1 to 255: each has a session of its own, with the next port and an id in
    /// its own region of the key space. Where libtorrent knows its public address, BEP 42 derives the
    /// ids from that, and they lie where they lie.
    pub identities: u8,
    /// Asks, and answers nobody (BEP 43): no other node keeps us in its table, nobody announces to
    /// us, and nothing is observed.
    pub read_only: bool,
    /// Nodes known from earlier runs: asked where the routers are silent.
    pub remembered: Vec<PeerAddr>,
    /// Nodes in the routing table below which the DHT counts as degraded, and is bootstrapped again.
    pub enough_nodes: u64,
    /// How long nothing may come in before the DHT counts as failed. Half of it, and nodes are asked
    /// whether they are there.
    pub silence: Duration,
    /// Whoever borrows the node warns when nothing comes in: then this is no warning here as well.
    pub silence_is_told_elsewhere: bool,
    /// Observe every `ping` and `find_node` of others, too.
    pub observe_all: bool,
    /// Queries of one source a second that are observed; more are a flood.
    pub observed_per_source: u32,
}

impl DhtSettings {
    /// One ordinary node that begins with these nodes, `HOST:PORT`.
    #[must_use]
    pub fn new(bootstrap: Vec<String>) -> Self {
        Self {
            bootstrap,
            state: None,
            identities: 1,
            read_only: false,
            remembered: Vec::new(),
            enough_nodes: 8,
            silence: Duration::from_secs(60),
            silence_is_told_elsewhere: false,
            observe_all: false,
            observed_per_source: 20,
        }
    }
}

impl Settings {
    /// Settings that reach nothing but this host: one free port of 127.0.0.1, no DHT, no discovery.
    #[must_use]
    pub fn loopback() -> Self {
        Self {
            listen: vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)],
            dht: None,
            allow_local_peers: true,
            pex: false,
            lsd: false,
            port_mapping: false,
            incoming: false,
            max_metadata_size: 10 << 20,
            connect_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(5),
            extension_timeout: Duration::from_secs(5),
            first_block_timeout: Duration::from_secs(8),
            transfer_timeout: Duration::from_secs(10),
            min_rate: 2048,
            connections_limit: 4000,
            connection_speed: 500,
            alert_queue_size: 1_000_000,
            peer_fingerprint: "-MF0100-".to_owned(),
            user_agent: concat!("metafetch/", env!("CARGO_PKG_VERSION")).to_owned(),
            anonymous: false,
            encryption: Encryption::default(),
            bind: Vec::new(),
            proxy: None,
            max_torrents: 4000,
        }
    }

    /// These settings, as libtorrent works with a proxy: it then opens one socket of its own choice, and
    /// takes connections from nobody.
    pub(crate) fn in_effect(mut self) -> Self {
        if self.proxy.is_some() {
            let port = self.listen.first().map_or(0, SocketAddr::port);
            self.listen = vec![SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)];
            self.incoming = false;
        }
        if self.proxy.is_some() || self.anonymous {
            self.lsd = false;
            self.port_mapping = false;
        }
        self
    }

    /// The nodes that libtorrent may begin with: it would resolve names itself, past the proxy.
    fn bootstrap(&self, dht: &DhtSettings) -> String {
        let may = |node: &&String| self.proxy.is_none() || node.parse::<SocketAddr>().is_ok();
        let nodes: Vec<_> = dht.bootstrap.iter().filter(may).cloned().collect();
        nodes.join(",")
    }

    pub(crate) fn limits(&self) -> Limits {
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        Limits {
            max_metadata_size: self.max_metadata_size,
            connect_timeout: millis(self.connect_timeout),
            handshake_timeout: millis(self.handshake_timeout),
            extension_timeout: millis(self.extension_timeout),
            first_block_timeout: millis(self.first_block_timeout),
            transfer_timeout: millis(self.transfer_timeout),
            min_rate: self.min_rate,
        }
    }
}

/// A way to a peer. Each has a session of its own, in which every peer is dialled once, so that the
/// order of ways is ours to decide and every failure is final for its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// TCP, plain. This session listens, has the DHT, and asks the trackers.
    Tcp,
    /// TCP with message stream encryption.
    TcpMse,
    /// uTP, plain.
    Utp,
    /// uTP with message stream encryption.
    UtpMse,
    /// No way at all: this session asks trackers and dials nobody.
    Lookup,
    /// No way at all: one more DHT node, from 1; the first one is that of the listening session.
    Identity(u8),
}

impl From<torrent::Way> for Way {
    fn from(way: torrent::Way) -> Self {
        match (way.transport, way.encrypted) {
            (torrent::Transport::Tcp, false) => Self::Tcp,
            (torrent::Transport::Tcp, true) => Self::TcpMse,
            (torrent::Transport::Utp, false) => Self::Utp,
            (torrent::Transport::Utp, true) => Self::UtpMse,
        }
    }
}

impl Way {
    pub(crate) fn is_utp(self) -> bool {
        matches!(self, Self::Utp | Self::UtpMse)
    }

    pub(crate) fn is_encrypted(self) -> bool {
        matches!(self, Self::TcpMse | Self::UtpMse)
    }

    /// The way that is taken for this one where all ways are encrypted, or none is.
    pub(crate) fn under(self, encryption: Encryption) -> Self {
        match self {
            Self::TcpMse if encryption != Encryption::Prefer => Self::Tcp,
            Self::UtpMse if encryption != Encryption::Prefer => Self::Utp,
            way => way,
        }
    }

    /// The way, as whoever is outside of this module names it.
    pub(crate) fn as_seen_outside(self, encryption: Encryption) -> torrent::Way {
        let transport = if self.is_utp() {
            torrent::Transport::Utp
        } else {
            torrent::Transport::Tcp
        };
        let encrypted = encryption.first(self.is_encrypted());
        torrent::Way::new(torrent::Arm::Libtorrent, transport, encrypted)
    }

    /// Which DHT node the session of this way has, if any.
    pub(crate) fn identity(self) -> Option<usize> {
        match self {
            Self::Tcp => Some(0),
            Self::Identity(number) => Some(number.into()),
            _ => None,
        }
    }

    /// The bit of this way in a set of ways.
    pub(crate) fn bit(self) -> u8 {
        match self {
            Self::Tcp => 1,
            Self::TcpMse => 1 << 1,
            Self::Utp => 1 << 2,
            Self::UtpMse => 1 << 3,
            Self::Lookup | Self::Identity(_) => 0,
        }
    }
}

/// Settings that are the same in every session, whatever the user says.
const FIXED: &[(&str, &str)] = &[
    ("max_retry_port_bind", "0"),
    ("listen_system_port_fallback", "false"),
    ("torrent_connect_boost", "255"),
    ("smooth_connects", "false"),
    ("allow_multiple_connections_per_ip", "true"),
    ("max_failcount", "1"),
    ("min_reconnect_time", "60000"),
    ("max_peerlist_size", "1000"),
    ("max_paused_peerlist_size", "1000"),
    ("utp_connect_timeout", "1500"),
    ("announce_to_all_trackers", "true"),
    ("announce_to_all_tiers", "true"),
    ("stop_tracker_timeout", "0"),
    ("max_concurrent_http_announces", "200"),
    ("dht_upload_rate_limit", "1000000"),
    ("dht_block_ratelimit", "1000000"),
    ("dht_ignore_dark_internet", "false"),
];

pub(crate) fn setting(name: &str, value: impl std::fmt::Display) -> Setting {
    Setting {
        name: name.to_owned(),
        value: format!("{value}"),
    }
}

/// `listen_interfaces` of these addresses.
pub(crate) fn listen_interfaces(listen: &[SocketAddr]) -> Setting {
    let list: Vec<_> = listen.iter().map(ToString::to_string).collect();
    setting("listen_interfaces", list.join(","))
}

/// The mask of the listening session. `status` (sockets that listen, and a dozen alerts for each
/// torrent) and `dht` (the end of the bootstrap, and every query that comes in) are on only while
/// something is waited for.
pub(crate) fn alert_mask(sockets_pending: bool, bootstrap_pending: bool) -> Setting {
    let mut mask = ALERT_ERROR | ALERT_TRACKER;
    if sockets_pending {
        mask |= ALERT_STATUS;
    }
    if bootstrap_pending {
        mask |= ALERT_DHT;
    }
    setting("alert_mask", mask)
}

/// Every setting of the session of this way that differs from libtorrent's default.
pub(crate) fn session_settings(settings: &Settings, way: Way) -> Vec<Setting> {
    let listens = way == Way::Tcp;
    let accepts = settings.incoming && matches!(way, Way::Tcp | Way::Lookup);
    let backstop = |time: Duration| time.as_secs().saturating_add(3).min(3600);
    let listen = match way {
        Way::Tcp => settings.listen.clone(),
        Way::Identity(number) => listen_of(&settings.listen, number),
        // These need no more than a socket of their own to send from, or to announce.
        _ => settings
            .listen
            .iter()
            .map(|addr| SocketAddr::new(addr.ip(), 0))
            .collect(),
    };
    let dht = settings.dht.as_ref().filter(|_| way.identity().is_some());
    let is_encrypted = settings.encryption.first(way.is_encrypted());
    let named = |name: &str| {
        if settings.anonymous {
            String::new()
        } else {
            name.to_owned()
        }
    };
    let mut all: Vec<Setting> = FIXED
        .iter()
        .map(|(name, value)| setting(name, value))
        .collect();
    all.extend([
        listen_interfaces(&listen),
        match way {
            Way::Tcp | Way::Identity(_) => alert_mask(true, dht.is_some()),
            Way::Lookup => setting("alert_mask", ALERT_ERROR | ALERT_TRACKER),
            _ => setting("alert_mask", ALERT_ERROR),
        },
        setting("alert_queue_size", settings.alert_queue_size),
        setting("connections_limit", settings.connections_limit),
        setting("connection_speed", settings.connection_speed),
        setting("peer_connect_timeout", backstop(settings.connect_timeout)),
        setting("handshake_timeout", backstop(settings.handshake_timeout)),
        setting("enable_outgoing_tcp", matches!(way, Way::Tcp | Way::TcpMse)),
        setting("enable_outgoing_utp", way.is_utp()),
        setting("enable_incoming_tcp", accepts),
        setting("enable_incoming_utp", accepts),
        setting(
            "out_enc_policy",
            if is_encrypted { FORCED } else { DISABLED },
        ),
        setting(
            "in_enc_policy",
            match settings.encryption {
                Encryption::Prefer => ENABLED,
                Encryption::Require => FORCED,
                Encryption::Off => DISABLED,
            },
        ),
        setting(
            "allowed_enc_level",
            match settings.encryption {
                Encryption::Require => ONLY_RC4,
                Encryption::Prefer | Encryption::Off => ANY_LEVEL,
            },
        ),
        setting(
            "outgoing_interfaces",
            match settings.bind.as_slice() {
                // It takes them in turn, of whichever family the peer is: the engine refuses two where it dials.
                [one] if settings.proxy.is_none() => one.to_string(),
                _ => String::new(),
            },
        ),
        setting("enable_lsd", settings.lsd && listens),
        setting("enable_upnp", settings.port_mapping && listens),
        setting("enable_natpmp", settings.port_mapping && listens),
        // Switched on when a UDP socket listens: a DHT that starts before loses its saved state.
        setting("enable_dht", false),
        setting(
            "dht_bootstrap_nodes",
            dht.map(|dht| settings.bootstrap(dht)).unwrap_or_default(),
        ),
        setting("dht_read_only", dht.is_some_and(|dht| dht.read_only)),
        setting("dht_restrict_routing_ips", !settings.allow_local_peers),
        setting("dht_restrict_search_ips", !settings.allow_local_peers),
        setting("dht_prefer_verified_node_ids", !settings.allow_local_peers),
        setting("peer_fingerprint", named(&settings.peer_fingerprint)),
        setting("user_agent", named(&settings.user_agent)),
        setting("anonymous_mode", settings.anonymous),
    ]);
    all.extend(proxy_settings(settings.proxy.as_ref()));
    all
}

/// Every setting that tells libtorrent of the proxy. Without one they are its defaults.
fn proxy_settings(proxy: Option<&Proxy>) -> [Setting; 8] {
    let (host, port) = proxy.map(Proxy::address).unwrap_or_default();
    let (user, password) = proxy.and_then(Proxy::login).unwrap_or_default();
    // libtorrent's `socks5` and `socks5_pw`.
    let kind = match proxy {
        None => 0,
        Some(_) if user.is_empty() => 2,
        Some(_) => 3,
    };
    [
        setting("proxy_type", kind),
        setting("proxy_hostname", host),
        setting("proxy_port", port),
        setting("proxy_username", user),
        setting("proxy_password", password),
        setting("proxy_peer_connections", true),
        setting("proxy_tracker_connections", true),
        setting("proxy_hostnames", true),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtorrent::bridge::{DhtStart, ffi};

    const TABLE: &str = include_str!("../../docs/libtorrent-settings.md");

    /// Name, default and value of each row of the table.
    fn rows() -> Vec<(String, String, String)> {
        TABLE
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| {
                let cells: Vec<_> = line
                    .split('|')
                    .map(|cell| cell.trim().trim_matches('`').to_owned())
                    .collect();
                (cells[1].clone(), cells[2].clone(), cells[3].clone())
            })
            .collect()
    }

    #[test]
    fn the_table_names_the_settings_that_the_code_sets() {
        let documented: Vec<_> = rows().into_iter().map(|row| row.0).collect();
        for way in [
            Way::Tcp,
            Way::TcpMse,
            Way::Utp,
            Way::UtpMse,
            Way::Lookup,
            Way::Identity(1),
        ] {
            let mut set: Vec<_> = session_settings(&Settings::loopback(), way)
                .into_iter()
                .map(|entry| entry.name)
                .collect();
            let mut documented = documented.clone();
            set.sort();
            documented.sort();
            assert_eq!(set, documented, "{way:?}");
        }
    }

    #[test]
    fn the_table_has_the_values_of_the_code_and_the_defaults_of_libtorrent() {
        let fixed: std::collections::HashMap<_, _> = FIXED.iter().copied().collect();
        for (name, default, value) in rows() {
            assert_eq!(ffi::default_setting(&name).unwrap(), default, "{name}");
            match fixed.get(name.as_str()) {
                Some(fixed) => assert_eq!(*fixed, value, "{name}"),
                // What follows from our settings is described, not quoted.
                None => assert!(value.starts_with("from"), "{name}: {value}"),
            }
        }
    }

    #[test]
    fn with_a_proxy_every_session_goes_through_it_and_resolves_no_name() {
        let proxy = Proxy::parse("socks5://user:secret@127.0.0.1:1080", None).unwrap();
        let bootstrap = ["router.example:6881", "127.0.0.1:5"].map(str::to_owned);
        let settings = Settings {
            dht: Some(DhtSettings::new(bootstrap.to_vec())),
            proxy: Some(proxy),
            listen: vec!["127.0.0.1:7".parse().unwrap(), "[::1]:8".parse().unwrap()],
            incoming: true,
            lsd: true,
            port_mapping: true,
            ..Settings::loopback()
        }
        .in_effect();
        for way in [Way::Tcp, Way::TcpMse, Way::Utp, Way::UtpMse, Way::Lookup] {
            let all = session_settings(&settings, way);
            let value = |name: &str| {
                let found = all.iter().find(|entry| entry.name == name);
                found.unwrap().value.clone()
            };
            for (name, expected) in [
                ("proxy_type", "3"),
                ("proxy_hostname", "127.0.0.1"),
                ("proxy_port", "1080"),
                ("proxy_username", "user"),
                ("proxy_password", "secret"),
                ("proxy_peer_connections", "true"),
                ("proxy_tracker_connections", "true"),
                ("proxy_hostnames", "true"),
                ("enable_incoming_tcp", "false"),
                ("enable_incoming_utp", "false"),
                ("enable_lsd", "false"),
                ("enable_upnp", "false"),
                ("enable_natpmp", "false"),
            ] {
                assert_eq!(value(name), expected, "{name} of {way:?}");
            }
            assert!(value("listen_interfaces").starts_with("0.0.0.0:"));
            assert!(!value("dht_bootstrap_nodes").contains("router"));
        }
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn encryption_and_the_bound_address_hold_in_every_session() {
        let of = |encryption, bind: &[&str]| {
            let settings = Settings {
                encryption,
                bind: bind.iter().map(|ip| ip.parse().unwrap()).collect(),
                ..Settings::loopback()
            };
            [Way::Tcp, Way::TcpMse, Way::Utp, Way::UtpMse].map(|way| {
                let all = session_settings(&settings, way);
                let names = [
                    "out_enc_policy",
                    "in_enc_policy",
                    "allowed_enc_level",
                    "outgoing_interfaces",
                ];
                let value = |name| all.iter().find(|entry| entry.name == name).unwrap();
                names.map(|name| value(name).value.clone()).join(" ")
            })
        };
        let (plain, mse) = ("2 1 3 ", "0 1 3 ");
        assert_eq!(of(Encryption::Prefer, &[]), [plain, mse, plain, mse]);
        assert_eq!(of(Encryption::Require, &["::1"]), ["0 0 2 ::1"; 4]);
        let off = of(Encryption::Off, &["127.0.0.1", "::1"]);
        assert_eq!((off[0].as_str(), off[2].as_str()), ("2 2 3 ", "2 2 3 "));
        assert_eq!(Way::TcpMse.under(Encryption::Off), Way::Tcp);
        assert!(Way::Utp.as_seen_outside(Encryption::Require).encrypted);
    }

    #[test]
    fn a_setting_that_libtorrent_does_not_know_or_cannot_take_is_an_error() {
        assert!(ffi::default_setting("no_such_setting").is_err());
        for bad in [
            setting("no_such_setting", 1),
            setting("max_failcount", "many"),
            setting("max_failcount", "1 "),
            setting("enable_dht", "yes"),
        ] {
            let limits = Settings::loopback().limits();
            let refused = ffi::open_session(
                std::slice::from_ref(&bad),
                &limits,
                true,
                &DhtStart::default(),
            );
            assert!(refused.is_err(), "{bad:?}");
        }
    }
}
