#!/usr/bin/python3
"""Measures metafetch among peers that misbehave.

    scripts/bench hostile mix [--torrents N]      every misbehaviour at once
    scripts/bench hostile silent [--peers N]      peers that accept and never say anything

`mix`: eight peers a hash, of which one serves, in a swarm where 95 of 100 do not; N hashes, and then four times
as many: all have to resolve, to the right bytes, in the same memory. `silent`: N connections at once to peers
that accept them and stay silent, while 500 other hashes with a healthy peer each are resolved. Says how long each attempt
at a silent peer took beyond its deadlines, 5 s in the clear and 2.5 s encrypted, without the two times that it took to connect; and how long
the other hashes took, beside and without the silent ones.
"""
import argparse
import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
PEERS_AT_ONCE = 6
DEADLINES_MS = 7500


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["mix", "silent"])
    parser.add_argument("--torrents", type=int, default=500)
    parser.add_argument("--peers", type=int, default=10_000)
    parser.add_argument("--no-build", action="store_true", help="measure what is built")
    return parser.parse_args()


def swarm(home, name, *options):
    """Starts a swarm; the process, and its magnet links."""
    magnets = home / name
    process = subprocess.Popen([str(TARGET / "examples/swarm"), "--magnets", str(magnets), *options],
                               stderr=subprocess.PIPE, text=True)
    while "READY" not in (line := process.stderr.readline()):
        if not line:
            sys.exit("the swarm did not start")
    return process, magnets


def resolve(home, magnets, *options):
    """Wall time, peak memory in MB, and the JSON lines."""
    command = [str(TARGET / "metafetch"), "resolve", str(magnets), "--no-dht", "--no-trackers",
               "--allow-local-peers", "--listen", "127.0.0.1:0", "--quiet", "--format", "jsonl",
               *options]
    started = time.monotonic()
    with open(home / "lines", "w", encoding="utf-8") as lines:
        process = subprocess.Popen(command, stdout=lines)
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    wall = time.monotonic() - started
    with open(home / "lines", encoding="utf-8") as lines:
        return wall, usage.ru_maxrss / 1024, [json.loads(line) for line in lines]


def mix(args, home):
    print(f"{'strategy':<12}{'hashes':>8}{'resolved':>10}{'wall s':>8}{'peak MB':>9}")
    for strategy in ("direct", "auto"):
        for torrents in (args.torrents, 4 * args.torrents):
            process, magnets = swarm(
                home, "magnets", "--torrents", str(torrents), "--peers", "780", "--peers-per-torrent",
                "8", "--mix", "hostile", "--metadata-size", "30000", "--own-ips")
            try:
                # A hash is right by its digest: whatever is written under it was checked against it.
                wall, memory, lines = resolve(home, magnets, "--store", "none", "--strategy", strategy)
            finally:
                process.kill()
                process.wait()
            resolved = sum(line["status"] == "resolved" for line in lines)
            print(f"{strategy:<12}{torrents:>8}{resolved:>10}{wall:>8.1f}{memory:>9.0f}", flush=True)
            for line in lines:
                if line["status"] != "resolved":
                    print(f"  {line['infohash']}: {line.get('reason')}: {line.get('detail')}")


def percentile(values, share):
    values = sorted(values)
    return values[min(int(len(values) * share), len(values) - 1)] if values else float("nan")


def silent(args, home):
    jobs = -(-args.peers // PEERS_AT_ONCE)
    silent_swarm, links = swarm(home, "silent", "--torrents", str(jobs), "--peers", "2000",
                                "--peers-per-torrent", str(PEERS_AT_ONCE), "--mix", "silent",
                                "--metadata-size", "100", "--own-ips", "--seed", "1")
    good_swarm, good_links = swarm(home, "good", "--torrents", "500", "--peers", "50",
                                   "--peers-per-torrent", "1", "--metadata-size", "30000", "--seed", "2")
    try:
        def times(lines):
            return [line["elapsed"] if "elapsed" in line else line["elapsed_ms"] / 1000
                    for line in lines if line["status"] == "resolved"]
        options = ["--strategy", "direct", "--jobs", str(jobs + 100)]
        _, _, lines = resolve(home, good_links, "--store", "none", *options)
        alone = times(lines)
        both = home / "both"
        both.write_text(links.read_text("ascii") + good_links.read_text("ascii"), "ascii")
        store = home / "metafetch.db"
        _, memory, lines = resolve(home, both, "--store", str(store), *options)
        beside = times(lines)
        with sqlite3.connect(store) as database:
            late = [row[0] - DEADLINES_MS for row in database.execute(
                "SELECT duration_ms - 2 * connect_ms FROM metadata_request WHERE outcome = 'handshake_timeout'")]
    finally:
        silent_swarm.kill()
        good_swarm.kill()
    print(f"{args.peers} silent peers at once: {len(late)} attempts ended as handshake_timeout; "
          f"{memory:.0f} MB at the most")
    print(f"their deadlines fired late by {percentile(late, 0.5)} ms at the median, {percentile(late, 0.99)} ms at the 99th "
          f"percentile, {max(late)} ms at the most")
    for name, values in (("alone", alone), ("beside them", beside)):
        print(f"500 other hashes, {name}: {len(values)} resolved, median {percentile(values, 0.5):.3f} s, "
              f"99th percentile {percentile(values, 0.99):.3f} s")


def main():
    args = parse_args()
    if not args.no_build:
        subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--bin", "metafetch",
                        "--example", "swarm"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as directory:
        {"mix": mix, "silent": silent}[args.what](args, pathlib.Path(directory))


main()
