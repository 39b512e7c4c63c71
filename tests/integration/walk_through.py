"""A walk-through in a document: commands of several people at their terminals, and what these print.

Keys, ids and ports are others each time. So what a document shows of them stands for what comes: the first
time anything of the same length is taken for it, from then on only that, also where it is cut.
"""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from dispersy.service.operations.explanation import CAME_BY
from tests.integration.node import Node

LIMIT_S = 90.0
"""For what has to travel from node to node before a command prints what is said."""
BLOCK = re.compile(r"^```(console|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TYPED = re.compile(r"(\w+)\$ (.*)")
TITLE = re.compile(r"# ([\w.]+)\n")
VARIES = re.compile(r"\b[0-9a-f]{8,64}\b|127\.0\.0\.1:\d+")
CAME = "  how it came: "
"""By which of several means a message came is a race between them, and nothing that a document promises."""
LOOKS = frozenset({"count", "explain", "get", "list", "members", "permissions", "subscribe"})
"""Commands that change nothing: they are typed again until they print what is said."""
WIDTH = "110"


@dataclass(frozen=True, slots=True)
class Step:
    """What somebody types, and the lines that come."""

    who: str
    command: str
    lines: tuple[str, ...]


@dataclass(slots=True)
class Story:
    """What a document shows.

    files   by name, each a TOML block whose first line is `# NAME`
    """

    steps: list[Step] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


def read_story(text: str) -> Story:
    """The steps of a document, in order."""
    story = Story()
    for language, body in BLOCK.findall(text):
        if language == "toml":
            title = TITLE.match(body)
            assert title is not None, f"a file begins with its name: {body[:40]!r}"
            story.files[title[1]] = body
            continue
        for line in body.splitlines():
            typed = TYPED.fullmatch(line)
            if typed is not None:
                story.steps.append(Step(typed[1], typed[2], ()))
            else:
                last = story.steps[-1]
                story.steps[-1] = Step(last.who, last.command, (*last.lines, line))
    return story


class Names:
    """What a document's ids and addresses stand for."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def actual(self, text: str) -> str:
        """The text with what is known in it."""
        return VARIES.sub(lambda found: self._word(found[0]) or found[0], text)

    def match(self, said: str, line: str) -> bool:
        """Whether a line is what the document says; what was not known before is known then."""
        if said.startswith(CAME):
            return all(each.removeprefix(CAME) in CAME_BY.values() for each in (said, line))
        parts: list[str] = []
        fresh: list[str] = []
        end = 0
        for found in VARIES.finditer(said):
            parts.append(re.escape(said[end : found.start()]))
            end = found.end()
            word = self._word(found[0])
            if word is None:
                fresh.append(found[0])
                parts.append(r"(127\.0\.0\.1:\d+)" if ":" in found[0] else f"([0-9a-f]{{{len(found[0])}}})")
            else:
                parts.append(re.escape(word))
        parts.append(re.escape(said[end:]))
        matched = re.fullmatch("".join(parts).rstrip(), line.rstrip())
        if matched is None:
            return False
        self._known.update(zip(fresh, matched.groups(), strict=True))
        return True

    def _word(self, said: str) -> str | None:
        if said in self._known:
            return self._known[said]
        whole = next((each for each in self._known if each.startswith(said)), None)
        return None if whole is None or ":" in said else self._known[whole][: len(said)]


class Terminals:
    """A node and a terminal for each who types something."""

    def __init__(self, folder: Path, files: dict[str, str]) -> None:
        self._folder = folder
        self._names = Names()
        self.nodes: dict[str, Node] = {}
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")

    def play(self, step: Step) -> list[str]:
        """Type it until what is said comes; what came in the end."""
        command = self._names.actual(step.command)
        if command.startswith("dispersy run"):
            return self._run(step)
        limit = time.monotonic() + LIMIT_S
        while True:
            printed = self._type(step.who, command)
            if self._is_said(step.lines, printed):
                return printed
            goes_on = command.split()[1] in LOOKS and time.monotonic() < limit
            told = "\n".join([f"{step.who}$ {command}", *printed, "is not", *step.lines])
            assert goes_on, told

    def _run(self, step: Step) -> list[str]:
        node = self.nodes[step.who] = Node(
            self._folder, step.who, "--listen", "127.0.0.1:0", "--placement", "single"
        )
        node.start().close()
        ready = node.wait_for_line("ready, listening on", limit_s=LIMIT_S)
        assert self._is_said(step.lines, [ready]), f"{ready} is not {step.lines}"
        return [ready]

    def _type(self, who: str, command: str) -> list[str]:
        """Run a command at a terminal; the lines that it prints."""
        program, *arguments = shlex.split(command)
        assert program == "dispersy"
        node = self.nodes[who]
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dispersy.cli", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=self._folder,
            env={
                **node.environment,
                "DISPERSY_HOME": str(node.home),
                "COLUMNS": WIDTH,
                "TERM": "dumb",
                "NO_COLOR": "1",
            },
        )
        os.close(theirs)
        printed = b""
        try:
            while chunk := _read(ours):
                printed += chunk
        finally:
            process.wait(LIMIT_S)
            os.close(ours)
        return printed.decode().replace("\r\n", "\n").splitlines()

    def _is_said(self, said: tuple[str, ...], printed: list[str]) -> bool:
        """Every line that is said comes, and no other; rows of a table come in the order of keys: in any."""
        left = [line for line in printed if line.strip()]
        wanted = [line for line in said if line.strip()]
        if len(left) != len(wanted):
            return False
        for line in wanted:
            found = next((each for each in left if self._names.match(line, each)), None)
            if found is None:
                return False
            left.remove(found)
        return True

    def close(self) -> None:
        """End the nodes."""
        for node in self.nodes.values():
            if node.process is not None:
                node.stop()


def _read(descriptor: int) -> bytes:
    """What a terminal shows next; nothing when the command at it has ended."""
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:
        return b""
