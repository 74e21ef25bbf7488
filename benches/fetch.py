#!/usr/bin/python3
"""Measures what a fetch costs, beside the least that a client of BEP 9 can do.

    scripts/bench fetch [--torrents N] [--runs N] [--metadata-size BYTES] [--peers-per-torrent N] [--jobs N]

A loopback swarm of healthy peers serves from a process of its own. `ceiling` is a pipelined client that
checks nothing (examples/fetch.rs), `direct arm` the direct arm alone with verification, `engine, store`
`metafetch resolve --strategy direct` with a SQLite store, `libtorrent, store` the same with the other arm.
aria2c, where it is installed, gets its peers from a tracker on loopback. Prints
fetches a second, CPU seconds for 1,000 fetches and peak memory, each also as a ratio to the ceiling. The
fastest run of each counts, since what else runs on the host only ever makes one slower.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import os

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
# Ports in TIME_WAIT, beyond which a program waits: libtorrent's sockets are bound and each needs one of its own.
TIME_WAIT_LIMITS = {"libtorrent, store": 2000}
TIME_WAIT_LIMIT = 20_000


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torrents", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--metadata-size", type=int, default=30_000)
    parser.add_argument("--peers", type=int, default=50)
    parser.add_argument("--peers-per-torrent", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=250)
    parser.add_argument("--only", action="append", help="a program, by the start of its name")
    parser.add_argument("--no-build", action="store_true", help="measure what is built")
    return parser.parse_args()


def wait_for_ports(name):
    """Ports that a former run left in TIME_WAIT slow down the next one."""
    limit = TIME_WAIT_LIMITS.get(name, TIME_WAIT_LIMIT)
    for _ in range(140):
        with open("/proc/net/sockstat", encoding="ascii") as stat:
            tcp = next(line for line in stat if line.startswith("TCP:")).split()
        if int(tcp[tcp.index("tw") + 1]) < limit:
            return
        time.sleep(0.5)


def contenders(args, magnets, tracked, out):
    fetch = str(TARGET / "examples/fetch")
    jobs = ["--jobs", str(args.jobs)]
    resolve = [str(TARGET / "metafetch"), "resolve", str(magnets), "--no-dht", "--no-trackers",
               "--allow-local-peers", "--listen", "127.0.0.1:0", "--quiet", "--format", "none",
               "--store", str(out / "metafetch.db"), *jobs]
    programs = {
        "ceiling": [fetch, "ceiling", str(magnets), *jobs],
        "direct arm": [fetch, "direct", str(magnets), *jobs],
        "engine, store": [*resolve, "--strategy", "direct"],
        "libtorrent, store": [*resolve, "--strategy", "libtorrent"],
    }
    if shutil.which("aria2c"):
        programs["aria2c"] = [
            "aria2c", "-i", str(tracked), "-j", str(args.jobs), "-d", str(out), "--bt-metadata-only=true",
            "--bt-save-metadata=true", "--enable-dht=false", "--enable-dht6=false",
            "--bt-enable-lpd=false", "--enable-peer-exchange=false", "--disable-ipv6=true",
            "--interface=127.0.0.1", "--console-log-level=error", "--summary-interval=0", "-q",
            "--bt-stop-timeout=30", "--no-conf=true",
        ]
    only = args.only or [""]
    return {name: command for name, command in programs.items() if name.startswith(tuple(only))}


def measure(name, command, out):
    """Seconds, CPU seconds, peak memory in MB, and how many were fetched."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    told = process.stdout.read()
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    wall = time.monotonic() - started
    if name in ("ceiling", "direct arm"):
        fetched = int(told)
    elif name == "aria2c":
        fetched = len(list(out.glob("*.torrent")))
    else:
        import sqlite3
        with sqlite3.connect(out / "metafetch.db") as store:
            fetched = store.execute("SELECT COUNT(*) FROM torrent_metadata").fetchone()[0]
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, fetched


def main():
    args = parse_args()
    if not args.no_build:
        subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--bin", "metafetch",
                        "--example", "swarm", "--example", "fetch"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as directory:
        home = pathlib.Path(directory)
        magnets, tracked = home / "magnets", home / "tracked"
        swarm = subprocess.Popen(
            [str(TARGET / "examples/swarm"), "--torrents", str(args.torrents), "--peers",
             str(args.peers), "--peers-per-torrent", str(args.peers_per_torrent),
             "--metadata-size", str(args.metadata_size), "--sources", "hints,http",
             "--magnets", str(tracked)],
            stderr=subprocess.PIPE, text=True)
        try:
            while "READY" not in (line := swarm.stderr.readline()):
                if not line:
                    sys.exit("the swarm did not start")
            magnets.write_text(re.sub("&tr=[^&\n]*", "", tracked.read_text("ascii")), "ascii")
            names = list(contenders(args, magnets, tracked, home))
            figures = {name: [] for name in names}
            for run in range(args.runs):
                for name in names:
                    wait_for_ports(name)
                    out = home / f"{run}-{name.split(',')[0].replace(' ', '-')}"
                    out.mkdir()
                    command = contenders(args, magnets, tracked, out)[name]
                    figures[name].append(measure(name, command, out))
                    shutil.rmtree(out)
        finally:
            swarm.kill()
    report(args, figures)


def report(args, figures):
    print(f"{args.torrents} torrents of {args.metadata_size} bytes, {args.peers_per_torrent} healthy peers "
          f"each, {args.jobs} at a time; the best of {args.runs} runs; in brackets: of the ceiling's")
    print(f"{'program':<20}{'fetched':>9}{'fetches/s':>19}{'CPU s/1,000':>19}{'peak MB':>17}")
    ceiling = None
    for name, runs in figures.items():
        wall, cpu, memory = (min(run[i] for run in runs) for i in range(3))
        least = min(run[3] for run in runs)
        values = (least / wall, cpu * 1000 / max(least, 1), memory)
        ceiling = ceiling or values
        rate, cpu, memory = (f"{value:,.{digits}f} [{value / base:.2f}]" for value, base, digits
                             in zip(values, ceiling, (0, 3, 0)))
        print(f"{name:<20}{least:>9}{rate:>19}{cpu:>19}{memory:>17}")


main()
