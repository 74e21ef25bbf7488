//! What every command that fetches takes alike: how it reaches the network, and how the engine works.
//! Each argument wins over the configuration.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Stop;
use super::dht::DhtArgs;
use super::given::Given;
use super::privacy::{self, PrivacyArgs};
use crate::config::{Config, Cooldown, HostPort, positive_duration};
use crate::engine::Strategy;
use crate::proxy::Proxy;
use crate::torrent::Encryption;

/// How the network is reached.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct NetworkArgs {
    /// A DHT node to start from, instead of the public routers (repeatable)
    #[arg(long, value_name = "HOST:PORT", value_parser = HostPort::parse)]
    bootstrap: Vec<HostPort>,
    /// Take loopback and private addresses as peers and DHT nodes
    #[arg(long)]
    allow_local_peers: bool,
    /// Whether connections to peers are encrypted (MSE/PE) [default: prefer]
    #[arg(long, value_enum)]
    encryption: Option<Encryption>,
    /// Address of this host to connect to peers from, one of IPv4 or IPv6 or each (repeatable)
    #[arg(long, value_name = "IP")]
    bind: Vec<IpAddr>,
    /// Address to listen on; port 0 takes any [default: 0.0.0.0:0 and [::]:0] (repeatable)
    #[arg(long, value_name = "ADDR")]
    listen: Vec<SocketAddr>,
}

impl NetworkArgs {
    /// Brings it into the configuration.
    pub(super) fn apply(&self, config: &mut Config) {
        let network = &mut config.network;
        if !self.bootstrap.is_empty() {
            network.bootstrap.clone_from(&self.bootstrap);
        }
        if !self.listen.is_empty() {
            network.listen.clone_from(&self.listen);
        }
        if !self.bind.is_empty() {
            network.bind.clone_from(&self.bind);
        }
        network.encryption = self.encryption.unwrap_or(network.encryption);
        network.allow_local_peers |= self.allow_local_peers;
    }
}

/// How the engine works.
#[derive(Debug, clap::Args)]
pub(super) struct EngineArgs {
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    network: NetworkArgs,
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
    /// The longest a try at one hash may take; each retry may take twice as long as the try before
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
    /// Brings it into the configuration; gives back the proxy, if there is to be one.
    ///
    /// # Errors
    /// The proxy's URL or password is wrong.
    pub(super) fn apply(&self, config: &mut Config) -> Result<Option<Proxy>, Stop> {
        self.network.apply(config);
        self.dht.apply(&self.given, config);
        self.privacy.apply(config);
        let (given, engine) = (&self.given, &mut config.engine);
        if given.has("strategy") {
            engine.strategy = self.strategy;
        }
        if given.has("jobs") {
            engine.jobs = self.jobs;
        }
        if given.has("timeout") {
            engine.timeout = self.timeout;
        }
        if given.has("retry") {
            engine.retry = self.retry;
        }
        engine.scrape |= self.scrape;
        engine.cooldown.extend_from_slice(&self.cooldown);
        privacy::proxy(&self.given, config)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        engine: EngineArgs,
    }

    fn applied(args: &[&str], mut config: Config) -> Config {
        let args = std::iter::once("metafetch").chain(args.iter().copied());
        let command = Command::try_parse_from(args).unwrap();
        command.engine.apply(&mut config).unwrap();
        config
    }

    /// Nothing that flags set is as it is by default.
    fn other() -> Config {
        let text = r#"
            [network]
            listen = ["127.0.0.1:1"]
            bootstrap = ["127.0.0.1:2"]
            encryption = "off"
            bind = ["127.0.0.1"]
            allow_local_peers = true
            [engine]
            strategy = "race"
            jobs = 3
            timeout = "4s"
            retry = 5
            scrape = true
            cooldown = ["no_peers=6s"]
            [dht]
            packets = 7
            bytes = 8
            per_ip = 9
            identities = 10
            read_only = true
            [privacy]
            anonymous = true
        "#;
        Config::parse(text).unwrap()
    }

    #[test]
    fn what_is_not_given_changes_nothing() {
        assert_eq!(applied(&[], other()), other());
    }

    #[test]
    fn what_help_calls_the_default_is_the_default() {
        let defaults = [
            "--strategy=auto",
            "--jobs=250",
            "--timeout=60s",
            "--retry=0",
            "--dht-packets=500",
            "--dht-bytes=100000",
            "--dht-per-ip=2",
            "--dht-identities=1",
            "--listen=0.0.0.0:0",
            "--listen=[::]:0",
            "--encryption=prefer",
        ];
        let mut without = other();
        without.network = crate::config::NetworkKeys::default();
        without.privacy = crate::config::PrivacyKeys::default();
        without.dht.read_only = false;
        without.engine.cooldown.clear();
        without.engine.scrape = false;
        assert_eq!(applied(&defaults, without), Config::default());
        // And these are what a command without arguments says.
        let parsed = Command::try_parse_from(["metafetch"]).unwrap().engine;
        let Config { engine, .. } = Config::default();
        assert_eq!(
            (parsed.strategy, parsed.jobs, parsed.timeout, parsed.retry),
            (engine.strategy, engine.jobs, engine.timeout, engine.retry)
        );
        let Config { dht, .. } = Config::default();
        assert_eq!(
            parsed.dht.values(),
            (dht.packets, dht.bytes.0, dht.per_ip, dht.identities)
        );
    }

    #[test]
    fn what_is_given_wins_and_cooldowns_are_added() {
        let config = applied(
            &[
                "--strategy=direct",
                "--jobs=250",
                "--retry=0",
                "--dht-per-ip=0",
                "--listen=127.0.0.1:9",
                "--encryption=require",
                "--bind=::1",
                "--cooldown=growth=1m",
                "--proxy=socks5://h:1",
            ],
            other(),
        );
        assert_eq!(config.engine.strategy, Strategy::Direct);
        assert_eq!((config.engine.jobs, config.engine.retry), (250, 0));
        assert_eq!(config.engine.timeout, Duration::from_secs(4));
        assert_eq!((config.dht.per_ip, config.dht.packets), (0, 7));
        assert_eq!(config.network.listen, ["127.0.0.1:9".parse().unwrap()]);
        assert_eq!(config.network.encryption, Encryption::Require);
        assert_eq!(config.network.bind, ["::1".parse::<IpAddr>().unwrap()]);
        let cooldowns: Vec<_> = config
            .engine
            .cooldown
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(cooldowns, ["no_peers=6s", "growth=1m"]);
        assert!(config.privacy.anonymous && config.privacy.proxy.is_some());
    }
}
