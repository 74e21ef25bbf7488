//! The signals that end `dht_crawler`, and what it says of them.

use std::time::Duration;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::console::Console;

/// How long the end may take after the first signal.
const END: Duration = Duration::from_secs(20);

/// How long it is waited for that a signal is told.
const SAID: Duration = Duration::from_secs(1);

/// The signals, from now on.
pub(super) struct Signals {
    interrupt: Option<unix::Signal>,
    terminate: Option<unix::Signal>,
    stop: Option<unix::Signal>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Interrupt,
    Terminate,
    Stop,
}

impl Signals {
    pub(super) fn new() -> Self {
        let stop = SignalKind::from_raw(Signal::TSTP.as_raw());
        Self {
            interrupt: unix::signal(SignalKind::interrupt()).ok(),
            terminate: unix::signal(SignalKind::terminate()).ok(),
            stop: unix::signal(stop).ok(),
        }
    }

    /// Stops the run at the first signal, and says so at each. Whatever hangs, the process ends a while
    /// after the first: what is stored is stored.
    pub(super) async fn watch(mut self, console: Console, stop: CancellationToken) {
        let mut is_first = true;
        loop {
            let came = self.next().await;
            if std::mem::take(&mut is_first) {
                // A thread, since it is for the case that tasks hang.
                let _ = std::thread::Builder::new().spawn(|| {
                    std::thread::sleep(END);
                    crate::libtorrent::exit_now(0)
                });
            }
            // A reader that is slow does not hold up the end.
            let _ = timeout(SAID, console.lines(lines(came))).await;
            stop.cancel();
        }
    }

    async fn next(&mut self) -> Came {
        tokio::select! {
            () = next_of(&mut self.interrupt) => Came::Interrupt,
            () = next_of(&mut self.terminate) => Came::Terminate,
            () = next_of(&mut self.stop) => Came::Stop,
        }
    }
}

/// The next such signal; never without a listener.
async fn next_of(signal: &mut Option<unix::Signal>) {
    let came = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if came.is_none() {
        std::future::pending::<()>().await;
    }
}

fn lines(came: Came) -> Vec<String> {
    let what: &[&str] = match came {
        Came::Interrupt => &["*** Ctrl+C detected - Initiating graceful shutdown ***"],
        Came::Terminate => &["*** SIGTERM received - Shutting down ***"],
        Came::Stop => &[
            "*** Ctrl+Z detected - Pausing crawler ***",
            "Use 'fg' to resume or Ctrl+C to shutdown gracefully",
        ],
    };
    let all = ["", ""].iter().chain(what);
    let all = all.chain(&["", "*** SHUTDOWN REQUESTED ***"]);
    all.map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_has_its_lines() {
        assert_eq!(
            lines(Came::Interrupt).join("\n"),
            "\n\n*** Ctrl+C detected - Initiating graceful shutdown ***\n\n*** SHUTDOWN REQUESTED ***"
        );
        assert!(
            lines(Came::Terminate).contains(&"*** SIGTERM received - Shutting down ***".into())
        );
        assert!(lines(Came::Stop).contains(&"*** Ctrl+Z detected - Pausing crawler ***".into()));
    }
}
