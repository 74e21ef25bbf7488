"""What a careful user gets out of python3-libtorrent: metadata for a file of magnets.

Loopback only. Limits that strangle batch work are lifted, as any batch tool would.
"""
import pathlib
import sys

import libtorrent as lt


def main(magnets, out):
    session = lt.session({
        "listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False,
        "enable_upnp": False, "enable_natpmp": False, "alert_queue_size": 1_000_000,
        "alert_mask": lt.alert.category_t.status_notification, "connections_limit": 8000,
        "connection_speed": 2000, "torrent_connect_boost": 30, "smooth_connects": False,
        "enable_outgoing_utp": False, "allow_multiple_connections_per_ip": True,
        "active_limit": -1, "active_downloads": -1, "unchoke_slots_limit": -1,
    })
    open_torrents = 0
    for magnet in pathlib.Path(magnets).read_text(encoding="ascii").split():
        params = lt.parse_magnet_uri(magnet)
        params.save_path = "/nonexistent"
        flags = lt.torrent_flags
        params.flags &= ~(flags.auto_managed | flags.paused)
        params.flags |= flags.upload_mode
        session.async_add_torrent(params)
        open_torrents += 1
    while open_torrents:
        session.wait_for_alert(1000)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.metadata_received_alert):
                info = alert.handle.torrent_file()
                path = pathlib.Path(out) / f"{info.info_hash()}.torrent"
                path.write_bytes(lt.bencode(lt.create_torrent(info).generate()))
                session.remove_torrent(alert.handle)
                open_torrents -= 1


main(*sys.argv[1:])
