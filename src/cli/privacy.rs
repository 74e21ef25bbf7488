//! What others learn of us: a name or none, and whether they see us or a proxy.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use super::{Exit, Stop};
use crate::engine::Options;
use crate::proxy::Proxy;

/// The password of the proxy, where neither the command line nor a file is to hold it.
const PASSWORD: &str = "METAFETCH_PROXY_PASSWORD";

/// How much others learn of us.
#[derive(Debug, clap::Args)]
pub(super) struct PrivacyArgs {
    /// Name neither this program nor this host: no client name and version, new random peer ids, no
    /// local discovery. DHT messages still carry the mark of libtorrent ("LT") and its version, and
    /// without --proxy everybody sees your address: see docs/privacy.md
    #[arg(long)]
    anonymous: bool,
    /// Ask the DHT, but answer nobody (BEP 43): no node remembers ours, and none asks it
    #[arg(long)]
    dht_read_only: bool,
    /// Reach everything through this SOCKS5 proxy, and nothing where it is down. USER and PASSWORD
    /// are percent-encoded; `METAFETCH_PROXY_PASSWORD` or --proxy-password-file may hold the password
    #[arg(
        long,
        value_name = "socks5://[USER[:PASSWORD]@]HOST:PORT",
        env = "METAFETCH_PROXY",
        hide_env_values = true
    )]
    proxy: Option<ProxyUrl>,
    /// A file with the proxy's password in its first line
    #[arg(long, value_name = "FILE", requires = "proxy")]
    proxy_password_file: Option<PathBuf>,
}

/// The URL as it was typed. It is checked later, since a parser of arguments would show what is
/// wrong, and with it the password.
#[derive(Clone)]
struct ProxyUrl(String);

impl FromStr for ProxyUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProxyUrl(..)")
    }
}

impl PrivacyArgs {
    /// The proxy, if there is to be one. Finds out what is wrong with it before the first packet.
    pub(super) fn proxy(&self) -> Result<Option<Proxy>, Stop> {
        // An empty variable is as good as none.
        let Some(url) = self.proxy.as_ref().filter(|url| !url.0.is_empty()) else {
            return Ok(None);
        };
        let password = self.password()?;
        let proxy = Proxy::parse(&url.0, password.as_deref());
        proxy
            .map(Some)
            .map_err(|error| Stop::new(Exit::Usage, format!("--proxy: {error}")))
    }

    fn password(&self) -> Result<Option<String>, Stop> {
        let Some(file) = &self.proxy_password_file else {
            return Ok(std::env::var(PASSWORD).ok().filter(|text| !text.is_empty()));
        };
        let refused = |what: String| {
            let file = file.display();
            Stop::new(Exit::Usage, format!("--proxy-password-file {file}: {what}"))
        };
        let text = std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
        match text.lines().next() {
            Some(line) if !line.is_empty() => Ok(Some(line.to_owned())),
            _ => Err(refused("its first line is empty".to_owned())),
        }
    }

    /// Brings it into the options of an engine.
    pub(super) fn apply(&self, proxy: Option<Proxy>, options: &mut Options) {
        options.direct.proxy = proxy;
        options.direct.anonymous = self.anonymous;
        options.libtorrent.anonymous = self.anonymous;
        if let Some(dht) = &mut options.libtorrent.dht {
            dht.read_only = self.dht_read_only;
            if self.anonymous {
                // With it comes the node id of an earlier run.
                dht.state = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(url: &str, file: Option<PathBuf>) -> PrivacyArgs {
        PrivacyArgs {
            anonymous: true,
            dht_read_only: false,
            proxy: Some(ProxyUrl(url.to_owned())),
            proxy_password_file: file,
        }
    }

    #[test]
    fn neither_errors_nor_debug_show_the_password() {
        for wrong in ["socks5://u:secret@", "http://u:secret@h:1", "u:secret"] {
            let args = args(wrong, None);
            let stop = args.proxy().unwrap_err();
            assert!(!format!("{stop:?} {args:?}").contains("secret"));
        }
    }

    #[test]
    fn the_password_comes_from_the_first_line_of_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = || Some(file.path().to_owned());
        assert!(args("socks5://u@h:1", path()).proxy().is_err(), "empty");
        std::fs::write(file.path(), "p w\nmore\n").unwrap();
        let proxy = args("socks5://u@h:1", path()).proxy().unwrap().unwrap();
        assert_eq!(proxy.login(), Some(("u", "p w")));
        let gone = args("socks5://u@h:1", Some("/no/such/file".into()));
        assert!(gone.proxy().is_err());
    }
}
