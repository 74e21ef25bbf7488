//! The command line and the configuration together: flags win over the environment, that over the file.

use std::time::Duration;

use super::args::Args;
use crate::config::{Config, StorePlace};
use crate::engine::Options;
use crate::store::{LegacyLogin, StoreUrl};

/// Where the old program listens, which routers and firewalls may have been told to let through.
const PORT: u16 = 6881;

/// Further tries at a hash, unless the configuration says otherwise: what was tried in vain is marked for
/// good, and one lookup in the DHT may miss what a second one finds.
const RETRIES: u32 = 1;

/// What a run works with.
pub(super) struct Settings {
    /// Where the tables are; `None`: test mode.
    pub(super) login: Option<LegacyLogin>,
    /// What the engine is told.
    pub(super) engine: Options,
    /// Where our own store is.
    store: StorePlace,
    /// The longest that a metadata mode may take.
    pub(super) limit: Option<Duration>,
    /// Hashes of the metadata modes in work at a time.
    pub(super) backlog_jobs: usize,
    /// The longest that a row which is most likely noise may take.
    pub(super) noise_timeout: Duration,
    /// Mark what was tried in vain.
    pub(super) marks: bool,
    /// Rows of a claim.
    pub(super) page: u32,
    /// Nodes of the crawl.
    pub(super) nodes: usize,
}

impl Settings {
    /// What the command line says, and the configuration where that says nothing.
    ///
    /// # Errors
    /// What is wrong, without passwords.
    pub(super) fn read(args: &Args) -> Result<Self, String> {
        let loaded = Config::load_with_origins(args.config.as_deref());
        let (mut config, origins) = loaded.map_err(|error| error.to_string())?;
        if !origins.contains_key(&("network", "listen")) {
            config.network.listen = vec![([0u8; 4], PORT).into(), ([0u16; 8], PORT).into()];
        }
        let login = login(args, &config)?;
        let proxy = config.proxy().map_err(|error| error.to_string())?;
        let mut engine = config.engine_options(Some(config.dht_node(None)), proxy);
        engine.timeout = config.dht_crawler.timeout;
        engine.report_peers = true;
        if !origins.contains_key(&("engine", "retry")) {
            engine.retries = RETRIES;
        }
        let jobs = config.dht_crawler.jobs.map_or(engine.jobs, usize::from);
        Ok(Self {
            login,
            engine,
            store: config.store.url,
            limit: config.dht_crawler.limit,
            backlog_jobs: jobs,
            noise_timeout: config.dht_crawler.noise_timeout,
            marks: config.dht_crawler.mark_timed_out,
            page: config.dht_crawler.page,
            nodes: usize::try_from(config.crawl.nodes).unwrap_or(usize::MAX),
        })
    }

    /// Where our own tables are to be: beside the old ones, unless another place was named.
    pub(super) fn store(&self, connected: bool) -> Option<StoreUrl> {
        match &self.store {
            StorePlace::Nowhere => None,
            StorePlace::At(url) => Some(url.clone()),
            StorePlace::Usual => {
                let login = self.login.as_ref().filter(|_| connected)?;
                Some(login.store_url())
            }
        }
    }

    /// The first address to listen on.
    pub(super) fn listen(&self) -> String {
        let listen = self.engine.libtorrent.listen.first();
        listen.map(ToString::to_string).unwrap_or_default()
    }
}

/// The login, where all of it is there. An empty password is one only where it was named.
fn login(args: &Args, config: &Config) -> Result<Option<LegacyLogin>, String> {
    let keys = &config.dht_crawler;
    let some = |flag: &Option<String>, key: &Option<String>| {
        let text = flag.as_ref().or(key.as_ref());
        text.filter(|text| !text.is_empty()).cloned()
    };
    let password = match &args.password {
        Some(password) => Some(password.clone()),
        None => keys
            .login_password()
            .map_err(|error| error.to_string())?
            .map(|password| password.reveal().to_owned()),
    };
    let (Some(user), Some(database), Some(password)) = (
        some(&args.user, &keys.user),
        some(&args.database, &keys.database),
        password,
    ) else {
        return Ok(None);
    };
    let host = some(&args.server, &None).unwrap_or_else(|| keys.server.clone());
    Ok(Some(LegacyLogin {
        host,
        // As C libraries do it with numbers that are no port.
        port: args.port.map_or(keys.port, |port| {
            u16::try_from(port.rem_euclid(1 << 16)).unwrap_or_default()
        }),
        user,
        password,
        database,
        socket: keys.socket.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(flags: &Args, file: &str) -> Option<LegacyLogin> {
        login(flags, &Config::parse(file).unwrap()).unwrap()
    }

    fn flags() -> Args {
        Args {
            user: Some("u".into()),
            password: Some("p".into()),
            database: Some("d".into()),
            ..Args::default()
        }
    }

    #[test]
    fn a_login_is_whole_or_none() {
        let login = of(&flags(), "").unwrap();
        assert_eq!((login.host.as_str(), login.port), ("localhost", 3306));
        for flags in [
            Args {
                user: None,
                ..flags()
            },
            Args {
                user: Some(String::new()),
                ..flags()
            },
            Args {
                database: None,
                ..flags()
            },
            Args {
                password: None,
                ..flags()
            },
        ] {
            assert_eq!(of(&flags, ""), None, "{flags:?}");
        }
        let empty = Args {
            password: Some(String::new()),
            ..flags()
        };
        assert_eq!(of(&empty, "").unwrap().password, "");
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = "[dht_crawler]\nserver = \"db\"\nport = 7\nuser = \"f\"\npassword = \"f\"\n\
                    database = \"f\"\n";
        let of_file = of(&Args::default(), file).unwrap();
        assert_eq!((of_file.host.as_str(), of_file.port), ("db", 7));
        assert_eq!(of_file.user, "f");
        let both = of(
            &Args {
                port: Some(70_000),
                ..flags()
            },
            file,
        );
        let both = both.unwrap();
        assert_eq!((both.user.as_str(), both.database.as_str()), ("u", "d"));
        assert_eq!((both.port, both.host.as_str()), (4464, "db"));
    }
}
