"""Fetching large messages: from names to fragments to whole messages, for one community.

Whoever has a large message says so by name, in an answer or unasked. What is not here is asked of those that
said so, one at a time, fragment by fragment: some of several messages on their way at once, as many as the
pace of the source allows, and what was lost is asked again and nothing else. A whole message whose id is the
one that was named goes to the verifier as any other does.

An answer's interval counts as covered when the names of what it lacks in datagrams are here: what is named is
held to be on its way (`expected`), so towards its source it counts as if it were here. Whatever ends that -
it was stored, it was forged, its source fell silent - ends that too, and then summaries differ, and it is
named again.

Nobody is believed. A name costs its sender the fragments, or else its standing here: who falls silent or
sends what it did not name is asked for nothing for a while. It counts towards that source alone, so a false
one keeps nothing away that others have.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from dispersy.constants import (
    ASSEMBLY_TIME_MAX_S,
    BACK_OFF_MAX_S,
    FRAGMENTS_FIRST,
    FRAGMENTS_PER_REQUEST_MAX,
    LARGE_FAILED_MAX,
    LARGE_FAILED_S,
    LARGE_NAMED_MAX,
    LARGE_NAMED_PER_SOURCE_MAX,
    LARGE_STORED_S,
)
from dispersy.ext.digest import sum_many
from dispersy.protocol.address import Address
from dispersy.protocol.holdings import Holdings
from dispersy.protocol.hosts import leaves_for
from dispersy.protocol.identifiers import CommunityId, sum_key
from dispersy.protocol.large_messages.assembly import Assembly, AssemblyRoom
from dispersy.protocol.large_messages.fragment_sources import (
    ROOM_RETRY_S,
    AskFragments,
    NamingSource,
    Requested,
    Wanted,
    Whole,
    gives_way,
    lowest,
    next_ones,
)
from dispersy.protocol.ways import Way, number_for
from dispersy.protocol.wire.frames import Fragment, FragmentRequest, LargeName
from dispersy.protocol.wire.summary import SUM_MODULUS, Summary


class Fragments:
    """One a community.

    holdings   as last committed; read during calls only
    room       shared with the other communities of the process
    counts     large-named, large-whole, large-forged, large-given-up, fragment-requests, fragment-timeouts,
               fragments-unasked: since the start
    """

    def __init__(
        self, *, community_id: CommunityId, rng: Random, holdings: Holdings, room: AssemblyRoom
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._community_id = community_id
        self._rng = rng
        self._holdings = holdings
        self._room = room
        self._wanted: dict[bytes, Wanted] = {}
        # Those heard longest ago first.
        self._sources: OrderedDict[Address, NamingSource] = OrderedDict()
        # (source, id) -> until when it is not asked for it again; those that end first are first.
        self._failed: OrderedDict[tuple[Address, bytes], float] = OrderedDict()
        self._sum_key = sum_key(community_id)
        self._again_at: float | None = None
        self._given: list[Address] = []
        self._events: list[AskFragments | Whole] = []

    # What others sent.

    def receive_names(self, source: Address, names: Sequence[LargeName], now: float) -> None:
        """A neighbour says which large messages it has."""
        known = self._source(source, now)
        if now < known.shunned_until:
            return
        for name in names:
            message_id = name.message_id
            if message_id in known.names or now < self._failed.get((source, message_id), now):
                continue
            wanted = self._wanted.get(message_id)
            if wanted is None:
                if self._is_held(name):
                    self._room.remains.forget((self._community_id, name))
                    continue
                if len(self._wanted) >= LARGE_NAMED_MAX:
                    leaving = gives_way(self._sources, self._wanted, known)
                    if leaving is None or not self._take_off(*leaving):
                        continue
                wanted = Wanted()
            if len(known.names) >= LARGE_NAMED_PER_SOURCE_MAX:
                break
            self._wanted[message_id] = wanted
            wanted.offers[source] = known.names[message_id] = name
            known.sum += self._sum([message_id])
            self.counts["large-named"] += 1
        self._ask(source, known, now)

    def receive_fragment(self, source: Address, fragment: Fragment, now: float) -> None:
        """A part of what was asked for, or not."""
        known = self._sources.get(source)
        request = known.out.get(fragment.number) if known is not None else None
        if known is None or request is None or (fragment.size and not request.bits >> fragment.index & 1):
            if known is None or not known.take_late(fragment, now):
                self.counts["fragments-unasked"] += 1
            return
        known.heard_at = now
        assembly = request.assembly
        if not fragment.size:
            # It has lost it, or its author took it back since it was named.
            self._refuse(source, assembly.name, now)
        elif fragment.size != assembly.name.size:
            self._catch(source, now)
        elif assembly.is_evicted:
            known.flow.arrive(fragment.number, now)
            self._end(assembly)
        else:
            self._take(known, fragment, request, now)
            if assembly.missing:
                self._ask(source, known, now)
                return
            self._complete(source, assembly, now)
        self._ask_all(now)

    def receive_busy(self, source: Address, number: int, wait_s: float, now: float) -> None:
        """A neighbour has too much to do."""
        known = self._sources.get(source)
        request = known.out.pop(number, None) if known is not None else None
        if known is not None and request is not None:
            request.assembly.asked &= ~request.bits
            known.flow.refused(number, wait_s, now)
            if request.assembly.is_untouched:
                # Others may have it by now.
                self._end(request.assembly)
            known.heard_at = now
            known.not_before = now + min(BACK_OFF_MAX_S, wait_s)
            self._ask_again(known.not_before)

    # What the house says.

    def receive_committed(self, now: float) -> None:
        """Our store has changed, and `holdings` shows it."""
        self._forget_held(now)

    def receive_loss(self, now: float) -> None:
        """What was on its way to our store is gone: fetch it again."""
        for wanted in self._wanted.values():
            self._unsettle(wanted)
        self._ask_all(now)

    def close(self) -> None:
        """The community is not served any longer: leave the room to others."""
        for source, known in self._sources.items():
            self._drop(source, known)
        self._room.remains.forget_community(self._community_id)

    def expects(self) -> bool:
        """Whether anything was named that is not here yet."""
        return bool(self._wanted)

    def expected(self, source: Address) -> list[LargeName]:
        """What this source has named and is not here yet."""
        known = self._sources.get(source)
        if known is None:
            return []
        held = self._held_of(known)
        return [name for message_id, name in known.names.items() if message_id not in held]

    def towards(self, source: Address, ours: Summary) -> Summary:
        """Our summary with what is expected of this source: what that source's is compared with."""
        known = self._sources.get(source)
        if known is None or not known.names:
            return ours
        held = self._held_of(known)
        count, total = len(known.names) - len(held), known.sum - self._sum(held)
        return replace(ours, count=ours.count + count, sum=(ours.sum + total) % SUM_MODULUS)

    def _held_of(self, known: NamingSource) -> list[bytes]:
        """What a source has named and the store has taken since it was last told to forget that: it must not
        count twice."""
        stored = (each for each in known.names if self._wanted[each].stored_by is not None)
        return [message_id for message_id in stored if self._is_held(known.names[message_id])]

    def _sum(self, ids: Sequence[bytes]) -> int:
        return sum_many(b"".join(ids), self._sum_key) if ids else 0

    def drain_given(self) -> list[Address]:
        """Who has given all that it had named, so that the store took the last of it: it may have more."""
        given, self._given = self._given, []
        return given

    # Time.

    def handle_timer(self, now: float) -> None:
        self._again_at = None
        for source, known in list(self._sources.items()):
            self._expire_requests(source, known, now)
        for wanted in list(self._wanted.values()):
            if wanted.stored_by is not None and now >= wanted.stored_by:
                self._disappoint(wanted, now)
        self._ask_all(now)

    def next_deadline(self) -> float | None:
        if not self._wanted and not self._sources:
            return self._again_at
        moments = [wanted.stored_by for wanted in self._wanted.values() if wanted.stored_by is not None]
        for known in self._sources.values():
            overdue_at = known.flow.next_overdue()
            if overdue_at is not None:
                moments.append(overdue_at)
            if known.assemblies:
                moments.append(known.silent_at())
        if self._again_at is not None:
            moments.append(self._again_at)
        return min(moments, default=None)

    def drain(self) -> list[AskFragments | Whole]:
        events, self._events = self._events, []
        return events

    # Asking.

    def _source(self, source: Address, now: float) -> NamingSource:
        known = self._sources.get(source)
        if known is None:
            leaving = leaves_for(source, self._sources)
            if leaving is not None:
                self._drop(leaving, self._sources[leaving])
                del self._sources[leaving]
            known = self._sources[source] = NamingSource(now)
        self._sources.move_to_end(source)
        return known

    def _ask_again(self, moment: float) -> None:
        """Ask then, whatever comes until then."""
        self._again_at = moment if self._again_at is None else min(self._again_at, moment)

    def _ask_all(self, now: float) -> None:
        for source, known in self._sources.items():
            self._ask(source, known, now)

    def _ask(self, source: Address, known: NamingSource, now: float) -> None:
        """Ask for as much as may be on its way: by few requests, each for some fragments of one message."""
        if now < known.not_before:
            self._ask_again(known.not_before)
            return
        while room := known.flow.room(now):
            assembly = self._next_assembly(source, known, now)
            if assembly is None:
                return
            most = known.flow.budget if known.flow.has_heard else FRAGMENTS_FIRST
            bits = lowest(assembly.unasked, min(room, most, FRAGMENTS_PER_REQUEST_MAX))
            number = number_for(Way.FRAGMENTS, self._rng, known.out)
            known.ask(number, assembly, bits, now)
            self._events.append(AskFragments(source, FragmentRequest(number, assembly.name.key, bits)))
            self.counts["fragment-requests"] += 1
        again_at = known.flow.next_room()
        if again_at is not None:
            self._ask_again(again_at)

    def _next_assembly(self, source: Address, known: NamingSource, now: float) -> Assembly | None:
        """One of this source of which something is to be asked for: one that is begun, or else one more."""
        for assembly in list(known.assemblies):
            if assembly.is_evicted:
                self._end(assembly)
            elif assembly.unasked:
                return assembly
        for message_id in next_ones(known, self._wanted, self._is_begun(source), self._rng):
            name, wanted = known.names[message_id], self._wanted[message_id]
            if self._is_held(name):
                self._forget(message_id)
                continue
            assembly = Assembly(self._community_id, name, source, now)
            if not self._room.admit(assembly, now):
                if not known.assemblies:
                    # Others have all the room, or the store is slow.
                    self._ask_again(now + ROOM_RETRY_S)
                return None
            if not known.assemblies:
                known.heard_at = now
            wanted.assembly = assembly
            known.assemblies.append(assembly)
            return assembly
        return None

    # What came.

    def _take(self, known: NamingSource, fragment: Fragment, request: Requested, now: float) -> None:
        flow = known.flow
        flow.arrive(fragment.number, now)
        known.given += 1
        request.assembly.take(fragment)
        request.bits &= ~(1 << fragment.index)
        # Nothing that was asked later will tell that what is missing of the only one is lost.
        is_last = not request.is_cut and not flow.is_under_way_beside(fragment.number)
        if not request.bits or is_last:
            self._close(known, fragment.number)
        for number in flow.overdue(now):
            self._close(known, number)

    def _close(self, known: NamingSource, number: int) -> None:
        self.counts["fragment-timeouts"] += bool(known.out[number].bits)
        known.close(number)

    def _complete(self, source: Address, assembly: Assembly, now: float) -> None:
        """All of a message is here."""
        message = assembly.whole()
        self._end(assembly)
        if message is None:
            if assembly.is_mixed:
                self._room.separate(assembly)
            else:
                self._catch(source, now)
            return
        self._sources[source].silences = 0
        wanted = self._wanted[assembly.name.message_id]
        wanted.stored_by = now + LARGE_STORED_S
        wanted.whole = assembly
        self._room.keep(assembly.name.size)
        self.counts["large-whole"] += 1
        self._events.append(Whole(source, message))

    def _expire_requests(self, source: Address, known: NamingSource, now: float) -> None:
        overdue = known.flow.overdue(now)
        if overdue and known.flow.is_silence(now) and not all(map(known.flow.has_arrived, overdue)):
            # Before they are closed: what a silence swallows is no loss.
            known.flow.fall_silent(now)
        for number in overdue:
            self._close(known, number)
        for assembly in list(known.assemblies):
            if now >= assembly.began_at + ASSEMBLY_TIME_MAX_S:
                self._refuse(source, assembly.name, now)
        if known.assemblies and now >= known.silent_at():
            # Its link may be down for a while: it is asked again soon, and then ever later.
            self._shun(source, known, now + known.fall_silent())

    # How it ends.

    def _is_begun(self, source: Address) -> Callable[[LargeName], bool] | None:
        remains = self._room.remains
        return (lambda name: remains.is_begun((self._community_id, name), source)) if remains else None

    def _is_held(self, name: LargeName) -> bool:
        return self._holdings.named(name.key)[0] == name.packed_key

    def _forget_held(self, now: float) -> None:
        for message_id, wanted in list(self._wanted.items()):
            # Others are looked up when their turn comes: most of those that are whole are stored at once.
            if wanted.whole is not None and self._is_held(wanted.whole.name):
                source = wanted.whole.source
                self._forget(message_id)
                if source in self._sources and not self._sources[source].names:
                    self._given.append(source)
        self._ask_all(now)

    def _forget(self, message_id: bytes) -> None:
        """It is here, or nobody is left that has it."""
        for source, name in list(self._wanted[message_id].offers.items()):
            self._room.remains.forget((self._community_id, name))
            self._take_off(source, message_id)

    def _take_off(self, source: Address, message_id: bytes) -> bool:
        """Forget what a source named; whether nobody is left who has."""
        known, wanted = self._sources[source], self._wanted[message_id]
        del known.names[message_id], wanted.offers[source]
        known.sum -= self._sum([message_id])
        if not wanted.offers:
            self._unsettle(wanted)
            del self._wanted[message_id]
        return not wanted.offers

    def _unsettle(self, wanted: Wanted) -> None:
        """It is not on its way to the store, or not any longer."""
        if wanted.whole is not None:
            self._room.let_go(wanted.whole.name.size)
        wanted.stored_by = wanted.whole = None

    def _end(self, assembly: Assembly) -> None:
        """An assembly is over, whole or not; what of it is on its way is not waited for."""
        self._room.release(assembly)
        known = self._sources[assembly.source]
        known.assemblies.remove(assembly)
        known.forget(assembly)
        wanted = self._wanted.get(assembly.name.message_id)
        if wanted is not None and wanted.assembly is assembly:
            wanted.assembly = None

    def _refuse(self, source: Address, name: LargeName, now: float) -> None:
        """This source does not give us this message: ask others that named it, or else nobody."""
        message_id = name.message_id
        self._failed[source, message_id] = now + LARGE_FAILED_S
        self._failed.move_to_end((source, message_id))
        if len(self._failed) > LARGE_FAILED_MAX:
            self._failed.popitem(last=False)
        wanted = self._wanted[message_id]
        if wanted.assembly is not None and wanted.assembly.source == source:
            self._end(wanted.assembly)
        self.counts["large-given-up"] += self._take_off(source, message_id)

    def _disappoint(self, wanted: Wanted, now: float) -> None:
        """It was whole and the store has not taken it: who else has it may have it under a signature that
        holds, and what waits for permission comes again by then."""
        whole = wanted.whole
        assert whole is not None
        self._unsettle(wanted)
        if whole.is_mixed:
            # The id leaves signatures out: who gave a wrong one is not known either.
            self._room.separate(whole)
        elif whole.source in wanted.offers:
            self._refuse(whole.source, whole.name, now)

    def _catch(self, source: Address, now: float) -> None:
        """It sent what it had not named."""
        self.counts["large-forged"] += 1
        self._shun(source, self._sources[source], now + LARGE_FAILED_S)
        self._room.remains.forget_given_by(source)

    def _shun(self, source: Address, known: NamingSource, until: float) -> None:
        self._drop(source, known)
        known.shunned_until = until

    def _drop(self, source: Address, known: NamingSource) -> None:
        """Forget all that it named, and what came of it."""
        for assembly in list(known.assemblies):
            self._end(assembly)
        for message_id in list(known.names):
            self.counts["large-given-up"] += self._take_off(source, message_id)
