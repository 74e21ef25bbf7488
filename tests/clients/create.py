#!/usr/bin/python3
"""Creates a payload and its torrent, the same for the same arguments, and says where they are."""

import argparse
import os
import random

from loopback import lt, say

PIECE_SIZE = 16 * 1024
# With hybrid torrents each file starts on a piece of its own.
FLAGS = {
    "v1": lt.create_torrent.v1_only,
    "hybrid": 0,
    "v2": lt.create_torrent.v2_only,
}


def write_payload(root, files, rng):
    """Files of about 1 KiB, with long names, because the names are what the metadata is made of."""
    for number in range(files):
        folder = os.path.join(root, f"folder {number % 4}")
        os.makedirs(folder, exist_ok=True)
        label = "名前 übung" if number == 0 else "payload " + "%040x" % rng.getrandbits(160)
        with open(os.path.join(folder, f"{number:04} {label}.bin"), "wb") as file:
            file.write(rng.randbytes(rng.randint(700, 1400)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--version", choices=FLAGS, default="v1")
    parser.add_argument("--tracker", action="append", default=[])
    args = parser.parse_args()

    name = f"payload {args.seed}"
    rng = random.Random(args.seed)
    write_payload(os.path.join(args.dir, name), args.files, rng)

    storage = lt.file_storage()
    lt.add_files(storage, os.path.join(args.dir, name))
    creator = lt.create_torrent(storage, PIECE_SIZE, FLAGS[args.version])
    for url in args.tracker:
        creator.add_tracker(url)
    lt.set_piece_hashes(creator, args.dir)
    # Only the copy of the info dictionary that is seeded counts: what libtorrent reads back.
    encoded = lt.bencode(creator.generate())
    info = lt.torrent_info(lt.bdecode(encoded))
    torrent = os.path.join(args.dir, name + ".torrent")
    with open(torrent, "wb") as file:
        file.write(encoded)

    hashes = info.info_hashes()
    say(
        torrent=torrent,
        name=name,
        files=args.files,
        v1=str(hashes.v1) if hashes.has_v1() else None,
        v2=str(hashes.v2) if hashes.has_v2() else None,
        info=info.info_section().hex(),
    )


if __name__ == "__main__":
    main()
