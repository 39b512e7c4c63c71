"""Goal: what people install is whole: the sdist builds, the wheel and an editable install import everywhere.

Nothing is downloaded: builds use the Cython and setuptools of the running interpreter, and fresh environments
link to what is installed there, but for dispersy itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD_LIMIT_S = 600
"""Compiling the kernels takes a minute of one core, and others may want the cores too."""
pytestmark = pytest.mark.timeout(2 * BUILD_LIMIT_S)

OFFLINE = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet")
BUILD_SDIST = "from setuptools import build_meta; print(build_meta.build_sdist('dist'))"
IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    print(name, importlib.import_module(name).__file__)
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command to its end; its output, or a failed test that shows it."""
    ended = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_LIMIT_S,
        check=False,
    )
    if ended.returncode:
        pytest.fail(f"{command}\n{ended.stdout}", pytrace=False)
    return ended.stdout


def fresh_environment(path: Path) -> Path:
    """An environment without dispersy that sees what dispersy depends on; its interpreter."""
    venv.create(path, with_pip=False)
    python = path / "bin" / "python"
    library = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=path).strip()
    )
    for installed in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(installed).iterdir():
            if "dispersy" not in entry.name and entry.suffix != ".pth":
                (library / entry.name).symlink_to(entry)
    return python


def install(python: Path, *what: str | Path, **environment: str) -> None:
    """Install into another environment with this one's pip, from this machine only."""
    command = (sys.executable, "-P", "-m", "pip", "--python", python, "install", "--ignore-installed")
    run(*command, *OFFLINE, *what, cwd=python.parent, **environment)


def imported(python: Path) -> dict[str, Path]:
    """Every module that there should be, imported, and its file."""
    lines = run(python, "-W", "error", "-c", IMPORT_ALL, *modules_of_tree(), cwd=python.parent).splitlines()
    return {name: Path(file) for name, file in (line.split(" ", 1) for line in lines)}


def modules_of_tree() -> set[str]:
    """The modules that the source tree holds, as they are imported."""
    names = {f"dispersy.ext.{path.stem}" for path in (ROOT / "ext").glob("*.pyx")}
    for folder, package in (("dispersy", ()), ("ext", ("ext",)), ("workers", ("workers",))):
        for path in (ROOT / folder).rglob("*.py"):
            parts = ("dispersy", *package, *path.relative_to(ROOT / folder).with_suffix("").parts)
            names.add(".".join(part for part in parts if part != "__init__"))
    return {name for name in names if not name.endswith("__main__")}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree in which nothing has been built."""
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler: apt-get install gcc python3-dev")
    for package, least in (("cython", 3), ("setuptools", 77)):
        try:
            is_new = int(version(package).split(".")[0]) >= least
        except PackageNotFoundError:
            is_new = False
        if not is_new:
            pytest.skip(f"{package} {least} or newer is missing: python -m pip install '.[test]'")
    tree = tmp_path_factory.mktemp("source") / "dispersy"
    built = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info", ".*", "build", "dist")
    shutil.copytree(ROOT, tree, ignore=built)
    return tree


@pytest.fixture(scope="module")
def sdist(tree: Path) -> Path:
    """The sdist of that copy."""
    name = run(sys.executable, "-P", "-c", BUILD_SDIST, cwd=tree).splitlines()[-1]
    return tree / "dist" / name


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the sdist, and nothing beside it, builds."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-P", "-m", "pip", "wheel", *OFFLINE, sdist, cwd=folder)
    (wheel,) = folder.iterdir()
    return wheel


def test_wheel_from_the_sdist_is_whole(wheel: Path, tmp_path: Path) -> None:
    """Every module imports from the environment; types are there, sources of kernels are not."""
    names = zipfile.ZipFile(wheel).namelist()
    assert "dispersy/py.typed" in names
    stubs = {Path(name).name for name in names if name.endswith(".pyi")}
    assert stubs == {path.name for path in (ROOT / "ext").glob("*.pyi")}
    assert not [name for name in names if name.endswith((".pyx", ".pxi", ".h", ".c"))]

    python = fresh_environment(tmp_path / "environment")
    install(python, wheel)
    files = imported(python)
    assert all(file.is_relative_to(tmp_path) for file in files.values())

    files["dispersy.ext.bloom"].unlink()
    told = run(
        python, "-c", "try: import dispersy.ext.wire\nexcept ImportError as error: print(error)", cwd=tmp_path
    )
    assert "the kernel dispersy.ext.bloom has not been built" in told
    assert "python -m pip install -e ." in told


def test_editable_install_with_checks_is_whole(tree: Path, tmp_path: Path) -> None:
    """Modules come from the source tree's three folders; built with the kernels' bounds checks."""
    python = fresh_environment(tmp_path / "environment")
    install(python, "--editable", tree, DISPERSY_CYTHON_DEBUG="1")
    files = imported(python)
    assert all(file.is_relative_to(tree) for file in files.values())
    assert files["dispersy.ext.bloom"].parent == tree / "ext"
    assert files["dispersy.workers.loop"] == tree / "workers" / "loop.py"


@pytest.mark.parametrize("module", ["dispersy.ext.bloom", "dispersy.protocol.wire.message"])
def test_source_tree_says_what_to_type(module: str) -> None:
    """Without an installation (-S) the source folder is imported, and says how to build it."""
    code = f"try: import {module}\nexcept ImportError as error: print(error)"
    told = run(sys.executable, "-S", "-c", code, cwd=ROOT, PYTHONSAFEPATH="")
    assert "kernels have not been built" in told
    assert "python -m pip install -e ." in told
