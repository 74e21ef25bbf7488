//! Where the routers are that a DHT node begins with.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::proxy::Proxy;
use crate::torrent::{PeerAddr, PeerHint};

/// How long a router's name may take to resolve.
const DNS_WITHIN: Duration = Duration::from_secs(5);
/// How long routers may take to answer by way of a proxy.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
/// Addresses of one router that are taken.
const PER_ROUTER: usize = 4;

/// The routers' addresses, as their names resolve now. Behind a proxy the name is sent with a `ping`, and
/// the answer has the address: no name is resolved here.
pub(crate) async fn addresses(routers: &[String], proxy: Option<&Proxy>) -> Vec<PeerAddr> {
    let Some(proxy) = proxy else {
        let resolved = routers.iter().map(|router| resolved(router));
        return join_all(resolved).await.into_iter().flatten().collect();
    };
    let hints = routers.iter().filter_map(|router| router.parse().ok());
    let (mut known, mut names) = (Vec::new(), Vec::new());
    for hint in hints {
        match hint {
            PeerHint::Addr(addr) => known.push(addr),
            PeerHint::Host(host, port) => names.push((host, port)),
        }
    }
    if !names.is_empty() {
        let names: Vec<_> = (names.iter())
            .map(|(host, port)| (host.as_str(), *port))
            .collect();
        // A letter makes it unlike any number in the answer.
        let transaction = format!("p{:07x}", rand::random::<u32>() >> 4);
        let (ping, mark) = (ping(&transaction), transaction.as_bytes());
        let answered = proxy.ask_by_name(&names, &ping, mark, ANSWERS_WITHIN).await;
        known.extend(answered.into_iter().map(PeerAddr::from));
    }
    known
}

async fn resolved(router: &str) -> Vec<PeerAddr> {
    match timeout(DNS_WITHIN, tokio::net::lookup_host(router)).await {
        Ok(Ok(addrs)) => addrs.take(PER_ROUTER).map(PeerAddr::from).collect(),
        Ok(Err(error)) => {
            tracing::debug!(router, %error, "a DHT router's name does not resolve");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}

/// A `ping` from nobody: a random id, and no wish to be remembered (BEP 43).
fn ping(transaction: &str) -> Vec<u8> {
    let id: [u8; 20] = rand::random();
    let length = transaction.len();
    [
        b"d1:ad2:id20:",
        &id[..],
        b"e1:q4:ping2:roi1e",
        format!("1:t{length}:{transaction}1:y1:qe").as_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bencode::is_canonical;

    #[test]
    fn a_ping_is_a_read_only_query() {
        let ping = ping("p0123456");
        assert!(is_canonical(&ping));
        assert!(ping.ends_with(b"e1:q4:ping2:roi1e1:t8:p01234561:y1:qe"));
    }

    #[tokio::test]
    async fn without_a_proxy_names_are_resolved_here() {
        let routers = ["127.0.0.1:5".to_owned(), "no such name".to_owned()];
        let found = addresses(&routers, None).await;
        assert_eq!(found, ["127.0.0.1:5".parse().unwrap()]);
    }
}
