//! Who may ask: tokens and their scopes, and without tokens only this host, asked by its own name.

use std::net::{IpAddr, SocketAddr};

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode, Uri, header};

use super::problem::Problem;
use super::router::Client;
use crate::config::{ApiKeys, ApiToken, Scope};

/// The longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 256;

/// Whether these keys let anybody in whom they should not: the API is reachable from elsewhere, and no token
/// keeps others out.
///
/// # Errors
/// A sentence that says what to do.
pub fn check(keys: &ApiKeys, at: &[SocketAddr]) -> Result<(), String> {
    let beyond = at
        .iter()
        .find(|addr| !addr.ip().to_canonical().is_loopback());
    match beyond {
        Some(addr) if keys.tokens.is_empty() => Err(format!(
            "the API is to listen on {addr}, where others reach it, and has no token: make one with `metafetch config \
             token` and put it into api.tokens, or listen on 127.0.0.1 and [::1] only"
        )),
        _ => Ok(()),
    }
}

/// Whether this request may do what takes this scope.
pub(super) fn admit(keys: &ApiKeys, parts: &Parts, scope: Scope) -> Result<(), Problem> {
    if keys.tokens.is_empty() {
        return from_this_host(keys, parts);
    }
    let Some(token) = token(parts) else {
        return Err(unauthorized(
            "this takes a token: send it as `Authorization: Bearer TOKEN`",
        ));
    };
    let digest = ApiToken::digest_of(token.get(..MAX_TOKEN).unwrap_or(&token));
    // All of them are compared, so that the time does not tell which one it was.
    let mut allowed = None;
    for known in &keys.tokens {
        if known.has(&digest) {
            allowed = allowed.max(Some(known.scope()));
        }
    }
    match allowed {
        None => Err(unauthorized("no such token")),
        Some(allowed) if allowed < scope => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "this takes a token with the scope `admin`",
        )),
        Some(_) => Ok(()),
    }
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
}

/// The token that a request shows; for feeds, whose readers send no headers, in `apikey`.
fn token(parts: &Parts) -> Option<String> {
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        return scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| token.trim().to_owned());
    }
    if !super::feeds::takes_apikey(parts.uri.path()) {
        return None;
    }
    let query = parts.uri.query()?.as_bytes();
    let (_, key) = form_urlencoded::parse(query).find(|(name, _)| name == "apikey")?;
    Some(key.into_owned())
}

/// Without tokens it is the loopback interface that keeps others out: whoever comes from elsewhere, or from nowhere
/// that is known, stays out whatever address is listened at. A browser is on this host too: pages of
/// others must reach us neither by a name of theirs that points here (DNS rebinding), nor by requests that they
/// make it send (CSRF).
pub(super) fn from_this_host(keys: &ApiKeys, parts: &Parts) -> Result<(), Problem> {
    let client = parts.extensions.get::<Client>();
    if !client.is_some_and(|client| client.0.ip().to_canonical().is_loopback()) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden_client",
            "without tokens the API answers to this host only: make a token with `metafetch config token` and put it \
             into api.tokens",
        ));
    }
    let host = parts.headers.get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let host = parts.uri.authority().cloned().or(host);
    let Some(host) = host.filter(|host| is_ours(keys, host.host())) else {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden_host",
            "without tokens the API answers to `localhost` and loopback addresses only: use one of these in the \
             URL, or name the host in api.hosts",
        ));
    };
    let site = parts.headers.get("sec-fetch-site");
    let is_foreign = site.is_some_and(|site| site != "same-origin" && site != "none");
    let origin = parts.headers.get(header::ORIGIN);
    let is_other_origin = origin.is_some_and(|origin| {
        let origin = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"));
        !origin.is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host.as_str()))
    });
    if is_foreign || is_other_origin {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden_origin",
            "the request was sent by a page of another site: CORS is off",
        ));
    }
    // To a plain HTTP site with a name browsers don't say from where a GET was sent. One that begins something must show
    // that it is not from another site's page.
    let is_told = site.is_some() || origin.is_some() || has_our_referer(parts, &host);
    if parts.method == Method::GET && !is_of_loopback(host.host()) && begins_work(parts) && !is_told
    {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden_origin",
            "by a name of api.hosts `wait` takes the header `Sec-Fetch-Site: none`: without, any page could have sent \
             the request",
        ));
    }
    Ok(())
}

