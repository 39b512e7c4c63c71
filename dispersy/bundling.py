"""What a client does for carriage by file, as procedures (dispersy.operations says what these are) and as
methods of both clients.

A procedure reads or writes its file between two requests, so the asyncio client, too, waits for the disk
then: a page or a portion at a time, some milliseconds.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dispersy.bundle import BundledMessage, BundleReader, BundleWriter
from dispersy.constants import IMPORT_PORTION_MAX
from dispersy.conversation import Frame
from dispersy.errors import UsageError
from dispersy.operations import Pause, Procedure, Submit, Wait, request

T = TypeVar("T")
Path = str | os.PathLike[str]

IMPORT_PORTION_SIZE_MAX = 256 * 1024
"""Bytes of messages after which an import request leaves; a request may have 1 MiB."""
IMPORT_WINDOW = 4
"""Import requests under way at once: what is decided out of order among them still fits a waiting room."""
SENT_AGAIN_MAX = 60
AGAIN_S = 0.5
"""A portion is sent again so often, and after so long, where the node is busy or lost it: its processes may
be started again meanwhile."""
_AGAIN = ("busy", "no-answer", "starting")


@dataclass(frozen=True, slots=True)
class Exported:
    """A bundle that was written.

    count    messages in it
    size     bytes of the file
    cursor   `since` of the next bundle that goes on where this one ends
    """

    community: bytes
    count: int
    size: int
    cursor: int


@dataclass(slots=True)
class Imported:
    """What has become of a bundle's messages so far.

    new, known   stored now; held before
    waiting      of them, until something comes that they need
    refused      how many, by reason
    position     bytes of the file that are dealt with
    size         bytes of the file
    """

    community: bytes
    size: int
    new: int = 0
    known: int = 0
    waiting: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    position: int = 0

    @property
    def count(self) -> int:
        """Messages that are dealt with."""
        return self.new + self.known + self.waiting + sum(self.refused.values())


def export_bundle(
    community: str,
    path: Path,
    *,
    since: int,
    overwrite: bool,
    progress: Callable[[int], None] | None,
) -> Procedure[Exported]:
    """Write what counts to a file: definition, messages by global time, and what is left of erased ones."""
    asked = {"community": community, "since": since}
    page = yield from request("export", **asked)
    with BundleWriter(path, page["community"], overwrite=overwrite) as bundle:
        # Whoever joins by the file can make nothing of the rest without it.
        definition = page["definition"]
        if definition:
            bundle.add(BundledMessage(definition, is_stripped=False))
        while True:
            after = page["next"]
            if after is not None:
                number = yield Submit("export", {**asked, "until": page["until"], "next": after})
            for message in page["messages"]:
                if message != definition:
                    bundle.add(BundledMessage(message, is_stripped=False))
            for message in page["stripped"]:
                bundle.add(BundledMessage(message, is_stripped=True))
            if progress is not None:
                progress(bundle.count)
            if after is None:
                break
            _, page = yield Wait((number,))
        bundle.finish()
        return Exported(page["community"], bundle.count, bundle.size, page["until"])


def import_bundle(
    path: Path, *, join: bool, progress: Callable[[Imported], None] | None
) -> Procedure[Imported]:
    """Give the node what a file holds, a few portions under way at once; what has become of it.

    What came before a break or a malformed part stays, and the error says how much that was.
    """
    with BundleReader(path) as bundle:
        name = bundle.community_id.hex()
        if join:
            yield from request("join", community=bundle.community_id)
        done = Imported(bundle.community_id, bundle.size)
        portions = _Portions(name, bundle)
        try:
            yield from _import_all(portions, done, progress)
        except UsageError as error:
            raise _explained(error, name, done) from None
        if portions.problem is not None:
            raise _explained(portions.problem, name, done)
        done.position = bundle.size
        return done


def _explained(error: UsageError, name: str, done: Imported) -> UsageError:
    if error.code == "community-unknown":
        hint = f"join it first, by an invite of somebody who is in it, or import with --join ({name})"
        return UsageError("the bundle's community is not joined here", code=error.code, hint=hint)
    told = f"; {done.count} messages were dealt with before, {done.new} of them new" if done.count else ""
    return UsageError(f"{error}{told}", code=error.code, hint=error.hint)


@dataclass(slots=True)
class _Portion:
    """One import request, the file's bytes up to its end, and what was answered."""

    fields: dict[str, Any]
    position: int
    reply: Frame = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.fields["messages"]) + len(self.fields["stripped"])


