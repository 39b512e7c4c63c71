"""What all tests share: tests and their oracles import as the package `tests`, the product as installed."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).parent


def give_package(name: str, folder: Path) -> None:
    """Make a folder importable as a package, and nothing of what lies beside it."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None
        assert spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules[name] = package
        spec.loader.exec_module(package)


# `python -m pytest` makes the repository root importable, here and in what tests start; the source folder
# would shadow the installed package there. Only `tests` may come from it, and simulated worlds from bench/.
os.environ["PYTHONSAFEPATH"] = "1"
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != TESTS.parent]
give_package("tests", TESTS)
give_package("simulation", TESTS.parent / "bench" / "simulation")

# Under nohup, or behind a shell's &, nodes and commands would not hear these either, which some tests send.
# What is handled here, to no effect, is back to its default in the programs that tests start.
for number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, lambda *_: None)

# How long an example takes says only what else the machine does; benchmarks are what judges time.
settings.register_profile("timeless", deadline=None)
settings.load_profile("timeless")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With DISPERSY_REQUIRE_ALL=1 a skipped test is a failed one: who lacks something must not look green."""
    report = yield
    if report.skipped and os.environ.get("DISPERSY_REQUIRE_ALL") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although everything is required: {report.longrepr}"
    return report
