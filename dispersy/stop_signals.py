"""The signals that end a node in order. Here because a node hears them before its loop is imported."""

from __future__ import annotations

import signal

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""The last comes when its terminal is closed."""


def heeded_signals() -> list[signal.Signals]:
    """STOP_SIGNALS, without SIGHUP where whoever started us wants it to pass us by, as nohup does."""
    passes = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in STOP_SIGNALS if not (passes and number == signal.SIGHUP)]
