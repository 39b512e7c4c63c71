"""What a late revoke costs that touches one lane of a stored community, beside all that it does not touch."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from dispersy.ext.wire import encode_message
from dispersy.protocol.definitions.definition import Definition, Kind, encode_definition
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.identifiers import CommunityId, MemberId
from dispersy.protocol.intake.received import pack
from dispersy.protocol.permissions.control_messages import (
    Authorize,
    Body,
    Grant,
    Permission,
    Revoke,
    Withdrawal,
    control_kind,
    encode_body,
)
from dispersy.protocol.wire.message import NO_PREVIOUS, SIGNATURE_SIZE, draft_message
from dispersy.protocol.wire.numbers import ControlKind
from dispersy.storage.keyring import Keyring
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.store import Batch, CommunityRecord
from dispersy.workers.ledger import Ledger

KIND, NUMBER = 64, 1
MASTER = MemberId(sha256(b"bench late revoke").digest())
LANE = 1_000
"""Messages of each author: so many a revoke touches."""
BATCH = 2_000
GRANTS = 20
TEXT = b"some forty bytes that somebody has written"


class StoredCommunity:
    """A ledger over a store on disk, in which authors have written in turn; nobody has been revoked yet.

    messages  LANE by each of messages / LANE authors; their signatures are zeros, for nobody checks them here
    """

    def __init__(self, folder: Path, messages: int) -> None:
        self._store = LmdbStore(folder / "store")
        kind = Kind(number=KIND, name="text", resolution=choose("resolution", "linear"))
        definition = self._control(1, encode_definition(Definition("bench", (kind,))), ControlKind.DEFINITION)
        record = CommunityRecord(NUMBER, MASTER, "bench", MASTER, definition)
        self._store.commit(Batch(communities=[record]))
        self._ledger = Ledger(self._store, Keyring(folder / "keys"), now_ms=1)
        self.authors = [MemberId(sha256(b"bench author %d" % at).digest()) for at in range(messages // LANE)]
        self._times = itertools.count(2)
        ordered = sorted(self.authors)
        for first in range(0, len(ordered), GRANTS):
            granted = ordered[first : first + GRANTS]
            grants = tuple(Grant(each, KIND, Permission.PERMIT) for each in granted)
            self._receive([self._say(Authorize(grants))])
        for batch in _batches(self._written(), BATCH):
            self._receive(batch)
        assert self.live_count == messages + -(-len(ordered) // GRANTS)
        self._revoked = iter(self.authors)

    @property
    def live_count(self) -> int:
        return self._store.state(NUMBER).summary.count

    def revoke_next(self) -> float:
        """Seconds that a revoke of one more author takes, durable."""
        withdrawal = Withdrawal(next(self._revoked), KIND, Permission.PERMIT, (), (), ())
        before, raw = self.live_count, self._say(Revoke((withdrawal,)))
        start = time.perf_counter()
        self._receive([raw])
        taken = time.perf_counter() - start
        assert self.live_count == before - LANE + 1
        return taken

    def close(self) -> None:
        self._store.close()

    def _written(self) -> Iterator[bytes]:
        for sequence in range(1, LANE + 1):
            for author in self.authors:
                unsigned = encode_message(KIND, 0, author, b"", next(self._times), sequence, b"", b"", [TEXT])
                yield unsigned + bytes(SIGNATURE_SIZE)

    def _say(self, body: Body) -> bytes:
        return self._control(next(self._times), encode_body(body), control_kind(body))

    def _control(self, global_time: int, payload: bytes, kind: int) -> bytes:
        draft = draft_message(
            CommunityId(MASTER),
            kind=kind,
            authors=[MASTER],
            global_time=global_time,
            sequence=global_time,
            payloads=[payload],
            previous=NO_PREVIOUS,
        )
        return draft.complete([bytes(SIGNATURE_SIZE)])

    def _receive(self, raws: list[bytes]) -> None:
        self._ledger.receive(NUMBER, len(raws), *pack(raws, MASTER))
        self._ledger.commit(now_ms=1)


def _batches(messages: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    while batch := list(itertools.islice(messages, size)):
        yield batch
