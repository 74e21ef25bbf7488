#!/usr/bin/python3
"""Fetches metadata with a stock libtorrent client: the reference that the seeders are checked with."""

import argparse

from loopback import ENCRYPTION, HOST, alerts, listening_port, lt, say, settings


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("magnet")
    parser.add_argument("--peer", type=int, metavar="PORT", help="a peer on 127.0.0.1")
    parser.add_argument("--dht-bootstrap", metavar="HOST:PORT")
    parser.add_argument("--no-tcp", action="store_true")
    parser.add_argument("--no-utp", action="store_true")
    parser.add_argument("--encryption", choices=ENCRYPTION, default="both")
    args = parser.parse_args()

    session = lt.session(
        settings(
            tcp=not args.no_tcp,
            utp=not args.no_utp,
            encryption=args.encryption,
            dht_bootstrap=args.dht_bootstrap,
        )
        # A seeder that closes the first connection is asked again at once.
        | {"min_reconnect_time": 1, "utp_connect_timeout": 500}
    )
    listening_port(session)
    params = lt.parse_magnet_uri(args.magnet)
    params.save_path = "/nonexistent"
    params.flags = (
        lt.torrent_flags.default_dont_download
        | lt.torrent_flags.disable_pex
        | lt.torrent_flags.disable_lsd
    )
    handle = session.add_torrent(params)
    if args.peer:
        handle.connect_peer((HOST, args.peer))
    if args.dht_bootstrap:
        for _ in alerts(session, (lt.dht_bootstrap_alert,)):
            break
        handle.force_dht_announce()
    for _ in alerts(session, (lt.metadata_received_alert,)):
        break
    say(info=handle.torrent_file().info_section().hex())


if __name__ == "__main__":
    main()
