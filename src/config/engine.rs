//! From values to what the engine is told.

use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    Config, Cooldown, DhtCrawlerKeys, DhtKeys, DirectKeys, LimitsKeys, NetworkKeys, Secret,
    file_limit,
};
use crate::discovery::crawl::CrawlOptions;
use crate::discovery::dht::DhtLimits;
use crate::engine::Options;
use crate::proxy::{Proxy, ProxyUrlError};
use crate::{direct, history, libtorrent};

/// The password of the proxy, where neither the command line nor a file is to hold it.
const PROXY_PASSWORD: &str = "METAFETCH_PROXY_PASSWORD";

/// The longest password file, in bytes.
const MAX_PASSWORD_FILE: u64 = 64 << 10;

/// Why there is no proxy or no password, though one was configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The URL, or the login.
    #[error(transparent)]
    Url(#[from] ProxyUrlError),
    /// The file with the password, and what is wrong with it.
    #[error("{}: {what}", file.display())]
    PasswordFile {
        /// Its path.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl Config {
    /// The proxy, if there is to be one. Reads its password from where it is.
    ///
    /// # Errors
    /// The URL or the password is wrong.
    pub fn proxy(&self) -> Result<Option<Proxy>, LoginError> {
        // An empty URL is as good as none.
        let url = self.privacy.proxy.as_ref();
        let Some(url) = url.filter(|url| !url.reveal().is_empty()) else {
            return Ok(None);
        };
        let password = match &self.privacy.proxy_password_file {
            Some(file) => Some(first_line(file)?),
            None => std::env::var(PROXY_PASSWORD)
                .ok()
                .filter(|text| !text.is_empty()),
        };
        Ok(Some(Proxy::parse(url.reveal(), password.as_deref())?))
    }

    /// The DHT node, which begins with `state` where an earlier run has left one.
    #[must_use]
    pub fn dht_node(&self, state: Option<Vec<u8>>) -> libtorrent::DhtSettings {
        let bootstrap = self.network.bootstrap.iter();
        let bootstrap = bootstrap.map(|node| node.as_str().to_owned()).collect();
        libtorrent::DhtSettings {
            state,
            ..libtorrent::DhtSettings::new(bootstrap)
        }
    }

    /// A session with the DHT, or without.
    #[must_use]
    pub fn session(&self, dht: Option<libtorrent::DhtSettings>) -> libtorrent::Settings {
        libtorrent::Settings {
            listen: self.network.listen_bound(),
            dht,
            allow_local_peers: self.network.allow_local_peers,
            pex: true,
            incoming: true,
            ..libtorrent::Settings::loopback()
        }
    }

    /// How a crawl is to work.
    #[must_use]
    pub fn crawl_options(&self) -> CrawlOptions {
        let crawl = &self.crawl;
        CrawlOptions {
            rate: crawl.rate.into(),
            nodes: usize::try_from(crawl.nodes).unwrap_or(usize::MAX),
            allow_local: self.network.allow_local_peers,
            node_interval: crawl.node_interval,
            min_sample_interval: crawl.node_interval,
            nodes_per_ip: crawl.nodes_per_ip.into(),
            nodes_per_network: crawl.nodes_per_network.into(),
            ..CrawlOptions::default()
        }
    }

    /// The options of an engine that asks the DHT, where there is a node for it, and no tracker.
    /// Raises this process's limit of open files as far as it goes.
    #[must_use]
    pub fn engine_options(
        &self,
        dht: Option<libtorrent::DhtSettings>,
        proxy: Option<Proxy>,
    ) -> Options {
        let connections = self.limits.connections(file_limit::connections());
        let of_direct = if self.engine.strategy.uses_libtorrent() {
            connections / 2
        } else {
            connections - connections / 4
        };
        let direct = direct::Settings {
            limits: self.limits.of_direct(of_direct),
            proxy,
            anonymous: self.privacy.anonymous,
            encryption: self.network.encryption,
            bind: self.network.bind.clone(),
            ..self.direct.settings()
        };
        let asks_dht = dht.is_some();
        let dht = dht.map(|node| libtorrent::DhtSettings {
            identities: self.dht.identities,
            read_only: self.dht.read_only,
            // With it comes the node id of an earlier run.
            state: node.state.filter(|_| !self.privacy.anonymous),
            ..node
        });
        let libtorrent = libtorrent::Settings {
            max_metadata_size: direct.max_metadata_size,
            connect_timeout: direct.connect_timeout,
            handshake_timeout: direct.handshake_timeout,
            extension_timeout: direct.extension_timeout,
            first_block_timeout: direct.first_block_timeout,
            transfer_timeout: direct.block_timeout,
            min_rate: direct.min_rate,
            connections_limit: u32::try_from(connections / 4).unwrap_or(u32::MAX),
            connection_speed: self.limits.connection_speed(),
            anonymous: self.privacy.anonymous,
            ..self.session(dht)
        };
        Options {
            strategy: self.engine.strategy,
            jobs: self.engine.jobs.into(),
            timeout: self.engine.timeout,
            retries: self.engine.retry,
            refetch: false,
            cooldowns: Cooldown::apply(self.engine.cooldown.clone()),
            fallback_after: Duration::from_millis(500),
            peers_at_once: 6,
            stagger: Duration::from_millis(200),
            lookup_timeout: Duration::from_secs(10),
            dht_limits: self.dht.limits(),
            dht: asks_dht,
            trackers: false,
            public_trackers: self.network.public_trackers(),
            scrape: self.engine.scrape,
            waits_for_network: false,
            allow_local_peers: self.network.allow_local_peers,
            report_peers: false,
            history: history::Settings::default(),
            direct,
            libtorrent,
        }
    }
}

/// The first line of a file that holds a password.
fn first_line(file: &Path) -> Result<String, LoginError> {
    let wrong = |what: String| {
        let file = file.to_owned();
        LoginError::PasswordFile { file, what }
    };
    let mut text = String::new();
    File::open(file)
        .and_then(|file| file.take(MAX_PASSWORD_FILE).read_to_string(&mut text))
        .map_err(|error| wrong(error.to_string()))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(wrong("its first line is empty".to_owned())),
    }
}

