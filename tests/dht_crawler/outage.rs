//! A database that goes away while it runs, and comes back.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::home::{Home, Running};
use crate::network::Network;
use crate::swarm::TestTorrent;

/// A way to the database that can be cut.
struct Way {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    is_cut: bool,
    open: Vec<TcpStream>,
}

impl Way {
    fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let accepted = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let mut state = accepted.lock().unwrap();
                if state.is_cut {
                    continue;
                }
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                    state.open.push(stream.try_clone().unwrap());
                }
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                for (mut from, mut to) in [(client, server), back] {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { port, state }
    }

    fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_cut = true;
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.state.lock().unwrap().is_cut = false;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_meanwhile_is_stored_when_it_is_back() {
    let network = Network::start(161, 60).await;
    let torrents = network.torrents(200).await;
    let home = Home::new(network.nodes());
    home.configure(network.nodes(), "jobs = 40");
    let way = Way::to(home.database.as_ref().unwrap().server.port);
    let list = home.path("list.txt");
    let hashes: Vec<_> = torrents.iter().map(TestTorrent::hex).collect();
    std::fs::write(&list, hashes.join("\n")).unwrap();
    let list = list.to_str().unwrap();
    let mut running = Running::start(home.command_at(way.port, &["--metadata", list]));
    running.until("*** METADATA RECEIVED ***").await;
    way.cut();
    // So many were asked for that some are fetched meanwhile.
    running.complains("Error storing torrent: ").await;
    way.mend();
    let (code, lines, stderr) = running.end().await;
    assert_eq!(code, 0, "{stderr}\n{lines:#?}");
    assert!(
        lines
            .iter()
            .any(|line| line == "*** ALL METADATA FETCHED ***"),
        "{stderr}\n{lines:#?}"
    );
    assert!(
        !lines.iter().any(|line| line.contains("TEST MODE")),
        "{stderr}"
    );
    let said = stderr.matches("Error storing torrent: ").count();
    assert_eq!(said, 1, "{stderr}");
    let stored = home.row(
        "SELECT CAST(COUNT(*) AS CHAR) AS value FROM discovered_torrents WHERE metadata_received = 1",
    );
    assert_eq!(stored, "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_does_not_wait_for_a_database_that_stays_away() {
    let network = Network::start(162, 60).await;
    network.torrents(100).await;
    let home = Home::new(network.nodes());
    let way = Way::to(home.database.as_ref().unwrap().server.port);
    let mut running = Running::start(home.command_at(way.port, &[]));
    running.until("*** METADATA RECEIVED ***").await;
    way.cut();
    running.signal("-TERM");
    let (code, lines, stderr) = running.end().await;
    assert_eq!(code, 0, "{stderr}\n{lines:#?}");
    assert!(
        lines.contains(&"*** SHUTDOWN COMPLETE ***".to_owned()),
        "{stderr}\n{lines:#?}"
    );
}
