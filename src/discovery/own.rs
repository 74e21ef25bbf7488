//! The addresses of this host, which nobody may make it dial by naming them as a peer's.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How old what is known may be: addresses of IPv6 come and go.
const AGE: Duration = Duration::from_secs(60);

/// The addresses of a host.
pub(super) type Addresses = Arc<HashSet<IpAddr>>;

/// The addresses of this host's interfaces; none where the system does not tell them.
pub(super) fn addresses() -> Addresses {
    static KNOWN: Mutex<Option<(Instant, Addresses)>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, addresses)) = known.as_ref()
        && at.elapsed() < AGE
    {
        return Arc::clone(addresses);
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::debug!("the addresses of this host can't be read: {error}");
        Vec::new()
    });
    let ips = interfaces.iter().map(|it| it.ip().to_canonical());
    let addresses: Addresses = Arc::new(ips.collect());
    *known = Some((Instant::now(), Arc::clone(&addresses)));
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_knows_its_loopback_address() {
        assert!(addresses().iter().any(IpAddr::is_loopback));
    }
}
