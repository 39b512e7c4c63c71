"""A program in a real terminal, of 80 columns and 24 rows: typed to, and looked at."""

from __future__ import annotations

import queue
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

COLUMNS, ROWS = 80, 24
COMMAND_LIMIT_S = 60.0


class Terminal:
    """A tmux server of its own with one window, whose screen is looked at whenever it has changed."""

    def __init__(self, folder: Path, name: str, command: Sequence[str], environment: dict[str, str]) -> None:
        self._tmux = ["tmux", "-S", str(folder / f"tmux-{name}"), "-f", "/dev/null"]
        self._environment = {**environment, "TERM": "xterm-256color"}
        self._run("new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), *command)
        # A client in control mode is told each time that the program has written something.
        self._watcher = subprocess.Popen(
            [*self._tmux, "-C", "attach-session", "-f", "ignore-size"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
        )
        self._changes: queue.Queue[bytes] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def screen(self) -> str:
        """What is to be seen now."""
        return self._run("capture-pane", "-p")

    def wait_for(self, *parts: str, limit_s: float) -> str:
        """The screen once all of these are on it."""
        return self.wait_until(lambda screen: all(part in screen for part in parts), limit_s=limit_s)

    def wait_until(self, wanted: Callable[[str], bool], *, limit_s: float) -> str:
        """The screen once it is as wanted."""
        limit = time.monotonic() + limit_s
        while not wanted(screen := self.screen()):
            try:
                self._changes.get(timeout=max(0.0, limit - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not within {limit_s} s on\n{screen}") from None
        return screen

    def type(self, text: str, *, limit_s: float) -> None:
        """A line, and Enter when it stands there, as a person would press it."""
        self._run("send-keys", "-l", text)
        self.wait_until(lambda screen: text[-20:] in screen, limit_s=limit_s)
        self.press("Enter")

    def press(self, *keys: str) -> None:
        """Keys, as tmux calls them, at once."""
        self._run("send-keys", *keys)

    def wait_for_end(self, *, limit_s: float) -> None:
        """Until the program has ended, and with it its terminal."""
        self._watcher.wait(limit_s)

    def close(self) -> None:
        """End the program where it has not ended itself."""
        if self._watcher.poll() is None:
            self._run("kill-server")
        self._watcher.wait(COMMAND_LIMIT_S)
        self._reader.join()
        for stream in (self._watcher.stdin, self._watcher.stdout):
            assert stream is not None
            stream.close()

    def _read(self) -> None:
        assert self._watcher.stdout is not None
        for line in self._watcher.stdout:
            self._changes.put(line)

    def _run(self, *arguments: str) -> str:
        ended = subprocess.run(
            [*self._tmux, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout
