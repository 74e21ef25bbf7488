#!/usr/bin/python3
"""Measures the HTTP API of `metafetch daemon` while it crawls.

    scripts/bench api [--torrents N] [--clients N] [--think SECONDS] [--seconds N] [--soak]

A loopback swarm serves torrents, which are resolved into a SQLite store, and a DHT whose nodes go on naming hashes
that nobody has, so that the crawl of the daemon never ends. Then so many clients read torrents from the
store, each over a connection of its own (wrk): once with a pause of `--think` seconds on average between an answer and the next
request, and once without any, and the same for `/healthz`, which reads nothing: the ceiling. Prints requests a second, how
long answers took, what was refused, and the ratio to the ceiling; how long the answer for a hash that cools down takes, one
at a time; and the daemon's memory. With `--soak` only the clients that pause read torrents, and the memory is told each minute.
"""
import argparse
import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
DEAD = "d" * 40


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torrents", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--think", type=float, default=0.5)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--soak", action="store_true", help="only clients that pause, and the memory each minute")
    parser.add_argument("--no-build", action="store_true", help="measure what is built")
    return parser.parse_args()


def start_swarm(args, magnets):
    swarm = subprocess.Popen(
        [str(TARGET / "examples/swarm"), "--torrents", str(args.torrents), "--peers", "50",
         "--peers-per-torrent", "2", "--sources", "hints,dht", "--dht-nodes", "100", "--dht-endless",
         "--dht-interval", "1s", "--magnets", str(magnets)],
        stderr=subprocess.PIPE, text=True)
    nodes = None
    while "READY" not in (line := swarm.stderr.readline()):
        if not line:
            sys.exit("the swarm did not start")
        if line.startswith("DHT "):
            nodes = line.split()[1].split(",")
    return swarm, nodes


def script(home, paths, think):
    """What wrk asks for: any of these paths, with a pause before each request."""
    lua = home / "requests.lua"
    quoted = ",".join(f'"{path}"' for path in paths)
    lua.write_text(f"""
local paths = {{{quoted}}}
function setup(thread) thread:set("seed", math.random(1, 1000000)) end
function init(args) math.randomseed(seed) end
function request() return wrk.format("GET", paths[math.random(#paths)]) end
""" + (f"function delay() return math.random(0, {int(think * 2000)}) end\n" if think else ""), "ascii")
    return lua


def load(home, port, args, paths, think):
    """Requests a second, the median and the 99th percentile in ms, and answers that were not 2xx."""
    out = subprocess.run(
        ["wrk", "-t", "2", "-c", str(args.clients), "-d", f"{args.seconds}s", "--latency", "--timeout", "10s",
         "-s", str(script(home, paths, think)), f"http://127.0.0.1:{port}"],
        capture_output=True, text=True, check=True).stdout
    quantile = {int(float(p)): float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]
                for p, value, unit in re.findall(r"^ +([\d.]+)% +([\d.]+)(us|ms|s)$", out, re.M)}
    rate = float(re.search(r"Requests/sec: +([\d.]+)", out)[1])
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errors = re.search(r"Socket errors: (.*)", out)
    return rate, quantile[50], quantile[99], int(refused[1]) if refused else 0, errors[1] if errors else "none"


def memory(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text("ascii")
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def tell_memory(daemon):
    """Each minute, in MB."""
    minutes = 0
    while daemon.poll() is None:
        time.sleep(60)
        minutes += 1
        print(f"  after {minutes} min: {memory(daemon):.0f} MB", flush=True)


def cooldown(port):
    """The first answer for a hash that nobody has, and how long the next thousand take, in ms."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def ask(path):
        began = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        return answer, body, (time.perf_counter() - began) * 1e3

    first, body, took = ask(f"/api/v1/torrents/{DEAD}?wait=60s")
    print(f"a hash that nobody has: {first.status} {body.get('reason')} after {took:.0f} ms")
    times = []
    for _ in range(1000):
        answer, body, took = ask(f"/api/v1/torrents/{DEAD}?wait=60s")
        assert answer.status == 503 and answer.getheader("Retry-After"), (answer.status, body)
        times.append(took)
    times.sort()
    print(f"asked for again: 503 {body.get('reason')} after {times[500]:.2f} ms (median), {times[989]:.2f} ms "
          f"(99th percentile), {times[-1]:.2f} ms (longest)")


def main():
    args = parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed: apt-get install wrk")
    if not args.no_build:
        subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--bin", "metafetch",
                        "--example", "swarm"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as directory:
        home = pathlib.Path(directory)
        run(args, home)


def run(args, home):
    magnets, store, config = home / "magnets", home / "metafetch.db", home / "metafetch.toml"
    swarm, nodes = start_swarm(args, magnets)
    daemon = None
    try:
        program = str(TARGET / "metafetch")
        subprocess.run([program, "resolve", str(magnets), "--no-dht", "--no-trackers", "--allow-local-peers", "--listen",
                        "127.0.0.1:0", "--store", str(store), "--quiet", "--format", "none"], check=True)
        config.write_text(f"""
network.listen = ["127.0.0.1:0"]
network.bootstrap = {json.dumps(nodes)}
network.allow_local_peers = true
engine.trackers = false
engine.timeout = "5s"
api.listen = ["127.0.0.1:0"]
store.url = "sqlite:{store}"
""", "ascii")
        daemon = subprocess.Popen([program, "daemon", "--config", str(config)], stderr=subprocess.PIPE, text=True)
        port = None
        while port is None:
            line = daemon.stderr.readline()
            if not line:
                sys.exit("the daemon did not start")
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                port = int(found[1])
        threading.Thread(target=daemon.stderr.read, daemon=True).start()
        time.sleep(5)
        hashes = re.findall(r"btih:([0-9a-f]{40})", magnets.read_text("ascii"))
        paths = [f"/api/v1/torrents/{infohash}" for infohash in hashes]
        print(f"{args.clients} clients, {len(paths)} torrents, a crawl beside them; memory {memory(daemon):.0f} MB at the start")
        print(f"{'what':<34}{'per s':>9}{'median ms':>11}{'p99 ms':>9}{'refused':>9}  socket errors")
        rates = {}
        runs = [(f"pauses of {args.think} s", args.think), ("no pauses", 0)]
        asked_for = {"healthz": ["/healthz"], "torrents": paths}
        if args.soak:
            threading.Thread(target=tell_memory, args=(daemon,), daemon=True).start()
            del runs[1], asked_for["healthz"]
        for name, think in runs:
            for what, asked in asked_for.items():
                rate, median, p99, refused, errors = load(home, port, args, asked, think)
                rates[what] = rate
                print(f"{what + ', ' + name:<34}{rate:>9.0f}{median:>11.2f}{p99:>9.2f}{refused:>9}  {errors}"
                      f"   {memory(daemon):.0f} MB")
            if not args.soak:
                print(f"  of the ceiling: {rates['torrents'] / rates['healthz']:.2f}")
        cooldown(port)
        print(f"memory {memory(daemon):.0f} MB at the end")
    finally:
        if daemon:
            daemon.terminate()
            daemon.wait(60)
        swarm.kill()


main()
