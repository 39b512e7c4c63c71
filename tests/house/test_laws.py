"""Goal: every source file keeps the laws of docs/architecture.md, and every law bites what breaks it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

import pytest

from tests.house import laws
from tests.house.laws import PYTHON_LAWS, TEXT_LAWS, Law
from tests.house.sources import Source, python_sources, texts

LONG_FUNCTION = '"""."""\ndef long():\n' + "    pass\n" * laws.FUNCTION_LINES_MAX
BREACHES: list[tuple[Law, str, str]] = [
    (
        laws.imports_run_downwards,
        "dispersy/protocol/hosts.py",
        "from dispersy.storage.store import Store",
    ),
    (laws.imports_run_downwards, "dispersy/storage/index.py", "import dispersy.bus.frames"),
    (laws.imports_run_downwards, "dispersy/bus/frames.py", "from dispersy import storage"),
    (laws.imports_run_downwards, "workers/writer.py", "from dispersy.service.home.home import Home"),
    (laws.imports_run_downwards, "dispersy/client.py", "from dispersy.storage.store import Store"),
    (laws.imports_run_downwards, "dispersy/service/home/home.py", "from dispersy.cli.app import main"),
    (laws.imports_run_downwards, "ext/__init__.py", "from dispersy.errors import WireError"),
    (laws.imports_run_downwards, "dispersy/errors.py", "from dispersy.constants import TOKEN_SIZE"),
    (laws.imports_run_downwards, "dispersy/protocol/hosts.py", "def f():\n    import dispersy.bus"),
    (laws.imports_run_downwards, "dispersy/protocol/hosts.py", "from ..storage import store"),
    (laws.imports_run_downwards, "dispersy/attic.py", "pass"),
    (
        laws.inner_rooms_run_downwards,
        "dispersy/service/interface/orders.py",
        "from dispersy.service.gateway.control import Control",
    ),
    (
        laws.inner_rooms_run_downwards,
        "dispersy/protocol/wire/frames.py",
        "from dispersy.protocol.sync.means import Means",
    ),
    (
        laws.inner_rooms_run_downwards,
        "dispersy/protocol/attic/a.py",
        "import dispersy.protocol.wire.frames",
    ),
    (laws.protocol_is_pure, "dispersy/protocol/hosts.py", "import time"),
    (laws.protocol_is_pure, "dispersy/protocol/hosts.py", "from os.path import join"),
    (laws.protocol_is_pure, "dispersy/protocol/hosts.py", "from random import SystemRandom"),
    (laws.protocol_is_pure, "dispersy/protocol/hosts.py", "import random"),
    (laws.protocol_is_pure, "dispersy/protocol/hosts.py", "rng = Random(1)"),
    (laws.only_the_command_line_imports_its_libraries, "workers/writer.py", "import rich.table"),
    (laws.only_the_command_line_imports_its_libraries, "dispersy/client.py", "from typer import echo"),
    (laws.no_bare_folders, "tests/unit/test_udp.py", "from ext import udp"),
    (laws.no_bare_folders, "bench/bloom.py", "import workers.writer"),
    (laws.imports_stand_at_the_top, "workers/writer.py", "def f():\n    import json"),
    (laws.no_catch_all, "workers/loop.py", "try:\n    pass\nexcept:\n    pass"),
    (laws.no_catch_all, "workers/loop.py", "try:\n    pass\nexcept Exception:\n    pass"),
    (laws.no_catch_all, "workers/loop.py", "try:\n    pass\nexcept (OSError, BaseException):\n    pass"),
    (laws.interpreters_start_safely, "bench/nodes.py", "run([sys.executable, '-m', 'dispersy.cli'])"),
    (laws.sockets_of_tests_give_up, "tests/unit/test_loop.py", "context = zmq.Context()"),
    (laws.rooms_are_small, "workers/writer.py", "\n" * (laws.FILE_LINES_MAX + 1)),
    (laws.rooms_are_small, "ext/wire.pyx", "\n" * (laws.KERNEL_LINES_MAX + 1)),
    (laws.functions_are_small, "workers/writer.py", LONG_FUNCTION),
    (laws.modules_are_documented, "tests/unit/test_udp.py", "import os"),
    (laws.public_things_are_documented, "workers/writer.py", "def write(): pass"),
    (laws.public_things_are_documented, "ext/bloom.pyi", "class BloomFilter: ..."),
    (laws.nothing_is_left_over, "docs/wire.md", "see TODO"),
    (laws.nothing_is_left_over, "README.md", "cd /home/somebody/dispersy"),
]
ALLOWED: list[tuple[Law, str, str]] = [
    (laws.imports_run_downwards, "workers/writer.py", "from dispersy.workers.loop import Loop\nimport json"),
    (
        laws.imports_run_downwards,
        "dispersy/protocol/hosts.py",
        "from dispersy.constants import TOKEN_SIZE",
    ),
    (
        laws.inner_rooms_run_downwards,
        "dispersy/protocol/sync/puller.py",
        "from dispersy.protocol.wire.frames import Frame",
    ),
    (laws.protocol_is_pure, "dispersy/protocol/hosts.py", "from random import Random"),
    (laws.no_bare_folders, "bench/bloom.py", "import dispersy.workers.writer"),
    (laws.imports_stand_at_the_top, "dispersy/service/processes/process.py", "def f():\n    import json"),
    (laws.imports_stand_at_the_top, "dispersy/client.py", "if TYPE_CHECKING:\n    import json"),
    (laws.no_catch_all, "workers/loop.py", "try:\n    pass\nexcept OSError:\n    pass"),
    (laws.no_catch_all, "workers/loop.py", "try:\n    pass\nexcept BaseException:\n    tidy()\n    raise"),
    (laws.interpreters_start_safely, "bench/nodes.py", "run([sys.executable, '-P', '-m', 'dispersy.cli'])"),
    (laws.public_things_are_documented, "workers/writer.py", "def _write(): pass"),
]


def law_name(value: object) -> str:
    """The name that pytest shows for a law."""
    return str(getattr(value, "__name__", ""))


def breaches(law: Law, sources: Iterable[Source]) -> list[str]:
    """Where a law is broken, as an editor can jump to it."""
    return [f"{source.path}:{line}: {what}" for source in sources for line, what in law(source)]


def demand_none(law: Law, sources: Iterable[Source]) -> None:
    """Fail with the law and every place that breaks it."""
    broken = breaches(law, sources)
    if broken:
        pytest.fail("\n".join([str(law.__doc__), *broken]), pytrace=False)


@pytest.mark.parametrize("law", PYTHON_LAWS, ids=law_name)
def test_python_files_keep(law: Law) -> None:
    """Every Python file, type stubs and tests included."""
    demand_none(law, python_sources())


@pytest.mark.parametrize("law", TEXT_LAWS, ids=law_name)
def test_texts_keep(law: Law) -> None:
    """Kernels, documents and settings too."""
    demand_none(law, texts())


def test_a_limit_has_one_home() -> None:
    """A limit that two modules need is in constants.py: none is defined twice."""
    homes = defaultdict(list)
    for source in python_sources():
        if source.is_product:
            for name in laws.limits_of(source):
                homes[name].append(str(source.path))
    assert "DATAGRAM_SIZE_MAX" in homes
    twice = {name: paths for name, paths in homes.items() if len(paths) > 1}
    assert not twice, "\n".join(f"{name}: {', '.join(paths)}" for name, paths in twice.items())


@pytest.mark.parametrize(("law", "path", "text"), BREACHES, ids=law_name)
def test_law_bites(law: Law, path: str, text: str) -> None:
    """A law that finds nothing in what breaks it guards nothing."""
    assert breaches(law, [Source(PurePosixPath(path), text)])


@pytest.mark.parametrize(("law", "path", "text"), ALLOWED, ids=law_name)
def test_law_lets_pass(law: Law, path: str, text: str) -> None:
    """A law that bites everything would be switched off."""
    assert not breaches(law, [Source(PurePosixPath(path), text)])


def test_every_law_is_shown_to_bite() -> None:
    """A new law brings its breach along."""
    assert set(PYTHON_LAWS + TEXT_LAWS) == {law for law, _, _ in BREACHES}
