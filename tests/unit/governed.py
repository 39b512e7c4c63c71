"""A community that is governed by signed messages, in one process: keys, messages, and a node's ledger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dispersy.ext.verify import public_key, sign_many
from dispersy.protocol.definitions.definition import Definition, Kind, encode_definition
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, CommunityId, MemberId, MessageId
from dispersy.protocol.intake.marks import HIDDEN
from dispersy.protocol.intake.received import pack
from dispersy.protocol.permissions.control_messages import (
    Authorize,
    Body,
    Destroy,
    Grant,
    Permission,
    Ranges,
    Revoke,
    Settings,
    Undo,
    Withdrawal,
    control_kind,
    encode_body,
)
from dispersy.protocol.wants import Wants
from dispersy.protocol.wire.message import NO_PREVIOUS, draft_message, read_message
from dispersy.protocol.wire.numbers import ControlKind
from dispersy.storage.keyring import Keyring
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, CommunityRecord, EntryType, StoreWriter
from dispersy.workers.ledger import Ledger

OPEN, EDIT, TALK, STATUS, PACT, RATED = 64, 65, 66, 67, 68, 69
"""Kinds: public; linear; dynamic and public at first; the newest two; of two authors, the newest two; two a
block."""
KINDS = (
    Kind(number=OPEN, name="open"),
    Kind(number=EDIT, name="edit", resolution=choose("resolution", "linear")),
    Kind(number=TALK, name="talk", resolution=choose("resolution", "dynamic", initial=0)),
    Kind(number=STATUS, name="status", distribution=choose("distribution", "last-sync", newest=2)),
    Kind(
        number=PACT,
        name="pact",
        authentication=choose("authentication", "double-member"),
        resolution=choose("resolution", "linear"),
        distribution=choose("distribution", "last-sync", newest=2),
        payload=choose("payload", "utf-8", size_max=800),
    ),
    Kind(number=RATED, name="rated", payload=choose("payload", "utf-8", rate=2)),
)
NUMBER = 7
PERMIT = Permission.PERMIT


class Author:
    """A key that signs; its control messages follow one another."""

    def __init__(self, seed: int) -> None:
        self.secret = bytes([seed]) * 32 + public_key(bytes([seed]) * 32)
        self.id = MemberId(self.secret[32:])
        self._previous = NO_PREVIOUS
        self._sequences: dict[tuple[int, bytes], int] = {}

    def data(
        self, kind: int, global_time: int, text: str = "", *, sequence: int = 0, second: Author | None = None
    ) -> bytes:
        """A message of one payload, or of one a word."""
        lane = (kind, second.id if second else b"")
        sequence = sequence or self._sequences.get(lane, 0) + 1
        self._sequences[lane] = max(sequence, self._sequences.get(lane, 0))
        payloads = [word.encode() for word in (text or f"{kind} {sequence}").split("|")]
        return _signed((self, second) if second else (self,), kind, global_time, sequence, payloads, None)

    def control(self, body: Body, global_time: int, *, previous: MessageId | None = None) -> bytes:
        kind = control_kind(body)
        lane = (kind, b"")
        self._sequences[lane] = self._sequences.get(lane, 0) + 1
        before = self._previous if previous is None else previous
        raw = _signed((self,), kind, global_time, self._sequences[lane], [encode_body(body)], before)
        self._previous = id_of(raw)
        return raw

    def grant(
        self, global_time: int, *members: Author, kind: int = EDIT, permissions: Permission = PERMIT
    ) -> bytes:
        rows = sorted((Grant(each.id, kind, permissions) for each in members), key=lambda row: row.member)
        return self.control(Authorize(tuple(rows)), global_time)

    def revoke(
        self,
        global_time: int,
        member: Author,
        *,
        kind: int = EDIT,
        permissions: Permission = PERMIT,
        keeps: Ranges = (),
        heads: Sequence[MessageId] = (),
    ) -> bytes:
        withdrawal = Withdrawal(member.id, kind, permissions, tuple(sorted(heads)), keeps, ())
        return self.control(Revoke((withdrawal,)), global_time)

    def undo(self, global_time: int, target: bytes, index: int | None = None) -> bytes:
        view = read_message(COMMUNITY, target)
        return self.control(Undo(view.id, view.kind, view.global_time, index), global_time)

    def settings(self, global_time: int, *, is_linear: bool, kind: int = TALK) -> bytes:
        return self.control(Settings(kind, is_linear), global_time)

    def destroy(self, global_time: int, *, is_hard: bool) -> bytes:
        return self.control(Destroy(is_hard), global_time)

    def define(self, global_time: int, *kinds: Kind) -> bytes:
        payload = encode_definition(Definition("governed", kinds))
        return _signed((self,), ControlKind.DEFINITION, global_time, global_time, [payload], NO_PREVIOUS)


MASTER = Author(1)
COMMUNITY = CommunityId(MASTER.id)


def master() -> Author:
    """The founder, who has said nothing yet."""
    return Author(1)


def _signed(
    authors: Sequence[Author],
    kind: int,
    global_time: int,
    sequence: int,
    payloads: Sequence[bytes],
    previous: MessageId | None,
) -> bytes:
    draft = draft_message(
        COMMUNITY,
        kind=kind,
        authors=[each.id for each in authors],
        global_time=global_time,
        sequence=sequence,
        payloads=payloads,
        previous=previous,
    )
    return draft.complete([sign_many(each.secret, [draft.signed]) for each in authors])


def id_of(raw: bytes) -> MessageId:
    return read_message(COMMUNITY, raw).id


class GovernedNode:
    """A ledger over a store, and what a follower of its log shows."""

    def __init__(self, home: Path, store: StoreWriter | None = None, *kinds: Kind) -> None:
        self.store = store or MemoryStore()
        self.keyring = Keyring(home / "keys")
        if not self.store.communities():
            definition = MASTER.define(1, *(kinds or KINDS))
            record = CommunityRecord(NUMBER, COMMUNITY, "governed", MASTER.id, definition)
            self.store.commit(Batch(communities=[record]))
        self.ledger = Ledger(self.store, self.keyring, now_ms=1_000)
        self.number = NUMBER
        self.shown: set[bytes] = set()
        self.told: list[tuple[str, bytes, str]] = []
        self._followed = 0

    def receive(self, *raws: bytes) -> None:
        """One round."""
        self.ledger.receive(self.number, len(raws), *pack(raws, COMMUNITY))
        self.commit()

    def commit(self) -> None:
        self.ledger.commit(now_ms=2_000)
        for entry in self.store.log(self._followed + 1, 100_000):
            if entry.type == EntryType.MESSAGE and not entry.marks & HIDDEN:
                self.shown.add(entry.message_id)
            elif entry.type in (EntryType.DENIED, EntryType.RESTORED, EntryType.UNDONE):
                self.told.append((entry.type.name.lower(), entry.message_id, entry.reason))
                if entry.type == EntryType.RESTORED:
                    self.shown.add(entry.message_id)
                elif not entry.reason.startswith("payload-"):
                    self.shown.discard(entry.message_id)
        self._followed = self.store.last_cursor()

    def restart(self) -> None:
        """The writer is started again: all that it had in memory is read from the store."""
        self.store.reload()
        self.ledger = Ledger(self.store, self.keyring, now_ms=1_000)

    def live(self) -> set[bytes]:
        keys, _, complete = self.store.scan(self.number, ORDER_LOW, ORDER_TOP, 100_000)
        assert complete
        return {keys[start + 8 : start + 40] for start in range(0, len(keys), 40)}

    def is_live(self, raw: bytes) -> bool:
        return id_of(raw) in self.live()

    def shows(self, *raws: bytes) -> list[bool]:
        """Of each message, whether a follower shows it; and whether the store says the same."""
        found = []
        for raw in raws:
            view = read_message(COMMUNITY, raw)
            cursor = self.store.find(self.number, view.global_time, view.id)
            stored = cursor is not None and not self.store.entries([cursor])[0].marks & HIDDEN
            assert stored == (view.id in self.shown), "what was told is not what is stored"
            found.append(stored)
        return found

    def waits(self, raw: bytes) -> bool:
        return self.ledger.fate(self.number, id_of(raw))[0]

    def wants(self) -> Wants:
        return self.ledger._communities.by_number[self.number].intake.wanted()

    def refused(self, raw: bytes) -> str:
        return self.ledger.fate(self.number, id_of(raw))[1]
