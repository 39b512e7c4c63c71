"""Nodes for a test, all of them stopped at its end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.node import COMPACT, Node


@pytest.fixture
def short_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose path leaves room for socket names (pytest's own can be too long)."""
    with tempfile.TemporaryDirectory(prefix="dsp-") as name:
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        monkeypatch.delenv("DISPERSY_HOME", raising=False)
        yield Path(name)


@pytest.fixture
def make_node(request: pytest.FixtureRequest, short_folder: Path) -> Iterator[Callable[..., Node]]:
    """Node(name, *options), not yet started; without options as the module's NODE_OPTIONS, or COMPACT."""
    made: list[Node] = []
    usual = getattr(request.module, "NODE_OPTIONS", COMPACT)

    def make(name: str, *options: str) -> Node:
        made.append(Node(short_folder, name, *(options or usual)))
        return made[-1]

    yield make
    for node in made:
        if node.process is not None:
            node.stop()
