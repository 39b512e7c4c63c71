"""Hash tables of the writer: 16-byte keys to u64 (ids and slots), the newest of every lane, who may write."""

from typing import Self, final

ABSENT: int
"""2^64 - 1: what find_many() gives for a key that is not there; no value may be it."""

@final
class Table:
    """16-byte key -> u64; grows by doubling; nobody can aim at its positions, which are mixed with a secret.

    capacity  keys held without growing
    """

    def __new__(cls, *, capacity: int = 1024) -> Self: ...
    def __len__(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    def insert_many(self, keys: bytes | memoryview, values: bytes | memoryview) -> bytes:
        """Packed keys and native u64 values; one byte a key: 1 inserted, 0 it was there (its value stays)."""
    def find_many(self, keys: bytes | memoryview) -> bytes:
        """Packed native u64 values, ABSENT where a key is not there."""
    def replace(self, key: bytes, value: int) -> None:
        """Give a key this value, whether it is there or not."""
    def remove(self, key: bytes) -> bool: ...
    def clear(self) -> None: ...
    def sorted_items(self) -> tuple[bytes, bytes]:
        """All keys ascending and their values, packed: the contents of a sorted run."""

@final
class Heads:
    """Newest sequence and global time of every lane: the in-order test of the intake.

    A lane is (community, name, kind); protocol.identifiers.lane_name() tells the name of a message's.
    """

    def __new__(cls, *, capacity: int = 1024) -> Self: ...
    def __len__(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    def advance_many(
        self, records: bytes | memoryview, arena: bytes | memoryview, community: int, wanted: bytes
    ) -> bytes:
        """For each message_record (in order) whose `wanted` byte is 1, one byte:

        1  in order: higher sequence and global time than everything before in its lane (or
           the first); the head has been advanced to it
        0  anything else, or wanted was 0, or the head is marked irregular: nothing was changed, look closer

        raises  ValueError, before any head moves, for sizes that do not fit or a record outside the arena
        """
    def get(self, community: int, name: bytes, kind: int) -> tuple[int, int, bool] | None:
        """(sequence, global time, irregular) or None."""
    def put(
        self, community: int, name: bytes, kind: int, sequence: int, global_time: int, irregular: bool
    ) -> None: ...
    def lanes(self, community: int, kind: int) -> list[bytes]:
        """Names of all lanes of a kind, ascending. Looks at the whole table, at some 5 ns a lane."""
    def forget(self, community: int) -> None:
        """Remove all of one community."""
    def clear(self) -> None: ...
    @property
    def was_put(self) -> bool:
        """Whether a head was put, and not only advanced, since changed() or clear()."""
    def changed(self) -> list[tuple[int, bytes, int, int, int, bool]]:
        """Heads changed since the last call: (community, name, kind, sequence, time, irregular), sorted."""

HOLDERS: int
EVERYBODY: int
CLOSER: int
HOLDERS_OR_CLOSER: int
"""Modes of a kind: who has a span may write, and nobody else; everybody may; it takes a closer look at each
message; who has a span may write, and others take a closer look."""

@final
class Spans:
    """Since when a member may write in a kind, where that is all there is to it: one a community."""

    def __new__(cls, *, capacity: int = 16) -> Self: ...
    def __len__(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    def set(self, member: bytes, kind: int, since: int | None) -> None:
        """Permit what has a later global time than `since`, and nothing else; None: look closer."""
    def remove(self, member: bytes, kind: int) -> bool: ...
    def judge_many(
        self, records: bytes | memoryview, arena: bytes | memoryview, modes: bytes | memoryview
    ) -> bytes:
        """For each message_record one byte: 1 permitted, 0 not, 2 look closer.

        modes   one byte a kind, 256
        raises  ValueError for sizes that do not fit or a record outside the arena
        """
