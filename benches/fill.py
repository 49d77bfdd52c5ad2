"""Writes files whose content depends only on their names and the round, so that it is the same on every machine.

    fill.py small TREE COUNT [ROUND]   files of 1 kB, 256 in a directory; a round rewrites one of a thousand
    fill.py logs TREE BYTES [ROUND]    twenty logs of BYTES; a round appends a fiftieth and rotates two
    fill.py half TREE BYTES            files of 64 MB, BYTES in all, that compress to half

Without ROUND the command makes the tree.
"""

import hashlib
import os
import random
import sys


def half_compressible(seed, length):
    """Hexadecimal digits: each byte has four random bits."""
    return hashlib.shake_128(seed.encode()).hexdigest(length // 2).encode()


def small(tree, count, round_=0):
    for index in range(count):
        if round_ and index % 1000 != round_ * 7 % 1000:
            continue
        directory = f"{tree}/{index // 256:04d}"
        if index % 256 == 0:
            os.makedirs(directory, exist_ok=True)
        with open(f"{directory}/{index % 256:03d}", "wb", buffering=0) as file:
            file.write(half_compressible(f"{round_} {index}", 1024))


def half(tree, length):
    os.makedirs(tree)
    for index in range((length + (64 << 20) - 1) // (64 << 20)):
        with open(f"{tree}/{index:04d}", "wb", buffering=0) as file:
            for part in range(16):
                file.write(half_compressible(f"{index} {part}", 4 << 20))


MESSAGES = [
    "GET /api/v2/orders/%d HTTP/1.1 200 %d",
    "POST /api/v2/cart/%d/items HTTP/1.1 201 %d",
    "GET /static/img/%d.webp HTTP/1.1 304 %d",
    "session %d: user authenticated in %d us",
    "query planner: seq scan on orders avoided, cost %d, rows %d",
    "job %d finished, %d rows written",
    "cache miss for key product:%d, refetched in %d us",
    "connection %d closed by peer after %d bytes",
]
LEVELS = ["INFO"] * 12 + ["DEBUG"] * 3 + ["WARN", "ERROR"]


def log_lines(name, round_, length):
    chance = random.Random(f"{name} {round_}")
    clock = 1_700_000_000_000 + round_ * 86_400_000
    lines, size = [], 0
    while size < length:
        bits = chance.getrandbits(64)
        clock += bits & 63
        line = "%d.%03d %s [%s-%d] trace=%08x %s\n" % (
            clock // 1000, clock % 1000, LEVELS[(bits >> 6) % 17], name, (bits >> 11) & 7, bits >> 32,
            MESSAGES[(bits >> 14) & 7] % ((bits >> 17) & 0xFFFFF, (bits >> 24) & 0xFFFF))
        lines.append(line)
        size += len(line)
    return "".join(lines).encode()


def rotate(path, keep=3):
    for age in range(keep, 1, -1):
        if os.path.exists(f"{path}.{age - 1}"):
            os.replace(f"{path}.{age - 1}", f"{path}.{age}")
    os.replace(path, f"{path}.1")


def logs(tree, length, round_=0):
    os.makedirs(tree, exist_ok=True)
    for index in range(20):
        name = f"app{index:02d}"
        path = f"{tree}/{name}.log"
        if round_ and index // 2 == round_ % 10:
            rotate(path)
        with open(path, "ab") as file:
            file.write(log_lines(name, round_, length // 50 if round_ else length))


if __name__ == "__main__":
    {"small": small, "logs": logs, "half": half}[sys.argv[1]](sys.argv[2], *map(int, sys.argv[3:]))
