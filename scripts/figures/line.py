"""The line: how soon a ring is answered, whatever the LAN does, and how fast mail is served."""

import contextlib
import os
import pty
import re
import select
import statistics
import subprocess
import threading
import time
import tty

from .caller import Caller
from .dovecot import Dovecot
from .lanservers import Flood, Silent, SilentNames, Swallower
from .mails import thousand
from .process import Gateway, TempDir, free_port

RINGS = 30
IDLE_MS = 5
LOADED_MS = 20
# Percent of the time in which octets come, as Dovecot's measured on such a line.
USE = {
    "50 mails of 4 KB, RETR pipelined": 97.5,
    "50 mails of 4 KB, login too": 98.5,
    "50 mails of 1 KB, login too": 94.4,
}


def take(report):
    paced(report)
    allocations(report)
    with TempDir() as directory:
        rings_idle(report, directory / "idle")
        rings_copying(report, directory / "copying")
        rings_silent(report, directory / "silent", "server says nothing", Silent)
        rings_silent(report, directory / "swallower", "LAN swallows packets", Swallower)
        rings_nameless(report, directory / "nameless")
        serving(report, directory / "serving")


def paced(report):
    """Sessions over a line paced in virtual time: tests/line.rs, whose figures are exact."""
    output = subprocess.run(
        ["cargo", "test", "--locked", "--quiet", "--test", "line", "--", "--nocapture"],
        check=True, capture_output=True, text=True,
    ).stdout
    found = re.findall(r"figure: (.*): use (\S+) % excess (\S+) ", output)
    for name, use, excess in found:
        report.figure(f"line: {name}, over the least", float(excess), at_most=1.005)
        least = USE.get(name)
        if least:
            peer = f"Dovecot {least}"
            report.figure(f"line: {name}, use", float(use), "%", at_least=least, peer=peer)
    (seconds,) = re.findall(r"figure: UIDL .*: seconds (\S+)", output)
    peer = "popa3d 6.5, mailutils 15.7"
    report.figure("line: UIDL of 1000 kept mails", float(seconds), "s", at_most=3.3, peer=peer)


def allocations(report):
    """By the thread of the loop, in a call without TLS: tests/allocations.rs. The library is built
    without an allocator."""
    output = subprocess.run(
        ["cargo", "test", "--locked", "--quiet", "--test", "allocations", "--", "--nocapture"],
        capture_output=True, text=True,
    ).stdout
    (count,) = re.findall(r"figure: allocations in a call: (\d+)", output)
    report.figure("line: allocations in a call", int(count), at_most=0)


class Modem:
    """A modem of few words at one end of a pty."""

    def __enter__(self):
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        self.device = os.ttyname(slave)
        # Kept open, or the master would read an error until the gateway opens it.
        self._slave = slave
        self._ours = threading.Event()
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.close()

    def settle(self):
        """From here on it answers only inside `ring`."""
        os.write(self._stopped, b"x")
        self._thread.join()

    def close(self):
        if self._thread.is_alive():
            self.settle()
        for fd in (self._master, self._slave, self._stop, self._stopped):
            with contextlib.suppress(OSError):
                os.close(fd)

    def ring(self):
        """Rings, and cancels the call after ATA. Seconds from the end of RING to the first octet
        of the answer; rings once more if the gateway was just seeing to its modem."""
        self._wait_for_quiet()
        start = time.monotonic()
        os.write(self._master, b"\r\nRING\r\n")
        answer = self._read(10)
        seconds = time.monotonic() - start
        while not answer.endswith(b"\r"):
            answer += self._read(10)
        if answer != b"ATA\r":
            self._obey(answer)
            return self.ring()
        os.write(self._master, b"\r\nNO CARRIER\r\n")
        return seconds

    def _wait_for_quiet(self):
        while select.select([self._master], [], [], 0.5)[0]:
            self._obey(os.read(self._master, 256))

    def _read(self, patience):
        if not select.select([self._master], [], [], patience)[0]:
            raise TimeoutError("a ring was not answered")
        return os.read(self._master, 256)

    def _answer(self):
        while True:
            ready = select.select([self._master, self._stop], [], [])[0]
            if self._stop in ready:
                return
            self._obey(os.read(self._master, 256))

    def _obey(self, octets):
        for _ in range(octets.count(b"\r")):
            os.write(self._master, b"\r\nOK\r\n")


