"""Takes the chapters that were asked for; all of them if none was."""

import sys

from . import idle, lan, line, store
from .report import Report

CHAPTERS = {"store": store, "lan": lan, "line": line, "idle": idle}


def main(words):
    names = list(CHAPTERS) if words in ([], ["all"]) else words
    if not set(names) <= set(CHAPTERS):
        sys.exit(f"usage: scripts/bench [{'|'.join(CHAPTERS)}|all]")
    report = Report()
    for name in names:
        CHAPTERS[name].take(report)
    sys.exit(1 if report.short else 0)


main(sys.argv[1:])
