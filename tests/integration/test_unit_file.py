"""Goal: the unit in deploy/ is one that systemd takes, and starts and relies on what there is."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dispersy.cli.commands import COMMANDS, load
from dispersy.errors import MISUSED

LIMIT_S = 60.0
UNIT = Path(__file__).resolve().parents[2] / "deploy/dispersy.service"
ANALYZE = shutil.which("systemd-analyze")


def _unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, encoding="utf-8")
    return parser


def test_the_units_command_exists() -> None:
    """Its program is ours, and so are its options."""
    program, name, *options = shlex.split(_unit()["Service"]["ExecStart"])
    assert Path(program).name == "dispersy"
    assert name in COMMANDS
    known = {option for parameter in load(name).params for option in parameter.opts}
    assert {option for option in options if option.startswith("-")} <= known


def test_the_unit_says_what_the_node_relies_on() -> None:
    """What docs/operation.md promises, and what finds the sockets."""
    service = _unit()["Service"]
    assert service["Type"] == "notify"
    assert service["RuntimeDirectory"] == service["StateDirectory"] == "dispersy"
    assert service["Environment"] == "DISPERSY_HOME=/var/lib/dispersy"
    assert int(service["RestartPreventExitStatus"]) == MISUSED
    assert service["Restart"] == "on-failure"
    assert int(service["WatchdogSec"]) >= 10


@pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """With the program and the user of this machine in place of those that a set-up makes."""
    text = UNIT.read_text(encoding="utf-8").replace("/opt/dispersy/bin/dispersy", sys.executable)
    (tmp_path / "dispersy.service").write_text(text.replace("User=dispersy", "User=root"), encoding="utf-8")
    ended = subprocess.run(
        [str(ANALYZE), "verify", "--man=no", str(tmp_path / "dispersy.service")],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    ours = [line for line in ended.stderr.splitlines() if "dispersy" in line]
    assert (ended.returncode, ours) == (0, [])
