"""Nobody calls: what the gateway costs by being there."""

import time

from . import card
from .caller import Caller
from .dovecot import Dovecot
from .line import Modem, user_of
from .mails import thousand
from .process import PROGRAM, Gateway, TempDir, free_port, memory_kib, wake_ups

WATCHED_SECONDS = 60
# Measured once, on Debian 12: `fetchmail -d 60` and mgetty on a pty, for 240 s.
PEER_WAKE_UPS = "fetchmail+mgetty 14.8"


def take(report):
    size = PROGRAM.stat().st_size / 1024
    report.figure("idle: program, stripped", size, "KiB", peer="Dovecot 11536+1452")
    card.take(report)
    with TempDir() as directory:
        held(report, directory / "held")
        phone = free_port()
        with Dovecot(directory / "dovecot", thousand()) as dovecot, Modem() as modem:
            source = user_of(f"127.0.0.1:{dovecot.port}")
            quiet = f"line one device {modem.device}\nline two phone 127.0.0.1:{phone}\n{source}"
            polling = f"line one phone 127.0.0.1:{free_port()}\n{source}user alice poll every 60s\n"
            with Gateway(directory / "quiet", quiet) as gateway:
                memory(report, gateway, phone, dovecot)
                with Gateway(directory / "polling", polling) as poller:
                    poller.says("user alice: ", 2)
                    sleep_counts(report, gateway, poller)


def held(report, directory):
    """One line, ten users, 1000 mails held, nobody there: the whole of its memory."""
    directory.mkdir()
    with Dovecot(directory / "dovecot", thousand()) as dovecot:
        address = f"127.0.0.1:{dovecot.port}"
        others = [f"user{number}" for number in range(1, 10)]
        users = user_of(address) + "".join(user_of(address, name=name) for name in others)
        with Gateway(directory / "ours", f"line one phone 127.0.0.1:{free_port()}\n{users}") as it:
            it.poll("alice")
            time.sleep(1)
            _, pss = memory_kib(it.pid)
            peer = "Dovecot+fetchmail+mgetty 5369"
            name = "idle: proportional set, ten users, 1000 mails held"
            report.figure(name, pss, "KiB", at_most=2048, peer=peer)
            # Without pages of files, which the kernel may take away and read again.
            (own,) = memory_kib(it.pid, "Anonymous")
            report.figure("idle: anonymous memory of these", own, "KiB")


def memory(report, gateway, phone, dovecot):
    time.sleep(1)
    rss, pss = memory_kib(gateway.pid)
    peer = dovecot.pss_kib()
    report.figure("idle: resident set, just started", rss, "KiB", at_most=6144)
    report.figure(
        "idle: proportional set, just started", pss, "KiB", at_most=peer, peer=f"Dovecot {peer:,}"
    )
    gateway.attach("poll", "alice")
    gateway.says("user alice: ", 2)
    callers = [Caller(phone, "alice", "ring"), Caller(dovecot.port, "alice", "alicepw")]
    for caller in callers:
        caller.pipelined()
    rss, pss = memory_kib(gateway.pid)
    peer = dovecot.pss_kib()
    name = "set, in a call, 1000 mails"
    report.figure(f"idle: resident {name}", rss, "KiB", at_most=8192)
    report.figure(
        f"idle: proportional {name}", pss, "KiB", at_most=peer, peer=f"Dovecot {peer:,}"
    )
    for caller in callers:
        caller.quit()


def sleep_counts(report, quiet, poller):
    """Both at once: a minute is long."""
    # The call before has to be over, with all that follows a hang-up.
    time.sleep(5)
    started = wake_ups(poller.pid)
    poller.poll("alice")
    time.sleep(1)
    poll = wake_ups(poller.pid) - started
    before = [wake_ups(gateway.pid) for gateway in (quiet, poller)]
    time.sleep(WATCHED_SECONDS)
    after = [wake_ups(gateway.pid) for gateway in (quiet, poller)]
    still, polls = (b - a for a, b in zip(before, after))
    report.figure("idle: wake-ups in a minute, polls off", still, at_most=1)
    report.figure(
        "idle: wake-ups in a minute, a poll every minute", polls,
        at_most=1 + poll, peer=f"a poll alone {poll}, {PEER_WAKE_UPS}",
    )
