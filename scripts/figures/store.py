"""The store: octets and flushes for the mail it keeps, beside SQLite and a Maildir.

Ours are exact counts (tests/ring.rs), taken once more on a loop device by the device's own
counters. The peers keep the same mails on an ext4 of their own, on a loop device too, whose
counters are read after the file system was synced.
"""

import contextlib
import os
import re
import sqlite3
import subprocess
from pathlib import Path

from .process import TempDir

MIX, SMALL = 500, 1000
SECTOR = 512


def take(report):
    with TempDir() as directory:
        peers = {}
        try:
            with Loop(directory / "device", 256 << 20) as device:
                counted = ring(device.path)
            for name, keeper in (("SQLite", Sqlite), ("Maildir", Maildir)):
                with Loop(directory / name, 1 << 30) as device, device.mounted() as place:
                    peers[name] = measure(device, keeper(place))
        except (OSError, subprocess.CalledProcessError) as error:
            report.skipped("store: peers and device", f"no loop device: {error}")
            counted = {}
    for name, (ours, bound) in ring(None).items():
        said = [f"{peer} {got[name]:.4g}" for peer, got in peers.items() if name in got]
        report.figure(f"store: {name}", ours, at_most=bound, peer=", ".join(said) or None)
    for name, (ours, bound) in counted.items():
        if name.startswith("device over count"):
            report.figure(f"store: {name}", ours, at_most=bound)


def ring(device):
    """Figures of tests/ring.rs by name: ours and the bound."""
    environment = dict(os.environ)
    if device:
        environment["RINGMAIL_RING_DEVICE"] = str(device)
    only = ["the_device_counts_what_we_count"] if device else []
    output = subprocess.run(
        ["cargo", "test", "--locked", "--quiet", "--test", "ring", *only, "--", "--nocapture"],
        check=True, capture_output=True, text=True, env=environment,
    ).stdout
    found = re.findall(r"figure: (.*): (\S+) at most (\S+)", output)
    return {name: (float(ours), float(bound)) for name, ours, bound in found}


def measure(device, keeper):
    """A peer's figures, by our names for them."""
    found = {}
    cases = [
        ("mix, one commit a mail", mix(), 1),
        ("mix, batches of 8", mix(), keeper.batch),
        ("4 KB, one commit a mail", [4096] * SMALL, 1),
        ("4 KB, batches of 8", [4096] * SMALL, keeper.batch),
    ]
    for name, sizes, batch in cases:
        if batch is None:
            continue
        before = device.counts()
        keys = keeper.keep(sizes, batch)
        written, flushes = device.spent(before)
        found[f"{name}, octets"] = written / sum(sizes)
        found[f"{name}, flushes"] = flushes / len(sizes)
    before = device.counts()
    keeper.take(keys)
    written, flushes = device.spent(before)
    found["taken, alone, octets"] = written / len(keys)
    found["taken, alone, flushes"] = flushes / len(keys)
    return found


def mix():
    """500 sizes, log-normal with a median of 16 KiB, from 1 KiB to 5 MiB: as in tests/ring.rs."""
    sizes = []
    for at in range(MIX):
        state, total = at + 1, 0.0
        for _ in range(12):
            state = state * 6364136223846793005 % 2**64
            state = (state + 1442695040888963407) % 2**64
            total += (state >> 33) / 2.0**31
        sizes.append(int(min(max(16384 * 2.718281828459045 ** (1.5 * (total - 6)), 1024), 5 << 20)))
    return sizes


class Sqlite:
    """One table in WAL mode, synced at each commit."""

    batch = 8

    def __init__(self, place):
        self._base = sqlite3.connect(place / "mails.db", isolation_level=None)
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=FULL")
        self._base.execute("CREATE TABLE mail (id INTEGER PRIMARY KEY, taken INTEGER, body BLOB)")

    def keep(self, sizes, batch):
        keys = []
        for at in range(0, len(sizes), batch):
            self._base.execute("BEGIN")
            for size in sizes[at:at + batch]:
                row = self._base.execute("INSERT INTO mail VALUES (NULL, 0, ?)", [os.urandom(size)])
                keys.append(row.lastrowid)
            self._base.execute("COMMIT")
        return keys

    def take(self, keys):
        for key in keys:
            self._base.execute("UPDATE mail SET taken = 1 WHERE id = ?", [key])


class Maildir:
    """tmp, fsync, rename, fsync of the directory."""

    batch = None

    def __init__(self, place):
        self._place = place
        for name in ("tmp", "new", "cur"):
            (place / name).mkdir()
        self._count = 0

    def keep(self, sizes, batch):
        keys = []
        for size in sizes:
            self._count += 1
            name = f"{self._count}.ring"
            with open(self._place / "tmp" / name, "wb") as file:
                file.write(os.urandom(size))
                file.flush()
                os.fdatasync(file.fileno())
            os.rename(self._place / "tmp" / name, self._place / "new" / name)
            self._sync("new")
            keys.append(name)
        return keys

    def take(self, keys):
        for key in keys:
            os.rename(self._place / "new" / key, self._place / "cur" / f"{key}:2,S")
            self._sync("new")
            self._sync("cur")

    def _sync(self, name):
        directory = os.open(self._place / name, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)


class Loop:
    """A block device over a file, with the system's own counters."""

    def __init__(self, path, octets):
        with open(path, "wb") as file:
            file.truncate(octets)
        self._file = path

    def __enter__(self):
        run = ["losetup", "--find", "--show", str(self._file)]
        path = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
        self.path = Path(path)
        return self

    def __exit__(self, *_):
        subprocess.run(["losetup", "--detach", str(self.path)], check=True)

    @contextlib.contextmanager
    def mounted(self):
        """The directory of a new ext4 on it."""
        place = self._file.with_suffix(".mounted")
        place.mkdir()
        eager = "lazy_itable_init=0,lazy_journal_init=0"
        run = ["mkfs.ext4", "-q", "-E", eager, str(self.path)]
        subprocess.run(run, check=True)
        subprocess.run(["mount", "-o", "noatime", str(self.path), str(place)], check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=True)

    def counts(self):
        """Octets written and flushes, ever."""
        os.sync()
        fields = Path("/sys/block", self.path.name, "stat").read_text().split()
        return SECTOR * int(fields[6]), int(fields[15])

    def spent(self, before):
        return tuple(now - then for now, then in zip(self.counts(), before))
