"""Makes backups in the format of incremental-backups-tools 0.1, from tar, json and rdiff alone.

    python3 ancestor_chain.py random OUT SEED POINTS   a chain of random trees
    python3 ancestor_chain.py broken OUT KIND          a chain of two points with one fault

OUT/store gets the files of the key "docs". OUT/points/N is the tree of point N, and OUT/points/N.json the modification
times of its files in nanoseconds, as exactly as the state has them. Point 0 is the oldest. OUT/stamps has one line for
each point. The script knows nothing of libibt.
"""

import decimal
import gzip
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile

KEY = "docs"
DIRECTORY = "/home/me/docs"


class Ancestor:
    """A directory of backups, and the tree that is backed up."""

    def __init__(self, out):
        self.store, self.points = os.path.join(out, "store"), os.path.join(out, "points")
        self.tree, self.work = os.path.join(out, "tree"), os.path.join(out, "work")
        for path in (self.store, self.points, self.tree, self.work):
            os.makedirs(path)
        self.stamps = os.path.join(out, "stamps")
        self.number = 0
        self.before = None
        # The newest signature of each path.
        self.signatures = {}

    def name(self, kind, iso):
        return os.path.join(self.store, "%s.%s.%s.%s" % (KEY, kind, iso, "json" if kind == "state" else "tgz"))

    def paths(self):
        """Files and directories below the tree; symbolic links are neither."""
        files, subdirs = [], []
        for root, dirs, names in os.walk(self.tree):
            for names_of, found in ((dirs, subdirs), (names, files)):
                paths = [os.path.join(root, name) for name in names_of]
                found.extend(os.path.relpath(path, self.tree) for path in paths if not os.path.islink(path))
        return [path for path in files if os.path.isfile(os.path.join(self.tree, path))], subdirs

    def state(self):
        files, subdirs = self.paths()
        index = {path: os.path.getmtime(os.path.join(self.tree, path)) for path in files}
        return {"directory": DIRECTORY, "files": sorted(files), "subdirs": sorted(subdirs), "index": index}

    def rdiff(self, *args):
        out = os.path.join(self.work, "out")
        if os.path.exists(out):
            os.remove(out)
        subprocess.run(["rdiff", *args, out], check=True)
        with open(out, "rb") as file:
            return file.read()

    def archive(self, kind, iso):
        return tarfile.open(self.name(kind, iso), "w:gz", format=tarfile.GNU_FORMAT)

    @staticmethod
    def add_bytes(archive, path, data):
        member = tarfile.TarInfo(path)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))

    def sign(self, iso, paths):
        with self.archive("sigvault", iso) as archive:
            for path in paths:
                full = os.path.join(self.tree, path)
                signature = self.rdiff("-H", "md4", "-R", "rollsum", "-S", "8", "signature", full)
                self.signatures[path] = signature
                self.add_bytes(archive, path, signature)

    def delta(self, path):
        signature = os.path.join(self.work, "signature")
        with open(signature, "wb") as file:
            file.write(self.signatures[path])
        return self.rdiff("delta", signature, os.path.join(self.tree, path))

    def keep(self, iso, state):
        kept = os.path.join(self.points, str(self.number))
        shutil.copytree(self.tree, kept, symlinks=True)
        times = {path: int(decimal.Decimal(repr(mtime)).scaleb(9).to_integral_value(decimal.ROUND_FLOOR))
                 for path, mtime in state["index"].items()}
        with open(kept + ".json", "w") as file:
            json.dump(times, file)
        with open(self.stamps, "a") as file:
            digits = iso.replace("-", "").replace(":", "")
            file.write("%s%sZ\n" % (digits, "" if "." in digits else ".000000"))
        self.number += 1

    def full(self, iso):
        state = self.state()
        with open(self.name("state", iso), "w") as file:
            json.dump(state, file)
        with self.archive("full", iso) as archive:
            archive.add(self.tree, arcname="")
        self.sign(iso, state["files"])
        self.before = state
        self.keep(iso, state)

    def increment(self, iso):
        state, before = self.state(), self.before
        created = [path for path in state["files"] if path not in before["index"]]
        updated = [path for path in state["files"]
                   if path in before["index"] and before["index"][path] != state["index"][path]]
        with open(self.name("state", iso), "w") as file:
            json.dump(state, file)
        if created:
            with self.archive("created", iso) as archive:
                for path in created:
                    archive.add(os.path.join(self.tree, path), arcname=path)
        if updated:
            with self.archive("updated", iso) as archive:
                for path in updated:
                    self.add_bytes(archive, path, self.delta(path))
        if created or updated:
            self.sign(iso, created + updated)
        self.before = state
        self.keep(iso, state)


