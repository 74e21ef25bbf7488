//! What others learn of us: a name or none, and whether they see us or a proxy.

use std::path::PathBuf;

use super::given::Given;
use super::{Exit, Stop};
use crate::config::{Config, LoginError, ProxyUrl};
use crate::proxy::Proxy;

/// How much others learn of us.
#[derive(Clone, Debug, clap::Args)]
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
    // It is checked later: a parser of arguments would show what is wrong, and with it the password.
    #[arg(
        long,
        value_name = "socks5://[USER[:PASSWORD]@]HOST:PORT",
        env = "METAFETCH_PROXY",
        hide_env_values = true,
        value_parser = unchecked
    )]
    proxy: Option<ProxyUrl>,
    /// A file with the proxy's password in its first line
    #[arg(long, value_name = "FILE", requires = "proxy")]
    proxy_password_file: Option<PathBuf>,
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a result")]
fn unchecked(text: &str) -> Result<ProxyUrl, String> {
    Ok(ProxyUrl::unchecked(text))
}

impl PrivacyArgs {
    /// Brings it into the configuration.
    pub(super) fn apply(&self, config: &mut Config) {
        let privacy = &mut config.privacy;
        privacy.anonymous |= self.anonymous;
        config.dht.read_only |= self.dht_read_only;
        if let Some(proxy) = &self.proxy {
            privacy.proxy = Some(proxy.clone());
        }
        if let Some(file) = &self.proxy_password_file {
            privacy.proxy_password_file = Some(file.clone());
        }
    }
}

/// The proxy, if there is to be one. Finds out what is wrong with it before the first packet, and
/// says where that was set.
pub(super) fn proxy(given: &Given, config: &Config) -> Result<Option<Proxy>, Stop> {
    config.proxy().map_err(|error| {
        let what = match &error {
            LoginError::Url(error) if given.has("proxy") => format!("--proxy: {error}"),
            LoginError::Url(error) => format!("privacy.proxy: {error}"),
            LoginError::PasswordFile { .. } if given.has("proxy_password_file") => {
                format!("--proxy-password-file {error}")
            }
            LoginError::PasswordFile { .. } => format!("privacy.proxy_password_file: {error}"),
        };
        Stop::new(Exit::Usage, what)
    })
}
