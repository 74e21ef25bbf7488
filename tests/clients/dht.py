#!/usr/bin/python3
"""A DHT of a few nodes on 127.0.0.1, which know each other and nobody else."""

import argparse

from loopback import HOST, alerts, exit_with_parent, listening_port, lt, say, settings


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5)
    args = parser.parse_args()
    exit_with_parent()

    first = lt.session(settings(dht_bootstrap=""))
    bootstrap = f"{HOST}:{listening_port(first)}"
    others = [lt.session(settings(dht_bootstrap=bootstrap)) for _ in range(args.nodes - 1)]
    for session in others:
        # Posted once a node has asked its way into the DHT.
        for _ in alerts(session, (lt.dht_bootstrap_alert,)):
            break
    say(bootstrap=bootstrap, nodes=args.nodes)
    for _ in alerts(first, ()):
        pass


if __name__ == "__main__":
    main()
