"""The LAN: what copies and polls cost, beside mpop, fetchmail and mbsync at the same server."""

import re
import statistics
import time

from . import mails
from .caller import Caller
from .dovecot import Dovecot
from .line import user_of
from .process import Gateway, TempDir, cpu_seconds, free_port, memory_kib
from .relay import Relay
from .retrievers import ALL

POLLS = 20
# Of a mailbox that changes: rounds, and mails that come and go in each.
ROUNDS, CHANGED = 5, 10
BOTH = "pop3 imap"
STRACE = ["strace", "-f", "--seccomp-bpf", "-e", "trace=fdatasync,fsync,pwrite64,pwritev"]


def take(report):
    with TempDir() as directory:
        first_copy(report, directory / "copy")
        nothing_new(report, directory / "poll")
        nothing_new_by_imap(report, directory / "imap")
        some_news(report, directory / "news")
        many(report, directory / "many")


def first_copy(report, directory):
    """1000 mails, 19 MB. The first visit copies one and the second looks whether it is still
    there and copies the others: both together are the first copy."""
    directory.mkdir()
    sent, phone = mails.thousand(), free_port()
    with Dovecot(directory / "dovecot", sent, BOTH) as dovecot:
        with Relay(dovecot.port) as relay, Traced(directory, relay.port, phone) as traced:
            gateway = traced.gateway
            cpu, start = cpu_seconds(gateway.pid), time.monotonic()
            gateway.attach("poll", "alice")
            gateway.says("user alice: ", 2)
            wall = time.monotonic() - start
            cpu = cpu_seconds(gateway.pid) - cpu
            turns, flushes, written = relay.turns, traced.flushes(), traced.octets()
            caller = Caller(phone, "alice", "ring")
            same = len(set(caller.mails()) & set(sent))
            caller.quit()
        runs, peer_turns = {}, {}
        for peer in ALL:
            with Relay(dovecot.imap_port if peer.imap else dovecot.port) as relay:
                runs[peer.name] = peer(directory, relay.port).run()
                peer_turns[peer.name] = relay.turns
    name = "lan: first copy of 1000 mails"
    cpus = {peer: run.cpu for peer, run in runs.items()}
    report.figure(f"{name}, CPU", cpu, "s", at_most=0.13, peer=words(cpus))
    walls = {peer: run.wall for peer, run in runs.items()}
    report.figure(f"{name}, wall", wall, "s", at_most=2 * walls["mpop"], peer=words(walls))
    report.figure(f"{name}, turns", turns, at_most=40, peer=words(peer_turns))
    report.figure(f"{name}, flushes", flushes, at_most=1000, peer="mpop 1001 fsync")
    report.figure(f"{name}, written", written / 1e6, "MB", at_most=21, peer="-")
    report.figure(f"{name}, byte-identical", same, at_least=len(sent), peer="fetchmail 0, mbsync 0")


def nothing_new(report, directory):
    """10,000 mails, none of them new."""
    directory.mkdir()
    with Dovecot(directory / "dovecot", mails.tiny(10_000), BOTH) as dovecot:
        with Relay(dovecot.port) as relay, Traced(directory, relay.port) as traced:
            gateway = traced.gateway
            settle(gateway)
            before = traced.flushes(), traced.octets()
            cpu, octets = polls(gateway, relay, 10_000)
            flushes = traced.flushes() - before[0]
            written = traced.octets() - before[1]
        cpus, wires = {}, {}
        for peer in ALL:
            with Relay(dovecot.imap_port if peer.imap else dovecot.port) as relay:
                retriever = peer(directory, relay.port)
                retriever.run()
                start = relay.octets
                runs = [retriever.run() for _ in range(ROUNDS)]
                wires[peer.name] = (relay.octets - start) / ROUNDS / 1000
                cpus[peer.name] = 1000 * sum(run.cpu for run in runs) / ROUNDS
    name = "lan: poll of 10,000 mails, no news"
    report.figure(f"{name}, CPU", 1000 * cpu, "ms", at_most=5, peer=words(cpus))
    report.figure(f"{name}, on the wire", octets / 1000, "kB", at_most=231, peer=words(wires))
    report.figure(f"{name}, flushes in {POLLS}", flushes, at_most=0)
    report.figure(f"{name}, written in {POLLS}", written, "octets", at_most=0)