impl LimitsKeys {
    /// Connections at a time where the limit of open files allows for `most`.
    fn connections(&self, most: usize) -> usize {
        match usize::try_from(self.connections) {
            Ok(0) | Err(_) => most,
            Ok(wanted) => wanted.min(most),
        }
    }

    fn of_direct(&self, connections: usize) -> direct::Limits {
        direct::Limits {
            connections,
            half_open: self.half_open.into(),
            connects_per_second: NonZeroU32::new(self.connects_per_second),
            per_ip: self.per_ip.into(),
            per_network: self.per_network.into(),
            memory: self.memory.0.into(),
            ..direct::Limits::default()
        }
    }

    /// libtorrent's limit, which does not count connections that begin with a fetch, is never raised by ours.
    fn connection_speed(&self) -> u32 {
        let usual = libtorrent::Settings::loopback().connection_speed;
        NonZeroU32::new(self.connects_per_second).map_or(usual, |limit| limit.get().min(usual))
    }
}

impl NetworkKeys {
    /// The addresses to listen on: where `bind` names addresses, they stand for those that name none.
    fn listen_bound(&self) -> Vec<SocketAddr> {
        if self.bind.is_empty() {
            return self.listen.clone();
        }
        let bound = |listen: &SocketAddr| {
            if !listen.ip().is_unspecified() {
                return Some(*listen);
            }
            let same_family = |ip: &&IpAddr| ip.is_ipv4() == listen.is_ipv4();
            let ip = self.bind.iter().find(same_family)?;
            Some(SocketAddr::new(*ip, listen.port()))
        };
        let listen: Vec<_> = self.listen.iter().filter_map(bound).collect();
        if listen.is_empty() {
            return self.bind.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
        }
        listen
    }

    fn public_trackers(&self) -> Vec<String> {
        let urls = self.trackers.iter();
        urls.map(|url| url.as_str().to_owned()).collect()
    }
}

impl DirectKeys {
    /// The deadlines of the direct arm.
    fn settings(&self) -> direct::Settings {
        direct::Settings {
            connect_timeout: self.connect_timeout,
            handshake_timeout: self.handshake_timeout,
            extension_timeout: self.extension_timeout,
            first_block_timeout: self.first_block_timeout,
            block_timeout: self.block_timeout,
            min_rate: self.min_rate.0,
            attempt_timeout: self.attempt_timeout,
            pex_timeout: self.pex_timeout,
            ..direct::Settings::default()
        }
    }
}

impl DhtKeys {
    /// What may be sent to DHT nodes.
    pub(crate) fn limits(&self) -> DhtLimits {
        let some = |limit: u32| (limit > 0).then_some(limit);
        DhtLimits {
            packets_per_second: some(self.packets),
            bytes_per_second: some(self.bytes.0),
            per_ip_per_second: some(self.per_ip),
            ..DhtLimits::default()
        }
    }
}

