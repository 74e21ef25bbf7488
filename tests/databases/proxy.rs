//! A way to a server that can be cut, so that it is away without being stopped.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Where the next connection that commits is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never hears of the commit.
    BeforeCommit,
    /// The server commits, and nobody is told.
    BeforeAnswer,
}

#[derive(Default)]
struct State {
    /// Connections are refused.
    is_down: bool,
    cut: Option<Cut>,
    open: Vec<TcpStream>,
}

/// A way to a server on the loopback interface that can be cut.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    pub(crate) fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let accepted = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let mut state = accepted.lock().unwrap();
                if state.is_down {
                    continue;
                }
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                state.open.push(client.try_clone().unwrap());
                state.open.push(server.try_clone().unwrap());
                let is_silent = Arc::new(Mutex::new(false));
                let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
                pump(ends, Arc::clone(&accepted), Arc::clone(&is_silent), true);
                pump((server, client), Arc::clone(&accepted), is_silent, false);
            }
        });
        Self { port, state }
    }

    /// Cuts the connection that commits next.
    pub(crate) fn cut_next(&self, cut: Cut) {
        self.state.lock().unwrap().cut = Some(cut);
    }

    pub(crate) fn was_cut(&self) -> bool {
        self.state.lock().unwrap().cut.is_none()
    }

    /// Ends all connections, and refuses new ones.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_down = true;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn go_on(&self) {
        self.state.lock().unwrap().is_down = false;
    }
}

/// Passes bytes on, from the first to the second, on a thread of its own.
fn pump(
    (mut from, mut to): (TcpStream, TcpStream),
    state: Arc<Mutex<State>>,
    is_silent: Arc<Mutex<bool>>,
    is_client: bool,
) {
    std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        loop {
            let count = from.read(&mut bytes).unwrap_or(0);
            let mut ends = count == 0;
            if is_client && bytes[..count].windows(6).any(|text| text == b"COMMIT") {
                match state.lock().unwrap().cut.take() {
                    Some(Cut::BeforeCommit) => ends = true,
                    Some(Cut::BeforeAnswer) => *is_silent.lock().unwrap() = true,
                    None => {}
                }
            }
            ends |= !is_client && *is_silent.lock().unwrap();
            if ends || to.write_all(&bytes[..count]).is_err() {
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
                return;
            }
        }
    });
}
