"""Where a client looks for its node, and what it says when nobody answers there."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from dispersy.errors import UsageError


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """One node, as a client knows it.

    home      its folder on this machine
    endpoint  of its `control`, where a program was told that instead: the home is another machine's then
    """

    home: Path
    endpoint: str = ""

    def __str__(self) -> str:
        return f"at {self.endpoint}" if self.endpoint else f"on {self.home}"

    def unanswered(self, op: str, timeout_s: float) -> UsageError:
        """What to tell whoever has waited in vain: `timeout`."""
        return UsageError(
            f"the node {self} did not answer {op} within {timeout_s:g} s",
            code="timeout",
            hint=self._elsewhere() if self.endpoint else "see whether it is running: `dispersy status`",
        )

    def not_running(self, why: str) -> UsageError:
        """What to tell whoever needs a node that is not there: `not-running`."""
        return UsageError(
            f"no node is running {self} ({why})",
            code="not-running",
            hint=self._elsewhere()
            if self.endpoint
            else f"start it with: dispersy run --home {shlex.quote(str(self.home))}",
        )

    def _elsewhere(self) -> str:
        # A node that does not know a client's key looks from outside like none at all.
        return "see there whether it is running, and whether `dispersy client list` names this client"
