"""The laws of the house, each a function from one source file to what breaks it: (line, what is wrong)."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from tests.house.sources import Source

Violations = Iterator[tuple[int, str]]
Law = Callable[[Source], Violations]

FILE_LINES_MAX = 450
KERNEL_LINES_MAX = 550
FUNCTION_LINES_MAX = 80

_OPEN = {"constants", "errors"}
_LEAVES = _OPEN | {
    "certificate",
    "endpoint",
    "invite",
    "locations",
    "routes",
    "stop_signals",
    "version",
    "whereabouts",
}
_FLOOR_1 = _OPEN | {"protocol", "ext"}
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": {
        "errors",
        "messages",
        "governance",
        "cosigning",
        "client",
        "aio",
        "declaration",
        "community",
        "typed_messages",
    },
    "constants": set(),
    "errors": set(),
    "stop_signals": set(),
    "version": set(),
    "endpoint": _FLOOR_1,
    "invite": _OPEN | {"endpoint", "routes"},
    "routes": set(),
    "locations": _OPEN,
    "certificate": _OPEN,
    "ext": set(),
    "protocol": _OPEN | {"ext"},
    "storage": _FLOOR_1,
    "bus": _FLOOR_1,
    "whereabouts": _OPEN,
    "conversation": _OPEN | {"whereabouts"},
    "messages": {"conversation"},
    "operations": _LEAVES | {"conversation", "messages"},
    "governance": {"errors", "operations"},
    "bundle": _FLOOR_1,
    "bundling": _OPEN | {"bundle", "conversation", "operations"},
    "cosigning": _OPEN | {"conversation", "messages", "operations"},
    "connection": _LEAVES | {"conversation", "operations"},
    "client": _LEAVES | {"messages", "operations", "governance", "cosigning", "bundling", "connection"},
    "aio_connection": _LEAVES | {"conversation", "operations"},
    "aio": _LEAVES | {"messages", "operations", "governance", "cosigning", "bundling", "aio_connection"},
    "declared_schema": set(),
    "declaration": _FLOOR_1 | {"declared_schema"},
    "community": _FLOOR_1
    | _LEAVES
    | {"messages", "operations", "client", "aio", "declaration", "typed_messages"},
    "typed_messages": {"messages", "aio", "declaration"},
    "workers": _FLOOR_1 | {"routes", "stop_signals", "storage", "bus"},
    "service": _FLOOR_1 | _LEAVES | {"storage", "bus", "workers", "client"},
    "testing": _FLOOR_1
    | _LEAVES
    | {
        "storage",
        "bus",
        "workers",
        "service",
        "conversation",
        "operations",
        "connection",
        "client",
        "aio_connection",
        "aio",
    },
    "cli": _FLOOR_1 | _LEAVES | {"storage", "bus", "workers", "client", "service", "bundling"},
}
"""What a room may import of ours, beside itself: downwards only; storage and bus do not know each other."""

ROOMS: dict[str, dict[str, set[str]]] = {
    "protocol": {
        "": {"wire"},
        "wire": set(),
        "definitions": {"wire"},
        "permissions": {"wire"},
        "intake": {"wire", "definitions", "permissions"},
        "large_messages": {"wire"},
        "sync": {"wire", "large_messages"},
        "walk": {"wire"},
        "spreading": {"wire", "walk"},
    },
    "service": {
        "": set(),
        "settings": set(),
        "home": set(),
        "interface": set(),
        "operations": {"interface", "settings"},
        "gateway": {"operations", "interface", "home"},
        "processes": {"gateway", "interface", "home", "settings"},
    },
    "workers": {
        "": {"networking", "answering", "keeping", "membership", "authoring", "governing"},
        "networking": set(),
        "answering": set(),
        "keeping": set(),
        "membership": {"keeping"},
        "authoring": {"keeping", "membership"},
        "governing": {"keeping", "membership", "authoring"},
    },
}
"""What a room within a room may import of its sisters; what lies beside them ("") is open to all."""

CLOCK_AND_WORLD = {
    "asyncio", "datetime", "lmdb", "logging", "multiprocessing", "os", "pathlib", "secrets", "select",
    "signal", "socket", "subprocess", "threading", "time", "zmq",
}  # fmt: skip
"""Closed to protocol/: it does no I/O, has no clock, and is given its randomness."""


def imports_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import; `from a import b` gives a.b, since b may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                module = f"{node.module}." if node.module else ""
                yield node.lineno, "." * node.level + module + alias.name


def imports_run_downwards(source: Source) -> Violations:
    """cli -> service -> workers -> {storage, bus} -> protocol -> ext; errors and constants open to all."""
    if not source.is_product:
        return
    if source.room not in MAY_IMPORT:
        yield 1, f"dispersy.{source.room} has no floor yet: give it one in tests/house/laws.py"
        return
    for line, name in imports_of(source.tree):
        if name.startswith("."):
            yield line, f"{name}: relative imports hide which floor they reach"
        if name.split(".")[0] != "dispersy":
            continue
        room = [*name.split("."), "__init__"][1]
        if room != source.room and room not in MAY_IMPORT[source.room]:
            yield line, f"{source.room} may not import {name}"


def inner_rooms_run_downwards(source: Source) -> Violations:
    """protocol/, service/ and workers/ consist of rooms, too, and each names those that it may use."""
    rooms = ROOMS.get(source.room)
    if rooms is None:
        return
    home = source.path.parent.name if source.path.parent.name != source.room else ""
    for line, name in imports_of(source.tree):
        match name.split("."):
            case ["dispersy", source.room, room, _, *_] if (
                room != home and room in rooms and room not in rooms.get(home, set())
            ):
                yield line, f"{source.room}/{home} may not import {name}"


def protocol_is_pure(source: Source) -> Violations:
    """protocol/ takes `now` and `rng` as arguments: no clock, no I/O, no randomness of its own."""
    if source.room != "protocol":
        return
    for line, name in imports_of(source.tree):
        root, _, rest = name.partition(".")
        if root in CLOCK_AND_WORLD or (root == "random" and rest != "Random"):
            yield line, f"protocol/ may not import {name}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"Random", "open"}:
            yield node.lineno, f"protocol/ may not call {ast.unparse(node.func)}()"


def only_the_command_line_imports_its_libraries(source: Source) -> Violations:
    """Roles and the client stay light: typer and rich belong to cli/."""
    if source.is_product and source.room != "cli":
        for line, name in imports_of(source.tree):
            if name.split(".")[0] in {"typer", "rich"}:
                yield line, f"{name} outside dispersy.cli"


def no_bare_folders(source: Source) -> Violations:
    """From the repository's root `import workers.x` would make a second module object."""
    for line, name in imports_of(source.tree):
        if name.split(".")[0] in {"ext", "workers"}:
            yield line, f"{name}: say dispersy.{name}"


