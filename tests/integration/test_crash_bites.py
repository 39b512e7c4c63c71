"""Goal: bench/crash.py goes red when the node or its client breaks a promise; the faults are put in here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CRASH = Path(__file__).resolve().parents[2] / "bench" / "crash.py"
LIMIT_S = 240

pytestmark = pytest.mark.long

ACKNOWLEDGED_TOO_SOON = """
import sys, time

if "run" in sys.orig_argv:
    from dispersy.workers.writer import WriterRole

    take, commit = WriterRole._take, WriterRole._commit

    def take_and_answer(self, ticket, order, is_gathered):
        take(self, ticket, order, is_gathered)
        request = self._ledger._publishing._publishing.get(order.request_id)
        if order.op == "publish" and request is not None:
            answer = {"first_cursor": 1, "last_cursor": 1, "ids": request.ids, "repeated": False}
            self._reply(ticket, answer)
            self.is_late = True

    def commit_late(self):
        if getattr(self, "is_late", False):
            time.sleep(1)
        self.is_late = False
        commit(self)

    WriterRole._take, WriterRole._commit = take_and_answer, commit_late
"""
POSITION_NOT_KEPT = """
import sys

if sys.orig_argv[1].endswith("crash.py"):
    from dispersy.conversation import Following

    receive_disconnect = Following.receive_disconnect

    def forget(self, now):
        self._cursor = 0
        receive_disconnect(self, now)

    Following.receive_disconnect = forget
"""


@pytest.mark.parametrize(
    ("fault", "kills", "goal"),
    [
        (ACKNOWLEDGED_TOO_SOON, 2, "acknowledged messages that are missing"),
        (POSITION_NOT_KEPT, 4, "events that a follower had twice"),
    ],
    ids=["acknowledged too soon", "position not kept"],
)
def test_a_broken_promise_is_seen(tmp_path: Path, fault: str, kills: int, goal: str) -> None:
    """Kills of both writers, and of both gateways."""
    # Python runs this file in every process, before anything else.
    (tmp_path / "sitecustomize.py").write_text(fault, encoding="utf-8")
    ended = subprocess.run(
        [
            sys.executable,
            str(CRASH),
            f"--count={kills}",
            "--seed=1",
            "--settle-s=5",
            "--no-restore",
            "--json",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": ""},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stdout, ended.stderr
    goals = json.loads(ended.stdout.splitlines()[-1])["goals"]
    assert goal in {each["name"] for each in goals if each["holds"] is False}, ended.stdout
