//! Magnet links (BEP 9, BEP 53): the infohash, and what helps to find its peers.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use super::{Infohash, InfohashError, PeerHint};

/// Length of the longest text that is read, in bytes.
const MAX_TEXT: usize = 64 << 10;
/// How many trackers are kept.
const MAX_TRACKERS: usize = 100;
/// How many peers are kept.
const MAX_PEERS: usize = 200;
/// Length of the longest tracker URL that is kept, in bytes.
const MAX_TRACKER: usize = 2048;
/// Length of the longest file selection that is kept, in bytes.
const MAX_SELECTION: usize = 4096;

/// A magnet link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Magnet {
    /// The torrent (`xt`): v1, v2, or both.
    pub infohash: Infohash,
    /// What the link says the torrent is called (`dn`), without control characters.
    pub name: Option<String>,
    /// Trackers (`tr`): URLs of HTTP, UDP and WebSocket trackers, each once, 100 at most.
    pub trackers: Vec<String>,
    /// Peers (`x.pe`), each once, 200 at most.
    pub peers: Vec<PeerHint>,
    /// Files to download, as indices and ranges: `0,2,4-6` (`so`, BEP 53).
    pub select_only: Option<String>,
}

/// Text that is no magnet link of a torrent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MagnetError {
    /// Another scheme, or no link at all.
    #[error("the text is no magnet link: it does not begin with `magnet:?`")]
    Scheme,
    /// Too long.
    #[error("the magnet link has {0} bytes, and {MAX_TEXT} are allowed: leave out some trackers")]
    TooLong(usize),
    /// No `xt` of a torrent.
    #[error(
        "the magnet link names no torrent: it has neither `xt=urn:btih:` (v1) nor \
         `xt=urn:btmh:` (v2)"
    )]
    NoInfohash,
    /// No `xt` that can be read.
    #[error("the magnet link has a malformed `xt`: {0}")]
    Infohash(#[from] InfohashError),
    /// Two `xt` for different torrents.
    #[error("the magnet link names two torrents, {0} and {1}: split it into two links")]
    TwoTorrents(Infohash, Infohash),
}

impl Magnet {
    /// A magnet link with nothing but the infohash.
    #[must_use]
    pub fn new(infohash: Infohash) -> Self {
        Self {
            infohash,
            name: None,
            trackers: Vec::new(),
            peers: Vec::new(),
            select_only: None,
        }
    }
}

impl FromStr for Magnet {
    type Err = MagnetError;

    /// Reads a link as browsers, mails and web pages carry it: percent-encoded or not, `&` or
    /// `&amp;`, in any case, with white space around. Malformed trackers, peers and selections are
    /// left out: a link is good as long as its infohash is.
    fn from_str(text: &str) -> Result<Self, MagnetError> {
        let text = text.trim();
        if text.len() > MAX_TEXT {
            return Err(MagnetError::TooLong(text.len()));
        }
        let query = match text.split_at_checked("magnet:?".len()) {
            Some((scheme, query)) if scheme.eq_ignore_ascii_case("magnet:?") => query,
            _ => return Err(MagnetError::Scheme),
        };
        let query = query.replace("&amp;", "&").replace("&AMP;", "&");

        let mut infohash: Option<Infohash> = None;
        let mut malformed = None;
        let mut rest = Self::new(Infohash::V1([0; 20]));
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.trim();
            match unnumbered(&key.to_ascii_lowercase()) {
                "xt" => match topic(value) {
                    None => {}
                    Some(Err(error)) => malformed = Some(error),
                    Some(Ok(hash)) => {
                        infohash = Some(match infohash {
                            None => hash,
                            Some(first) => first
                                .merge(hash)
                                .ok_or(MagnetError::TwoTorrents(first, hash))?,
                        });
                    }
                },
                "dn" if rest.name.is_none() => rest.name = name(value),
                "tr" if rest.trackers.len() < MAX_TRACKERS && is_tracker(value) => {
                    let tracker = value.to_owned();
                    if !rest.trackers.contains(&tracker) {
                        rest.trackers.push(tracker);
                    }
                }
                "x.pe" if rest.peers.len() < MAX_PEERS => {
                    let new = peer(value).filter(|peer| !rest.peers.contains(peer));
                    rest.peers.extend(new);
                }
                "so" if rest.select_only.is_none() && is_selection(value) => {
                    rest.select_only = Some(value.to_owned());
                }
                // `xs` and `as` point to the torrent file, `ws` to payload: HTTP is not for us.
                _ => {}
            }
        }
        match (infohash, malformed) {
            (Some(infohash), _) => Ok(Self { infohash, ..rest }),
            (None, Some(error)) => Err(error.into()),
            (None, None) => Err(MagnetError::NoInfohash),
        }
    }
}

