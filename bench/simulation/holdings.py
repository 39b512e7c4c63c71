"""What simulated nodes hold: one community in a memory store, and messages made for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from dispersy.constants import DATAGRAM_MESSAGE_SIZE_MAX
from dispersy.ext import digest, wire
from dispersy.protocol.holdings import key_after
from dispersy.protocol.identifiers import CommunityId, OrderKey, community_tag
from dispersy.protocol.spreading.spreading import identify
from dispersy.protocol.wire.announcements import IdPrefix
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.protocol.wire.records import MESSAGE
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, CommunityRecord, MessageBlock

COMMUNITY_ID = CommunityId(bytes(range(32)))
TAG = community_tag(COMMUNITY_ID)
COMMUNITY = 1


def make_message(*, author: bytes, global_time: int, sequence: int, payload: bytes) -> bytes:
    """A message of kind 64; its signature is zeros, for nobody in this world checks it."""
    head = wire.encode_message(64, 0, author, b"", global_time, sequence, b"", b"", [payload])
    return head + bytes(64)


def area_of(messages: list[bytes]) -> bytes:
    """Messages as a list of a messages frame has them."""
    return b"".join(encode_uvarint(len(message)) + message for message in messages)


def records_of(messages: list[bytes]) -> tuple[bytes, bytes]:
    """(packed message_records with ids, arena) of whole messages."""
    arena = area_of(messages)
    records = wire.parse_messages(arena, bytearray(4 * len(wire.DROP_REASONS)))
    digest.identify_many(records, arena, COMMUNITY_ID)
    return bytes(records), arena


class StoreHoldings:
    """One community's part of a memory store."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    def summary(self) -> Summary:
        return self.store.state(COMMUNITY).summary

    def scan(self, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        return self.store.scan(COMMUNITY, low, high, limit)

    def scan_back(self, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        return self.store.scan_back(COMMUNITY, low, high, limit)

    def named(self, key: OrderKey) -> tuple[bytes, bytes]:
        return self.scan(key, key_after(key), 1)[:2]

    def community_id(self) -> CommunityId:
        return COMMUNITY_ID

    def tree(self, level: int, indexes: Sequence[int]) -> list[tuple[int, int]] | None:
        return self.store.tree(COMMUNITY, level, indexes)

    def symbols(self, first: int, count: int) -> bytes | None:
        return self.store.symbols(COMMUNITY, first, count)

    def find_items(self, items: bytes) -> list[int]:
        return self.store.find_items(COMMUNITY, items)

    def messages(self, cursors: list[int]) -> list[bytes]:
        return self.store.messages(cursors)

    def read(self, area: bytes) -> list[bytes]:
        """The messages in a list of a messages frame, for take()."""
        records = wire.parse_messages(area, bytearray(4 * len(wire.DROP_REASONS)))
        return [area[fields[0] : fields[0] + fields[1]] for fields in MESSAGE.iter_unpack(records)]

    def take(self, messages: list[bytes]) -> int:
        """As add()."""
        return self.add(messages)

    def identify(self, area: bytes) -> list[tuple[IdPrefix, bytes]]:
        """The messages in a list by the beginnings of their ids."""
        return identify(COMMUNITY_ID, area)

    def missing(self, messages: list[bytes]) -> list[tuple[IdPrefix, bytes]]:
        """Those of them that are not held and fit a datagram, each once, by the beginnings of their ids."""
        records, arena = records_of([each for each in messages if len(each) <= DATAGRAM_MESSAGE_SIZE_MAX])
        held = self.store.held(COMMUNITY, records)
        found = identify(COMMUNITY_ID, arena)
        return list(dict(pair for pair, is_held in zip(found, held, strict=True) if not is_held).items())

    def add(self, messages: list[bytes]) -> int:
        """Commit those that are not held; how many that were."""
        records, arena = records_of(messages)
        fresh: dict[bytes, bytes] = {}
        held = self.store.held(COMMUNITY, records)
        for index, fields in enumerate(MESSAGE.iter_unpack(records)):
            if not held[index]:
                fresh[fields[11]] = records[index * MESSAGE.size : (index + 1) * MESSAGE.size]
        if fresh:
            block = MessageBlock(COMMUNITY, b"".join(fresh.values()), arena, bytes(len(fresh)), 0)
            self.store.commit(Batch(blocks=[block]))
        return len(fresh)

    def newest(self, author: bytes) -> list[bytes]:
        """The author's message of the highest sequence, if any."""
        return [self.store.messages([slot.cursor])[0] for slot in self.store.lane(COMMUNITY, author, 64)][-1:]

    def ids(self) -> set[bytes]:
        keys, _, _ = self.scan(bytes(24), b"\xff" * 24, 1 << 30)
        return {keys[start + 8 : start + 40] for start in range(0, len(keys), 40)}


def make_holdings(*, sum_bits: int = 96) -> StoreHoldings:
    """An empty store with the one community of this world."""
    store = MemoryStore(sum_bits=sum_bits)
    store.commit(Batch(communities=[CommunityRecord(COMMUNITY, COMMUNITY_ID, "world", bytes(32))]))
    return StoreHoldings(store)


def history(count: int, *, seed: int = 1, size: int = 100) -> list[bytes]:
    """Messages of several authors by rising global time, now and then two at one time."""
    rng = Random(seed)
    authors = [rng.randbytes(32) for _ in range(5)]
    sequences: Counter[bytes] = Counter()
    messages, time = [], 1
    for _ in range(count):
        author = rng.choice(authors)
        sequences[author] += 1
        payload = rng.randbytes(rng.randrange(size // 2, size))
        messages.append(
            make_message(author=author, global_time=time, sequence=sequences[author], payload=payload)
        )
        time += rng.random() < 0.8
    return messages
