"""The picture of bench/restart.py: time until a node serves and memory of its roles, by size of the store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Protocol

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


class Measured(Protocol):
    """What is drawn of one size: seconds and the processor's of each start, anonymous MB by role."""

    messages: int
    ready: list[float]
    serving: list[float]
    processor: list[float]
    idle: dict[str, float]
    busy: dict[str, float]


def draw(path: Path, sizes: Sequence[Measured], *, anonymous_max_mb: float) -> None:
    figure, (above, below) = pyplot.subplots(2, figsize=(8, 8))
    messages = [size.messages for size in sizes]
    for name, runs in (
        ("ready", [size.ready for size in sizes]),
        ("first sync-request answered", [size.serving for size in sizes]),
        ("processor until then, all processes", [size.processor for size in sizes]),
    ):
        middle = [median(each) for each in runs]
        spread = [
            [value - min(each) for value, each in zip(middle, runs, strict=True)],
            [max(each) - value for value, each in zip(middle, runs, strict=True)],
        ]
        above.errorbar(messages, middle, yerr=spread, marker="o", capsize=3, label=name)
    above.set_title("restart: from `dispersy run` on")
    above.set_ylabel("seconds (median, lowest, highest)")
    for index, role in enumerate(sizes[0].idle):
        below.plot(messages, [size.idle[role] for size in sizes], ":o", color=f"C{index}")
        filling = [size.busy[role] for size in sizes]
        below.plot(messages, filling, "-o", color=f"C{index}", label=role)
    below.axhline(anonymous_max_mb, color="grey", linewidth=0.8)
    below.set_title("anonymous memory of each role: idle (dotted), and while a newcomer fills from it")
    below.set_ylabel("MB")
    for axis in (above, below):
        axis.set_xscale("log")
        axis.set_ylim(bottom=0)
        axis.set_xlabel("stored messages")
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