/// Whether a GET puts a hash into the queue.
fn begins_work(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    form_urlencoded::parse(query).any(|(name, _)| name == "wait")
}

/// Whether a page of ours has sent the request, as the browser says.
fn has_our_referer(parts: &Parts, host: &Authority) -> bool {
    let referer = parts.headers.get(header::REFERER);
    let referer = referer.and_then(|referer| referer.to_str().ok()?.parse::<Uri>().ok());
    let of = referer.as_ref().and_then(Uri::authority);
    of.is_some_and(|of| of.as_str().eq_ignore_ascii_case(host.as_str()))
}

fn is_ours(keys: &ApiKeys, host: &str) -> bool {
    let name = host.trim_end_matches('.');
    is_of_loopback(host)
        || keys
            .hosts
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether this is `localhost` or a loopback address: to these browsers say from where a request was sent.
fn is_of_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address = address.parse::<IpAddr>();
    address.is_ok_and(|ip| ip.to_canonical().is_loopback())
        || host.trim_end_matches('.').eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        parts_from("127.0.0.1:5000", uri, headers)
    }

    fn parts_from(client: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let client = Client(client.parse().unwrap());
        let mut request = Request::builder().uri(uri).extension(client);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn reason(keys: &ApiKeys, headers: &[(&str, &str)], scope: Scope) -> String {
        let admitted = admit(keys, &parts("/api/v1/stats", headers), scope);
        admitted
            .err()
            .map_or_else(String::new, |problem| problem.reason().to_owned())
    }

    #[test]
    fn without_tokens_only_this_host_by_its_own_names() {
        let keys = ApiKeys {
            hosts: vec!["metafetch.lan".to_owned()],
            ..ApiKeys::default()
        };
        for host in [
            "localhost",
            "LOCALHOST:80",
            "localhost.",
            "127.0.0.1:8417",
            "127.9.9.9",
            "[::1]:8417",
            "Metafetch.LAN",
        ] {
            assert_eq!(reason(&keys, &[("host", host)], Scope::Admin), "", "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "",
            "@",
            "[::2]",
            "0.0.0.0",
        ] {
            assert_eq!(
                reason(&keys, &[("host", host)], Scope::Read),
                "forbidden_host",
                "{host}"
            );
        }
        assert_eq!(reason(&keys, &[], Scope::Read), "forbidden_host");
    }

    #[test]
    fn without_tokens_nobody_from_elsewhere_whatever_is_listened_at() {
        let keys = ApiKeys::default();
        let admitted = |client: &str| {
            let parts = parts_from(client, "/api/v1/stats", &[("host", "localhost")]);
            admit(&keys, &parts, Scope::Read).is_ok()
        };
        for client in [
            "127.0.0.1:1",
            "127.8.8.8:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(admitted(client), "{client}");
        }
        for client in ["192.0.2.1:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1"] {
            assert!(!admitted(client), "{client}");
        }
        let mut unknown = parts("/api/v1/stats", &[("host", "localhost")]);
        unknown.extensions.clear();
        assert!(admit(&keys, &unknown, Scope::Read).is_err());
    }

    #[test]
    fn by_a_name_over_plain_http_no_page_of_others_begins_anything() {
        let keys = ApiKeys {
            hosts: vec!["metafetch.lan".to_owned()],
            ..ApiKeys::default()
        };
        let admitted = |query: &str, host: &str, more: &[(&str, &str)]| {
            let uri = format!("/api/v1/torrents/aa{query}");
            let headers: Vec<_> = [("host", host)].iter().chain(more).copied().collect();
            admit(&keys, &parts(&uri, &headers), Scope::Read).is_ok()
        };
        let lan = "metafetch.lan:8417";
        assert!(!admitted("?wait=1s", lan, &[]));
        assert!(!admitted("?priority=1&w%61it=1s", lan, &[]));
        assert!(!admitted(
            "?wait=1s",
            lan,
            &[("referer", "http://evil.example/")]
        ));
        assert!(!admitted(
            "?wait=1s",
            lan,
            &[("referer", "http://metafetch.lan.evil.example:8417/")]
        ));
        assert!(admitted(
            "?wait=1s",
            lan,
            &[("referer", "http://metafetch.lan:8417/")]
        ));
        assert!(admitted("?wait=1s", lan, &[("sec-fetch-site", "none")]));
        assert!(admitted("", lan, &[]));
        assert!(admitted("?wait=1s", "127.0.0.1:8417", &[]));
    }

    #[test]
    fn pages_of_other_sites_reach_nothing() {
        let keys = ApiKeys::default();
        let host = ("host", "localhost:8417");
        for (name, value) in [
            ("origin", "http://localhost:8417"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
        ] {
            assert_eq!(reason(&keys, &[host, (name, value)], Scope::Read), "");
        }
        for (name, value) in [
            ("origin", "http://localhost:3000"),
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "localhost:8417"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let reason = reason(&keys, &[host, (name, value)], Scope::Read);
            assert_eq!(reason, "forbidden_origin", "{name}: {value}");
        }
    }

    #[test]
    fn a_token_allows_what_its_scope_does() {
        let (read, read_kept) = ApiToken::generate(Scope::Read);
        let (admin, admin_kept) = ApiToken::generate(Scope::Admin);
        let keys = ApiKeys {
            tokens: vec![read_kept, admin_kept],
            ..ApiKeys::default()
        };
        let with = |token: &str, scope| {
            reason(
                &keys,
                &[("authorization", &format!("Bearer {token}"))],
                scope,
            )
        };
        assert_eq!(with(&read, Scope::Read), "");
        assert_eq!(with(&admin, Scope::Read), "");
        assert_eq!(with(&admin, Scope::Admin), "");
        assert_eq!(with(&read, Scope::Admin), "forbidden");
        for wrong in [
            "",
            "x",
            &read[..20],
            &format!("{admin}0"),
            &"a".repeat(100_000),
        ] {
            assert_eq!(with(wrong, Scope::Read), "unauthorized");
        }
        // Nor does the loopback interface help, nor the digest.
        assert_eq!(
            reason(&keys, &[("host", "localhost")], Scope::Read),
            "unauthorized"
        );
        assert_eq!(
            with(&keys.tokens[1].to_string(), Scope::Read),
            "unauthorized"
        );
    }

    #[test]
    fn only_feeds_take_a_token_in_the_url() {
        let (token, kept) = ApiToken::generate(Scope::Read);
        let keys = ApiKeys {
            tokens: vec![kept],
            ..ApiKeys::default()
        };
        let admitted = |path: &str| {
            let uri = format!("{path}?t=caps&apikey={token}");
            admit(&keys, &parts(&uri, &[]), Scope::Read).is_ok()
        };
        assert!(admitted("/torznab/api") && admitted("/rss"));
        assert!(!admitted("/api/v1/stats"));
    }

    #[test]
    fn listening_elsewhere_takes_a_token() {
        let open = ApiKeys::default();
        let at = |addr: &str| [addr.parse::<SocketAddr>().unwrap()];
        for addr in [
            "127.0.0.1:1",
            "127.3.3.3:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(check(&open, &at(addr)), Ok(()), "{addr}");
        }
        for addr in ["0.0.0.0:1", "[::]:1", "192.168.1.1:1", "[::ffff:1.2.3.4]:1"] {
            assert!(check(&open, &at(addr)).is_err(), "{addr}");
        }
        let guarded = ApiKeys {
            tokens: vec![ApiToken::generate(Scope::Read).1],
            ..ApiKeys::default()
        };
        assert_eq!(check(&guarded, &at("0.0.0.0:1")), Ok(()));
    }
}
