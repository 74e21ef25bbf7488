"""Settings that keep a libtorrent session on loopback.

A session that is constructed without settings listens on every interface and talks to the public
DHT, to local peer discovery and to the router. Every session of the tests starts from `settings`.
"""

import json
import os
import random
import socket
import sys
import threading

try:
    import libtorrent as lt
except ImportError:
    sys.exit(
        "libtorrent's Python module is not installed: "
        "install the Debian package `python3-libtorrent` (`scripts/setup test` does)"
    )

HOST = "127.0.0.1"
# disabled, enabled and forced, as `in_enc_policy` and `out_enc_policy` have them.
ENCRYPTION = {"forced": 0, "both": 1, "plain": 2}


def free_port():
    """A port that is free for TCP and UDP, below the range from which the kernel takes ports for
    others: with port 0 the one that TCP gets may be taken for UDP."""
    for _ in range(100):
        port = random.randrange(20_000, 32_000)
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind((HOST, port))
        except OSError:
            continue
        return port
    sys.exit(f"no free port between 20000 and 32000 on {HOST}")


def settings(port=0, tcp=True, utp=True, encryption="both", dht_bootstrap=None):
    """A settings pack for 127.0.0.1; port 0 is any free one."""
    return {
        "listen_interfaces": f"{HOST}:{port or free_port()}",
        "max_retry_port_bind": 0,
        "listen_system_port_fallback": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_incoming_tcp": tcp,
        "enable_outgoing_tcp": tcp,
        "enable_incoming_utp": utp,
        "enable_outgoing_utp": utp,
        "in_enc_policy": ENCRYPTION[encryption],
        "out_enc_policy": ENCRYPTION[encryption],
        "allow_multiple_connections_per_ip": True,
        "tracker_completion_timeout": 5,
        "stop_tracker_timeout": 1,
        "alert_mask": lt.alert.category_t.error_notification
        | lt.alert.category_t.status_notification
        | lt.alert.category_t.tracker_notification
        | lt.alert.category_t.dht_notification
        | lt.alert.category_t.dht_operation_notification,
        # The DHT: its nodes are all on one address here, which the defaults forbid.
        "enable_dht": dht_bootstrap is not None,
        "dht_bootstrap_nodes": dht_bootstrap or "",
        "dht_restrict_routing_ips": False,
        "dht_restrict_search_ips": False,
        "dht_prefer_verified_node_ids": False,
        "dht_ignore_dark_internet": False,
        "dht_block_ratelimit": 1_000_000,
        "dht_upload_rate_limit": 10_000_000,
    }


def alerts(session, kinds):
    """Yields the alerts of these kinds for ever, waiting for each; a failed listen is an error."""
    while True:
        session.wait_for_alert(1000)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.listen_failed_alert):
                sys.exit(f"could not listen: {alert.message()}")
            if isinstance(alert, kinds):
                yield alert


def listening_port(session):
    """The port which the session has bound; TCP and UDP have the same one."""
    ports = {}
    for alert in alerts(session, (lt.listen_succeeded_alert,)):
        ports[alert.socket_type] = alert.port
        if len(ports) == 2:
            break
    if len(set(ports.values())) != 1:
        sys.exit(f"TCP and UDP have different ports: {ports}")
    return alert.port


def exit_with_parent():
    """Ends this process when its stdin closes, that is, with the test that started it."""

    def watch():
        while sys.stdin.buffer.raw.read(4096):
            pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def say(**fields):
    """One JSON line for the test."""
    print(json.dumps(fields), flush=True)
