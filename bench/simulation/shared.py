"""Large sets for many nodes in little memory: every message once, and what a node holds as a difference.

A Corpus has the messages of a world, each with its key and its part of the summary's sum, under a number. A
Base is a frozen set of them, shared by all nodes that start with it. SharedHoldings are a base without some
and with others; they answer as a store does (dispersy.protocol.holdings), and cost what they differ by.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from random import Random

from dispersy.constants import DATAGRAM_MESSAGE_SIZE_MAX, SORTED_INSERT_MAX, SYMBOLS_KEPT
from dispersy.ext import sketch, wire
from dispersy.ext.digest import sum_many
from dispersy.protocol.holdings import ID_SIZE, KEY_SIZE, ids_of, key_after
from dispersy.protocol.identifiers import CommunityId, OrderKey, sum_key, symbols_key
from dispersy.protocol.tree import NOTHING, NodeSum, SumTree, added, negative
from dispersy.protocol.wire.announcements import IdPrefix
from dispersy.protocol.wire.records import MESSAGE
from dispersy.protocol.wire.summary import SUM_MODULUS, Summary
from dispersy.storage.store import ITEM_MESSAGES_MAX, ITEM_SIZE
from simulation.holdings import COMMUNITY_ID, records_of

AREAS_MAX = 8_192
"""Lists of messages whose parts are remembered: the same one goes to many nodes."""
PARSED_AT_ONCE = 10_000
SYMBOLS_KEY = symbols_key(COMMUNITY_ID)


class Corpus:
    """All messages of a world.

    messages  whole, by number
    keys      40 bytes each: global time, id
    parts     what each adds to the sum of a summary
    """

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.keys: list[bytes] = []
        self.parts: list[int] = []
        self._numbers: dict[bytes, int] = {}
        self._areas: dict[bytes, tuple[int, ...]] = {}
        self._sum_key = sum_key(COMMUNITY_ID)
        self._items: dict[bytes, list[int]] | None = None

    def numbers(self, messages: Sequence[bytes]) -> list[int]:
        """The numbers of messages; those that are new get one."""
        known = [self._numbers[message] for message in messages if message in self._numbers]
        if len(known) == len(messages):
            return known
        fresh = [message for message in dict.fromkeys(messages) if message not in self._numbers]
        for start in range(0, len(fresh), PARSED_AT_ONCE):
            self._add(fresh[start : start + PARSED_AT_ONCE])
        return [self._numbers[message] for message in messages]

    def read(self, area: bytes) -> tuple[int, ...]:
        """The numbers of the messages in a list of a messages frame."""
        known = self._areas.get(area)
        if known is None:
            records = wire.parse_messages(area, bytearray(4 * len(wire.DROP_REASONS)))
            pieces = [area[fields[0] : fields[0] + fields[1]] for fields in MESSAGE.iter_unpack(records)]
            if len(self._areas) >= AREAS_MAX:
                self._areas.clear()
            known = self._areas[area] = tuple(self.numbers(pieces))
        return known

    def items(self) -> dict[bytes, list[int]]:
        """Numbers by the first bytes of their ids; made when first asked for."""
        if self._items is None:
            self._items = {}
            self._index(range(len(self.keys)))
        return self._items

    def _index(self, numbers: Iterable[int]) -> None:
        if self._items is not None:
            for number in numbers:
                self._items.setdefault(self.keys[number][8 : 8 + ITEM_SIZE], []).append(number)

    def leaves(self, numbers: Iterable[int]) -> dict[int, NodeSum]:
        """What messages add to the leaves of a tree."""
        found: dict[int, NodeSum] = {}
        for number in numbers:
            leaf = int.from_bytes(self.keys[number][:7], "big")
            found[leaf] = added(found.get(leaf, NOTHING), (1, self.parts[number]))
        return found

    def make_alike(self, pairs: Iterable[tuple[int, int]]) -> None:
        """As if the id of each second one had been made to begin as that of the first: some 2^32 attempts a
        pair, which are not made here. Before anything is held."""
        assert self._items is None
        for one, other in pairs:
            beginning = self.keys[one][8 : 8 + ITEM_SIZE]
            key = self.keys[other]
            self.keys[other] = key[:8] + beginning + key[8 + ITEM_SIZE :]
            self.parts[other] = sum_many(self.keys[other][8:], self._sum_key)

    def _add(self, messages: list[bytes]) -> None:
        before = len(self.messages)
        records, _ = records_of(messages)
        for message, fields in zip(messages, MESSAGE.iter_unpack(records), strict=True):
            self._numbers[message] = len(self.messages)
            self.messages.append(message)
            self.keys.append(fields[2].to_bytes(8, "big") + fields[11])
            self.parts.append(sum_many(fields[11], self._sum_key))
        self._index(range(before, len(self.messages)))


class Base:
    """A frozen set of a corpus's messages, in order."""

    def __init__(self, corpus: Corpus, numbers: Iterable[int]) -> None:
        self.order = array("Q", sorted(numbers, key=corpus.keys.__getitem__))
        self.keys = b"".join([corpus.keys[number] for number in self.order])
        self.has = bytearray(len(corpus.keys))
        for number in self.order:
            self.has[number] = 1
        highest = int.from_bytes(self.keys[-KEY_SIZE : 8 - KEY_SIZE], "big") if self.order else 0
        total = sum([corpus.parts[number] for number in self.order]) % SUM_MODULUS
        self.summary = Summary(highest, len(self.order), 0, total)
        self._symbols: bytes | None = None
        self._tree: SumTree | None = None

    def tree(self, corpus: Corpus) -> SumTree:
        """Of the set; made when first asked for."""
        if self._tree is None:
            self._tree = SumTree()
            self._tree.change(corpus.leaves(self.order))
        return self._tree

    def symbols(self) -> bytes:
        """The first SYMBOLS_KEPT of the set; made when first asked for."""
        if self._symbols is None:
            self._symbols = sketch.symbols_of(
                ids_of(self.keys), ID_SIZE, SYMBOLS_KEY, first=0, count=SYMBOLS_KEPT
            )
        return self._symbols

    def highest(self, lacking: set[int]) -> int:
        """The highest global time of what is not lacking."""
        for at in range(len(self.order) - 1, -1, -1):
            if self.order[at] not in lacking:
                return int.from_bytes(self.keys[at * KEY_SIZE : at * KEY_SIZE + 8], "big")
        return 0

    def position(self, key: bytes) -> int:
        """Of the first key at or above this one."""
        low, high = 0, len(self.order)
        while low < high:
            middle = (low + high) // 2
            if self.keys[middle * KEY_SIZE : middle * KEY_SIZE + KEY_SIZE] < key:
                low = middle + 1
            else:
                high = middle
        return low


