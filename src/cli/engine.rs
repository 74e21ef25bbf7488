//! What every command that fetches takes alike: how it reaches the network, and how the engine works.

use std::net::SocketAddr;
use std::time::Duration;

use super::cooldown::Cooldown;
use super::dht::DhtArgs;
use super::privacy::PrivacyArgs;
use super::{Stop, file_limit};
use crate::discovery::dht::DhtLimits;
use crate::engine::{Options, Strategy};
use crate::proxy::Proxy;
use crate::torrent::PeerHint;
use crate::{direct, history, libtorrent};

/// Nodes that introduce a newcomer to the public DHT.
const ROUTERS: [&str; 4] = [
    "router.bittorrent.com:6881",
    "dht.transmissionbt.com:6881",
    "dht.libtorrent.org:25401",
    "relay.pkarr.org:6881",
];

/// How the network is reached.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct NetworkArgs {
    /// A DHT node to start from, instead of the public routers (repeatable)
    #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
    bootstrap: Vec<String>,
    /// Take loopback and private addresses as peers and DHT nodes
    #[arg(long)]
    pub(super) allow_local_peers: bool,
    /// Address to listen on; port 0 takes any [default: 0.0.0.0:0 and [::]:0] (repeatable)
    #[arg(long, value_name = "ADDR")]
    listen: Vec<SocketAddr>,
}

impl NetworkArgs {
    /// The addresses to listen on.
    pub(super) fn listen(&self) -> Vec<SocketAddr> {
        if self.listen.is_empty() {
            vec![([0u8; 4], 0).into(), ([0u16; 8], 0).into()]
        } else {
            self.listen.clone()
        }
    }

    /// The DHT node, which begins with `state` where an earlier run has left one.
    pub(super) fn dht(&self, state: Option<Vec<u8>>) -> libtorrent::DhtSettings {
        let bootstrap = if self.bootstrap.is_empty() {
            ROUTERS.map(str::to_owned).to_vec()
        } else {
            self.bootstrap.clone()
        };
        libtorrent::DhtSettings {
            state,
            ..libtorrent::DhtSettings::new(bootstrap)
        }
    }

    /// A session with the DHT, or without.
    pub(super) fn libtorrent(&self, dht: Option<libtorrent::DhtSettings>) -> libtorrent::Settings {
        libtorrent::Settings {
            listen: self.listen(),
            dht,
            allow_local_peers: self.allow_local_peers,
            pex: true,
            incoming: true,
            ..libtorrent::Settings::loopback()
        }
    }
}

/// How the engine works.
#[derive(Debug, clap::Args)]
pub(super) struct EngineArgs {
    #[command(flatten)]
    pub(super) network: NetworkArgs,
    #[command(flatten)]
    dht: DhtArgs,
    #[command(flatten)]
    privacy: PrivacyArgs,
    /// Which arm fetches
    #[arg(long, value_enum, default_value_t)]
    strategy: Strategy,
    /// Hashes in work at a time
    #[arg(long, value_name = "N", default_value_t = 250, value_parser = clap::value_parser!(u16).range(1..=4000))]
    jobs: u16,
    /// The longest a try at one hash may take
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = positive_duration)]
    timeout: Duration,
    /// Try a hash that failed again, up to N times
    #[arg(long, value_name = "N", default_value_t = 0)]
    retry: u32,
    /// Ask the DHT nodes how many seeds and leeches there are (BEP 33): JSON lines then say `seeds` and
    /// `leeches`
    #[arg(long)]
    scrape: bool,
    /// Say on stderr which arm and peer was chosen, and why
    #[arg(long)]
    pub(super) explain: bool,
    /// How long a hash cools down after a failure: REASON=TIME, REASON=off, growth=TIME,TIME,… after
    /// the second, third, … in a row, or off for no cooldown at all (repeatable)
    #[arg(long, value_name = "REASON=TIME", value_parser = Cooldown::parse)]
    cooldown: Vec<Cooldown>,
}

impl EngineArgs {
    /// The proxy, if there is to be one.
    ///
    /// # Errors
    /// Its URL or password is wrong.
    pub(super) fn proxy(&self) -> Result<Option<Proxy>, Stop> {
        self.privacy.proxy()
    }

    /// What may be sent to DHT nodes.
    pub(super) fn dht_limits(&self) -> DhtLimits {
        self.dht.limits()
    }

    /// The options of an engine that asks the DHT, where there are settings for it, and no tracker.
    pub(super) fn options(
        self,
        dht: Option<libtorrent::DhtSettings>,
        proxy: Option<Proxy>,
    ) -> Options {
        let connections = file_limit::connections();
        let direct = direct::Settings {
            max_connections: connections / 3,
            ..direct::Settings::default()
        };
        let asks_dht = dht.is_some();
        let dht = dht.map(|settings| self.dht.with_identities(settings));
        let libtorrent = libtorrent::Settings {
            max_metadata_size: direct.max_metadata_size,
            connect_timeout: direct.connect_timeout,
            handshake_timeout: direct.handshake_timeout,
            transfer_timeout: direct.transfer_timeout,
            connections_limit: u32::try_from(connections / 4).unwrap_or(u32::MAX),
            ..self.network.libtorrent(dht)
        };
        let mut options = Options {
            strategy: self.strategy,
            jobs: self.jobs.into(),
            timeout: self.timeout,
            retries: self.retry,
            refetch: false,
            cooldowns: Cooldown::apply(self.cooldown),
            fallback_after: Duration::from_millis(500),
            peers_at_once: 6,
            stagger: Duration::from_millis(200),
            lookup_timeout: Duration::from_secs(10),
            dht_limits: self.dht.limits(),
            dht: asks_dht,
            trackers: false,
            scrape: self.scrape,
            waits_for_network: false,
            allow_local_peers: self.network.allow_local_peers,
            history: history::Settings::default(),
            direct,
            libtorrent,
        };
        self.privacy.apply(proxy, &mut options);
        options
    }
}

/// A span as an argument: `500ms` to a week.
pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("it must be longer than nothing".to_owned()),
        Ok(duration) if duration > Duration::from_secs(7 * 24 * 3600) => {
            Err("it must not be longer than a week".to_owned())
        }
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error}; write it as in 60s, 1m30s or 500ms")),
    }
}

fn host_port(text: &str) -> Result<String, String> {
    text.parse::<PeerHint>()
        .map(|hint| hint.to_string())
        .map_err(|error| error.to_string())
}