class _Portions:
    """The import requests that a bundle makes.

    problem   what ended the file too early, once the portions before it have been given
    """

    def __init__(self, community: str, bundle: BundleReader) -> None:
        self.problem: UsageError | None = None
        self._community = community
        self._bundle = bundle

    def __iter__(self) -> Iterator[_Portion]:
        """The first holds one message alone: the definition, which must be there before the others."""
        portion: list[BundledMessage] = []
        size, wanted = 0, 1
        messages = iter(self._bundle)
        while True:
            try:
                message = next(messages, None)
            except UsageError as error:
                self.problem, message = error, None
            if portion and (message is None or len(portion) >= wanted or size >= IMPORT_PORTION_SIZE_MAX):
                yield _Portion(self._fields(portion), self._bundle.position)
                portion, size, wanted = [], 0, IMPORT_PORTION_MAX
            if message is None:
                return
            portion.append(message)
            size += len(message.data)

    def _fields(self, portion: list[BundledMessage]) -> dict[str, Any]:
        return {
            "community": self._community,
            "messages": [each.data for each in portion if not each.is_stripped],
            "stripped": [each.data for each in portion if each.is_stripped],
        }


def _import_all(
    portions: _Portions, done: Imported, progress: Callable[[Imported], None] | None
) -> Procedure[None]:
    under_way: dict[int, _Portion] = {}
    rest = iter(portions)
    window = 1
    while True:
        while len(under_way) < window and (portion := next(rest, None)) is not None:
            under_way[(yield Submit("import", portion.fields))] = portion
        if not under_way:
            return
        answered = [(yield from _take_oldest(under_way))]
        if answered[0].reply["waiting"]:
            # What others bring that are under way may be what it waits for: it is asked about once more then.
            while under_way:
                answered.append((yield from _take_oldest(under_way)))
        for portion in answered:
            reply = yield from _settled(portion)
            done.new += reply["new"]
            done.known += reply["known"]
            done.waiting += reply["waiting"]
            done.refused.update(reply["refused"])
            done.position = portion.position
        window = IMPORT_WINDOW
        if progress is not None:
            progress(done)


def _take_oldest(under_way: dict[int, _Portion]) -> Procedure[_Portion]:
    number = next(iter(under_way))
    portion = under_way.pop(number)
    portion.reply = yield from _answer(number, portion.fields)
    return portion


def _settled(portion: _Portion) -> Procedure[Frame]:
    """What has become of a portion, once nothing that came with it is under way any more."""
    reply = portion.reply
    if not reply["waiting"]:
        return reply
    number = yield Submit("import", portion.fields)
    later = yield from _answer(number, portion.fields)
    rest = reply["known"] + later["waiting"] + sum(later["refused"].values())
    return {**later, "known": reply["known"], "new": portion.count - rest}


def _answer(number: int, fields: dict[str, Any]) -> Procedure[Frame]:
    """The reply to a portion, which is sent again where the node did not come to it."""
    for _ in range(SENT_AGAIN_MAX):
        try:
            _, reply = yield Wait((number,))
        except UsageError as error:
            if error.code not in _AGAIN:
                raise
            yield Pause(AGAIN_S)
            number = yield Submit("import", fields)
        else:
            assert isinstance(reply, dict)
            return reply
    _, reply = yield Wait((number,))
    assert isinstance(reply, dict)
    return reply


class Carries:
    """What the blocking client does for carriage by file."""

    def export_bundle(
        self,
        community: str,
        path: Path,
        *,
        since: int = 0,
        overwrite: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Exported:
        """Write a community's messages to a file, for import on another node.

        since      `cursor` of the bundle before: only what came since
        overwrite  whether a file of this name gives way
        progress   called with the number of messages written so far
        """
        return self.run(export_bundle(community, path, since=since, overwrite=overwrite, progress=progress))

    def import_bundle(
        self, path: Path, *, join: bool = False, progress: Callable[[Imported], None] | None = None
    ) -> Imported:
        """Take in the messages of a bundle, each verified like any other.

        join      join its community first, where that has not been done
        progress  called with what has become of them so far
        """
        return self.run(import_bundle(path, join=join, progress=progress))

    def run(self, procedure: Procedure[T]) -> T:
        """As Client.run()."""
        raise NotImplementedError


class AsyncCarries:
    """Carries of the asyncio client."""

    async def export_bundle(
        self,
        community: str,
        path: Path,
        *,
        since: int = 0,
        overwrite: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Exported:
        """Write a community's messages to a file, for import on another node.

        since      `cursor` of the bundle before: only what came since
        overwrite  whether a file of this name gives way
        progress   called with the number of messages written so far
        """
        return await self.run(
            export_bundle(community, path, since=since, overwrite=overwrite, progress=progress)
        )

    async def import_bundle(
        self, path: Path, *, join: bool = False, progress: Callable[[Imported], None] | None = None
    ) -> Imported:
        """Take in the messages of a bundle, each verified like any other.

        join      join its community first, where that has not been done
        progress  called with what has become of them so far
        """
        return await self.run(import_bundle(path, join=join, progress=progress))

    async def run(self, procedure: Procedure[T]) -> T:
        """As AsyncClient.run()."""
        raise NotImplementedError
