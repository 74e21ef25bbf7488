//! A SOCKS5 proxy (RFC 1928, RFC 1929): where there is one, everything goes through it or not at all.
//!
//! Host names of others are for the proxy to resolve; only its own is resolved here. Whether it works
//! is watched, so that its faults are not taken for those of peers, and are said once.

mod login;
mod udp;
mod url;

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_socks::tcp::Socks5Stream;
use tokio_socks::{Error, TargetAddr};

use self::login::Login;
pub use self::url::ProxyUrlError;
use crate::torrent::{Failure, PeerAddr, PeerHint, Phase, Reason};

/// How long the proxy may take to accept a connection, and then to say how to log in.
const PROBE_WITHIN: Duration = Duration::from_secs(3);
/// For how long the outcome of a probe holds.
const PROBE_HOLDS: Duration = Duration::from_secs(1);
/// How often the proxy is looked at while it works, and while it does not.
const WATCH_EVERY: Duration = Duration::from_secs(30);
const WATCH_DOWN_EVERY: Duration = Duration::from_secs(2);

/// The proxy. Clones share what is known of it. Neither its `Display` nor its `Debug` shows the login.
#[derive(Clone)]
pub struct Proxy(Arc<Inner>);

struct Inner {
    at: PeerHint,
    login: Option<Login>,
    /// Why it does not work, if it does not.
    down: Mutex<Option<String>>,
    probed: tokio::sync::Mutex<Option<Instant>>,
}

impl Proxy {
    /// The proxy of a URL, `socks5://[USER[:PASSWORD]@]HOST:PORT`, where user and password may be
    /// percent-encoded. A password of its own takes the place of that in the URL.
    pub fn parse(url: &str, password: Option<&str>) -> Result<Self, ProxyUrlError> {
        let (at, login) = url::parse(url, password)?;
        Ok(Self(Arc::new(Inner {
            at,
            login,
            down: Mutex::default(),
            probed: tokio::sync::Mutex::default(),
        })))
    }

    /// Its host name or address, and its port.
    pub(crate) fn address(&self) -> (String, u16) {
        match &self.0.at {
            PeerHint::Addr(addr) => (addr.ip().to_string(), addr.port()),
            PeerHint::Host(host, port) => (host.clone(), *port),
        }
    }

    /// The user and the password, where there are any.
    pub(crate) fn login(&self) -> Option<(&str, &str)> {
        self.0.login.as_ref().map(Login::parts)
    }

    /// Why it does not work, as far as is known.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.down().clone()
    }

    /// Connects to `peer` within `limit`.
    ///
    /// # Errors
    /// [`Reason::Internal`] where the proxy itself does not work; the details of every failure name the
    /// proxy.
    pub async fn connect(&self, peer: PeerAddr, limit: Duration) -> Result<TcpStream, Failure> {
        let connect = async {
            let stream = self.dial().await?;
            let target = TargetAddr::Ip(peer.socket_addr());
            match self.login() {
                Some((user, password)) => {
                    Socks5Stream::connect_with_password_and_socket(stream, target, user, password)
                        .await
                }
                None => Socks5Stream::connect_with_socket(stream, target).await,
            }
        };
        let failure = match timeout(limit, connect).await {
            Ok(Ok(stream)) => {
                self.note(None);
                return Ok(stream.into_inner());
            }
            Ok(Err(error)) => Failure::new(reason(&error), Phase::Connect, error.to_string()),
            Err(_) => {
                let detail = format!("no answer within {limit:?}");
                Failure::new(Reason::ConnectTimeout, Phase::Connect, detail)
            }
        };
        Err(self.judge(failure).await)
    }

    /// The failure of a connection through the proxy: the proxy's own where it does not work.
    pub async fn judge(&self, failure: Failure) -> Failure {
        if failure.phase > Phase::Connect {
            return failure;
        }
        match self.probe().await {
            Ok(()) => Failure {
                detail: format!("through the proxy {self}: {}", failure.detail),
                ..failure
            },
            Err(_) => self.failure(Phase::Connect).unwrap_or(failure),
        }
    }

    /// The failure that its trouble stands for; `None` where it has none.
    #[must_use]
    pub fn failure(&self, phase: Phase) -> Option<Failure> {
        let why = self.trouble()?;
        let detail = format!("the proxy {self} does not work: {why}; nothing was sent past it");
        Some(Failure::new(Reason::Internal, phase, detail))
    }

    /// The address of a host, as the proxy resolves it. SOCKS5 has no such command; Tor's has.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<PeerAddr, String> {
        let resolve = async {
            let stream = self.dial().await.map_err(|error| error.to_string())?;
            let target = TargetAddr::Domain(host.into(), port);
            match Socks5Stream::tor_resolve_with_socket(stream, target).await {
                Ok(TargetAddr::Ip(addr)) => Ok(PeerAddr::new(addr.ip(), port)),
                Ok(TargetAddr::Domain(..)) => Err("it answered with a name".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        };
        let answer = timeout(PROBE_WITHIN, resolve).await;
        answer.unwrap_or_else(|_| Err("it did not answer in time".to_owned()))
    }

    /// Sends `message` to each of these hosts, by their names, and returns where answers that hold
    /// `mark` came from within the time. What can't be sent is not.
    pub async fn ask_by_name(
        &self,
        hosts: &[(&str, u16)],
        message: &[u8],
        mark: &[u8],
        within: Duration,
    ) -> Vec<SocketAddr> {
        let ask = async {
            let stream = self.dial().await?;
            udp::ask(stream, self.0.login.as_ref(), hosts, message, mark, within).await
        };
        match timeout(within + PROBE_WITHIN, ask).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => {
                tracing::debug!("the proxy {self} takes no datagrams: {error}");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    /// Looks at the proxy again and again, and never ends. What changes is logged.
    pub async fn watch(&self) {
        loop {
            let works = self.probe().await.is_ok();
            sleep(if works { WATCH_EVERY } else { WATCH_DOWN_EVERY }).await;
        }
    }

    /// Whether it takes connections, and lets us in.
    async fn probe(&self) -> Result<(), String> {
        // Whoever waits here is served by the probe of whoever came first.
        let mut probed = self.0.probed.lock().await;
        if probed.is_none_or(|at| at.elapsed() >= PROBE_HOLDS) {
            let greet = async {
                let mut stream = self.dial().await?;
                login::greet(&mut stream, self.0.login.as_ref()).await
            };
            let trouble = match timeout(PROBE_WITHIN, greet).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {PROBE_WITHIN:?}")),
            };
            self.note(trouble);
            *probed = Some(Instant::now());
        }
        drop(probed);
        self.trouble().map_or(Ok(()), Err)
    }

    async fn dial(&self) -> io::Result<TcpStream> {
        let stream = match &self.0.at {
            PeerHint::Addr(addr) => TcpStream::connect(addr.socket_addr()).await?,
            PeerHint::Host(host, port) => TcpStream::connect((host.as_str(), *port)).await?,
        };
        // The loss of this is only latency.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    /// Takes in how it is; says what is new.
    fn note(&self, trouble: Option<String>) {
        let mut down = self.down();
        match (&*down, &trouble) {
            (None, Some(why)) => tracing::warn!(
                "the proxy {self} does not work: {why}; nothing is sent past it, and it is tried again"
            ),
            (Some(_), None) => tracing::warn!("the proxy {self} works again"),
            _ => {}
        }
        *down = trouble;
    }

    fn down(&self) -> MutexGuard<'_, Option<String>> {
        self.0.down.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reason that the proxy's answer stands for, if it is not the proxy's own fault.
fn reason(error: &Error) -> Reason {
    match error {
        Error::ConnectionRefused => Reason::Refused,
        Error::TtlExpired => Reason::ConnectTimeout,
        Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => Reason::Closed,
        Error::Io(error) if error.kind() == ErrorKind::ConnectionReset => Reason::Reset,
        _ => Reason::Unreachable,
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socks5://{}", self.0.at)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn at(listener: &TcpListener) -> Proxy {
        let port = listener.local_addr().unwrap().port();
        Proxy::parse(&format!("socks5://u:secret@127.0.0.1:{port}"), None).unwrap()
    }

    #[tokio::test]
    async fn a_proxy_that_is_not_there_is_the_proxys_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = at(&listener);
        drop(listener);
        let peer = "127.0.0.1:9".parse().unwrap();
        let limit = Duration::from_secs(5);
        let failure = proxy.connect(peer, limit).await.unwrap_err();
        assert_eq!(
            (failure.reason, failure.phase),
            (Reason::Internal, Phase::Connect)
        );
        assert!(failure.detail.contains("the proxy socks5://127.0.0.1:"));
        assert!(proxy.trouble().is_some());
        let shown = format!("{failure} {proxy} {proxy:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[tokio::test]
    async fn a_proxy_that_is_none_is_the_proxys_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = at(&listener);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let page = b"HTTP/1.1 400 Bad Request\r\n\r\n";
                let _ = stream.try_write(page);
            }
        });
        let peer = "127.0.0.1:9".parse().unwrap();
        let failure = proxy.connect(peer, Duration::from_secs(5)).await;
        assert_eq!(failure.unwrap_err().reason, Reason::Internal);
    }

    #[test]
    fn what_the_proxy_says_of_the_peer_is_the_peers_failure() {
        assert_eq!(reason(&Error::ConnectionRefused), Reason::Refused);
        assert_eq!(reason(&Error::HostUnreachable), Reason::Unreachable);
        assert_eq!(reason(&Error::TtlExpired), Reason::ConnectTimeout);
        let end = io::Error::from(ErrorKind::UnexpectedEof);
        assert_eq!(reason(&Error::Io(end)), Reason::Closed);
    }
}
