"""Works a backlog off as the old crawler did, to compare with: libtorrent's defaults, which have three
torrents in work at a time, up to 100 added at once, and no end for a hash that nobody has.

    three_at_a_time.py HASHES BOOTSTRAP SECONDS

Prints how many of the hashes (a file, 40 hex digits a line) had had their turn when the time was over,
and how many were resolved. Loopback only.
"""
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/clients"))
from loopback import lt, settings  # noqa: E402

PAGE = 100


def main(hashes, bootstrap, seconds):
    session = lt.session({**settings(dht_bootstrap=bootstrap), "enable_incoming_utp": False,
                          "enable_outgoing_utp": False})
    handles = []
    for infohash in pathlib.Path(hashes).read_text(encoding="ascii").split()[:PAGE]:
        params = lt.parse_magnet_uri(f"magnet:?xt=urn:btih:{infohash}")
        params.save_path = "/nonexistent"
        handles.append(session.add_torrent(params))
    started = time.monotonic()
    begun, resolved = set(), 0
    while (left := started + float(seconds) - time.monotonic()) > 0 and resolved < len(handles):
        session.wait_for_alert(int(min(left, 1) * 1000) + 1)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.metadata_received_alert):
                resolved += 1
                session.remove_torrent(alert.handle)
            elif isinstance(alert, lt.torrent_resumed_alert):
                begun.add(alert.handle.info_hash())
    print(len(begun), resolved)


main(*sys.argv[1:])