impl fmt::Display for Magnet {
    /// The link again, percent-encoded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use data_encoding::HEXLOWER;
        f.write_str("magnet:?")?;
        let v1 = self.infohash.v1().map(|v1| HEXLOWER.encode(v1));
        let v2 = self.infohash.v2().map(|v2| HEXLOWER.encode(v2));
        let v1 = v1.map(|hex| format!("xt=urn:btih:{hex}"));
        let v2 = v2.map(|hex| format!("xt=urn:btmh:1220{hex}"));
        let topics: Vec<String> = v1.into_iter().chain(v2).collect();
        f.write_str(&topics.join("&"))?;
        if let Some(name) = &self.name {
            write!(f, "&dn={}", Encoded(name))?;
        }
        for tracker in &self.trackers {
            write!(f, "&tr={}", Encoded(tracker))?;
        }
        for peer in &self.peers {
            write!(f, "&x.pe={peer}")?;
        }
        if let Some(selection) = &self.select_only {
            write!(f, "&so={}", Encoded(selection))?;
        }
        Ok(())
    }
}

/// The link of a torrent with this name, as libtorrent writes it.
#[must_use]
pub fn magnet_link(infohash: Infohash, name: &str) -> String {
    let name = Some(name.to_owned());
    Magnet {
        name,
        ..Magnet::new(infohash)
    }
    .to_string()
}

/// Text percent-encoded as libtorrent does it: lower-case digits, and a space as `%20`, since not
/// every client reads `+` as one.
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| {
            if byte.is_ascii_alphanumeric() || b"!()*-._~".contains(&byte) {
                f.write_char(char::from(byte))
            } else {
                write!(f, "%{byte:02x}")
            }
        })
    }
}

/// `xt` of `xt.1`: parameters that repeat may be numbered.
fn unnumbered(key: &str) -> &str {
    match key.rsplit_once('.') {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => key,
    }
}

/// The infohash of an exact topic; `None` if it is one of another network.
fn topic(urn: &str) -> Option<Result<Infohash, InfohashError>> {
    let (scheme, hash) = urn.split_at_checked("urn:btih:".len())?;
    if scheme.eq_ignore_ascii_case("urn:btih:") {
        Some(Infohash::from_btih(hash))
    } else if scheme.eq_ignore_ascii_case("urn:btmh:") {
        Some(Infohash::from_btmh(hash))
    } else {
        None
    }
}

fn name(value: &str) -> Option<String> {
    let name: String = value.chars().filter(|char| !char.is_control()).collect();
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

fn peer(value: &str) -> Option<PeerHint> {
    let peer = value.parse().ok()?;
    let port = match &peer {
        PeerHint::Addr(addr) => addr.port(),
        PeerHint::Host(_, port) => *port,
    };
    (port != 0).then_some(peer)
}

fn is_selection(value: &str) -> bool {
    !value.is_empty()
        && value.len() <= MAX_SELECTION
        && value
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b',' || byte == b'-')
}

/// Whether this is the URL of a tracker: HTTP, UDP or WebSocket, with a host, of sane length.
pub(crate) fn is_tracker(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let is_known = ["http", "https", "udp", "ws", "wss"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known));
    is_known
        && url.len() <= MAX_TRACKER
        && !rest.is_empty()
        && !rest.starts_with(['/', ':', '?', '#'])
        && !url.chars().any(|c| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests;
