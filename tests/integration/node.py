"""Real nodes for tests: `dispersy run` as a process, on a home of its own, on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from dispersy.client import Client

START_LIMIT_S = 60.0
FULL = ("--listen", "127.0.0.1:0", "--workers", "1", "--placement", "full")
"""A process for each role."""
RUN_NODE = (
    "import sys; from pathlib import Path; from dispersy.bus.settings import RoleSettings\n"
    "from dispersy.service.home.home import Home, take_lock\n"
    "from dispersy.service.processes.launch import run_node\n"
    "settings = RoleSettings.from_json(sys.argv[1])\n"
    "sys.exit(run_node(settings, lock=take_lock(Home(Path(settings.home)))))\n"
)
"""A node without the command line, which does not give every setting."""
COMPACT = ("--listen", "127.0.0.1:0", "--placement", "compact")
"""Two processes: a test that cares for no process of its own waits for fewer of them to start."""
STOP_LIMIT_S = 30.0
"""A node is gone within two seconds; on a busy machine it has more, before it is killed."""


class Node:
    """One node. Its lines are kept in `lines`; only what was started here is ever ended."""

    def __init__(self, folder: Path, name: str, *options: str) -> None:
        self.home = folder / name
        # Sockets belong to the test's own folder too, not to what the user runs.
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "COLUMNS": "200"}
        self.environment.pop("DISPERSY_HOME", None)
        self.options = options or FULL
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> Client:
        """Run it; a client of it when it is ready."""
        self.begin()
        self.wait_for_line("ready, listening on", limit_s=START_LIMIT_S)
        return self.client()

    def begin(self) -> None:
        """Run it, and do not wait for anything."""
        self.process = subprocess.Popen(
            self.command_line(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
            start_new_session=True,
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read, args=(self.process,))
        self._reader.start()

    def command_line(self) -> list[str]:
        """What runs it."""
        return [sys.executable, "-P", "-m", "dispersy.cli", "run", "--home", str(self.home), *self.options]

    def client(self) -> Client:
        return Client(self.home, timeout_s=START_LIMIT_S)

    def wait_for_line(self, part: str, *, limit_s: float) -> str:
        """The first line with this part, printed now or by the limit."""

        def found() -> str | None:
            return next((line for line in list(self.lines) if part in line), None)

        assert self.process is not None
        with self._changed:
            self._changed.wait_for(lambda: found() or not self._reader.is_alive(), limit_s)
        line = found()
        assert line is not None, f"no line with {part!r} within {limit_s} s in {self.lines}"
        return line

    def pids(self) -> dict[str, int]:
        """The process of each role, the supervisor's included."""
        with self.client() as client:
            return {process["role"]: process["pid"] for process in client.status()["processes"]}

    def kill(self, role: str) -> int:
        """SIGKILL one role's process, as a crash would; its pid."""
        pid = self.pids()[role]
        os.kill(pid, signal.SIGKILL)
        return pid

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the node; its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self._reader.join(STOP_LIMIT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return status

    def command(
        self, *arguments: str, input_text: str | None = None, limit_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run `dispersy ARGUMENTS --home HOME`."""
        return run_command([*arguments, "--home", str(self.home)], self.environment, input_text, limit_s)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()


def run_command(
    arguments: Sequence[str],
    environment: dict[str, str] | None = None,
    input_text: str | None = None,
    limit_s: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "dispersy.cli", *arguments],
        input=input_text or "",
        capture_output=True,
        text=True,
        timeout=limit_s,
        env=environment,
        check=False,
    )


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