class SharedHoldings:
    """What one node holds: a base without `lacking`, and what it took in since.

    lacking  numbers; few, or a base of its own is cheaper
    """

    def __init__(self, corpus: Corpus, base: Base | None = None, *, lacking: Iterable[int] = ()) -> None:
        self.corpus = corpus
        self.base = base if base is not None else Base(corpus, ())
        self._lacking = set(lacking)
        self._lacking_at = sorted(self.base.position(corpus.keys[number]) for number in self._lacking)
        self.examined = 0
        """Ids that scans gave, in all."""
        self._added: list[int] = []
        self._has = bytearray()
        whole = self.base.summary
        gone = sum(corpus.parts[number] for number in self._lacking)
        self._highest = self.base.highest(self._lacking)
        self._count = whole.count - len(self._lacking)
        self._sum = (whole.sum - gone) % SUM_MODULUS
        self._summary: Summary | None = None
        self._symbols: bytearray | None = None
        self._tree: SumTree | None = None
        """Of what it differs from its base by."""

    def summary(self) -> Summary:
        if self._summary is None:
            self._summary = Summary(self._highest, self._count, 0, self._sum)
        return self._summary

    def holds(self, number: int) -> bool:
        if number < len(self._has) and self._has[number]:
            return True
        return number < len(self.base.has) and self.base.has[number] == 1 and number not in self._lacking

    def read(self, area: bytes) -> tuple[int, ...]:
        """What a list of messages brings, for take()."""
        return self.corpus.read(area)

    def identify(self, area: bytes) -> list[tuple[IdPrefix, bytes]]:
        """The messages in a list by the beginnings of their ids."""
        return self._named(self.corpus.read(area))

    def missing(self, numbers: Sequence[int]) -> list[tuple[IdPrefix, bytes]]:
        """Those of them that are not held and fit a datagram, each once, by the beginnings of their ids."""
        found = self._named([number for number in dict.fromkeys(numbers) if not self.holds(number)])
        return [(prefix, message) for prefix, message in found if len(message) <= DATAGRAM_MESSAGE_SIZE_MAX]

    def _named(self, numbers: Sequence[int]) -> list[tuple[IdPrefix, bytes]]:
        keys, messages = self.corpus.keys, self.corpus.messages
        return [(IdPrefix(keys[number][8:16]), messages[number]) for number in numbers]

    def add(self, messages: list[bytes]) -> int:
        """Commit those that are not held; how many that were."""
        return self.take(self.corpus.numbers(messages))

    def take(self, numbers: Sequence[int]) -> int:
        """Commit those that are not held; how many that were."""
        fresh = [number for number in dict.fromkeys(numbers) if not self.holds(number)]
        if not fresh:
            return 0
        corpus, keys = self.corpus, self.corpus.keys
        if len(self._has) < len(keys):
            self._has += bytes(len(keys) + len(keys) // 4 + 16 - len(self._has))
        for number in fresh:
            self._has[number] = 1
            self._sum += corpus.parts[number]
        self._change_symbols(fresh, sketch.add_many)
        if self._tree is not None:
            self._tree.change(corpus.leaves(fresh))
        self._put_in_order(fresh)
        self._sum %= SUM_MODULUS
        self._count += len(fresh)
        self._highest = max(self._highest, int.from_bytes(keys[self._added[-1]][:8], "big"))
        self._summary = None
        return len(fresh)

    def _put_in_order(self, fresh: list[int]) -> None:
        order, key_of = self._added, self.corpus.keys.__getitem__
        if len(fresh) > SORTED_INSERT_MAX:
            order += fresh
            order.sort(key=key_of)
            return
        fresh.sort(key=key_of)
        at = bisect_left(order, key_of(fresh[0]), key=key_of)
        if at == len(order) or key_of(fresh[-1]) < key_of(order[at]):
            # What comes together was mostly missing together: everything behind it moves once.
            order[at:at] = fresh
            return
        for number in fresh:
            insort(order, number, key=key_of)

    def community_id(self) -> CommunityId:
        """As ItemHoldings.community_id()."""
        return COMMUNITY_ID

    def symbols(self, first: int, count: int) -> bytes:
        """As StoreReader.symbols()."""
        if self._symbols is None:
            self._symbols = bytearray(self.base.symbols())
            self._change_symbols(self._added, sketch.add_many)
            self._change_symbols(self._lacking, sketch.remove_many)
        return bytes(self._symbols[first * sketch.SYMBOL_SIZE : (first + count) * sketch.SYMBOL_SIZE])

    def tree(self, level: int, indexes: Sequence[int]) -> list[NodeSum]:
        """As StoreReader.tree()."""
        if self._tree is None:
            self._tree = SumTree()
            self._tree.change(self.corpus.leaves(self._added))
            gone = self.corpus.leaves(self._lacking)
            self._tree.change({leaf: negative(change) for leaf, change in gone.items()})
        base, own = self.base.tree(self.corpus).nodes(level, indexes), self._tree.nodes(level, indexes)
        return [added(one, other) for one, other in zip(base, own, strict=True)]

    def find_items(self, items: bytes) -> list[int]:
        """As StoreReader.find_items()."""
        known = self.corpus.items()
        found: list[int] = []
        for at in range(0, len(items), ITEM_SIZE):
            alike = known.get(items[at : at + ITEM_SIZE], ())
            found += [number for number in alike if self.holds(number)][:ITEM_MESSAGES_MAX]
        return found

    def _change_symbols(
        self, numbers: Iterable[int], change: Callable[[bytearray, bytes, int, bytes], None]
    ) -> None:
        ids = b"".join([self.corpus.keys[number][8:] for number in numbers])
        if self._symbols is not None and ids:
            change(self._symbols, ids, ID_SIZE, SYMBOLS_KEY)

    def named(self, key: OrderKey) -> tuple[bytes, bytes]:
        """As Holdings.named()."""
        return self.scan(key, key_after(key), 1)[:2]

    def scan(self, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        base, keys = self.base, self.corpus.keys
        start, end = base.position(low), base.position(high)
        gone_start = bisect_left(self._lacking_at, start)
        gone = self._lacking_at[gone_start : bisect_left(self._lacking_at, end)]
        first = bisect_left(self._added, low, key=keys.__getitem__)
        behind = bisect_left(self._added, high, key=keys.__getitem__)
        total = end - start - len(gone) + behind - first
        if not gone and first == behind:
            end = min(end, start + limit)
            self.examined += end - start
            keys_of_base = base.keys[start * KEY_SIZE : end * KEY_SIZE]
            return keys_of_base, base.order[start:end].tobytes(), total <= limit
        found = list(base.order[start : min(end, start + limit + len(gone))])
        for position in reversed(gone):
            if position - start < len(found):
                del found[position - start]
        found += self._added[first : min(behind, first + limit)]
        found.sort(key=keys.__getitem__)
        del found[limit:]
        self.examined += len(found)
        return b"".join([keys[number] for number in found]), array("Q", found).tobytes(), total <= limit

    def messages(self, cursors: Sequence[int]) -> list[bytes]:
        return [self.corpus.messages[cursor] for cursor in cursors]

    def newest(self, author: bytes) -> list[bytes]:  # noqa: ARG002 worlds that restore nodes use stores
        return []

    def ids(self) -> set[bytes]:
        keys, _, _ = self.scan(bytes(24), b"\xff" * 24, 1 << 40)
        return {keys[start + 8 : start + KEY_SIZE] for start in range(0, len(keys), KEY_SIZE)}


def make_messages(corpus: Corpus, count: int, *, seed: int, first_time: int = 1) -> list[int]:
    """Numbers of new messages of some 210 bytes, one a tick, by a hundred authors in turn."""
    authors = [sha256(b"%d author %d" % (seed, number)).digest() for number in range(100)]
    rng = Random(seed)
    filling = rng.randbytes(256)
    made = []
    for index in range(count):
        author, time = authors[index % 100], first_time + index
        payload = time.to_bytes(8, "big") + filling[: rng.randrange(30, 155)]
        head = wire.encode_message(64, 0, author, b"", time, time, b"", b"", [payload])
        made.append(head + bytes(64))
    return corpus.numbers(made)
