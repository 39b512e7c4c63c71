"""Goal: the clients in examples/ do what their README says to a person: publish, and follow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conformance.conftest import Program, Shared

LIMIT_S = 60.0


@pytest.fixture
def environment(shared: Shared) -> dict[str, str]:
    """The shared node is the person's, and `dispersy` is on the path."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "DISPERSY_HOME": shared.home, "PYTHONSAFEPATH": ""}


def test_what_a_person_publishes_another_reads(
    shared: Shared, program: Program, environment: dict[str, str]
) -> None:
    """`publish chat hello`, and `follow chat` prints it behind its author."""
    if not program.person:
        return  # A driver of one's own, which is for programs only.
    name = f"person-{Path(program.driver[-1]).parent.name[:8]}"
    member = shared.community(name)["member_id"].hex()[:8]
    command = [*program.person, "publish", name, "hello", "wörld"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=LIMIT_S)
    command = [*program.person, "follow", name]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert [following.stdout.readline() for _ in range(2)] == [f"{member} hello\n", f"{member} wörld\n"]
        following.kill()
