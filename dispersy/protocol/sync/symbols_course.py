"""Symbols: the means for few differences, wherever they lie; in one round trip where they are very few.

Our set is described in one datagram. Where the neighbour can tell all that differs, it sends what we lack and
names what it lacks, which it then gets. Else it sends symbols of its own, from which we tell the same, asking
for further ones while they are too few, and then ask for messages by the first bytes of their ids. Where more
differs than symbols are kept for, this ends with an estimate, and other means come next.

Symbols can be made up, lost, or of a set that has changed meanwhile. Then what they tell is wrong: asked for,
it does not come, and after a few rounds without progress other means come next. Nothing here decides what is
taken into the store.

Ids can be made that begin alike. Two of them on one side are never told, and one on each side looks as if
both had the same. Where there are far more symbols than what differs seems to need, or where nothing seems to
differ between sets whose sums do, this is taken to be so (is_defeated), and symbols under another key come
next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from dispersy.constants import (
    ANSWER_BUDGET_MAX,
    SYMBOL_ROUNDS_MAX,
    SYMBOL_SETS_CHANGED_MAX,
    SYMBOL_SILENCES_MAX,
    SYMBOLS_KEPT,
)
from dispersy.ext import sketch
from dispersy.protocol.holdings import ItemHoldings
from dispersy.protocol.identifiers import symbols_key
from dispersy.protocol.sync.answer import unasked_bodies
from dispersy.protocol.sync.course import Arrival, Asking, Heard, Question, Reply, Unasked
from dispersy.protocol.sync.means import Means
from dispersy.protocol.sync.pull_sources import Source
from dispersy.protocol.sync.symbols_answer import SYMBOLS_PER_DIFFERENCE, set_name, surplus_of, symbols_for
from dispersy.protocol.ways import Way, number_for
from dispersy.protocol.wire.frames import Symbols, SymbolsRequest
from dispersy.protocol.wire.numbers import MessagesFlag
from dispersy.protocol.wire.summary import Summary
from dispersy.protocol.wire.sync_frames import (
    ANY_SET,
    ITEM_SIZE,
    ITEMS_PER_DATAGRAM,
    SYMBOLS_PER_DATAGRAM,
    Described,
    Further,
    Items,
    Lacked,
    SetSymbols,
)

GROWTH = 1.08
"""Where symbols were too few, at least so many times as many come next: by then the estimate is good."""
DEFEATED_MARGIN = 2.0
"""So many times what should have been enough of symbols, and they still do not tell all."""
ESTIMATE_MARGIN = 1.25
"""By how much more than can be told may seem to differ, and symbols are still gone on with."""
SYMBOLS_BUDGET_MAX = 16
"""Datagrams of symbols that come at first: more would often be more than is needed."""
UNPROVEN_BURST = 12
"""Datagrams with messages that a neighbour which brought nothing yet is given where it says that it lacks
them: some 50 messages, as many as one datagram of symbols tells. Who lacks more can ask."""
BURST_MIN = 8
BURST_LOSS_MAX = 0.2
"""Datagrams that are asked for at once in any case, and the share of a burst that may be lost: after more the
next one is half as large."""
MESSAGES_PER_DATAGRAM = 4
"""Of some 200 bytes. Of larger ones more would come at once than is reckoned with, but for their budgets."""


@dataclass(slots=True)
class _Asked:
    """A question under way."""

    what: Described | Further | Items
    asked_at: float
    heard: bool = False


class _TheirSet:
    """The neighbour's symbols as far as they have come, of one set."""

    def __init__(self) -> None:
        self.name = ANY_SET
        self.changes = 0
        self.is_none = False
        self._symbols = bytearray()
        self._known = bytearray()

    def take(self, told: SetSymbols) -> None:
        """Keep a part; of another set than before: nothing before it counts any more."""
        if told.set_name != self.name:
            self.changes += self.name != ANY_SET
            self.name = told.set_name
            self._symbols.clear()
            self._known.clear()
        count = min(len(told.symbols) // sketch.SYMBOL_SIZE, SYMBOLS_KEPT - told.first)
        if count <= 0:
            self.is_none = not self._known
            return
        missing = told.first + count - len(self._known)
        if missing > 0:
            self._symbols += bytes(missing * sketch.SYMBOL_SIZE)
            self._known += bytes(missing)
        start = told.first * sketch.SYMBOL_SIZE
        self._symbols[start : start + count * sketch.SYMBOL_SIZE] = told.symbols[: count * sketch.SYMBOL_SIZE]
        self._known[told.first : told.first + count] = b"\1" * count

    @property
    def count(self) -> int:
        """How many symbols in a row there may be."""
        return len(self._known)

    @property
    def known_count(self) -> int:
        """How many have come."""
        return self._known.count(1)

    def first_gap(self) -> tuple[int, int] | None:
        """(first, count) of the first row of symbols that did not come."""
        start = self._known.find(0)
        if start < 0:
            return None
        end = self._known.find(1, start)
        return start, end - start

    def less(self, ours: bytes) -> tuple[bytes, bytes]:
        """(ours less theirs, which of them are known)."""
        return sketch.subtract(ours, self._symbols), bytes(self._known)

    def in_row(self) -> int:
        """How many have come without a gap."""
        gap = self.first_gap()
        return self.count if gap is None else gap[0]


class SymbolsCourse:
    """Gets what a source has and we lack, and gives it what it lacks; implements Course.

    lacking      messages that we are known to lack, too many for one datagram to tell: then we do not
                 describe our set but ask for so many symbols of the neighbour's
    is_defeated  something differs that these symbols do not tell, however many come
    """

    def __init__(self, asking: Asking, source: Source, *, lacking: int | None = None) -> None:
        self.means = Means.SYMBOLS
        self.estimate = self._lacking = lacking
        self.has_failed = False
        self.has_everything = self.is_defeated = False
        self.received = 0
        self._asking = asking
        self._source = source
        self._asked: dict[int, _Asked] = {}
        self._due_at = 0.0
        self._theirs = _TheirSet()
        # How many of their symbols were there when they last told too little.
        self._known_then = 0
        self._described = b""
        # Our summary as we described it, until an answer told that something differs.
        self._described_as: Summary | None = None
        self._wanted: list[bytes] = []
        # Of these, what was asked for last.
        self._portion: list[bytes] = []
        self._given: list[Unasked] = []
        # How many messages we shall hold once all that was told has come.
        self._count_then: int | None = None
        # Something may have come that has to be in the store before anything else is asked.
        self._must_check = False
        self._is_over = False
        self._rounds = self._silences = 0
        self._progress_with: Summary | None = None

    # Asking.

    def begin_again(self) -> None:
        """What is asked again is asked by step()."""
        self._asked.clear()

    def step(self, now: float) -> Sequence[Question]:
        if self._given:
            given, self._given = self._given, []
            self._asking.counts["symbols-given"] += len(given)
            return given
        if self._asked or self._is_over:
            return []
        if self._must_check:
            self._must_check = False
            if not self._is_still_short():
                return []
        if self._wanted:
            return self._ask_for_items(now)
        if self._theirs.count or self._lacking is not None:
            return self._ask_further(now)
        return self._describe(now)

    def _describe(self, now: float) -> Sequence[Question]:
        holdings = self._asking.holdings
        symbols = holdings.symbols(0, SYMBOLS_PER_DATAGRAM)
        if not symbols:
            self._is_over = True
            return []
        self._described = symbols
        self._count_then = None
        self._described_as = holdings.summary()
        return [self._question(Described(self._described_as.count, symbols), self._budget(), now)]

    def _ask_further(self, now: float) -> Sequence[Question]:
        gap = self._theirs.first_gap()
        if gap is None:
            first = self._theirs.count
            needed = max(int(first * GROWTH), self._needed())
            gap = first, min(SYMBOLS_KEPT, needed) - first
        first, count = gap
        if count <= 0 or self._theirs.changes > SYMBOL_SETS_CHANGED_MAX:
            self._is_over = True
            return []
        budget = min(ANSWER_BUDGET_MAX, -(-(first + count) // SYMBOLS_PER_DATAGRAM))
        return [self._question(Further(self._theirs.name, first, count), budget, now)]

    def _needed(self) -> int:
        """How many symbols it takes, in all. Where that is known and not estimated, few are asked for beyond
        the mean: some more, if they are too few, cost less than what would be over every time."""
        if self._lacking is None:
            return symbols_for(self.estimate or 0)
        return int(SYMBOLS_PER_DIFFERENCE * self._lacking + sqrt(self._lacking)) + 1

    def _ask_for_items(self, now: float) -> Sequence[Question]:
        """All that is wanted, as far as what it brings is no more than a link may well carry at once."""
        portion = self._portion = self._wanted[: self._burst() * MESSAGES_PER_DATAGRAM]
        questions = []
        for start in range(0, len(portion), ITEMS_PER_DATAGRAM):
            items = b"".join(portion[start : start + ITEMS_PER_DATAGRAM])
            questions.append(self._question(Items(items), ANSWER_BUDGET_MAX, now))
        return questions

    def _question(self, what: Described | Further | Items, budget: int, now: float) -> SymbolsRequest:
        number = number_for(Way.SYMBOLS, self._asking.rng)
        self._asked[number] = _Asked(what, now)
        self._due_at = now + self._source.flow.round_trips.timeout_s()
        self._asking.counts["requests"] += 1
        return SymbolsRequest(number, min(budget, self._asking.budget_max), what)

    def _burst(self) -> int:
        """Datagrams with messages that may be on their way at once; loss makes them fewer."""
        return self._source.flow.burst(self._source.burst_max)

    def _budget(self) -> int:
        return self._source.flow.burst(min(self._asking.budget_max, SYMBOLS_BUDGET_MAX))

    # What comes.

    def receive_messages(self, arrival: Arrival, now: float) -> Heard:
        asked = self._asked.get(arrival.number) if arrival.number else None
        if asked is None:
            return Heard.FOREIGN
        self._hear(asked, now)
        self.received += arrival.count
        if not arrival.flags & MessagesFlag.LAST_OF_ANSWER:
            return Heard.PART
        del self._asked[arrival.number]
        self._must_check = True
        if isinstance(asked.what, Described) and self._told_nothing(arrival.summary):
            self._is_over = self.is_defeated = True
        return self._end_of_answer()

    def _told_nothing(self, theirs: Summary | None) -> bool:
        """Whether the answer was that nothing differs, and this set is another one than we described."""
        described = self._described_as
        if self._count_then is None or described is None or theirs is None:
            return False
        return not theirs.same_set(described)

    def receive_reply(self, reply: Reply, now: float) -> Heard:
        asked = self._asked.get(reply.number)
        if asked is None or not isinstance(reply, Symbols) or isinstance(asked.what, Items):
            return Heard.FOREIGN
        self._hear(asked, now)
        match reply.told:
            case Lacked(count, items):
                if isinstance(asked.what, Described) and self._count_then is None:
                    self._count_then = asked.what.count + count
                    if count or items:
                        self._described_as = None
                    self._give(items, now, is_proven=self._source.fruitful)
            case SetSymbols():
                self._theirs.take(reply.told)
        if not reply.last:
            return Heard.PART
        del self._asked[reply.number]
        if self._theirs.is_none:
            self._is_over = True
        elif self._theirs.count:
            self._peel(now)
        else:
            # An answer that ends with what differs instead of with messages counts as a round.
            self._must_check = True
        return self._end_of_answer()

    def _hear(self, asked: _Asked, now: float) -> None:
        round_trips = self._source.flow.round_trips
        if not asked.heard:
            round_trips.measure(now - asked.asked_at)
        asked.heard = True
        self._silences = round_trips.timeouts = 0
        self._due_at = now + round_trips.timeout_s()

    def _end_of_answer(self) -> Heard:
        if self._asked:
            return Heard.PART
        return Heard.END

    def _peel(self, now: float) -> None:
        """Tell from their symbols what differs, if they are enough."""
        holdings = self._asking.holdings
        ours = holdings.symbols(0, self._theirs.count)
        if not ours:
            self._is_over = True
            return
        difference, known = self._theirs.less(ours)
        held = holdings.summary().count
        set_count = int.from_bytes(self._theirs.name[:4], "big")
        mine, theirs, is_complete = sketch.peel(difference, symbols_key(holdings.community_id()), known=known)
        surplus = (len(mine) - len(theirs)) // ITEM_SIZE
        if is_complete and not mine and not theirs and self._theirs.name != set_name(holdings.summary()):
            self._is_over = self.is_defeated = True
            return
        if is_complete and surplus == surplus_of(held, set_count):
            self._wanted = [theirs[at : at + ITEM_SIZE] for at in range(0, len(theirs), ITEM_SIZE)]
            self.has_everything = self._is_over = not self._wanted
            self._count_then = held + len(self._wanted)
            self._progress_with = holdings.summary()
            self._give(mine, now)
            return
        if self._theirs.known_count == self._known_then:
            # Others than those that are missing have come, or none.
            self._rounds += 1
        self._known_then = self._theirs.known_count
        in_row = difference[: self._theirs.in_row() * sketch.SYMBOL_SIZE]
        self.estimate = int(sketch.estimate(in_row, surplus_of(held, set_count)))
        is_too_much = symbols_for(self.estimate / ESTIMATE_MARGIN) > SYMBOLS_KEPT
        enough = min(SYMBOLS_KEPT, DEFEATED_MARGIN * symbols_for(self.estimate))
        self.is_defeated = not is_too_much and self._theirs.in_row() >= enough
        if is_too_much or self.is_defeated or self._rounds > SYMBOL_ROUNDS_MAX:
            self._is_over = True

    def _give(self, items: bytes, now: float, *, is_proven: bool = True) -> None:
        """Messages of ours that the neighbour lacks; few to one that gets them by asking for them, or that
        only says that it lacks them."""
        is_asking = now < self._source.draws_until
        datagrams_max = self._burst() if is_proven and not is_asking else UNPROVEN_BURST
        holdings = self._asking.holdings
        # Without what is only expected.
        cursors = [cursor for cursor in holdings.find_items(items) if cursor]
        bodies = unasked_bodies(holdings, sorted(cursors), datagrams_max=datagrams_max)
        self._given += [Unasked(frame_type, body) for frame_type, body in bodies]

    def _is_still_short(self) -> bool:
        """Whether something that was told did not come; called when all that came is in the store.

        Counts tell it as long as nothing else changes the set; what they tell wrongly costs a round.
        """
        holdings = self._asking.holdings
        summary = holdings.summary()
        if self._count_then is not None and summary.count >= self._count_then:
            self.has_everything = self._is_over = True
            return False
        if self._wanted:
            self._look_what_came(holdings)
            if not self._wanted:
                self.has_everything = self._is_over = True
                return False
            if self._progress_with is None or self._progress_with.same_set(summary):
                self._rounds += 1
            self._progress_with = summary
        else:
            # What the neighbour told is not kept, so it is asked again.
            self._rounds += 1
            self._count_then = None
        if self._rounds > SYMBOL_ROUNDS_MAX:
            self._is_over = True
            return False
        return True

    def _look_what_came(self, holdings: ItemHoldings) -> None:
        """Leave of what is wanted what did not come; where that is much of a burst, the next one is smaller.

        Others may be asking the same neighbour, as all around a bridge between two halves do: bursts that
        would fit alone then fill its queue, and most of each is lost.
        """
        self._wanted = [each for each in self._wanted if not holdings.find_items(each)]
        lost = len({*self._wanted} & {*self._portion})
        if lost > BURST_LOSS_MAX * len(self._portion):
            self._source.burst_max = max(BURST_MIN, self._source.burst_max // 2)
        self._portion = []

    # Time.

    def receive_busy(self, number: int, wait_s: float, now: float) -> bool:  # noqa: ARG002 see Course
        return False

    def handle_timer(self, now: float) -> bool:
        if not self._asked or now < self._due_at:
            return False
        self._asking.counts["timeouts"] += 1
        heard = any(asked.heard for asked in self._asked.values())
        self._asked.clear()
        if heard:
            if self._theirs.count and not self._wanted:
                self._peel(now)
            else:
                self._must_check = True
            return False
        self._source.flow.round_trips.timed_out()
        self._silences += 1
        if self._silences >= SYMBOL_SILENCES_MAX:
            self._is_over = True
        return True

    def next_deadline(self) -> float | None:
        return self._due_at if self._asked else None

    def next_step(self) -> float | None:
        return None

    def asked(self, number: int) -> bool:
        return number in self._asked

    def is_under_way(self) -> bool:
        return bool(self._asked)

    def described(self) -> bytes | None:
        """The symbols that we have asked with and have had no answer to; None: we have not."""
        is_asked = any(isinstance(asked.what, Described) for asked in self._asked.values())
        return self._described if is_asked else None

    def waits_for_store(self) -> bool:
        return self._must_check and not self._given

    def is_over(self) -> bool:
        return self._is_over and not self._given and not self._asked
