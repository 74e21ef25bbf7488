//! Every key: its meaning, its type, its default, and which flag and variables set it too.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::value::{Given, Setting, WEEK};
use super::{Bytes, Cooldown, HostPort, ProxyUrl, Secret, StorePlace};
use crate::engine::Strategy;

/// A key of the configuration.
pub(super) struct Key {
    /// The section it is in.
    pub(super) section: &'static str,
    /// Its name.
    pub(super) name: &'static str,
    /// What it means, in lines.
    pub(super) meaning: &'static [&'static str],
    /// Which values it takes.
    pub(super) expected: &'static str,
    /// The flag that sets it too.
    pub(super) flag: Option<&'static str>,
    /// An environment variable beside `METAFETCH_<SECTION>_<KEY>`, which wins.
    pub(super) also: Option<&'static str>,
    /// A value as a file may have it, where the default is none.
    pub(super) example: Option<&'static str>,
    is_hidden: bool,
    read: fn(&mut Config, Given<'_>) -> Result<(), String>,
    write: fn(&Config) -> Option<String>,
}

impl Key {
    /// Sets it; the error names the key and what is expected of it.
    pub(super) fn set(&self, config: &mut Config, given: &Given<'_>) -> Result<(), String> {
        (self.read)(config, *given).map_err(|why| {
            let Self { section, name, .. } = self;
            let is = if self.is_hidden {
                " is not right".to_owned()
            } else {
                format!(" is {}", given.described())
            };
            let why = if why.is_empty() {
                why
            } else {
                format!(" ({why})")
            };
            format!("{section}.{name}{is}{why}: expected {}", self.expected)
        })
    }

    /// Its value as a file has it, without any password; `None` where none is set.
    pub(super) fn value(&self, config: &Config) -> Option<String> {
        (self.write)(config)
    }
}

