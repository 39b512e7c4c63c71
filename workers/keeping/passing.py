"""What passes through this node without being stored: messages of direct and relay kinds, in and out.

What others sent is sifted out of the batches that come, and judged when the control messages of the same
batch have been. What was accepted is told to whoever follows, and passed on where it may go farther. What we
send is signed here, and handed to the network role like a stored message that is pushed. All of it leaves
with the commit, though nothing of it is in the store: the acknowledgement of one order must not overtake
another's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from dispersy.bus.frames import AskedSignature, FreshMessages, HeardMessage, Pushed, SignatureFrame
from dispersy.errors import UsageError
from dispersy.ext.verify import sign_many
from dispersy.protocol.definitions.kind import Kind
from dispersy.protocol.identifiers import CommunityId, MemberId
from dispersy.protocol.intake.unstored import Unstored
from dispersy.protocol.spreading.pusher import RELAYED_TO_MAX
from dispersy.protocol.wire.announcements import PREFIX_SIZE
from dispersy.protocol.wire.message import KEY_SIZE, MessageView, draft_message, read_message
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN, MessageFlag
from dispersy.protocol.wire.push import LINK_SIZE, chain_link, n_hop_field
from dispersy.protocol.wire.records import MESSAGE, STRIPPED
from dispersy.workers.keeping.communities import Community

KIND_OFFSET, STATE_OFFSET = 26, 30
"""Of these fields in a message_record."""
UNSTORED_PENDING_MAX = 4_096
"""Messages of one community that wait for the end of its round; more are dropped."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Whom a publication is sent to at once: members by their keys, and whoever is at an address (18 bytes
    each).

    second  the member that signs it, too; empty: nobody does
    """

    members: tuple[bytes, ...] = ()
    addresses: tuple[bytes, ...] = ()
    second: bytes = b""

    def __bool__(self) -> bool:
        return bool(self.members or self.addresses)


NOWHERE = Destination()


@dataclass(slots=True)
class Leaving:
    """What a commit lets leave besides its note, by the number of the community."""

    pushed: dict[int, list[Pushed]] = field(default_factory=dict)
    relayed: dict[int, list[bytes]] = field(default_factory=dict)
    heard: dict[int, list[HeardMessage]] = field(default_factory=dict)
    fresh: dict[int, FreshMessages] = field(default_factory=dict)
    signatures: Mapping[int, list[SignatureFrame]] = field(default_factory=dict)
    questions: Mapping[int, list[AskedSignature]] = field(default_factory=dict)

    def add(self, other: Leaving) -> None:
        """What another commit lets leave, too."""
        for number, pushed in other.pushed.items():
            self.pushed.setdefault(number, []).extend(pushed)
        for number, relayed in other.relayed.items():
            self.relayed.setdefault(number, []).extend(relayed)
        for number, heard in other.heard.items():
            self.heard.setdefault(number, []).extend(heard)
        for number, fresh in other.fresh.items():
            self.add_fresh(number, fresh)

    def add_fresh(self, number: int, fresh: FreshMessages) -> None:
        """More that may be told of one community."""
        known = self.fresh.get(number, FreshMessages())
        middle = len(known.own) * PREFIX_SIZE
        behind = len(fresh.own) * PREFIX_SIZE
        self.fresh[number] = FreshMessages(
            own=known.own + fresh.own,
            taken=known.taken + fresh.taken,
            prefixes=known.prefixes[:middle]
            + fresh.prefixes[:behind]
            + known.prefixes[middle:]
            + fresh.prefixes[behind:],
        )


class Passing:
    """One a node, in the writer.

    counters  outcomes by name
    """

    def __init__(self, counters: Counter[str]) -> None:
        self.counters = counters
        self._unstored: dict[int, Unstored] = {}
        self._sequences: dict[tuple[int, bytes, int], int] = {}
        self._pending: dict[int, list[bytes]] = {}
        self._chains = 0
        self._staged = Leaving()
        self._leaving = Leaving()

    # -- in --------------------------------------------------------------------------------------------------

    def sift(self, community: Community, records: bytes, arena: bytes) -> bytes:
        """Keep what is not stored for judge(); the records of the rest."""
        definitions = community.intake.definitions
        passing = {
            number
            for number in set(records[KIND_OFFSET :: MESSAGE.size])
            if number >= COMMUNITY_KIND_MIN
            and definitions.kind(number) is not None
            and not definitions.is_stored(number)
        }
        if not passing:
            return records
        rest: list[bytes] = []
        pending = self._pending.setdefault(community.record.number, [])
        for start in range(0, len(records), MESSAGE.size):
            record = records[start : start + MESSAGE.size]
            if record[KIND_OFFSET] not in passing or record[STATE_OFFSET] == STRIPPED:
                rest.append(record)
            elif len(pending) < UNSTORED_PENDING_MAX:
                offset, length = MESSAGE.unpack(record)[:2]
                pending.append(arena[offset : offset + length])
            else:
                self.counters["unstored-dropped-full"] += 1
        return b"".join(rest)

    def judge(self, community: Community, *, now_ms: int) -> None:
        """Decide what has come in this round, whose control messages have been decided."""
        number = community.record.number
        unstored, timeline = self._of(community), community.intake.timeline
        if timeline.hard_destroyed is not None:
            self._pending.pop(number, None)
        for message in self._pending.pop(number, ()):
            view = read_message(CommunityId(community.record.community_id), message)
            reason = unstored.receive(view, community.intake.definitions, timeline.is_permitted)
            if reason is not None:
                self.counters[reason] += 1
                community.intake.refusals.add(view.id, reason)
                continue
            self.counters["unstored"] += 1
            self._staged.heard.setdefault(number, []).append(HeardMessage(message, now_ms))
            if view.n_hop is not None:
                self._staged.relayed.setdefault(number, []).append(message)

    def _of(self, community: Community) -> Unstored:
        number = community.record.number
        known = self._unstored.get(number)
        if known is None:
            known = self._unstored[number] = Unstored(MemberId(community.record.member_id))
        return known

    # -- out -------------------------------------------------------------------------------------------------

    def send(
        self,
        community: Community,
        kind: Kind,
        groups: Sequence[Sequence[bytes]],
        destination: Destination,
        *,
        secret: bytes,
        now_ms: int,
    ) -> list[bytes]:
        """Sign messages of an unstored kind, one a group of payloads and recipient; their ids.

        raises  UsageError: to-missing, MessageTooLong, refused
        """
        if kind.destination.name == "candidate" and not destination.members:
            raise UsageError(
                f"a message of kind '{kind.name}' goes to one member: nobody was named",
                code="to-missing",
                hint="name a member or an address of a neighbour with --to; `dispersy peers` lists them",
            )
        recipients = destination.members if kind.destination.name == "candidate" else (b"",)
        signed = [
            self._sign(community, kind, payloads, recipient, secret=secret, now_ms=now_ms)
            for payloads in groups
            for recipient in recipients
        ]
        views = [view for view, _ in signed]
        for view in views:
            reason = self._of(community).rule_against(view, community.intake.definitions)
            if reason is not None:
                raise UsageError(
                    f"the community's rules refuse this message: {reason}",
                    code="refused",
                    hint="`dispersy community show` tells the rules of its kind",
                )
        number = community.record.number
        for view, link in signed:
            # What comes back to us on some way has been seen.
            self._of(community).note(view)
            self.push(number, _pushed(kind, view, destination, link))
        return [view.id for view in views]

    def push(self, number: int, pushed: Pushed) -> None:
        """A message of ours leaves at once, with the commit."""
        self._staged.pushed.setdefault(number, []).append(pushed)

    def spread(self, number: int, fresh: FreshMessages | None) -> None:
        """What the commit makes durable may be told to neighbours."""
        if fresh is not None:
            self._staged.add_fresh(number, fresh)

    def _sign(
        self,
        community: Community,
        kind: Kind,
        payloads: Sequence[bytes],
        recipient: bytes,
        *,
        secret: bytes,
        now_ms: int,
    ) -> tuple[MessageView, bytes]:
        """A whole message, and its secret where it is to be relayed."""
        community_id = CommunityId(community.record.community_id)
        author = MemberId(secret[KEY_SIZE:])
        is_signed = kind.authentication.name != "none"
        link = self._chain_secret(secret, now_ms) if kind.destination.name == "n-hop" else b""
        draft = draft_message(
            community_id,
            kind=kind.number,
            authors=(author,) if is_signed else (),
            # Our clock stays: what is not stored must not move what is, or a crash would forget half of it.
            global_time=community.clock + 1,
            sequence=self._next_sequence(community.record.number, author, kind.number, now_ms)
            if is_signed
            else 0,
            payloads=payloads,
            recipient=MemberId(recipient) if recipient else None,
            n_hop=n_hop_field(link, kind.destination.number("hops")) if link else None,
        )
        signatures = (sign_many(secret, [draft.signed]),) if is_signed else ()
        return read_message(community_id, draft.complete(signatures)), link

    def _chain_secret(self, secret: bytes, now_ms: int) -> bytes:
        """Where a hop chain begins: another one each time, which only the key's holder can know."""
        self._chains += 1
        told = b"%d %d" % (now_ms, self._chains)
        return blake2b(told, key=secret[:KEY_SIZE], person=b"dispersy/3 hop", digest_size=LINK_SIZE).digest()

    def _next_sequence(self, number: int, author: bytes, kind: int, now_ms: int) -> int:
        """One more than the last; the first since the start is the time in milliseconds.

        Nothing of it is written down, and receivers take no sequence twice: fewer than a thousand messages
        a second on end, and the clock is ahead of all that an earlier start has used.
        """
        sequence = max(self._sequences.get((number, author, kind), now_ms - 1), 0) + 1
        self._sequences[number, author, kind] = sequence
        return sequence

    # -- commit ----------------------------------------------------------------------------------------------

    def committed(self) -> None:
        """What was staged may leave."""
        self._leaving.add(self._staged)
        self._staged = Leaving()

    def forget_batch(self) -> None:
        """The commit failed: what was to leave with it does not."""
        self._staged = Leaving()
        self._pending.clear()

    def drain(self) -> Leaving:
        """What leaves now."""
        leaving, self._leaving = self._leaving, Leaving()
        return leaving


def _pushed(kind: Kind, view: MessageView, destination: Destination, link: bytes) -> Pushed:
    """How a message of an unstored kind is pushed by its author."""
    if view.recipient is not None:
        return Pushed(view.raw, 0, members=[view.recipient])
    hops_left = view.n_hop[0] - 1 if view.n_hop is not None else 0
    is_relayed = bool(view.flags & MessageFlag.N_HOP)
    return Pushed(
        view.raw,
        RELAYED_TO_MAX if is_relayed else kind.destination.number("fan_out"),
        members=list(destination.members),
        addresses=list(destination.addresses),
        hops_left=hops_left,
        # The secret itself is never sent: the first frame carries H(s).
        link=chain_link(link, 1) if link else b"",
    )