impl DhtCrawlerKeys {
    /// The password for the database, from its key or its file; `None` where neither is set.
    ///
    /// # Errors
    /// The file can't be read, or its first line is empty.
    pub fn login_password(&self) -> Result<Option<Secret>, LoginError> {
        match (&self.password, &self.password_file) {
            (Some(password), _) => Ok(Some(password.clone())),
            (None, Some(file)) => Ok(Some(Secret::new(first_line(file)?))),
            (None, None) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_proxy(url: &str, file: Option<PathBuf>) -> Config {
        let mut config = Config::default();
        config.privacy.proxy = Some(crate::config::ProxyUrl::unchecked(url));
        config.privacy.proxy_password_file = file;
        config
    }

    #[test]
    fn the_defaults_are_those_of_the_limits() {
        assert_eq!(DhtKeys::default().limits(), DhtLimits::default());
    }

    #[test]
    fn the_limits_are_those_of_the_direct_arm() {
        let keys = LimitsKeys::default();
        assert_eq!(keys.of_direct(2000), direct::Limits::default());
        assert_eq!(keys.connections(300), 300);
        let few = LimitsKeys {
            connections: 100,
            connects_per_second: 0,
            ..LimitsKeys::default()
        };
        assert_eq!((few.connections(300), few.connections(20)), (100, 20));
        assert_eq!(few.of_direct(50).connects_per_second, None);
    }

    #[test]
    fn the_deadlines_are_those_of_the_direct_arm() {
        let keys = format!("{:?}", DirectKeys::default().settings());
        assert_eq!(keys, format!("{:?}", direct::Settings::default()));
    }

    #[test]
    fn what_listens_anywhere_listens_where_it_is_bound() {
        let text = r#"
            [network]
            listen = ["0.0.0.0:5", "[::]:6", "127.0.0.1:7"]
            bind = ["127.0.0.2"]
        "#;
        let mut config = Config::parse(text).unwrap();
        let listen = |config: &Config| config.session(None).listen;
        let expected = ["127.0.0.2:5", "127.0.0.1:7"].map(|addr| addr.parse().unwrap());
        assert_eq!(listen(&config), expected);
        config.network.listen = vec!["[::]:6".parse().unwrap()];
        assert_eq!(listen(&config), ["127.0.0.2:0".parse().unwrap()]);
        for wrong in [
            r#"["127.0.0.1", "127.0.0.2"]"#,
            r#"["0.0.0.0"]"#,
            r#"["lo"]"#,
        ] {
            let text = format!("[network]\nbind = {wrong}");
            assert!(Config::parse(&text).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_is_no_limit() {
        let limits = DhtKeys {
            packets: 0,
            bytes: crate::config::Bytes(0),
            per_ip: 7,
            ..DhtKeys::default()
        }
        .limits();
        assert_eq!(limits.packets_per_second, None);
        assert_eq!(limits.bytes_per_second, None);
        assert_eq!(limits.per_ip_per_second, Some(7));
    }

    #[test]
    fn anonymous_takes_no_id_of_an_earlier_run() {
        let mut config = Config::default();
        config.dht.identities = 3;
        config.dht.read_only = true;
        for anonymous in [false, true] {
            config.privacy.anonymous = anonymous;
            let node = config.dht_node(Some(vec![1]));
            let options = config.engine_options(Some(node), None);
            let node = options.libtorrent.dht.unwrap();
            assert_eq!((node.identities, node.read_only), (3, true));
            assert_eq!(node.state.is_none(), anonymous);
            assert_eq!(options.direct.anonymous, anonymous);
            assert_eq!(options.libtorrent.anonymous, anonymous);
        }
    }

    #[test]
    fn neither_errors_nor_debug_show_the_password() {
        for wrong in ["socks5://u:secret@", "http://u:secret@h:1", "u:secret"] {
            let config = with_proxy(wrong, None);
            let error = config.proxy().unwrap_err();
            assert!(!format!("{error} {error:?} {config:?}").contains("secret"));
        }
    }

    #[test]
    fn passwords_come_from_the_first_line_of_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = || Some(file.path().to_owned());
        let url = "socks5://u@h:1";
        assert!(with_proxy(url, path()).proxy().is_err(), "empty");
        std::fs::write(file.path(), "p w\nmore\n").unwrap();
        let proxy = with_proxy(url, path()).proxy().unwrap().unwrap();
        assert_eq!(proxy.login(), Some(("u", "p w")));
        assert!(
            with_proxy(url, Some("/no/such/file".into()))
                .proxy()
                .is_err()
        );

        let mut keys = DhtCrawlerKeys::default();
        assert_eq!(keys.login_password(), Ok(None));
        keys.password_file = path();
        let secret = keys.login_password().unwrap().unwrap();
        assert_eq!(secret.reveal(), "p w");
        assert!(!format!("{secret:?}").contains("p w"));
    }
}
