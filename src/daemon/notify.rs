//! What systemd is told (`sd_notify`), where it started this process; otherwise nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

/// The service works.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is read again; [`ready`] ends that.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The service ends, and may take so long for it.
pub fn stopping(within: Duration) {
    let usec = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(usec)]);
}

/// How the service is, in a line.
pub fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

/// The service is alive.
pub fn watchdog() {
    tell(&[NotifyState::Watchdog]);
}

/// How long the service may be silent before it is killed; `None` where nobody watches.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}
