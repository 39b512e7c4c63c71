"""Symbols under a fresh key, range by range: the means against ids that were made to look alike.

What symbols of whole sets sum up are beginnings of ids, under a key that everybody knows. Whoever makes ids
that begin alike (some 2^32 attempts a pair) takes them out of everybody's symbols: two of one side cancel
each other, and one on each side looks as if both had the same. Here our set is cut into ranges of so many
messages that their symbols tell what may differ; each is described under a key that is drawn at that moment,
by hashes of whole ids. So a range costs one datagram and one round trip, whatever anybody made.

A range that its symbols do not tell is cut, the more the more of it seems to differ. What we hardly hold
anything of is left to filters, which no choice of ids defeats, as is what a neighbour answers badly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from dispersy.constants import (
    ANSWER_BUDGET_MAX,
    KEYED_BUSY_MAX,
    KEYED_DIFFERENCES,
    KEYED_GIVEN_MAX,
    KEYED_RANGE_MAX,
    KEYED_RANGE_MIN,
    KEYED_REQUESTS_MAX,
    KEYED_SILENCES_MAX,
    KEYED_TRIES_MAX,
    KEYED_UNDER_WAY_MAX,
    SYMBOL_BURST_MAX,
    TREE_GAPS_MAX,
)
from dispersy.protocol.holdings import key_after, order_key_at
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, OrderKey
from dispersy.protocol.sync.answer import unasked_bodies
from dispersy.protocol.sync.course import Arrival, Asking, Heard, Question, Reply, Unasked
from dispersy.protocol.sync.gaps import Range, fewer
from dispersy.protocol.sync.keyed_answer import KeyedRange
from dispersy.protocol.sync.means import Means
from dispersy.protocol.sync.outline import Outline
from dispersy.protocol.sync.pull_sources import Source
from dispersy.protocol.sync.symbols_course import UNPROVEN_BURST
from dispersy.protocol.ways import Way, number_for
from dispersy.protocol.wire.frames import Symbols, SymbolsRequest
from dispersy.protocol.wire.numbers import MessagesFlag
from dispersy.protocol.wire.sync_frames import (
    RANGE_SYMBOLS,
    SYMBOLS_KEY_SIZE,
    Lacked,
    RangeDescribed,
    Untold,
)

CUTS_MAX = 64
BUSY_MAX_S = 1.0


@dataclass(slots=True)
class _Asked:
    """A range under way.

    count   messages of ours in it, and edges: order keys of some of them, evenly apart
    tries   how often it was described, with this time
    told    messages that we lack, as the answer says, and came: those that arrived
    """

    range: Range
    key: bytes
    count: int
    edges: list[OrderKey]
    tries: int
    asked_at: float
    heard: bool = False
    told: int | None = None
    came: int = 0


class KeyedCourse:
    """Gets what a source has and we lack, and gives it what it lacks; implements Course.

    expected   messages that seem to differ, of all
    """

    def __init__(self, asking: Asking, source: Source, *, expected: int) -> None:
        self.means = Means.KEYED
        self.has_failed = self.has_everything = False
        self.received = 0
        self._asking = asking
        self._source = source
        held = asking.holdings.summary().count
        wanted = KEYED_DIFFERENCES * held // max(1, expected)
        self._size = max(KEYED_RANGE_MIN, min(KEYED_RANGE_MAX, wanted))
        self._requests_left = KEYED_REQUESTS_MAX + 2 * (held // self._size + 1)
        self._busy_left, self._given_left = KEYED_BUSY_MAX, KEYED_GIVEN_MAX
        self._silences = 0
        # (range, how often it was described): to be asked, and again when all that came is in the store.
        self._todo: list[tuple[Range, int]] = [((ORDER_LOW, ORDER_TOP), 0)]
        self._again: list[tuple[Range, int]] = []
        self._left: list[Range] = []
        self._asked: dict[int, _Asked] = {}
        self._given: list[Unasked] = []
        self._due_at = self._may_ask_at = 0.0

    # Asking.

    def begin_again(self) -> None:
        """What was not answered is still to be asked."""
        self._todo[:0] = [(asked.range, asked.tries - 1) for asked in self._asked.values()]
        self._asked.clear()

    def step(self, now: float) -> Sequence[Question]:
        if self._given:
            given, self._given = self._given, []
            self._asking.counts["symbols-given"] += len(given)
            return given
        if not self._todo and not self._asked:
            self._todo, self._again = self._again, []
        found = []
        while self._todo and now >= self._may_ask_at and len(self._asked) < KEYED_UNDER_WAY_MAX:
            if self._requests_left <= 0:
                self._left += [wanted for wanted, _ in self._todo]
                self._todo.clear()
                break
            found.append(self._describe(now))
        self._look_whether_all_is_here()
        return found

    def _describe(self, now: float) -> SymbolsRequest:
        """The next range, or as much of it from its low on as one description sums up."""
        (low, high), tries = self._todo.pop(0)
        holdings, rng = self._asking.holdings, self._asking.rng
        key = rng.randbytes(SYMBOLS_KEY_SIZE)
        ours = KeyedRange(holdings, low, high, key=key, limit=self._size)
        if not ours.is_whole:
            edge = key_after(order_key_at(ours.keys, -1))
            self._todo.insert(0, ((edge, high), tries))
            high = edge
        number = number_for(Way.SYMBOLS, rng)
        places = range(0, ours.count, max(1, -(-ours.count // CUTS_MAX)))
        edges = [order_key_at(ours.keys, place) for place in places][1:]
        self._asked[number] = _Asked((low, high), key, ours.count, edges, tries + 1, now)
        self._requests_left -= 1
        self._due_at = now + self._source.flow.round_trips.timeout_s()
        self._asking.counts["requests"] += 1
        budget = self._source.flow.burst(min(ANSWER_BUDGET_MAX, self._asking.budget_max))
        what = RangeDescribed(key, low, high, ours.count, ours.symbols(RANGE_SYMBOLS))
        return SymbolsRequest(number, budget, what)

    # What comes.

    def receive_messages(self, arrival: Arrival, now: float) -> Heard:
        asked = self._asked.get(arrival.number) if arrival.number else None
        if asked is None:
            return Heard.FOREIGN
        self._hear(asked, now)
        self.received += arrival.count
        asked.came += arrival.count
        if not arrival.flags & MessagesFlag.LAST_OF_ANSWER:
            return Heard.PART
        del self._asked[arrival.number]
        if asked.told is None or asked.came < asked.told:
            self._ask_again(asked)
        self._look_whether_all_is_here()
        return Heard.PART if self._asked else Heard.END

    def receive_reply(self, reply: Reply, now: float) -> Heard:
        asked = self._asked.get(reply.number)
        if asked is None or not isinstance(reply, Symbols):
            return Heard.FOREIGN
        match reply.told:
            case Lacked(count, items):
                self._hear(asked, now)
                if asked.told is None:
                    asked.told = count
                    self._give(asked, items)
                return Heard.PART
            case Untold(count, estimate):
                self._hear(asked, now)
                del self._asked[reply.number]
                self._cut(asked, max(estimate, count - asked.count))
                self._look_whether_all_is_here()
                return Heard.PART if self._asked else Heard.END
        return Heard.FOREIGN

    def _hear(self, asked: _Asked, now: float) -> None:
        round_trips = self._source.flow.round_trips
        if not asked.heard:
            round_trips.measure(now - asked.asked_at)
        asked.heard = True
        self._silences = round_trips.timeouts = 0
        self._due_at = now + round_trips.timeout_s()

    def _cut(self, asked: _Asked, differing: int) -> None:
        """Into parts of which each seems to differ by what symbols tell."""
        parts = max(2, -(-differing // KEYED_DIFFERENCES))
        if asked.count // parts < KEYED_RANGE_MIN or parts > len(asked.edges) + 1:
            self._left.append(asked.range)
            return
        low, high = asked.range
        edges = [asked.edges[len(asked.edges) * place // parts] for place in range(1, parts)]
        bounds = [low, *edges, high]
        self._todo[:0] = [(part, 0) for part in pairwise(bounds)]

    def _ask_again(self, asked: _Asked) -> None:
        if asked.tries < KEYED_TRIES_MAX:
            self._again.append((asked.range, asked.tries))
        else:
            self._left.append(asked.range)

    def _give(self, asked: _Asked, items: bytes) -> None:
        """Messages of ours in this range that the neighbour has said to lack, as many as a link may carry."""
        if not items or self._given_left <= 0:
            return
        holdings = self._asking.holdings
        ours = KeyedRange(holdings, *asked.range, key=asked.key, limit=KEYED_RANGE_MAX)
        cursors = [cursor for cursor in ours.cursors(items) if cursor][: self._given_left]
        self._given_left -= len(cursors)
        burst = self._source.flow.burst(SYMBOL_BURST_MAX) if self._source.fruitful else UNPROVEN_BURST
        bodies = unasked_bodies(holdings, cursors, datagrams_max=burst)
        self._given += [Unasked(frame_type, body) for frame_type, body in bodies]

    def _look_whether_all_is_here(self) -> None:
        if not self._asked and not self._todo and not self._again:
            self.has_everything = not self._left and self._silences < KEYED_SILENCES_MAX

    def gaps(self) -> tuple[Outline, list[Range]]:
        """What is left to filters."""
        return Outline(), fewer(self._left, TREE_GAPS_MAX)

    # Time.

    def receive_busy(self, number: int, wait_s: float, now: float) -> bool:
        asked = self._asked.pop(number)
        self._todo.insert(0, (asked.range, asked.tries - 1))
        self._requests_left += 1
        self._busy_left -= 1
        self._may_ask_at = max(self._may_ask_at, now + min(wait_s, BUSY_MAX_S))
        return self._busy_left > 0

    def handle_timer(self, now: float) -> bool:
        if not self._asked or now < self._due_at:
            return False
        self._asking.counts["timeouts"] += 1
        heard = any(asked.heard for asked in self._asked.values())
        for asked in self._asked.values():
            self._ask_again(asked)
        self._asked.clear()
        if heard:
            self._look_whether_all_is_here()
            return False
        self._source.flow.round_trips.timed_out()
        self._silences += 1
        if self._silences >= KEYED_SILENCES_MAX:
            # It may not know how to answer this.
            self._todo, self._again, self._left = [], [], []
        return True

    def next_deadline(self) -> float | None:
        return self._due_at if self._asked else None

    def next_step(self) -> float | None:
        return self._may_ask_at if self._todo and len(self._asked) < KEYED_UNDER_WAY_MAX else None

    def asked(self, number: int) -> bool:
        return number in self._asked

    def is_under_way(self) -> bool:
        return bool(self._asked)

    def waits_for_store(self) -> bool:
        return not self._asked and not self._todo and bool(self._again) and not self._given

    def is_over(self) -> bool:
        return not self._asked and not self._todo and not self._again and not self._given
