"""One line a figure."""

import statistics


class Report:
    """Prints figures as they come and counts those that are short of their bound."""

    def __init__(self):
        self.short = 0
        self._line("figure", "ours", "bound", "peer", "")

    def figure(self, name, ours, unit="", at_most=None, at_least=None, peer=None):
        """`ours` and the bounds are numbers of `unit`; `peer` is a number too, or words."""
        good = (at_most is None or ours <= at_most) and (at_least is None or ours >= at_least)
        bound = "-"
        if at_most is not None:
            bound = f"<= {number(at_most)}"
        elif at_least is not None:
            bound = f">= {number(at_least)}"
        peer = "-" if peer is None else peer if isinstance(peer, str) else number(peer)
        self._line(name, f"{number(ours)} {unit}".strip(), bound, peer, "ok" if good else "short")
        self.short += not good

    def skipped(self, name, why):
        """A figure that cannot be had here."""
        print(f"{name}: skipped: {why}", flush=True)

    def latency(self, name, seconds, at_most):
        """Median and largest of some times, in ms. The bound is the median's: the largest tells of
        what else the machine does."""
        milliseconds = [1000 * one for one in seconds]
        count = len(milliseconds)
        median = statistics.median(milliseconds)
        self.figure(f"{name}, median of {count}", median, "ms", at_most=at_most)
        self.figure(f"{name}, largest of {count}", max(milliseconds), "ms")

    @staticmethod
    def _line(name, ours, bound, peer, verdict):
        print(f"{name:<58} {ours:>14} {bound:>10} {peer:>44}  {verdict}".rstrip(), flush=True)


def number(value):
    """Four digits that mean something."""
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4g}"
