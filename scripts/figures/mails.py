"""Mails to measure with: made from a seed, the same in every run."""

import random

WORDS = "the modem rings and the gateway answers at once while nobody is at the desk .".split()


def mail(number, octets):
    """A mail of about `octets`, lines ended by CR LF, some of them begun by a dot."""
    head = (
        f"From: Sender <sender{number}@example.org>\r\nTo: alice@example.org\r\n"
        f"Subject: Mail {number}\r\nDate: Mon, 6 Mar 2000 10:00:00 +0000\r\n"
        f"Message-ID: <bench{number}@example.org>\r\n\r\n"
    )
    chance = random.Random(number)
    lines = []
    room = octets - len(head)
    while room > 0:
        line = " ".join(chance.choices(WORDS, k=chance.randint(1, 20)))
        line = ("." + line if chance.random() < 0.02 else line)[: max(room, 3) - 2] + "\r\n"
        lines.append(line)
        room -= len(line)
    return (head + "".join(lines)).encode()


def thousand():
    """1000 mails, 19 MB: most of some KB, some of 100, one of 2 MB."""
    chance = random.Random(1)
    sizes = [min(int(chance.lognormvariate(8.3, 1.6)) + 300, 400_000) for _ in range(999)]
    scale = 17_000_000 / sum(sizes)
    sizes = [max(int(size * scale), 300) for size in sizes] + [2_000_000]
    return [mail(number, size) for number, size in enumerate(sizes)]


def tiny(count):
    """Mails of 640 octets."""
    return [mail(number, 640) for number in range(count)]
