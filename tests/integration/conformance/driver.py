"""Drives one client program by the lines that README.md describes."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Sequence
from typing import Any

ANSWER_LIMIT_S = 90.0
"""The longest that a driver may be at one line: ten tries to publish, and the time it was given."""
END_LIMIT_S = 60.0


class Driver:
    """One running driver; close() demands that it ends well."""

    def __init__(self, command: Sequence[str], sockets: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [*command, sockets["control"], sockets["events"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A driver in Python imports its client from beside itself (see tests/conftest.py).
            env=os.environ | {"PYTHONSAFEPATH": ""},
        )
        self._answers: queue.Queue[str] = queue.Queue()
        self._errors: list[str] = []
        self._readers = [threading.Thread(target=self._read), threading.Thread(target=self._read_errors)]
        for reader in self._readers:
            reader.start()

    def tell(self, do: str, **fields: Any) -> None:
        """Say what to do, and do not wait."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **fields}, default=_to_json) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What it says to the line before."""
        line = self._answers.get(timeout=ANSWER_LIMIT_S)
        assert line, f"the driver ended: {''.join(self._errors)}"
        answer: dict[str, Any] = json.loads(line, object_hook=_from_json)
        return answer

    def is_silent(self, limit_s: float) -> bool:
        """Whether it says nothing for so long."""
        try:
            line = self._answers.get(timeout=limit_s)
        except queue.Empty:
            return True
        self._answers.put(line)
        return False

    def call(self, do: str, **fields: Any) -> dict[str, Any]:
        """Say what to do; what it says."""
        self.tell(do, **fields)
        return self.answer()

    def request(self, op: str, **fields: Any) -> dict[str, Any]:
        """One request that is granted."""
        reply = self.call("request", request={"op": op, **fields})
        assert reply["ok"] is True, reply
        return reply

    def refusal(self, op: str, **fields: Any) -> dict[str, str]:
        """One request that is refused; its error."""
        reply = self.call("request", request={"op": op, **fields})
        assert reply["ok"] is False, reply
        error: dict[str, str] = reply["error"]
        return error

    def take(self, do: str, count: int, *, limit_s: float) -> list[Any]:
        """receive, next or hear: up to so many of what comes."""
        answer = self.call(do, count=count, limit_ms=round(limit_s * 1000))
        (taken,) = answer.values()
        return list(taken)

    def close(self) -> None:
        """The end of its input: it ends itself, with status 0 and without complaints (of leaks, too)."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            status = self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        for reader in self._readers:
            reader.join()
        assert (status, "".join(self._errors)) == (0, "")

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._answers.put(line)
        self._answers.put("")

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            self._errors.extend(lines)


def _to_json(value: bytes) -> dict[str, str]:
    return {"hex": value.hex()}


def _from_json(value: dict[str, Any]) -> Any:
    return bytes.fromhex(value["hex"]) if value.keys() == {"hex"} else value
