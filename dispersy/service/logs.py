"""What a node says of itself: the lines that people wait for on stdout, and events on stderr.

An event has a constant name, a text for people, and what varies in fields: a line on a terminal, otherwise
one JSON object a line. Per packet nothing is logged, but counted; payloads and keys never are.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

import msgspec

FORMATS = ("auto", "text", "json")
LEVELS = ("debug", "info", "warning", "error")
CLIENT_CUT = "client-cut"
CRASHED = "process-crashed"
ROLE_ENDED = "role-ended"
ROLE_HUNG = "role-hung"
ROLE_STARTED = "role-started"
ROLE_REFUSED = "role-refused"
NODE_READY = "node-ready"
NODE_STOPPING = "node-stopping"

logger = logging.getLogger("dispersy")


def event(name: str, **fields: Any) -> dict[str, Any]:
    """For `extra` of a logger's call: the event's name, and what programs read of it."""
    return {"event": name, "fields": fields}


def set_up(process: str, *, log_format: str, level: str, stream: TextIO | None = None) -> None:
    """Log to stderr from now on, also what ends the process by an exception.

    process       this one's name in every event
    log_format    one of FORMATS; auto: text on a terminal, else JSON
    """
    target = sys.stderr if stream is None else stream
    as_text = log_format == "text" or (log_format == "auto" and target.isatty())
    handler = logging.StreamHandler(target)
    handler.setFormatter(TextFormatter(process) if as_text else JsonFormatter(process))
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(level.upper())
    # The terminal may have been closed: what cannot be said is no reason to end.
    logging.raiseExceptions = False
    sys.excepthook = _log_crash


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, event, process, pid, message, the fields, and a traceback if any."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.name),
            "process": self._process,
            "pid": record.process,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode({name: _printable(value) for name, value in said.items()}).decode()


class TextFormatter(logging.Formatter):
    """A line for people, with the traceback below it."""

    def __init__(self, process: str) -> None:
        super().__init__(f"%(asctime)s {process}: %(message)s", "%H:%M:%S")


def announce(text: str, name: str, **fields: Any) -> None:
    """An event that people at a terminal see as a line on stdout, and programs as that and in the log."""
    say(text)
    if not any(isinstance(handler.formatter, TextFormatter) for handler in logger.handlers):
        logger.info("%s", text, extra=event(name, **fields))


def say(text: str, *, stream: TextIO | None = None) -> None:
    """One line on stdout, for people and for programs that wait for it; or on another stream."""
    target = sys.stdout if stream is None else stream
    # The terminal may have been closed: that is no reason to leave processes behind.
    with suppress(OSError):
        target.write(text + "\n")
        target.flush()


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """In the place of Python's own message, so that a program that reads the log sees one event."""
    summary = f"{kind.__name__}: {error}"
    said = event(CRASHED, error=summary)
    logger.critical("ended by %s", summary, exc_info=(kind, error, trace), extra=said)


def _printable(value: Any) -> Any:
    """Names of files may hold bytes that are no text."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
