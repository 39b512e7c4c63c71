"""Goal: every kernel is listed, typed and held against a plain twin, and the installed ones are tested."""

from __future__ import annotations

import ast
import json
from importlib.metadata import distribution
from pathlib import Path

import dispersy
import dispersy.ext
from tests.house.sources import KERNELS, ROOT

# udp is the operating system's calls: a twin of it would be a mock.
WITHOUT_ORACLE = {"udp"}


def names_in(path: Path) -> tuple[str, ...]:
    """The one tuple of kernels' names that a file holds."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Tuple) and "bloom" in ast.unparse(node):
            return tuple(ast.literal_eval(node))
    raise AssertionError(f"{path} names no kernels")


def test_every_kernel_is_built_and_required() -> None:
    """setup.py and dispersy.ext name what there is."""
    assert names_in(ROOT / "setup.py") == KERNELS
    assert names_in(ROOT / "ext" / "__init__.py") == KERNELS


def test_every_kernel_has_a_stub_and_an_oracle() -> None:
    """A clever kernel is tested against a dumb one."""
    for name in KERNELS:
        assert (ROOT / "ext" / f"{name}.pyi").is_file(), name
        assert name in WITHOUT_ORACLE or (ROOT / "tests" / "oracle" / f"{name}.py").is_file(), name
        tests = [*(ROOT / "tests").glob(f"*/test_{name}.py")]
        assert tests, f"no tests/*/test_{name}.py"


def test_what_is_tested_is_installed() -> None:
    """The source folder, which has no kernels, must not stand in front of the installation."""
    origin = json.loads(distribution("dispersy").read_text("direct_url.json") or "{}")
    is_editable = origin.get("dir_info", {}).get("editable", False)
    lies_in_tree = Path(dispersy.__file__).is_relative_to(ROOT / "dispersy")
    assert lies_in_tree == is_editable
    assert Path(dispersy.ext.__file__).is_relative_to(ROOT / "ext") == is_editable
