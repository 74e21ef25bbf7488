//! The URL of a proxy, as a user writes it.

use percent_encoding::percent_decode_str;

use super::login::Login;
use crate::torrent::PeerHint;

/// Text that is no proxy's URL. The text itself is not shown: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlError {
    /// Another kind of proxy, or none.
    #[error("the proxy is no URL that begins with socks5://, such as socks5://127.0.0.1:1080")]
    Scheme,
    /// No host or no port.
    #[error("the proxy's URL has no host and port, as in socks5://127.0.0.1:1080")]
    Address,
    /// A user without a password, a password without a user, or one of them too long.
    #[error(
        "the proxy's user and password must both be given, with 1 to 255 bytes each; \
         percent-encode what is special in a URL, such as %40 for @"
    )]
    Login,
}

/// Where the proxy is, and how to log in.
pub(super) fn parse(
    url: &str,
    password: Option<&str>,
) -> Result<(PeerHint, Option<Login>), ProxyUrlError> {
    let rest = ["socks5://", "socks5h://"]
        .into_iter()
        .find_map(|scheme| url.strip_prefix(scheme))
        .ok_or(ProxyUrlError::Scheme)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (login, address) = match rest.rsplit_once('@') {
        Some((login, address)) => (Some(login), address),
        None => (None, rest),
    };
    let at: PeerHint = address.parse().map_err(|_| ProxyUrlError::Address)?;
    let Some(login) = login else {
        return match password {
            None => Ok((at, None)),
            Some(_) => Err(ProxyUrlError::Login),
        };
    };
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        text.map(String::from).map_err(|_| ProxyUrlError::Login)
    };
    let (user, typed) = login.split_once(':').unwrap_or((login, ""));
    let password = match password {
        Some(password) => password.to_owned(),
        None => decoded(typed)?,
    };
    let login = Login::new(decoded(user)?, password).ok_or(ProxyUrlError::Login)?;
    Ok((at, Some(login)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(url: &str, password: Option<&str>) -> Option<(String, String)> {
        let login = parse(url, password).unwrap().1?;
        let (user, password) = login.parts();
        Some((user.to_owned(), password.to_owned()))
    }

    #[test]
    fn urls_with_and_without_a_login() {
        let (at, none) = parse("socks5://127.0.0.1:1080", None).unwrap();
        assert_eq!(at.to_string(), "127.0.0.1:1080");
        assert!(none.is_none());
        for host in ["socks5://[::1]:9050/", "socks5h://proxy.example:1"] {
            assert!(parse(host, None).is_ok(), "{host}");
        }
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(login("socks5://u:p@h:1", None), pair("u", "p"));
        assert_eq!(login("socks5://u:a:b%40c@h:1", None), pair("u", "a:b@c"));
        assert_eq!(login("socks5://u@h:1", Some("p@:%")), pair("u", "p@:%"));
        assert_eq!(login("socks5://u:p@h:1", Some("q")), pair("u", "q"));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_url() {
        for (url, password, error) in [
            ("", None, ProxyUrlError::Scheme),
            ("http://u:secret@h:1", None, ProxyUrlError::Scheme),
            ("socks5://u:secret@h", None, ProxyUrlError::Address),
            ("socks5://u:secret@h:70000", None, ProxyUrlError::Address),
            ("socks5://u:secret@", None, ProxyUrlError::Address),
            ("socks5://u@h:1", None, ProxyUrlError::Login),
            ("socks5://:secret@h:1", None, ProxyUrlError::Login),
            ("socks5://u:secret%ff@h:1", None, ProxyUrlError::Login),
            ("socks5://h:1", Some("secret"), ProxyUrlError::Login),
        ] {
            let refused = parse(url, password).err();
            assert_eq!(refused, Some(error), "{url}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