def imports_stand_at_the_top(source: Source) -> Violations:
    """service/processes/process.py alone imports what its role needs: each process pays for what it imports.

    What only a type checker imports stands below `if TYPE_CHECKING:`.
    """
    if not source.is_product or str(source.path) == "dispersy/service/processes/process.py":
        return
    top = list(source.tree.body)
    for node in source.tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            top += node.body
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and node not in top:
            yield node.lineno, "an import below the top of the file"


def no_catch_all(source: Source) -> Violations:
    """Errors are named; our own bugs end the role, which is then restarted."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        if isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None:
            continue  # it only tidies up
        for kind in caught:
            if kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"}):
                yield node.lineno, "catches everything"


def interpreters_start_safely(source: Source) -> Violations:
    """`python -m` imports from the folder it is started in, whatever lies there; -P keeps that folder out.

    Tests need not say it: tests/conftest.py does for all that they start.
    """
    if source.path.parts[0] == "tests":
        return
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.List | ast.Tuple):
            continue
        words = [ast.unparse(item) for item in node.elts]
        if words[:1] == ["sys.executable"] and {"'-m'", "'-c'"} & set(words) and "'-P'" not in words:
            yield node.lineno, "sys.executable with -m or -c but without -P"


def sockets_of_tests_give_up(source: Source) -> Violations:
    """Tests make ZeroMQ contexts by tests/sockets.py: a socket that waits for ever hides what failed."""
    if source.path.parts[0] != "tests" or str(source.path) == "tests/sockets.py":
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "zmq.Context":
            yield node.lineno, "zmq.Context(): say bounded_context()"


def rooms_are_small(source: Source) -> Violations:
    """A file and a function can be held in the head."""
    lines = source.text.count("\n")
    limit = KERNEL_LINES_MAX if source.path.suffix in {".pyx", ".pxi"} else FILE_LINES_MAX
    if lines > limit:
        yield limit, f"{lines} lines, at most {limit}"


def functions_are_small(source: Source) -> Violations:
    """As rooms_are_small(), for functions."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield node.lineno, f"{node.name}() has {lines} lines, at most {FUNCTION_LINES_MAX}"


def modules_are_documented(source: Source) -> Violations:
    """A module says what it is for, a module of tests its goal; an empty file only marks a package."""
    if source.text.strip() and not ast.get_docstring(source.tree):
        yield 1, "no module docstring"


def public_things_are_documented(source: Source) -> Violations:
    """Whoever may be called from elsewhere has a docstring."""
    if not source.is_product:
        return
    for node in source.tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if not node.name.startswith("_") and not ast.get_docstring(node):
            yield node.lineno, f"{node.name} has no docstring"


UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
OF_A_MACHINE = re.compile(r"(?<![\w./-])/(root|srv|work|home/\w+)/")


def nothing_is_left_over(source: Source) -> Violations:
    """No marks of unfinished work, no paths of one machine."""
    if source.path.parts[:2] == ("tests", "house"):
        return  # where they have to be named
    for number, line in enumerate(source.text.splitlines(), 1):
        for found in (UNFINISHED.search(line), OF_A_MACHINE.search(line)):
            if found:
                yield number, found[0]


def limits_of(source: Source) -> Iterator[str]:
    """The public limits that a module defines at its top level."""
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name.endswith("_MAX") and not name.startswith("_"):
                yield name


PYTHON_LAWS: tuple[Law, ...] = (
    imports_run_downwards,
    inner_rooms_run_downwards,
    protocol_is_pure,
    only_the_command_line_imports_its_libraries,
    no_bare_folders,
    imports_stand_at_the_top,
    no_catch_all,
    interpreters_start_safely,
    sockets_of_tests_give_up,
    functions_are_small,
    modules_are_documented,
    public_things_are_documented,
)
TEXT_LAWS: tuple[Law, ...] = (rooms_are_small, nothing_is_left_over)
