#!/usr/bin/python3
"""Measures the strategies of metafetch on mixed swarms, without and with a history of the peers.

    scripts/bench mix [--mix NAME]... [--torrents N] [--peers N] [--peers-per-torrent N] [--jobs N]

Each swarm serves twice as many torrents as are asked for at a time. A first run of `auto`, with an
empty store, resolves the first half, a second one with the same store the other half: other hashes,
the same peers. The forced strategies resolve the first half, each with an empty store. Times are
those of a hash, from its start to its result; a hash that was not resolved counts as infinitely
slow, among those that some peer serves. Attempts are those at hashes that were resolved; there is
at least one for each.
"""
import argparse
import json
import math
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIME_WAIT_LIMIT = 2000


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mix", action="append")
    parser.add_argument("--torrents", type=int, default=1000)
    parser.add_argument("--peers", type=int, default=400)
    parser.add_argument("--peers-per-torrent", type=int, default=20)
    parser.add_argument("--metadata-size", type=int, default=30000)
    parser.add_argument("--latency", default="0ms")
    parser.add_argument("--jobs", type=int, default=250)
    parser.add_argument("--timeout", default="20s")
    parser.add_argument("--strategy", action="append")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.mix = args.mix or ["fresh", "crawl", "half", "poisoned", "poisoned-tenth"]
    args.strategy = args.strategy or ["auto", "libtorrent", "direct", "race"]
    return args


def wait_for_ports():
    """Ports that a former run left in TIME_WAIT slow down the next one, whoever it is."""
    for _ in range(140):
        with open("/proc/net/sockstat", encoding="ascii") as stat:
            tcp = next(line for line in stat if line.startswith("TCP:")).split()
        if int(tcp[tcp.index("tw") + 1]) < TIME_WAIT_LIMIT:
            return
        time.sleep(0.5)


def resolve(args, magnets, store, strategy):
    wait_for_ports()
    command = [
        str(ROOT / "target/release/metafetch"), "resolve", str(magnets), "--no-dht",
        "--no-trackers", "--allow-local-peers", "--listen", "127.0.0.1:0", "--quiet",
        "--format", "jsonl", "--store", str(store), "--strategy", strategy,
        "--jobs", str(args.jobs), "--timeout", args.timeout,
    ]
    started = time.monotonic()
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    wall = time.monotonic() - started
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    return wall, {line["infohash"]: line for line in lines}


def quantile(times, share):
    return times[min(len(times) - 1, math.ceil(share * len(times)) - 1)] if times else math.nan


def attempts_in(store, lines):
    """How many attempts were made at the hashes that were resolved."""
    with sqlite3.connect(store) as database:
        hashes = database.execute("SELECT hex(infohash) FROM metadata_request").fetchall()
    return sum(lines.get(infohash.lower(), {}).get("status") == "resolved" for infohash, in hashes)


def row(name, wall, lines, served, attempts):
    resolved = [line for line in lines.values() if line["status"] == "resolved"]
    wanted = [lines.get(infohash) for infohash in served if infohash in lines]
    times = sorted(line["elapsed_ms"] / 1000 if line["status"] == "resolved" else math.inf
                   for line in wanted)
    median, ninth = quantile(times, 0.5), quantile(times, 0.9)
    each = attempts / max(1, len(resolved))
    print(f"  {name:<16}{len(resolved):>6} of {len(wanted):<6}{median:>9.3f}{ninth:>9.3f}"
          f"{quantile(times, 0.99):>9.3f}{wall:>9.2f}{each:>10.2f}", flush=True)
    return median, ninth, each


def measure(args, mix, home):
    magnets, served_by = home / "magnets", home / "served"
    swarm = subprocess.Popen(
        [str(ROOT / "target/release/examples/swarm"), "--torrents", str(2 * args.torrents),
         "--peers", str(args.peers), "--peers-per-torrent", str(args.peers_per_torrent),
         "--mix", mix, "--metadata-size", str(args.metadata_size), "--latency", args.latency,
         "--seed", str(args.seed), "--magnets", str(magnets), "--served", str(served_by)],
        stderr=subprocess.PIPE, text=True)
    try:
        while "READY" not in (line := swarm.stderr.readline()):
            if not line:
                sys.exit("the swarm did not start")
        lines = magnets.read_text("ascii").splitlines(keepends=True)
        first, second = home / "first", home / "second"
        first.write_text("".join(lines[:args.torrents]), "ascii")
        second.write_text("".join(lines[args.torrents:]), "ascii")
        served = served_by.read_text("ascii").split()
        print(f"{mix}: {args.peers} peers, {args.peers_per_torrent} a torrent, jobs {args.jobs}")
        print(f"  {'':<16}{'resolved':>15}{'median':>10}{'p90 s':>9}{'p99 s':>9}{'wall s':>9}"
              f"{'attempts':>10}")
        for strategy in args.strategy:
            store = home / f"{strategy}.db"
            wall, result = resolve(args, first, store, strategy)
            cold = row(strategy, wall, result, served, attempts_in(store, result))
            if strategy == "auto":
                wall, result = resolve(args, second, store, strategy)
                warm = row("auto, history", wall, result, served, attempts_in(store, result))
                print(f"  with history: {cold[0] / warm[0]:.1f} times as fast at the median, "
                      f"{cold[1] / warm[1]:.1f} at the 90th percentile, "
                      f"{warm[2] / cold[2]:.2f} of the attempts", flush=True)
    finally:
        swarm.kill()


def main():
    args = parse_args()
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--bin", "metafetch",
                    "--example", "swarm"], cwd=ROOT, check=True)
    for mix in args.mix:
        with tempfile.TemporaryDirectory() as directory:
            measure(args, mix, pathlib.Path(directory))


main()