class Edits:
    """Random changes of a tree, limited to those that the format can express after the full backup."""

    NAMES = ["a", "b", "c.txt", "d-e", "f f", "g\u00e9", "h" * 120, "k"]

    def __init__(self, tree, seed):
        self.tree, self.random, self.clock = tree, random.Random(seed), 1385900000

    def path(self, *parts):
        return os.path.join(self.tree, *parts)

    def some_dir(self):
        dirs = [root for root, _, _ in os.walk(self.tree)]
        return self.random.choice(sorted(dirs))

    def files(self):
        found = [os.path.join(root, name) for root, _, names in os.walk(self.tree) for name in names]
        return sorted(path for path in found if os.path.isfile(path) and not os.path.islink(path))

    def data(self):
        length = self.random.choice([0, 1, 100, 2048, 5000, 40000])
        return self.random.randbytes(length) if self.random.random() < 0.7 else b"x" * length

    def touch(self, path):
        # Each edit has a later time, because the ancestor finds changes by the time alone.
        self.clock += self.random.randint(1, 1000)
        nanos = self.random.choice([0, 500000000, 123456789, 999999999, self.random.randrange(10**9)])
        os.utime(path, ns=(0, self.clock * 10**9 + nanos))

    def write(self, path, data):
        if os.path.islink(path):
            os.remove(path)
        with open(path, "wb") as file:
            file.write(data)
        self.touch(path)

    def free_name(self, dir):
        return os.path.join(dir, self.random.choice(self.NAMES))

    def remove(self, path):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.remove(path)

    def first(self):
        for _ in range(self.random.randint(3, 12)):
            self.make()
        # No edit makes this directory again. If it goes, its links go; if it were made anew, the format could not say
        # that the links in it are gone.
        os.mkdir(self.path("links"))
        for number in range(self.random.randint(0, 2)):
            link = os.path.join(self.random.choice([self.tree, self.path("links")]), "link%d" % number)
            os.symlink(self.random.choice(["a", "../nowhere", "/etc/passwd"]), link)
        for path in self.files():
            os.chmod(path, self.random.choice([0o644, 0o600, 0o755, 0o4711]))
        files = self.files()
        if files and self.random.random() < 0.5:
            twin = self.free_name(self.some_dir())
            if not os.path.lexists(twin):
                os.link(self.random.choice(files), twin)
        os.chmod(self.tree, 0o750)

    def make(self):
        path = self.free_name(self.some_dir())
        if os.path.lexists(path):
            return
        if self.random.random() < 0.4:
            os.mkdir(path)
        else:
            self.write(path, self.data())

    def edit(self):
        kind = self.random.choice(["make", "make", "change", "change", "remove", "swap", "touch"])
        files = self.files()
        if kind == "make" or not files:
            return self.make()
        path = self.random.choice(files)
        if kind == "change":
            with open(path, "rb") as file:
                old = file.read()
            at = self.random.randint(0, len(old))
            mode = os.stat(path).st_mode & 0o7777
            # A new file in the place of the old one, so that the other names of a hard link keep theirs.
            os.remove(path)
            self.write(path, old[:at] + self.data()[:500] + old[at:])
            os.chmod(path, mode)
        elif kind == "touch":
            self.touch(path)
        elif kind == "remove":
            # A symbolic link alone never goes: no state of the ancestor has it.
            dirs = [root for root, _, _ in os.walk(self.tree) if root != self.tree]
            self.remove(self.random.choice(sorted(files + dirs)))
        else:
            self.remove(path)
            os.mkdir(path)
            if self.random.random() < 0.7:
                self.write(os.path.join(path, "in"), self.data())


def iso_of(number, rng):
    text = "2013-12-%02dT10:30:%02d" % (number + 1, rng.randrange(60))
    micros = rng.choice([0, 1, 1200, 999999, 123456])
    return text + (".%06d" % micros if micros else "")


