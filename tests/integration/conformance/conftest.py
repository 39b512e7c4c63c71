"""The drivers of all languages, and a node for what disturbs nobody."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dispersy.client import Client
from tests.integration.conformance.driver import Driver
from tests.integration.node import Node

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
OWN = os.environ.get("DISPERSY_CONFORMANCE_DRIVER", "")
C_TOOLS = "apt-get install gcc make pkg-config libzmq3-dev libmsgpack-dev libcjson-dev"
BUILD_LIMIT_S = 120.0


@dataclass(frozen=True)
class Program:
    """What starts the client of one language.

    driver  as the suite drives it; two endpoints follow
    person  as a person uses it; empty where only a driver is known
    """

    driver: list[str]
    person: list[str]


def _pyzmq(_: Path) -> Program:
    if importlib.util.find_spec("msgpack") is None:
        pytest.skip("no msgpack: python -m pip install '.[test]'")
    folder = EXAMPLES / "pyzmq"
    return Program([sys.executable, f"{folder}/conformance.py"], [sys.executable, f"{folder}/client.py"])


def _node(_: Path) -> Program:
    if shutil.which("node") is None or not (EXAMPLES / "node" / "node_modules").is_dir():
        pytest.skip("no Node.js packages: apt-get install nodejs npm, then npm ci --prefix examples/node")
    return Program(["node", f"{EXAMPLES}/node/conformance.mjs"], ["node", f"{EXAMPLES}/node/client.mjs"])


def _c(build: Path) -> Program:
    libraries = ["pkg-config", "--exists", "libzmq", "msgpack", "libcjson"]
    if not all(map(shutil.which, ("cc", "make", "pkg-config"))) or subprocess.run(libraries).returncode:
        pytest.skip(f"no C compiler or libraries: {C_TOOLS}")
    # A leak or an overflow ends the driver with a message and another status than 0.
    settings = [f"BUILD={build}", "SANITIZE=address,undefined"]
    command = ["make", "-C", str(EXAMPLES / "c"), *settings, f"{build}/client", "conformance"]
    made = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_LIMIT_S)
    assert made.returncode == 0, made.stdout + made.stderr
    return Program([f"{build}/conformance"], [f"{build}/client"])


def _own(_: Path) -> Program:
    return Program(shlex.split(OWN), [])


DRIVERS: list[Callable[[Path], Program]] = [_pyzmq, _node, _c, *([_own] if OWN else [])]


@pytest.fixture(scope="session", params=DRIVERS, ids=lambda each: each.__name__.strip("_"))
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The client of one language."""
    prepare: Callable[[Path], Program] = request.param
    return prepare(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def start_driver(program: Program) -> Iterator[Callable[[dict[str, str]], Driver]]:
    """A driver on the sockets of a node; at the end of the test it has to end well."""
    started: list[Driver] = []

    def start(sockets: dict[str, str]) -> Driver:
        started.append(Driver(program.driver, sockets))
        return started[-1]

    yield start
    for driver in started:
        driver.close()


class Shared:
    """A node that nobody stops, with the community `chat`, and its client."""

    def __init__(self, client: Client) -> None:
        self.client = client
        status = client.status()
        self.sockets: dict[str, str] = status["sockets"]
        self.listen: str = status["listen"]
        self.home: str = status["home"]
        self.community_id: bytes = client.create("chat")["community_id"]

    def community(self, name: str, definition: bytes = b"") -> dict[str, Any]:
        """One more community, of which no other test knows."""
        return self.client.create(name, definition)


@pytest.fixture(scope="session")
def shared() -> Iterator[Shared]:
    """One node for all tests that leave it as it is; each makes a community of its own where that matters."""
    with tempfile.TemporaryDirectory(prefix="dsp-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        patch.delenv("DISPERSY_HOME", raising=False)
        node = Node(Path(folder), "shared")
        try:
            with node.start() as client:
                yield Shared(client)
        finally:
            assert node.stop() == 0


@pytest.fixture
def driver(shared: Shared, start_driver: Callable[[dict[str, str]], Driver]) -> Driver:
    """A driver on the shared node."""
    return start_driver(shared.sockets)
