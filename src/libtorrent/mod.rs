//! The libtorrent arm: libtorrent-rasterbar sessions behind a cxx bridge.
//!
//! | file | what lives there |
//! |---|---|
//! | `arm` | [`Libtorrent`]: opens sessions, counts torrents, shuts down |
//! | `fetch` | [`Fetch`]: one hash, its events in order |
//! | `ways` | which way (TCP or uTP, plain or encrypted) each peer is tried next |
//! | `node` | what belongs to the process: listening sockets, the DHT, [`Health`] |
//! | `dht` | the DHT nodes: lent, observed, kept alive |
//! | `session` | one session: its command thread and its event pump |
//! | `settings` | [`Settings`], and every libtorrent setting that follows from them |
//! | `events` | [`FetchEvent`] |
//! | `failure` | libtorrent's error codes as [`Failure`](crate::torrent::Failure) |
//! | `bridge` | what is declared to both languages; the C++ is in `cpp/` |

mod arm;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the tests compare our table of settings with the defaults"
    )
)]
#[expect(
    unreachable_pub,
    unused_qualifications,
    reason = "cxx makes what it generates `pub`; nothing of it leaves this module"
)]
mod bridge;
mod dht;
mod events;
mod failure;
mod fetch;
mod node;
pub(crate) mod port;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod ways;

pub use arm::{Libtorrent, SessionError};
pub use events::FetchEvent;
pub use fetch::{Fetch, FetchRequest};
pub use node::{DhtHealth, Health};
pub use settings::{DhtSettings, Settings};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whether or not a holder has panicked: what these locks guard is valid between statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the process at once, without exit handlers: sessions that are still ending must not meet
/// what those leave behind. Whatever is to be flushed has to be flushed before.
pub fn exit_now(code: i32) -> ! {
    bridge::ffi::exit_now(code);
    // Not reached; the bridge has no way to say so.
    std::process::abort()
}
