//! Every key: its meaning, its type, its default, and which flag and variables set it too.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::value::{Given, Setting, WEEK};
use super::{
    ApiToken, Bytes, Cooldown, HostPort, Keep, LogFilter, LogFormat, OtlpUrl, ProxyUrl, Secret,
    Size, StorePlace, TrackerUrl,
};
use crate::engine::Strategy;
use crate::torrent::Encryption;

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
    /// Whether the service takes a new value on while it runs.
    pub(super) reloads: bool,
    is_hidden: bool,
    read: fn(&mut Config, Given<'_>) -> Result<(), String>,
    write: fn(&Config) -> Option<String>,
    is_same: fn(&Config, &Config) -> bool,
    copy: fn(&Config, &mut Config),
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

    /// Whether both have the same value.
    pub(super) fn is_same(&self, one: &Config, other: &Config) -> bool {
        (self.is_same)(one, other)
    }

    /// Gives the other one the value of this one.
    pub(super) fn copy(&self, from: &Config, to: &mut Config) {
        (self.copy)(from, to);
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
                $(, example $example:literal)?
                $(, at $reload:ident)?;
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
                reloads: sections!(@reloads $($reload)?),
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
                is_same: |one, other| one.$section.$key == other.$section.$key,
                copy: |from, to| to.$section.$key.clone_from(&from.$section.$key),
            },
        )*)*];
    };
    (@optional) => { None };
    (@optional $value:literal) => { Some($value) };
    (@reloads) => { false };
    (@reloads reload) => { true };
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

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn one_of_each_family(bind: &[IpAddr]) -> bool {
    let v4 = bind.iter().filter(|ip| ip.is_ipv4()).count();
    v4 <= 1 && bind.len().saturating_sub(v4) <= 1 && bind.iter().all(|ip| !ip.is_unspecified())
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
        /// Whether connections to peers are encrypted (MSE/PE): `prefer` encrypts where a peer does not
        /// answer in the clear, is known to want it, or is said to by another one, `require` always, `off` never.
        encryption: Encryption = Encryption::Prefer,
            "\"prefer\", \"require\" or \"off\"", flag "--encryption";
        /// Addresses of this host to connect to peers from, one of IPv4, one of IPv6 or both; by default
        /// any. Peers of a family that is not named are not connected to, and addresses in `listen` that
        /// name no address listen there. Two addresses need the strategy `direct`: libtorrent connects from one
        /// at the most. Does not hold for what goes through a proxy.
        bind: Vec<IpAddr> = Vec::new(),
            "a list of IP addresses such as [\"192.0.2.7\"], one of each family at the most",
            check |bind| one_of_each_family(bind), flag "--bind";
        /// Trackers to ask for hashes that name none, a few at a time and others on a retry. They learn
        /// which hashes are wanted, and who asks.
        trackers: Vec<TrackerUrl> = Vec::new(),
            "a list of URLs such as [\"udp://tracker.example:1337/announce\"]";
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
            check |jobs| (1..=4000).contains(jobs), flag "--jobs", at reload;
        /// The longest a try at one hash may take. Each retry may take twice as long as the try before, up
        /// to eight times this.
        timeout: Duration = Duration::from_secs(60), "a time of at most a week, such as \"60s\"",
            check is_positive, flag "--timeout", at reload;
        /// Try a hash that failed again, up to so many times.
        retry: u32 = 0, "a whole number from 0 to 4294967295", flag "--retry", at reload;
        /// Ask the trackers of a hash for its peers.
        trackers: bool = true, "true or false", flag "--no-trackers";
        /// Ask the DHT nodes how many seeds and leeches there are (BEP 33).
        scrape: bool = false, "true or false", flag "--scrape";
        /// How long a hash cools down after a failure: for a reason, for the second, third, … failure
        /// in a row (`growth`), or no cooldown at all (`off`). What is not named keeps its cooldown.
        cooldown: Vec<Cooldown> = Vec::new(),
            "a list of \"REASON=TIME\", \"REASON=off\", \"growth=TIME,TIME,…\" or \"off\"",
            flag "--cooldown";
    }

    /// How long a peer may take, phase by phase. A failure says which of these it was.
    direct: DirectKeys {
        /// The longest that TCP may take to connect, in both arms. Once enough peers have delivered, it is
        /// one and a half times what nine in ten of them took, but no less than 300 ms.
        connect_timeout: Duration = Duration::from_secs(10),
            "a time of at most a week, such as \"10s\"", check is_positive;
        /// Until the handshake is here, in both arms.
        handshake_timeout: Duration = Duration::from_secs(5),
            "a time of at most a week, such as \"5s\"", check is_positive;
        /// From there until the extension handshake is here, in both arms.
        extension_timeout: Duration = Duration::from_secs(5),
            "a time of at most a week, such as \"5s\"", check is_positive;
        /// From there until the first block of the metadata is here, in both arms.
        first_block_timeout: Duration = Duration::from_secs(8),
            "a time of at most a week, such as \"8s\"", check is_positive;
        /// From one block of 16 KiB to the next, in both arms.
        block_timeout: Duration = Duration::from_secs(10),
            "a time of at most a week, such as \"10s\"", check is_positive;
        /// The fewest bytes of metadata a second, on average; looked at once the time for the first block
        /// is over, in both arms. 0 for no limit.
        min_rate: Bytes = Bytes(2048), "a number of bytes, such as 2048 or \"2 KiB\"";
        /// All of one attempt at a peer.
        attempt_timeout: Duration = Duration::from_secs(120),
            "a time of at most a week, such as \"2m\"", check is_positive;
        /// How long a peer that has no metadata may take to name other peers (BEP 11); `0s` for not at all.
        pex_timeout: Duration = Duration::from_secs(3),
            "a time of at most a week, such as \"3s\"", check |time| *time <= WEEK;
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
        /// Have a DHT node. Without one, peers come from magnets, trackers and what is remembered, and
        /// nothing is crawled. The command `crawl` has one in any case.
        enabled: bool = true, "true or false", flag "--no-dht";
        /// Ask the DHT, but answer nobody (BEP 43): no node remembers ours, and none asks it.
        read_only: bool = false, "true or false", flag "--dht-read-only";
    }

    /// What may be open at a time, so that neither this host nor others suffer.
    limits: LimitsKeys {
        /// Connections to peers, of both arms together. 0 is what the limit of open files allows, which is
        /// raised as far as it goes; never more than that, and 16,384 at the most.
        connections: u32 = 0, "a whole number from 0 to 4294967295";
        /// Connection requests of the direct arm that wait for an answer.
        half_open: u16 = 1000, "a whole number from 1 to 65535", check |most| *most > 0;
        /// Connection requests a second, of each arm; 0 for no limit.
        connects_per_second: u32 = 5000, "a whole number from 0 to 4294967295";
        /// Connections of the direct arm to one IP address, for all hashes together. Local addresses, where
        /// they are allowed, are exempt from this and the next.
        per_ip: u16 = 16, "a whole number from 1 to 65535", check |most| *most > 0;
        /// The same for one network, a /24 of IPv4 or a /64 of IPv6.
        per_network: u16 = 128, "a whole number from 1 to 65535", check |most| *most > 0;
        /// Bytes of metadata that the direct arm takes in at a time. A dictionary takes what its peers claim once
        /// its first block comes, and each peer at most 64 KiB beside that; claims above 1 MiB get half of it,
        /// those up to 128 KiB a quarter.
        memory: Bytes = Bytes(512 << 20), "a number of bytes of at least 1, such as \"512 MiB\"",
            check |bytes| bytes.0 > 0;
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
            check |rate| *rate > 0, flag "crawl --rate", at reload;
        /// DHT nodes to know at a time, and to remember.
        nodes: u32 = 100_000, "a whole number from 100 to 1000000",
            check |nodes| (100..=1_000_000).contains(nodes), flag "crawl --nodes", at reload;
        /// No DHT node is asked anything twice within this time.
        node_interval: Duration = Duration::from_secs(60),
            "a time from a second to a week, such as \"60s\"",
            check |time| (Duration::from_secs(1)..=WEEK).contains(time), flag "crawl --node-interval", at reload;
        /// DHT nodes of one IP address to know at a time, at the most.
        nodes_per_ip: u16 = 4, "a whole number from 1 to 65535",
            check |nodes| *nodes > 0, flag "crawl --nodes-per-ip", at reload;
        /// The same of one network, a /24 of IPv4 or a /64 of IPv6.
        nodes_per_network: u16 = 64, "a whole number from 1 to 65535",
            check |nodes| *nodes > 0, flag "crawl --nodes-per-network", at reload;
    }

    /// Where results are kept.
    store: StoreKeys {
        /// A SQLite file, the URL of a MySQL or PostgreSQL database, or `none`; by default
        /// metafetch.db in the user's data directory. `METAFETCH_STORE_PASSWORD` and
        /// `METAFETCH_STORE_PASSWORD_FILE` may hold the password.
        url: StorePlace = StorePlace::Usual,
            "a path, sqlite:PATH, mysql://USER@HOST/DATABASE, postgres://USER@HOST/DATABASE or \"none\"",
            flag "--store", also "METAFETCH_STORE", example "\"sqlite:/var/lib/metafetch/metafetch.db\"";
        /// How large the database of the service may grow. Above that nothing new begins until there is room
        /// again: what was asked for waits.
        size_limit: Option<Size> = None, "a number of bytes, such as \"20 GB\"",
            check |size| size.is_none_or(|size| size.0 > 0), example "\"20 GB\"", at reload;
        /// How long the service keeps attempts at peers, from their start.
        keep_attempts: Keep = Keep(Some(Duration::from_secs(30 * 24 * 3600))),
            "a time such as \"30d\", or \"never\" to delete none", flag "crawl --keep-attempts", at reload;
        /// How long the service keeps failures, since they were worth another try.
        keep_failed: Keep = Keep(Some(Duration::from_secs(30 * 24 * 3600))),
            "a time such as \"30d\", or \"never\" to delete none", flag "crawl --keep-failed", at reload;
    }

    /// The life of the service, `metafetch daemon`.
    daemon: DaemonKeys {
        /// The longest that the end may take. What is in work may end meanwhile; what has not ended by half
        /// of it is put back, and goes on after the next start.
        stop_within: Duration = Duration::from_secs(30), "a time from a second to an hour, such as \"30s\"",
            check |time| (Duration::from_secs(1)..=HOUR).contains(time), at reload;
        /// How much memory the process may take. Above that nothing new begins until it is less again.
        memory_limit: Option<Size> = None, "a number of bytes, such as \"2 GB\"",
            check |size| size.is_none_or(|size| size.0 > 0), example "\"2 GB\"", at reload;
        /// How often the SQLite database is copied, while all goes on.
        backup_every: Option<Duration> = None, "a time from a minute to a year, such as \"1d\"",
            check |time| time.is_none_or(|time| (Duration::from_secs(60)..=YEAR).contains(&time)),
            example "\"1d\"", at reload;
        /// Where the copies go; by default the directory `backups` beside the database.
        backup_directory: Option<PathBuf> = None, "the path of a directory",
            example "\"/var/backups/metafetch\"", at reload;
        /// How many copies are kept.
        backup_keep: u16 = 7, "a whole number from 1 to 65535",
            check |keep| *keep > 0, at reload;
    }

    /// Where the service gets hashes from, and how these share the places of `engine.jobs`: each source that
    /// has something to do gets time in proportion to its weight, and no place stays free.
    sources: SourcesKeys {
        /// The weight of what is asked by HTTP.
        api_weight: u16 = 100, "a whole number from 1 to 65535", check |weight| *weight > 0, at reload;
        /// The most hashes of it in work at a time; 0 for no limit but `engine.jobs`.
        api_limit: u16 = 0, "a whole number from 0 to 65535", at reload;
        /// Directories to watch for files: `.magnet` and `.txt` with a magnet or an infohash a line, and
        /// `.torrent`, which is stored. A file that was taken in gets `.done` after its name, one that makes no
        /// sense `.failed`.
        directories: Vec<PathBuf> = Vec::new(), "a list of directories such as [\"/srv/magnets\"]", at reload;
        /// The weight of what these have.
        directory_weight: u16 = 30, "a whole number from 1 to 65535", check |weight| *weight > 0, at reload;
        /// The most hashes of it in work at a time; 0 for no limit but `engine.jobs`.
        directory_limit: u16 = 0, "a whole number from 0 to 65535", at reload;
        /// How often the directories are looked through, beside whenever the system tells of a change.
        rescan: Duration = Duration::from_secs(30), "a time from a second to a day, such as \"30s\"",
            check |time| (Duration::from_secs(1)..=DAY).contains(time), at reload;
        /// Hashes of the API that may wait, and as many of the directories. Beyond that the API refuses, and
        /// files wait.
        waiting: u32 = 1_000_000, "a whole number from 1 to 4294967295",
            check |waiting| *waiting > 0, at reload;
        /// Work on what the database knows, but not its metadata, and on failures that may be tried again.
        backlog: bool = true, "true or false", at reload;
        /// The weight of that.
        backlog_weight: u16 = 10, "a whole number from 1 to 65535", check |weight| *weight > 0, at reload;
        /// The most hashes of it in work at a time; 0 for no limit but `engine.jobs`.
        backlog_limit: u16 = 0, "a whole number from 0 to 65535", at reload;
        /// Crawl the DHT for hashes; see `[crawl]`.
        crawl: bool = true, "true or false", at reload;
        /// The weight of that.
        crawl_weight: u16 = 10, "a whole number from 1 to 65535", check |weight| *weight > 0, at reload;
        /// The most hashes of it in work at a time; 0 for no limit but `engine.jobs`.
        crawl_limit: u16 = 0, "a whole number from 0 to 65535", at reload;
    }

    /// The HTTP API and the dashboard of `metafetch daemon`: docs/api.md has the rest.
    api: ApiKeys {
        /// Addresses to listen on; none for no API. Beyond this host it takes a token: see `tokens`.
        listen: Vec<SocketAddr> = vec![([127, 0, 0, 1], 8417).into()],
            "a list of addresses such as [\"127.0.0.1:8417\", \"[::1]:8417\"]";
        /// Who may ask: `metafetch config token` prints a token and the line for it. With a token here,
        /// everything but `/healthz` and the page itself needs one; without, whoever reaches the API may
        /// do everything, and only this host does.
        tokens: Vec<ApiToken> = Vec::new(),
            "a list of \"read:DIGEST\" and \"admin:DIGEST\", as `metafetch config token` prints them", at reload;
        /// Names beside `localhost` that the API is reached by where it has no tokens, such as that of a
        /// proxy in front of it.
        hosts: Vec<String> = Vec::new(), "a list of host names, such as [\"metafetch.lan\"]",
            check |hosts| hosts.iter().all(|host| !host.is_empty() && !host.contains(['/', ' '])), at reload;
        /// Requests a second that one client may make, by its IPv4 address or IPv6 /64, and as many again
        /// at once; 0 for no limit.
        rate: u32 = 100, "a whole number from 0 to 4294967295", at reload;
        /// Whether that holds for clients of this host, too. Those behind a proxy here are one client.
        rate_loopback: bool = false, "true or false", at reload;
        /// Requests in work at a time; more are answered 503.
        requests: u32 = 2000, "a whole number from 1 to 100000",
            check |requests| (1..=100_000).contains(requests), at reload;
        /// Connections at a time; more are answered 503 and closed.
        connections: u32 = 4000, "a whole number from 1 to 100000",
            check |connections| (1..=100_000).contains(connections), at reload;
        /// Listeners to `/api/v1/events` and batches of `/api/v1/resolve` at a time, each; more are answered 503.
        streams: u32 = 100, "a whole number from 1 to 10000",
            check |streams| (1..=10_000).contains(streams), at reload;
        /// The most bytes of a request's body.
        body: Bytes = Bytes(4_000_000), "a number of bytes, such as 4000000 or \"4 MB\"",
            check |body| body.0 > 0, at reload;
        /// The most hashes of one batch.
        batch: u32 = 10_000, "a whole number from 1 to 1000000",
            check |batch| (1..=1_000_000).contains(batch), at reload;
        /// The longest that a request may wait for a result.
        wait: Duration = Duration::from_secs(300), "a time of at most a week, such as \"5m\"",
            check is_positive, at reload;
        /// The longest that a client may take to send a request, and to take the next part of an answer.
        timeout: Duration = Duration::from_secs(15), "a time of at most a week, such as \"15s\"",
            check is_positive, at reload;
    }

    /// What the daemon logs, on stderr.
    log: LogKeys {
        /// `text` for people, or `json`: an object in each line.
        format: LogFormat = LogFormat::Text, "\"text\" or \"json\"";
        /// Which lines: a level, or levels by module. A level alone is that of this program; of its libraries
        /// there are only warnings. `debug` also explains each choice of a peer, and every 30 seconds says how each peer is.
        filter: LogFilter = LogFilter::default(),
            "\"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a list such as \"info,metafetch::store=debug\"",
            at reload;
    }

    /// Where the daemon sends traces. Only in programs that were built with the feature `opentelemetry`.
    telemetry: TelemetryKeys {
        /// An OpenTelemetry collector, to which a trace of each hash is sent by OTLP over HTTP. It is not reached through
        /// the proxy.
        otlp: Option<OtlpUrl> = None, "an URL http://HOST:PORT, which stands for http://HOST:PORT/v1/traces",
            example "\"http://127.0.0.1:4318\"";
        /// One of so many hashes is traced.
        sample: u32 = 1, "a whole number from 1 to 1000000",
            check |sample| (1..=1_000_000).contains(sample);
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