def make_random(out, seed, points):
    ancestor, rng = Ancestor(out), random.Random(seed)
    edits = Edits(ancestor.tree, seed)
    edits.first()
    for number in range(points):
        iso = iso_of(number, rng)
        if number == 0 or rng.random() < 0.15:
            ancestor.full(iso)
        else:
            ancestor.increment(iso)
        for _ in range(rng.randint(0, 6)):
            edits.edit()


FULL, INCREMENT = "2013-12-01T10:30:00.000001", "2013-12-02T10:30:00"


def make_broken(out, kind):
    ancestor = Ancestor(out)
    tree = ancestor.tree
    os.mkdir(os.path.join(tree, "dir"))
    noise = random.Random(1)
    for name in ("a", "dir/b"):
        with open(os.path.join(tree, name), "wb") as file:
            file.write(noise.randbytes(9000))
        os.utime(os.path.join(tree, name), (0, 1385900000))
    ancestor.full(FULL)
    with open(os.path.join(tree, "a"), "ab") as file:
        file.write(b"more")
    with open(os.path.join(tree, "new"), "wb") as file:
        file.write(noise.randbytes(3000))
    for name in ("a", "new"):
        os.utime(os.path.join(tree, name), (0, 1385900500))
    ancestor.increment(INCREMENT)
    BROKEN[kind](ancestor)


def members(path):
    """All members of an archive, with their data."""
    with tarfile.open(path) as archive:
        return [(member, archive.extractfile(member).read() if member.isfile() else None) for member in archive]


def rewrite(path, change, encoding="utf-8"):
    """Writes an archive again. `change` gets the list of members and returns another one."""
    found = change(members(path))
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT, encoding=encoding, errors="surrogateescape") as archive:
        for member, data in found:
            archive.addfile(member, None if data is None else io.BytesIO(data))


def with_member(kind, name, data=b"evil", **fields):
    """Adds a member to an archive of the chain."""

    def apply(ancestor):
        member = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(member, field, value)
        body = data if member.isreg() else None
        member.size = len(body) if body is not None else 0
        iso = FULL if kind == "full" else INCREMENT
        rewrite(ancestor.name(kind, iso), lambda found: found + [(member, body)])

    return apply


def with_file(kind, change):
    """Changes the bytes of a file of the chain; None removes it."""

    def apply(ancestor):
        kind_of, iso = kind
        path = ancestor.name(kind_of, iso)
        with open(path, "rb") as file:
            new = change(file.read())
        os.remove(path)
        if new is not None:
            with open(path, "wb") as file:
                file.write(new)

    return apply


def with_state(change, iso=INCREMENT):
    def apply(ancestor):
        path = ancestor.name("state", iso)
        with open(path) as file:
            state = json.load(file)
        state = change(state) or state
        with open(path, "w") as file:
            json.dump(state, file)

    return apply


def with_delta(change):
    def apply(ancestor):
        def changed(found):
            new = []
            for member, data in found:
                data = change(data)
                member.size = len(data)
                new.append((member, data))
            return new

        rewrite(ancestor.name("updated", INCREMENT), changed)

    return apply


def with_tar(change):
    """Changes the bytes of the tar in the full archive, so that gzip finds no fault."""
    return with_file(("full", FULL), lambda data: gzip.compress(change(gzip.decompress(data))))


def without_end(data, blocks):
    """The tar with only so many of the empty blocks at its end."""
    data = data.rstrip(b"\0")
    return data + b"\0" * (-len(data) % 512) + b"\0" * 512 * blocks


def half(data):
    return data[: len(data) // 2]


def flipped(data):
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1:]


def twice(ancestor):
    shutil.copy(ancestor.name("state", INCREMENT), ancestor.name("state", INCREMENT + ".000000"))


# A copy from an offset far beyond any old data: 4 bytes of offset, 1 byte of length.
BEYOND = b"rs\x026" + bytes([0x45 + 4 * 2 + 0]) + b"\x7f\xff\xff\xff" + b"\x10" + b"\0"