def rings_idle(report, directory):
    with Modem() as modem, Gateway(directory, f"line one device {modem.device}"):
        modem.settle()
        report.latency("line: RING to ATA, idle", [modem.ring() for _ in range(RINGS)], IDLE_MS)


def rings_copying(report, directory):
    with Modem() as modem, Flood() as flood:
        config = line_and_source(modem, f"127.0.0.1:{flood.port}")
        with Gateway(directory, config) as gateway:
            modem.settle()
            over = threading.Event()
            polling = threading.Thread(target=poll_until, args=[gateway, over])
            polling.start()
            times = []
            limit = time.monotonic() + 300
            while len(times) < RINGS and time.monotonic() < limit:
                before = flood.sent.value
                seconds = modem.ring()
                # Only a ring in the midst of a copy counts.
                if flood.sent.value > before > 0:
                    times.append(seconds)
            over.set()
            polling.join()
        report.latency("line: RING to ATA, 20 MB are copied and committed", times, LOADED_MS)


def poll_until(gateway, over):
    while not over.is_set():
        gateway.poll("alice")


def rings_silent(report, directory, what, server):
    with Modem() as modem, server() as lan:
        config = line_and_source(modem, f"127.0.0.1:{lan.port}")
        with Gateway(directory, config) as gateway:
            modem.settle()
            gateway.attach("poll", "alice")
            times = [modem.ring() for _ in range(RINGS)]
        report.latency(f"line: RING to ATA, {what}", times, LOADED_MS)


def rings_nameless(report, directory):
    name = "line: RING to ATA, name server says nothing"
    directory.mkdir()
    if subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL).returncode:
        report.skipped(name, "needs root, for a mount namespace with a resolv.conf of its own")
        return
    with Modem() as modem, SilentNames(directory) as names:
        config = line_and_source(modem, "mail.nowhere.example:110")
        with Gateway(directory, config, names.wrapper()) as gateway:
            modem.settle()
            gateway.attach("poll", "alice")
            times = [modem.ring() for _ in range(RINGS)]
        if not names.questions:
            report.skipped(name, "the name server was never asked")
            return
        report.latency(name, times, LOADED_MS)


def line_and_source(modem, address):
    return f"line one device {modem.device}\n{user_of(address)}"


def user_of(address, login="alice", password="alicepw", scheme="pop3", name="alice"):
    return f"""user add {name} password ring
user {name} source {scheme}://{address} login {login} password {password}
user {name} tls off
user {name} poll off
user {name} poll at-login off
"""


def serving(report, directory):
    directory.mkdir()
    phone = free_port()
    with Dovecot(directory / "dovecot", thousand()) as dovecot:
        config = f"line one phone 127.0.0.1:{phone}\n" + user_of(f"127.0.0.1:{dovecot.port}")
        with Gateway(directory / "gateway", config) as gateway:
            gateway.poll("alice")
            gateway.poll("alice")
            for way in (Caller.lockstep, Caller.pipelined):
                ours, peer = [], []
                # In turns: what else the machine does slows both.
                for _ in range(9):
                    ours.append(speed(phone, "ring", way))
                    peer.append(speed(dovecot.port, "alicepw", way))
                ours, peer = statistics.median(ours), statistics.median(peer)
                name = f"line: 1000 mails served, {way.__name__}, median of 9"
                report.figure(name, ours, "MB/s", at_least=peer, peer=f"Dovecot {peer:.0f}")


def speed(port, password, way):
    """MB/s of one call."""
    caller = Caller(port, "alice", password)
    if caller.count != 1000:
        raise RuntimeError(f"{caller.count} mails are offered")
    octets, seconds = way(caller)
    caller.quit()
    return octets / seconds / 1e6
