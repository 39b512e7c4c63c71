"""Goal: `auto` fits the machine, control groups included, says why, and overrules nothing that is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispersy.errors import UsageError
from dispersy.service.settings.placement import (
    ALL_ROLES,
    AUTO,
    COMPACT,
    FULL,
    MEMORY_UNKNOWN,
    SINGLE,
    Machine,
    choose_placement,
    processes_of,
    this_machine,
)

MB = 1 << 20


@pytest.mark.parametrize(
    ("cores", "memory", "workers", "placement", "why"),
    [
        (4, 8192 * MB, 0, FULL, "4 cores, 8192 MB of memory"),
        (1, 8192 * MB, 0, COMPACT, "one core"),
        (4, 1024 * MB, 0, FULL, "4 cores"),
        (4, 1023 * MB, 0, COMPACT, "1023 MB of memory"),
        (4, 256 * MB, 0, COMPACT, "256 MB"),
        (4, 255 * MB, 0, SINGLE, "255 MB"),
        (1, 255 * MB, 1, SINGLE, "255 MB"),
        (1, 255 * MB, 2, FULL, "2 workers were asked for"),
    ],
)
def test_auto(cores: int, memory: int, workers: int, placement: str, why: str) -> None:
    """By memory first: what does not fit is no use on many cores."""
    chosen = choose_placement(AUTO, Machine(cores, memory), workers=workers)
    assert chosen.placement == placement
    assert why in chosen.why


def test_the_limit_is_named() -> None:
    """Who wonders at the choice must find out which memory was meant."""
    chosen = choose_placement(AUTO, Machine(4, 100 * MB, "limit of its control group"), workers=0)
    assert chosen.why == "100 MB of memory (limit of its control group)"


@pytest.mark.parametrize("asked", [FULL, COMPACT, SINGLE])
def test_what_is_asked_for_is_done(asked: str) -> None:
    """Whatever the machine."""
    for machine in (Machine(1, 10 * MB), Machine(64, 1 << 40)):
        assert choose_placement(asked, machine, workers=1).placement == asked


@pytest.mark.parametrize("asked", [COMPACT, SINGLE])
def test_workers_that_do_not_fit_are_refused(asked: str) -> None:
    """Silently running one would look like a fault."""
    with pytest.raises(UsageError, match=f"placement {asked} has one worker, not 3") as caught:
        choose_placement(asked, Machine(4, 1 << 40), workers=3)
    assert caught.value.code == "config"


def test_processes() -> None:
    """The writer first: it makes what the others read."""
    assert processes_of(FULL, workers=2) == ["writer", "publisher", "worker-0", "worker-1", "network"]
    assert processes_of(COMPACT, workers=1) == [ALL_ROLES]


def _machine(root: Path, group: str, **files: str) -> Machine:
    """What is found below a made-up root; double underscores in names stand for slashes."""
    for name, text in {"proc__meminfo": "MemTotal:        2048000 kB\n", **files}.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "proc/self").mkdir(exist_ok=True)
    (root / "proc/self/cgroup").write_text(group)
    return this_machine(root)


def test_memory_of_the_machine(tmp_path: Path) -> None:
    """Without a limit it is the machine's."""
    machine = _machine(tmp_path, "0::/user.slice\n", **{"sys__fs__cgroup__user.slice__memory.max": "max\n"})
    assert machine.memory == 2_048_000 << 10
    assert machine.memory_from == "the machine"
    assert machine.cores >= 1


@pytest.mark.parametrize(
    ("group", "file"),
    [
        ("0::/a.slice/b.service\n", "sys__fs__cgroup__a.slice__b.service__memory.max"),
        ("0::/a.slice/b.service\n", "sys__fs__cgroup__a.slice__memory.max"),
        ("0::/\n", "sys__fs__cgroup__memory.max"),
        ("5:cpu:/x\n4:memory:/y/z\n", "sys__fs__cgroup__memory__y__memory.limit_in_bytes"),
        ("4:memory:/host/only\n", "sys__fs__cgroup__memory__memory.limit_in_bytes"),
    ],
)
def test_limits_of_control_groups(tmp_path: Path, group: str, file: str) -> None:
    """The group's own or any above it, in both versions, and where only the container's top is to be seen."""
    machine = _machine(tmp_path, group, **{file: f"{100 * MB}\n"})
    assert machine.memory == 100 * MB
    assert "control group" in machine.memory_from


def test_an_unknown_system(tmp_path: Path) -> None:
    """Without /proc nothing is known, and nothing is limited."""
    assert this_machine(tmp_path).memory == MEMORY_UNKNOWN