BROKEN = {
    "nothing": lambda ancestor: None,
    "full gone": with_file(("full", FULL), lambda data: None),
    "created gone": with_file(("created", INCREMENT), lambda data: None),
    "updated gone": with_file(("updated", INCREMENT), lambda data: None),
    "state of the full gone": with_file(("state", FULL), lambda data: None),
    "state of the increment gone": with_file(("state", INCREMENT), lambda data: None),
    "full cut short": with_file(("full", FULL), half),
    "full without its last bytes": with_file(("full", FULL), lambda data: data[:-4]),
    "full empty": with_file(("full", FULL), lambda data: b""),
    "created cut short": with_file(("created", INCREMENT), half),
    "updated cut short": with_file(("updated", INCREMENT), half),
    "full flipped": with_file(("full", FULL), flipped),
    "full with a tail": with_file(("full", FULL), lambda data: data + b"tail"),
    "full has a wrong checksum": with_tar(lambda data: data[:100] + b"0000711\0" + data[108:]),
    "full has no end": with_tar(lambda data: without_end(data, 0)),
    "full has half an end": with_tar(lambda data: without_end(data, 1)),
    "full has bytes after its end": with_tar(lambda data: data + b"tail"),
    "full is no gzip": with_file(("full", FULL), lambda data: b"not gzip" * 100),
    "full has ..": with_member("full", "../evil"),
    "full has .. inside": with_member("full", "dir/../../evil"),
    "full has an absolute name": with_member("full", "/evil"),
    "full has a name twice": with_member("full", "a"),
    "full has a directory twice": with_member("full", "dir", type=tarfile.DIRTYPE),
    "full has an entry below a file": with_member("full", "a/evil"),
    "full has a hard link outside": with_member("full", "evil", type=tarfile.LNKTYPE, linkname="../../evil"),
    "full has a hard link to nothing": with_member("full", "evil", type=tarfile.LNKTYPE, linkname="nothing"),
    "full has a name that is not UTF-8": with_member("full", "evil\udcff"),
    "full has an unknown type": with_member("full", "evil", type=b"Z"),
    "created has ..": with_member("created", "../evil"),
    "created has a name twice": with_member("created", "new"),
    "created has an unknown file": with_member("created", "evil"),
    "created has a directory": with_member("created", "new", type=tarfile.DIRTYPE),
    "updated has ..": with_member("updated", "../evil"),
    "updated has a name twice": with_member("updated", "a"),
    "updated has an unknown file": with_member("updated", "evil"),
    "updated has an unchanged file": with_member("updated", "dir/b"),
    "delta is noise": with_delta(lambda data: b"noise" * 10),
    "delta is cut short": with_delta(lambda data: data[:-3]),
    "delta has a tail": with_delta(lambda data: data + b"tail"),
    "delta is empty": with_delta(lambda data: b""),
    "delta copies from beyond": with_delta(lambda data: BEYOND),
    "state is no JSON": with_file(("state", INCREMENT), half),
    "state is a list": with_state(lambda state: [state]),
    "state has no files": with_state(lambda state: state.pop("files") and None),
    "state has a number as file": with_state(lambda state: state["files"].append(1)),
    "state has a file twice": with_state(lambda state: state["files"].append("a")),
    "state has ..": with_state(lambda state: state["files"].append("../evil")),
    "state has an absolute file": with_state(lambda state: state["files"].append("/evil")),
    "state has a file below a file": with_state(lambda state: state["files"].append("a/evil")),
    "state has a time as text": with_state(lambda state: state["index"].update(a="1385900500")),
    "state has a time that is no number": with_state(lambda state: state["index"].update(a=float("nan"))),
    "state has a time far away": with_state(lambda state: state["index"].update(a=1e300)),
    "state has a file that no archive has": with_state(lambda state: state["files"].append("lost")),
    "state of the full has a file that it lacks": with_state(
        lambda state: state["files"].append("lost") or state["index"].update(lost=1), FULL),
    "state has a half pair": with_state(lambda state: state["files"].append("\udcff")),
    "two states of one moment": twice,
}


def main(args):
    if args[0] == "random":
        make_random(args[1], int(args[2]), int(args[3]))
    elif args[0] == "kinds":
        print("\n".join(BROKEN))
    else:
        make_broken(args[1], args[2])


main(sys.argv[1:])