def nothing_new_by_imap(report, directory):
    """The same by IMAP, from a server with CONDSTORE."""
    directory.mkdir()
    with Dovecot(directory / "dovecot", mails.tiny(10_000), BOTH) as dovecot:
        with Relay(dovecot.imap_port) as relay:
            source = user_of(f"127.0.0.1:{relay.port}", scheme="imap")
            config = f"line one phone 127.0.0.1:0\n{source}"
            with Gateway(directory / "gateway", config) as gateway:
                settle(gateway, visits=1)
                cpu, octets = polls(gateway, relay, 10_000)
    name = "lan: poll of 10,000 mails by IMAP, no news"
    report.figure(f"{name}, CPU", 1000 * cpu, "ms", at_most=5)
    report.figure(f"{name}, on the wire", octets, "octets", at_most=1000, peer="mbsync 339,000")


def some_news(report, directory):
    """Of 10,000 mails, 10 go and 10 come between two polls."""
    directory.mkdir()
    with Dovecot(directory / "dovecot", mails.tiny(10_000), BOTH) as dovecot:
        config = f"line one phone 127.0.0.1:0\n{user_of(f'127.0.0.1:{dovecot.port}')}"
        with Gateway(directory / "gateway", config) as gateway:
            settle(gateway)
            peers = [
                peer(directory, dovecot.imap_port if peer.imap else dovecot.port) for peer in ALL
            ]
            for peer in peers:
                peer.run()
            ours, least, theirs = [], [], {peer.name: [] for peer in peers}
            for round_ in range(ROUNDS):
                for number in range(round_ * CHANGED, (round_ + 1) * CHANGED):
                    dovecot.drop(number)
                    dovecot.put(10_000 + number, mails.mail(10_000 + number, 640))
                # Whoever comes first would pay for what Dovecot itself has to look up.
                Caller(dovecot.port, "alice", "alicepw").quit()
                start = time.monotonic()
                gateway.poll("alice")
                ours.append(time.monotonic() - start)
                # What of that is the server's: to log in, and to say what is there.
                start = time.monotonic()
                caller = Caller(dovecot.port, "alice", "alicepw")
                caller.ids()
                caller.quit()
                least.append(time.monotonic() - start)
                for peer in peers:
                    theirs[peer.name].append(peer.run().wall)
            if "10 copied" not in gateway.log[-1] or "10 read" not in gateway.log[-1]:
                raise RuntimeError(gateway.log[-1])
    walls = {name: 1000 * statistics.median(times) for name, times in theirs.items()}
    report.figure(
        "lan: poll of 10,000 mails, 10 new and 10 gone, wall",
        1000 * statistics.median(ours), "ms",
        at_most=0.75 * min(walls.values()), peer=words(walls),
    )
    report.figure(
        "lan: the same, login, UIDL and QUIT alone", 1000 * statistics.median(least), "ms"
    )


def many(report, directory):
    """100,000 mails, none of them new."""
    directory.mkdir()
    with Dovecot(directory / "dovecot", mails.tiny(100_000), BOTH) as dovecot:
        with Relay(dovecot.port) as relay:
            config = f"line one phone 127.0.0.1:0\n{user_of(f'127.0.0.1:{relay.port}')}"
            with Gateway(directory / "gateway", config) as gateway:
                settle(gateway)
                # What the copying took does not count: as after a restart.
            with Gateway(directory / "gateway", config) as gateway:
                gateway.poll("alice")
                cpu, _ = polls(gateway, relay, 100_000)
                rss, _ = memory_kib(gateway.pid)
    name = "lan: poll of 100,000 mails, no news"
    peer = "mpop 60 (measured once)"
    report.figure(f"{name}, CPU", 1000 * cpu, "ms", at_most=50, peer=peer)
    peer = "mpop 16,500 (once)"
    report.figure(f"{name}, resident", rss * 1.024, "kB", at_most=10_000, peer=peer)


def settle(gateway, visits=2):
    """The visits of the first copy, by POP3 two, and one that finds all as it was."""
    gateway.attach("poll", "alice")
    gateway.says("user alice: ", visits)
    gateway.poll("alice")


def polls(gateway, relay, count):
    """CPU seconds and octets of one poll that finds nothing new."""
    octets, cpu = relay.octets, cpu_seconds(gateway.pid)
    for _ in range(POLLS):
        gateway.poll("alice")
    cpu = (cpu_seconds(gateway.pid) - cpu) / POLLS
    if not any(f"{count} listed, 0 new" in line for line in gateway.log[-POLLS:]):
        raise RuntimeError("".join(gateway.log[-3:]))
    return cpu, (relay.octets - octets) / POLLS


def words(figures):
    """The peers' figures in few words."""
    return ", ".join(f"{name} {figure:.4g}" for name, figure in figures.items())


class Traced:
    """A gateway with its store's writes and flushes counted; nothing else of it is slowed down."""

    def __init__(self, directory, port, phone=0):
        self._trace = directory / "trace"
        config = f"line one phone 127.0.0.1:{phone}\n{user_of(f'127.0.0.1:{port}')}"
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
