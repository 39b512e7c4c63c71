"""The product's own source files as the house's laws read them: path, text and syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("dispersy", "ext", "workers", "tests", "bench", "examples")
PRODUCT = ("dispersy", "ext", "workers")
KERNELS = tuple(sorted(path.stem for path in (ROOT / "ext").glob("*.pyx")))


@dataclass(frozen=True)
class Source:
    """One file; path is relative to the repository's root."""

    path: PurePosixPath
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree; kernels and other texts have none."""
        return ast.parse(self.text, str(self.path))

    @property
    def is_product(self) -> bool:
        """Whether it is part of what is installed."""
        return self.path.parts[0] in PRODUCT

    @property
    def room(self) -> str:
        """The part of the product that it lies in, as imports name it: `protocol`, `workers`, `client`."""
        folder, *rest = self.path.with_suffix("").parts
        return folder if folder != "dispersy" else rest[0]


@cache
def python_sources() -> tuple[Source, ...]:
    """Every Python file of the repository, type stubs included."""
    paths = [ROOT / "setup.py"]
    for folder in FOLDERS:
        paths.extend(sorted((ROOT / folder).rglob("*.py")))
        paths.extend(sorted((ROOT / folder).rglob("*.pyi")))
    return tuple(_read([path for path in paths if _is_ours(path)]))


@cache
def texts() -> tuple[Source, ...]:
    """Every file that people read: code, kernels, documents and settings."""
    paths = [path for path in sorted(ROOT.iterdir()) if _is_written(path)]
    for folder in (*FOLDERS, "docs", "deploy"):
        paths.extend(path for path in sorted((ROOT / folder).rglob("*")) if _is_written(path))
    return tuple(_read(paths))


def _is_written(path: Path) -> bool:
    suffixes = {".py", ".pyi", ".pyx", ".pxi", ".h", ".md", ".toml", ".service", ".sh", ".yml", ".mjs"}
    # The C files beside the kernels are Cython's.
    is_c = path.suffix == ".c" and path.parent.name != "ext"
    return path.is_file() and (path.suffix in suffixes or is_c) and _is_ours(path)


def _is_ours(path: Path) -> bool:
    return "node_modules" not in path.parts


def _read(paths: list[Path]) -> Iterator[Source]:
    for path in paths:
        yield Source(PurePosixPath(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