macro_rules! sections {
    ($(
        $(#[doc = $about:literal])*
        $section:ident: $Section:ident {
            $(
                $(#[doc = $doc:literal])*
                $key:ident: $type:ty = $default:expr, $expected:literal
                $(, check $check:expr)?
                $(, flag $flag:literal)?
                $(, also $also:literal)?
                $(, example $example:literal)?;
            )*
        }
    )*) => {
        $(
            $(#[doc = $about])*
            #[derive(Clone, Debug, PartialEq)]
            pub struct $Section {
                $($(#[doc = $doc])* pub $key: $type,)*
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $($key: $default,)* }
                }
            }
        )*

        /// Everything that can be set. [`Default`] is what holds where nothing is set.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Config {
            $($(#[doc = $about])* pub $section: $Section,)*
        }

        /// The sections and what they are about.
        pub(super) const SECTIONS: &[(&str, &[&str])] =
            &[$((stringify!($section), &[$($about),*])),*];

        /// All keys, in the order of their sections.
        pub(super) const KEYS: &[Key] = &[$($(
            Key {
                section: stringify!($section),
                name: stringify!($key),
                meaning: &[$($doc),*],
                expected: $expected,
                flag: sections!(@optional $($flag)?),
                also: sections!(@optional $($also)?),
                example: sections!(@optional $($example)?),
                is_hidden: <$type as Setting>::HIDDEN,
                read: |config, given| {
                    let value = <$type as Setting>::read(given)?;
                    $({
                        let check: fn(&$type) -> bool = $check;
                        if !check(&value) {
                            return Err(String::new());
                        }
                    })?
                    config.$section.$key = value;
                    Ok(())
                },
                write: |config| Setting::write(&config.$section.$key),
            },
        )*)*];
    };
    (@optional) => { None };
    (@optional $value:literal) => { Some($value) };
}

/// Nodes that introduce a newcomer to the public DHT.
const ROUTERS: [&str; 4] = [
    "router.bittorrent.com:6881",
    "dht.transmissionbt.com:6881",
    "dht.libtorrent.org:25401",
    "relay.pkarr.org:6881",
];

fn routers() -> Vec<HostPort> {
    let routers = ROUTERS.iter().map(|router| HostPort::parse(router));
    routers.filter_map(Result::ok).collect()
}

fn is_positive(time: &Duration) -> bool {
    !time.is_zero() && *time <= WEEK
}

sections! {
    /// How the network is reached.
    network: NetworkKeys {
        /// Addresses to listen on, TCP and UDP. Port 0 takes any free one.
        listen: Vec<SocketAddr> = vec![([0u8; 4], 0).into(), ([0u16; 8], 0).into()],
            "a list of addresses such as [\"0.0.0.0:6881\", \"[::]:6881\"], one at least",
            check |listen| !listen.is_empty(), flag "--listen";
        /// DHT nodes to start from; by default the public routers.
        bootstrap: Vec<HostPort> = routers(),
            "a list of nodes such as [\"router.bittorrent.com:6881\"], one at least",
            check |nodes| !nodes.is_empty(), flag "--bootstrap";
        /// Take loopback and private addresses as peers and DHT nodes.
        allow_local_peers: bool = false, "true or false", flag "--allow-local-peers";
    }

    /// How the engine works.
    engine: EngineKeys {
        /// Which arm fetches: `auto` takes the one that history favours and joins the other one,
        /// `libtorrent` and `direct` take one alone, `race` takes both at once.
        strategy: Strategy = Strategy::Auto,
            "\"auto\", \"libtorrent\", \"direct\" or \"race\"", flag "--strategy";
        /// Hashes in work at a time.
        jobs: u16 = 250, "a whole number from 1 to 4000",
            check |jobs| (1..=4000).contains(jobs), flag "--jobs";
        /// The longest a try at one hash may take.
        timeout: Duration = Duration::from_secs(60), "a time of at most a week, such as \"60s\"",
            check is_positive, flag "--timeout";
        /// Try a hash that failed again, up to so many times.
        retry: u32 = 0, "a whole number from 0 to 4294967295", flag "--retry";
        /// Ask the DHT nodes how many seeds and leeches there are (BEP 33).
        scrape: bool = false, "true or false", flag "--scrape";
        /// How long a hash cools down after a failure: for a reason, for the second, third, … failure
        /// in a row (`growth`), or no cooldown at all (`off`). What is not named keeps its cooldown.
        cooldown: Vec<Cooldown> = Vec::new(),
            "a list of \"REASON=TIME\", \"REASON=off\", \"growth=TIME,TIME,…\" or \"off\"",
            flag "--cooldown";
    }

    /// What the DHT node may send, and how many ids it has.
    dht: DhtKeys {
        /// DHT queries a second, at the most; 0 for no limit.
        packets: u32 = 500, "a whole number from 0 to 4294967295", flag "--dht-packets";
        /// Bytes a second that DHT queries may take; 0 for no limit.
        bytes: Bytes = Bytes(100_000), "a number of bytes, such as 100000 or \"100 kB\"",
            flag "--dht-bytes";
        /// DHT queries a second to one IP address; 0 for no limit.
        per_ip: u32 = 2, "a whole number from 0 to 4294967295", flag "--dht-per-ip";
        /// DHT node ids, each in a region of the key space and at a port of its own.
        identities: u8 = 1, "a whole number from 1 to 32",
            check |ids| (1..=32).contains(ids), flag "--dht-identities";
        /// Ask the DHT, but answer nobody (BEP 43): no node remembers ours, and none asks it.
        read_only: bool = false, "true or false", flag "--dht-read-only";
    }

    /// What others learn of us: docs/privacy.md has the details.
    privacy: PrivacyKeys {
        /// Name neither this program nor this host.
        anonymous: bool = false, "true or false", flag "--anonymous";
        /// Reach everything through this SOCKS5 proxy, and nothing where it is down. User and password
        /// are percent-encoded; `METAFETCH_PROXY_PASSWORD` may hold the password too.
        proxy: Option<ProxyUrl> = None,
            "the URL of a proxy, socks5://[USER[:PASSWORD]@]HOST:PORT",
            flag "--proxy", also "METAFETCH_PROXY", example "\"socks5://127.0.0.1:9050\"";
        /// A file with the proxy's password in its first line.
        proxy_password_file: Option<PathBuf> = None, "the path of a file",
            flag "--proxy-password-file", example "\"/etc/metafetch/proxy.password\"";
    }

    /// How the DHT is crawled for hashes.
    crawl: CrawlKeys {
        /// DHT queries a second to discover hashes, at the most.
        rate: u16 = 100, "a whole number from 1 to 65535",
            check |rate| *rate > 0, flag "crawl --rate";
        /// DHT nodes to know at a time, and to remember.
        nodes: u32 = 100_000, "a whole number from 100 to 1000000",
            check |nodes| (100..=1_000_000).contains(nodes), flag "crawl --nodes";
        /// No DHT node is asked anything twice within this time.
        node_interval: Duration = Duration::from_secs(60),
            "a time from a second to a week, such as \"60s\"",
            check |time| (Duration::from_secs(1)..=WEEK).contains(time), flag "crawl --node-interval";
        /// DHT nodes of one IP address to know at a time, at the most.
        nodes_per_ip: u16 = 4, "a whole number from 1 to 65535",
            check |nodes| *nodes > 0, flag "crawl --nodes-per-ip";
        /// The same of one network, a /24 of IPv4 or a /64 of IPv6.
        nodes_per_network: u16 = 64, "a whole number from 1 to 65535",
            check |nodes| *nodes > 0, flag "crawl --nodes-per-network";
    }

    /// Where results are kept.
    store: StoreKeys {
        /// A SQLite file, the URL of a MySQL or PostgreSQL database, or `none`; by default
        /// metafetch.db in the user's data directory. `METAFETCH_STORE_PASSWORD` and
        /// `METAFETCH_STORE_PASSWORD_FILE` may hold the password.
        url: StorePlace = StorePlace::Usual,
            "a path, sqlite:PATH, mysql://USER@HOST/DATABASE, postgres://USER@HOST/DATABASE or \"none\"",
            flag "--store", also "METAFETCH_STORE", example "\"sqlite:/var/lib/metafetch/metafetch.db\"";
    }

    /// The drop-in for the older crawler, `dht_crawler`: its database, and how it works the backlog.
    dht_crawler: DhtCrawlerKeys {
        /// The host of the MySQL server. `localhost` is its Unix socket, and where there is none,
        /// TCP to 127.0.0.1.
        server: String = "localhost".to_owned(), "a host name or address",
            check |server| !server.is_empty(), flag "dht_crawler --server";
        /// The TCP port of the server.
        port: u16 = 3306, "a whole number from 1 to 65535",
            check |port| *port > 0, flag "dht_crawler --port";
        /// The user at the server.
        user: Option<String> = None, "text", flag "dht_crawler --user", example "\"crawler\"";
        /// The user's password. Whoever may read this file may read it: `password_file` is better.
        password: Option<Secret> = None, "text in quotes",
            flag "dht_crawler --password", example "\"\"";
        /// A file with the password in its first line.
        password_file: Option<PathBuf> = None, "the path of a file",
            example "\"/etc/metafetch/mysql.password\"";
        /// The Unix socket of the server, for `localhost`; by default where the client library
        /// looks for it.
        socket: Option<PathBuf> = None, "the path of a socket",
            example "\"/run/mysqld/mysqld.sock\"";
        /// The database at the server.
        database: Option<String> = None, "text", flag "dht_crawler --database", example "\"Torrents\"";
        /// The longest a try at one hash may take.
        timeout: Duration = Duration::from_secs(60), "a time of at most a week, such as \"60s\"",
            check is_positive;
        /// The same for a row that the older crawler made of its own random queries.
        noise_timeout: Duration = Duration::from_secs(15),
            "a time of at most a week, such as \"15s\"", check is_positive;
        /// End the metadata modes after this time; by default when all is done.
        limit: Option<Duration> = None, "a time such as \"300s\"",
            check |limit| limit.is_none_or(|limit| !limit.is_zero()), example "\"300s\"";
        /// Hashes of the backlog in work at a time; by default as many as `engine.jobs`.
        jobs: Option<u16> = None, "a whole number from 1 to 4000",
            check |jobs| jobs.is_none_or(|jobs| (1..=4000).contains(&jobs)), example "250";
        /// Mark hashes that were tried in vain (`timed_out = 1`), so that later runs leave them alone.
        mark_timed_out: bool = true, "true or false";
        /// Rows of the backlog that are taken from the database at a time.
        page: u32 = 100, "a whole number from 1 to 10000",
            check |page| (1..=10_000).contains(page);
    }
}
