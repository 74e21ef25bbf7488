#!/usr/bin/python3
"""Measures `dht_crawler --metadata_database` beside the old crawler's way of working.

    scripts/bench backlog [--rows N] [--share F] [--seconds N] [--no-limits]

A private MariaDB has a table of `--rows` hashes, of which a share has peers in a loopback DHT; the
others are known to nobody. `dht_crawler` works all of them off. On the same swarm, python3-libtorrent
does what the old crawler did (see benches/three_at_a_time.py), for some seconds. Prints the rows that
were settled and the torrents that were resolved in a minute, and how many times as many that is.
"""
import argparse
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--dht-nodes", type=int, default=200)
    parser.add_argument("--no-limits", action="store_true",
                        help="let dht_crawler ask the DHT as fast as it can")
    return parser.parse_args()


class MariaDb:
    """A private server on a Unix socket."""

    def __init__(self, home):
        self.socket, self.data = home / "socket", home / "data"
        self.user = "mysql" if os.getuid() == 0 else None
        if self.user:
            home.chmod(0o755)
            self.data.mkdir()
            shutil.chown(self.data, self.user)
            shutil.chown(home, self.user)
        as_user = [f"--user={self.user}"] if self.user else []
        subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={self.data}",
                        "--auth-root-authentication-method=normal", "--skip-test-db", *as_user],
                       check=True, capture_output=True)
        self.server = subprocess.Popen(
            ["mariadbd", "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}",
             "--skip-networking", "--innodb-buffer-pool-size=256M", *as_user],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(300):
            if subprocess.run(["mariadb-admin", f"--socket={self.socket}", "-uroot", "ping"],
                              capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.1)
        self.query("CREATE DATABASE torrents CHARACTER SET utf8mb4", database="")

    def query(self, sql, database="torrents"):
        command = ["mariadb", f"--socket={self.socket}", "-uroot", "-N", database]
        done = subprocess.run(command, input=sql, capture_output=True, text=True, check=True)
        return done.stdout.split()


def config(home, bootstrap, no_limits=True):
    path = home / "metafetch.toml"
    nodes = ", ".join(f'"{node}"' for node in bootstrap.split(","))
    path.write_text(f"""\
[network]
listen = ["127.0.0.1:0"]
bootstrap = [{nodes}]
allow_local_peers = true

[dht]
{"packets = 0" if no_limits else ""}
{"bytes = 0" if no_limits else ""}
{"per_ip = 0" if no_limits else ""}

[dht_crawler]
socket = "{home / 'db/socket'}"
user = "root"
password = ""
database = "torrents"
""", "utf-8")
    return path


def crawler(path):
    started = time.monotonic()
    done = subprocess.run([str(ROOT / "target/release/dht_crawler"), "--metadata_database",
                           "--config", str(path)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"dht_crawler ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return time.monotonic() - started


def main():
    args = parse_args()
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--bin", "dht_crawler",
                    "--example", "swarm"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory(prefix="metafetch-bench-") as directory:
        home = pathlib.Path(directory)
        home.chmod(0o755)
        (home / "db").mkdir()
        served = home / "served"
        live = int(args.rows * args.share)
        swarm = subprocess.Popen(
            [str(ROOT / "target/release/examples/swarm"), "--torrents", str(live), "--peers", "50",
             "--peers-per-torrent", "5", "--sources", "dht", "--dht-nodes", str(args.dht_nodes),
             "--served", str(served), "--magnets", str(home / "magnets")],
            stderr=subprocess.PIPE, text=True)
        database = None
        try:
            bootstrap = ""
            while "READY" not in (line := swarm.stderr.readline()):
                if not line:
                    sys.exit("the swarm did not start")
                if line.startswith("DHT "):
                    bootstrap = line[4:].strip()
            hashes = served.read_text("ascii").split()
            random.seed(1)
            hashes += [random.randbytes(20).hex() for _ in range(args.rows - len(hashes))]
            random.shuffle(hashes)
            rows = home / "rows"
            rows.write_text("\n".join(hashes), "ascii")
            done = subprocess.run(
                ["/usr/bin/python3", str(ROOT / "benches/three_at_a_time.py"), str(rows), bootstrap,
                 str(args.seconds)], capture_output=True, text=True, check=True).stdout.split()
            old = [int(count) for count in done]
            database = MariaDb(home / "db")
            path = config(home, bootstrap, args.no_limits)
            # It makes the tables, and has nothing to do yet.
            crawler(path)
            for at in range(0, len(hashes), 1000):
                values = ",".join(f"('{text}','DHT_ANNOUNCE')" for text in hashes[at:at + 1000])
                database.query(f"INSERT INTO discovered_torrents (info_hash, source) VALUES {values}")
            elapsed = crawler(path)
            settled, resolved = (int(n) for n in database.query(
                "SELECT COUNT(timed_out = 1 OR metadata_received = 1 OR NULL),"
                " COUNT(metadata_received = 1 OR NULL) FROM discovered_torrents"))
        finally:
            swarm.kill()
            if database:
                database.server.terminate()
                database.server.wait()
    report(args, live, old, elapsed, (settled, resolved))


def report(args, live, old, elapsed, new):
    old = [count * 60 / args.seconds for count in old]
    new = [count * 60 / elapsed for count in new]
    print(f"{args.rows} rows, {live} of them with peers")
    print(f"{'in a minute':<24}{'rows had a turn':>17}{'resolved':>10}")
    print(f"{'three at a time':<24}{old[0]:>17.1f}{old[1]:>10.1f}")
    print(f"{'dht_crawler':<24}{new[0]:>17.1f}{new[1]:>10.1f}")
    print(f"{'times as many':<24}" + "".join(
        f"{b / a:>{width}.1f}" if a else f"{'-':>{width}}"
        for a, b, width in zip(old, new, (17, 10))))


main()
