"""The machine that fetches large messages, and neighbours that answer it from what they hold."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from random import Random

from dispersy.ext.digest import sum_many
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.holdings import key_after
from dispersy.protocol.identifiers import CommunityId, MemberId, OrderKey, sum_key
from dispersy.protocol.large_messages.assembly import AssemblyRoom
from dispersy.protocol.large_messages.fragment_answer import FragmentAnswer
from dispersy.protocol.large_messages.fragment_sources import AskFragments, Whole
from dispersy.protocol.large_messages.fragments import Fragments
from dispersy.protocol.wire.frames import Fragment, FragmentRequest, LargeName
from dispersy.protocol.wire.message import draft_message
from dispersy.protocol.wire.packing import decode_uvarint
from dispersy.protocol.wire.summary import Summary

COMMUNITY = CommunityId(bytes(range(32)))
AUTHOR = MemberId(b"a" * 32)
SOURCE, OTHER = make_address("192.0.2.1", 6421), make_address("192.0.2.2", 6421)


def message(time: int, size: int) -> tuple[LargeName, bytes]:
    """A message of one author with a payload of so many bytes, and its name."""
    draft = draft_message(
        COMMUNITY,
        kind=64,
        authors=(AUTHOR,),
        global_time=time,
        sequence=time,
        payloads=[Random(time).randbytes(size)],
    )
    raw = draft.complete([b"s" * 64])
    return LargeName(time, draft.id, len(raw)), raw


class Held:
    """Holdings of given messages."""

    def __init__(self, messages: Iterable[tuple[LargeName, bytes]] = ()) -> None:
        self.rows = {name.packed_key: raw for name, raw in messages}

    def summary(self) -> Summary:
        ids = b"".join(key[8:] for key in self.rows)
        return Summary(0, len(self.rows), 0, sum_many(ids, sum_key(COMMUNITY)) if ids else 0)

    def scan(self, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        keys = sorted(key for key in self.rows if low <= key[:24] < high)
        order = sorted(self.rows)
        cursors = array("Q", [1 + order.index(key) for key in keys[:limit]])
        return b"".join(keys[:limit]), cursors.tobytes(), len(keys) <= limit

    def named(self, key: OrderKey) -> tuple[bytes, bytes]:
        return self.scan(key, key_after(key), 1)[:2]

    def messages(self, cursors: Iterable[int]) -> list[bytes]:
        order = sorted(self.rows)
        return [self.rows[order[cursor - 1]] for cursor in cursors]


class House:
    """The machine, and neighbours that answer it from what they hold."""

    def __init__(self, room: AssemblyRoom | None = None) -> None:
        self.held = Held()
        self.room = room or AssemblyRoom()
        self.fragments = Fragments(community_id=COMMUNITY, rng=Random(1), holdings=self.held, room=self.room)
        self.whole: list[tuple[Address, bytes]] = []
        self.asked: list[AskFragments] = []

    def drain(self) -> None:
        for event in self.fragments.drain():
            if isinstance(event, Whole):
                self.whole.append((event.source, event.message))
            else:
                self.asked.append(event)

    def ask(self) -> list[AskFragments]:
        """What has been asked since the last time."""
        self.drain()
        asked, self.asked = self.asked, []
        return asked

    def answer(self, holdings: Held, now: float, *, rounds: int = 100) -> None:
        """All that was asked is answered at once, and what is asked then, too."""
        for _ in range(rounds):
            asked = self.ask()
            if not asked:
                return
            for ask in asked:
                for fragment in answered(ask.request, holdings):
                    self.fragments.receive_fragment(ask.address, fragment, now)


def answered(request: FragmentRequest, holdings: Held) -> list[Fragment]:
    """The fragments that a neighbour answers with."""
    answer = FragmentAnswer(request, holdings)
    found = []
    while not answer.finished:
        for content in answer.frames(5):
            size, start = decode_uvarint(content, 1)
            assert len(content) == start + size
            found.append(Fragment.decode(content[start:]))
    return found
