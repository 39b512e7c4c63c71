"""What all tests share: tests and their oracles import as the package `tests`, the product as installed."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

# `python -m pytest` makes the repository root importable, here and in what tests start; the source folder
# would shadow the installed package there. Only `tests` may come from it.
os.environ["PYTHONSAFEPATH"] = "1"
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != TESTS.parent]
if "tests" not in sys.modules:
    _spec = importlib.util.spec_from_file_location(
        "tests", TESTS / "__init__.py", submodule_search_locations=[str(TESTS)]
    )
    assert _spec is not None
    assert _spec.loader is not None
    _package = importlib.util.module_from_spec(_spec)
    sys.modules["tests"] = _package
    _spec.loader.exec_module(_package)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With DISPERSY_REQUIRE_ALL=1 a skipped test is a failed one: who lacks something must not look green."""
    report = yield
    if report.skipped and os.environ.get("DISPERSY_REQUIRE_ALL") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although everything is required: {report.longrepr}"
    return report
