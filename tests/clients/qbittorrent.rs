//! qBittorrent.

use std::fs;
use std::net::SocketAddr;

use super::http::request;
use super::process::directory;
use super::{LOOPBACK, Process, Seeder, Torrent, free_port};

impl Seeder {
    /// qBittorrent without its desktop, with TCP and uTP.
    pub(crate) fn qbittorrent(torrent: &Torrent) -> Self {
        Self::start_qbittorrent(torrent, 0)
    }

    /// The same, told to "require encryption".
    pub(crate) fn qbittorrent_encrypted(torrent: &Torrent) -> Self {
        Self::start_qbittorrent(torrent, 1)
    }

    /// `encryption`: 0 allows it, 1 requires it.
    fn start_qbittorrent(torrent: &Torrent, encryption: u8) -> Self {
        let (peers, control) = (free_port(), free_port());
        let dir = directory();
        let profile = dir.path().to_owned();
        let config = profile.join("qBittorrent/config");
        fs::create_dir_all(&config).unwrap();
        fs::write(
            config.join("qBittorrent.conf"),
            settings(peers, control, encryption),
        )
        .unwrap();
        let mut process = Process::start("qbittorrent-nox", "qbittorrent-nox", dir, |command| {
            command.arg(format!("--profile={}", profile.display()));
            command.arg(format!("--webui-port={control}"));
            command.arg(format!("--save-path={}", torrent.save_path().display()));
            command.arg("--add-paused=false").arg(&torrent.path);
        });
        let control = SocketAddr::new(LOOPBACK, control);
        process.wait_until("the torrent was seeded", || {
            is_seeding(control).filter(|seeds| *seeds)
        });
        Self {
            addr: SocketAddr::new(LOOPBACK, peers),
            process,
        }
    }
}

/// Its configuration: the legal notice accepted, the sockets on loopback, and nothing fetched from
/// anywhere (it would load a database of countries).
fn settings(peers: u16, control: u16, encryption: u8) -> String {
    format!(
        "[LegalNotice]\n\
         Accepted=true\n\
         [BitTorrent]\n\
         Session\\DHTEnabled=false\n\
         Session\\Encryption={encryption}\n\
         Session\\Interface=lo\n\
         Session\\InterfaceAddress=127.0.0.1\n\
         Session\\InterfaceName=lo\n\
         Session\\LSDEnabled=false\n\
         Session\\MultiConnectionsPerIp=true\n\
         Session\\PeXEnabled=false\n\
         Session\\Port={peers}\n\
         Session\\UseRandomPort=false\n\
         [Network]\n\
         PortForwardingEnabled=false\n\
         [Preferences]\n\
         Connection\\ResolvePeerCountries=false\n\
         Connection\\UPnP=false\n\
         WebUI\\Address=127.0.0.1\n\
         WebUI\\CSRFProtection=false\n\
         WebUI\\HostHeaderValidation=false\n\
         WebUI\\LocalHostAuth=false\n\
         WebUI\\Port={control}\n\
         WebUI\\UseUPnP=false\n\
         [RSS]\n\
         Session\\EnableProcessing=false\n"
    )
}

fn is_seeding(control: SocketAddr) -> Option<bool> {
    let answer = request(control, "/api/v2/torrents/info", "", None).ok()?;
    let answer = answer.json()?;
    let state = answer.pointer("/0/state")?.as_str()?;
    // `stalledUP` is a seed that nobody downloads from.
    Some(matches!(state, "stalledUP" | "uploading" | "forcedUP"))
}
