#!/usr/bin/python3
"""Seeds a torrent from 127.0.0.1, and says so once it is really seeding."""

import argparse
import sys
import time

from loopback import ENCRYPTION, HOST, alerts, exit_with_parent, listening_port, lt, say, settings


def wait_for_seeding(session, handle):
    for _ in alerts(session, (lt.torrent_finished_alert,)):
        break
    if not handle.status().is_seeding:
        sys.exit("the payload is not complete")


def wait_for_tracker(session, handle):
    """Announces until the tracker answers: the first packet of a UDP announce may be lost."""
    while True:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            session.wait_for_alert(100)
            for alert in session.pop_alerts():
                if isinstance(alert, lt.tracker_reply_alert):
                    return
                if isinstance(alert, lt.tracker_error_alert):
                    print(alert.message(), file=sys.stderr)
        handle.force_reannounce(0, -1, lt.torrent_handle.ignore_min_interval)


def wait_for_dht(session, handle, port):
    """Announces until the DHT itself answers that we are a peer of this torrent."""
    infohash = handle.info_hashes().get_best()
    while True:
        handle.force_dht_announce()
        session.dht_get_peers(infohash)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            session.wait_for_alert(100)
            for alert in session.pop_alerts():
                if isinstance(alert, lt.dht_get_peers_reply_alert):
                    if (HOST, port) in [tuple(peer) for peer in alert.peers()]:
                        return


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torrent", required=True)
    parser.add_argument("--save-path", required=True)
    parser.add_argument("--no-tcp", action="store_true")
    parser.add_argument("--no-utp", action="store_true")
    parser.add_argument("--encryption", choices=ENCRYPTION, default="both")
    parser.add_argument("--dht-bootstrap", metavar="HOST:PORT")
    parser.add_argument("--tracker", action="append", default=[])
    args = parser.parse_args()
    exit_with_parent()

    session = lt.session(
        settings(
            tcp=not args.no_tcp,
            utp=not args.no_utp,
            encryption=args.encryption,
            dht_bootstrap=args.dht_bootstrap,
        )
    )
    port = listening_port(session)
    flags = lt.torrent_flags.disable_pex | lt.torrent_flags.disable_lsd
    if not args.dht_bootstrap:
        flags |= lt.torrent_flags.disable_dht
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(args.torrent)
    params.save_path = args.save_path
    params.flags = flags
    params.trackers = args.tracker
    handle = session.add_torrent(params)
    wait_for_seeding(session, handle)
    if args.tracker:
        wait_for_tracker(session, handle)
    if args.dht_bootstrap:
        wait_for_dht(session, handle, port)
    say(port=port)
    for alert in alerts(session, (lt.torrent_error_alert,)):
        sys.exit(alert.message())


if __name__ == "__main__":
    main()
