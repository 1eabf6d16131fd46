"""The LAN: what a first copy and a poll without news cost, beside mpop at the same server."""

import os
import re
import resource
import subprocess
import time

from . import mails
from .dovecot import Dovecot
from .line import user_of
from .process import Gateway, TempDir, cpu_seconds
from .relay import Relay

POLLS = 20
STRACE = ["strace", "-f", "--seccomp-bpf", "-e", "trace=fdatasync,fsync,pwrite64,pwritev"]


def take(report):
    with TempDir() as directory:
        first_copy(report, directory / "copy")
        nothing_new(report, directory / "poll")


def first_copy(report, directory):
    """1000 mails, 19 MB. The first visit copies one and the second looks whether it is still
    there and copies the others: both together are the first copy."""
    directory.mkdir()
    with Dovecot(directory / "dovecot", mails.thousand()) as dovecot:
        with Relay(dovecot.port) as relay, Traced(directory, relay.port) as traced:
            gateway = traced.gateway
            cpu, start = cpu_seconds(gateway.pid), time.monotonic()
            gateway.attach("poll", "alice")
            gateway.says("user alice: ", 2)
            wall = time.monotonic() - start
            cpu = cpu_seconds(gateway.pid) - cpu
            turns, flushes, written = relay.turns, traced.flushes(), traced.octets()
        with Relay(dovecot.port) as relay:
            mpop = Mpop(directory, relay.port)
            peer = mpop.run()
            peer_turns = relay.turns
    name = "lan: first copy of 1000 mails"
    report.figure(f"{name}, CPU", cpu, "s", at_most=peer.cpu, peer=f"mpop {peer.cpu:.3f}")
    report.figure(f"{name}, wall", wall, "s", at_most=2 * peer.wall, peer=f"mpop {peer.wall:.3f}")
    report.figure(f"{name}, turns", turns, at_most=500, peer=f"mpop {peer_turns}")
    report.figure(f"{name}, flushes", flushes, at_most=1000, peer="mpop 1001 fsync")
    report.figure(f"{name}, written", written / 1e6, "MB", at_most=21, peer="-")


def nothing_new(report, directory):
    """10,000 mails, none of them new."""
    directory.mkdir()
    with Dovecot(directory / "dovecot", mails.tiny(10_000)) as dovecot:
        with Relay(dovecot.port) as relay, Traced(directory, relay.port) as traced:
            gateway = traced.gateway
            gateway.attach("poll", "alice")
            gateway.says("user alice: ", 2)
            gateway.poll("alice")
            before = traced.flushes(), traced.octets()
            octets = relay.octets
            cpu = cpu_seconds(gateway.pid)
            for _ in range(POLLS):
                gateway.poll("alice")
            cpu = (cpu_seconds(gateway.pid) - cpu) / POLLS
            octets = (relay.octets - octets) / POLLS
            flushes = traced.flushes() - before[0]
            written = traced.octets() - before[1]
            if not any("10000 listed, 0 new" in line for line in gateway.log[-POLLS:]):
                raise RuntimeError("".join(gateway.log[-3:]))
        with Relay(dovecot.port) as relay:
            mpop = Mpop(directory, relay.port)
            mpop.run()
            start = relay.octets
            runs = [mpop.run() for _ in range(POLLS)]
            peer_octets = (relay.octets - start) / POLLS
            peer = sum(run.cpu for run in runs) / POLLS
    name = "lan: poll of 10,000 mails, no news"
    cpu, peer = 1000 * cpu, 1000 * peer
    report.figure(f"{name}, CPU", cpu, "ms", at_most=peer, peer=f"mpop {peer:.1f}")
    octets, peer_octets = octets / 1000, peer_octets / 1000
    report.figure(
        f"{name}, on the wire", octets, "kB", at_most=peer_octets, peer=f"mpop {peer_octets:.0f}"
    )
    report.figure(f"{name}, flushes in {POLLS}", flushes, at_most=0)
    report.figure(f"{name}, written in {POLLS}", written, "octets", at_most=0)


class Traced:
    """A gateway with its store's writes and flushes counted; nothing else of it is slowed down."""

    def __init__(self, directory, port):
        self._trace = directory / "trace"
        config = f"line one phone 127.0.0.1:0\n{user_of(f'127.0.0.1:{port}')}"
        wrapper = [*STRACE, "-o", str(self._trace)]
        self.gateway = Gateway(directory / "gateway", config, wrapper)
        # What the making of the store took does not count.
        self._made = self._trace.stat().st_size

    def __enter__(self):
        return self

    def __exit__(self, *words):
        self.gateway.__exit__(*words)

    def flushes(self):
        return len(re.findall(r"\b(?:fdatasync|fsync)\(", self._since_ready()))

    def octets(self):
        return sum(map(int, re.findall(r"pwritev?(?:64)?\(.*= (\d+)$", self._since_ready(), re.M)))

    def _since_ready(self):
        # A call that is split in two lines ("unfinished", "resumed") has its name in both.
        text = self._trace.read_text()[self._made :]
        return re.sub(r"\((.*)<unfinished \.\.\.>\n|<\.\.\. (\w+) resumed>", r"\2(", text)


class Mpop:
    """mpop: copies to a Maildir, with its memory of what it has."""

    class Run:
        cpu = wall = 0.0

    def __init__(self, directory, port):
        maildir = directory / "Maildir"
        for name in ("cur", "new", "tmp"):
            (maildir / name).mkdir(parents=True)
        self._config = directory / "mpoprc"
        self._config.write_text(
            f"account a\nhost 127.0.0.1\nport {port}\ntls off\nauth user\nuser alice\n"
            f"password alicepw\ndelivery maildir {maildir}\nuidls_file {directory}/uidls\n"
            "keep on\nonly_new on\nreceived_header off\naccount default : a\n"
        )
        self._config.chmod(0o600)
        self._home = directory

    def run(self):
        run, before = self.Run(), resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.monotonic()
        environment = {**os.environ, "HOME": str(self._home)}
        subprocess.run(["mpop", "-q", "-C", self._config], check=True, env=environment)
        run.wall = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        run.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return run
