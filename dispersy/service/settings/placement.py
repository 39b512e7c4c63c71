"""Placement: which processes a node consists of, chosen by its owner or by what the machine has.

full      a supervisor, and a process for each role: uses every core, a crash costs one role
compact   a supervisor, and one process with all roles: what crashes is started again
single    one process with all roles and no supervisor: a service manager starts it again
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dispersy.errors import UsageError

FULL, COMPACT, SINGLE, AUTO = "full", "compact", "single", "auto"
PLACEMENTS = (AUTO, FULL, COMPACT, SINGLE)
ALL_ROLES = "all"
"""The name of the process that holds every role."""
PUBLISHER = "publisher"
GATEWAY_HOLDERS = frozenset({PUBLISHER, ALL_ROLES})
"""The processes that the gateway may be in."""
KEY_READERS = frozenset({"writer", "network", ALL_ROLES})
"""The processes that sign, and so read keys; no other is given the passphrase."""
MEMORY_FOR_COMPACT = 256 << 20
"""Below, the 60 MB of two processes would leave too little to everything else."""
MEMORY_FOR_FULL = 1 << 30
MEMORY_UNKNOWN = 1 << 62


@dataclass(frozen=True, slots=True)
class Machine:
    """What a node may use: cores that it may run on, bytes of memory, and what limits the memory."""

    cores: int
    memory: int
    memory_from: str = "the machine"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A placement, and why, in words; empty when it was asked for."""

    placement: str
    why: str = ""


def choose_placement(asked: str, machine: Machine, *, workers: int) -> Chosen:
    """The placement to run with; workers as asked for, 0 when nothing was.

    raises  UsageError `config` when so many workers do not fit the placement that was asked for
    """
    if asked in (COMPACT, SINGLE) and workers > 1:
        raise UsageError(
            f"placement {asked} has one worker, not {workers}",
            code="config",
            hint="leave workers out, or choose placement full",
        )
    if asked != AUTO:
        return Chosen(asked)
    if workers > 1:
        return Chosen(FULL, f"{workers} workers were asked for")
    memory = f"{machine.memory >> 20} MB of memory ({machine.memory_from})"
    if machine.memory < MEMORY_FOR_COMPACT:
        return Chosen(SINGLE, memory)
    if machine.memory < MEMORY_FOR_FULL:
        return Chosen(COMPACT, memory)
    if machine.cores < 2:
        return Chosen(COMPACT, "one core")
    return Chosen(FULL, f"{machine.cores} cores" + (f", {memory}" if machine.memory < MEMORY_UNKNOWN else ""))


def processes_of(placement: str, *, workers: int) -> list[str]:
    """The processes below a supervisor, in the order of their start."""
    if placement != FULL:
        return [ALL_ROLES]
    return ["writer", PUBLISHER, *(f"worker-{index}" for index in range(workers)), "network"]


def this_machine(root: Path = Path("/")) -> Machine:
    """What this process may use: affinity and control groups (version 2 and 1) included."""
    memory, memory_from = _total_memory(root), "the machine"
    for limit in _group_limits(root):
        if limit < memory:
            memory, memory_from = limit, "limit of its control group"
    return Machine(len(os.sched_getaffinity(0)), memory, memory_from)


def _total_memory(root: Path) -> int:
    for line in _lines(root / "proc/meminfo"):
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) << 10
    return MEMORY_UNKNOWN


def _group_limits(root: Path) -> list[int]:
    """The memory limits of our control group and of all groups around it."""
    limits = []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            top, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # Within a container the path may be the host's, of which only the end or nothing is to be seen.
        group = top / path.strip().lstrip("/")
        for folder in (group, *group.parents):
            limits += [int(text) for text in _lines(folder / name) if text.isdigit()]
            if folder == top:
                break
    return limits


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
