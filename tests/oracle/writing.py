"""Messages for histories: real bytes, so that what holds for the oracle can be shown of the product too.

Signatures are zeros: what is judged here lies behind them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from dispersy.protocol.definitions.definition import Definition, Kind, encode_definition
from dispersy.protocol.definitions.policies import Choice, choose
from dispersy.protocol.identifiers import CommunityId, MemberId, MessageId
from dispersy.protocol.permissions.control_messages import Body, ControlMessage, control_kind, encode_body
from dispersy.protocol.wire.message import KEY_SIZE, NO_PREVIOUS, SIGNATURE_SIZE, draft_message
from dispersy.protocol.wire.push import LINK_SIZE, n_hop_field
from tests.oracle.state import DataMessage, DefinitionMessage, KindRules

AUTHENTICATIONS = ("none", "member", "double-member")
SHORT_SIZE_MAX, LONG_SIZE = 100, 150
ORDERS = ("ascending", "descending", "random")


class Pen:
    """Writes the messages of one history; no two alike.

    master  whose community it is
    raws    id -> the whole message
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.master = self.key()
        self.raws: dict[bytes, bytes] = {}

    def key(self) -> MemberId:
        return MemberId(self._rng.randbytes(KEY_SIZE))

    def data(
        self,
        authors: tuple[MemberId, ...],
        kind: int,
        global_time: int,
        sequence: int,
        *,
        recipient: MemberId | None = None,
        hops: int = 0,
        is_long: bool = False,
    ) -> DataMessage:
        payload = (b"%d" % self._rng.getrandbits(32)).ljust(LONG_SIZE if is_long else 0, b".")
        # A chain that nobody here follows: the network role looks at it.
        chain = n_hop_field(bytes(LINK_SIZE), hops) if hops else None
        message_id = self._draft(
            kind, authors, global_time, sequence, payload, None, recipient=recipient, n_hop=chain
        )
        return DataMessage(message_id, authors, kind, global_time, sequence, recipient, hops, is_long)

    def control(
        self, author: MemberId, global_time: int, previous: MessageId | None, body: Body
    ) -> ControlMessage:
        kind = control_kind(body)
        before = previous or NO_PREVIOUS
        # The sequence of a control message means nothing; here it tells apart two that say the same.
        sequence = 1 + self._rng.getrandbits(32)
        message_id = self._draft(kind, (author,), global_time, sequence, encode_body(body), before)
        return ControlMessage(message_id, author, kind, global_time, before, body)

    def definition(self, global_time: int, kinds: Mapping[int, KindRules]) -> DefinitionMessage:
        rows = tuple(kind_of(number, kinds[number]) for number in sorted(kinds))
        payload = encode_definition(Definition("history", rows))
        sequence = 1 + self._rng.getrandbits(32)
        message_id = self._draft(0, (self.master,), global_time, sequence, payload, NO_PREVIOUS)
        return DefinitionMessage(message_id, global_time, tuple(kinds.items()))

    def _draft(
        self,
        kind: int,
        authors: tuple[MemberId, ...],
        global_time: int,
        sequence: int,
        payload: bytes,
        previous: MessageId | None,
        *,
        recipient: MemberId | None = None,
        n_hop: bytes | None = None,
    ) -> MessageId:
        draft = draft_message(
            CommunityId(self.master),
            kind=kind,
            authors=authors,
            global_time=global_time,
            sequence=sequence,
            payloads=[payload],
            previous=previous,
            recipient=recipient,
            n_hop=n_hop,
        )
        self.raws[draft.id] = draft.complete([bytes(SIGNATURE_SIZE)] * len(authors))
        return draft.id


def kind_of(number: int, rules: KindRules) -> Kind:
    """A definition's row that says so."""
    dynamic = {"initial": int(rules.initial == "linear")} if rules.resolution == "dynamic" else {}
    destination = {"kept": "community", "direct": "candidate", "relay": "n-hop"}[rules.spread]
    return Kind(
        number=number,
        name=f"kind-{number}",
        authentication=choose("authentication", AUTHENTICATIONS[rules.author_count]),
        resolution=choose("resolution", rules.resolution, **dynamic),
        distribution=distribution_of(rules),
        destination=choose("destination", destination, **({"hops": rules.hops} if rules.hops else {})),
        pruning=choose(
            "pruning", "global-time", inactive_threshold=rules.inactive, prune_threshold=rules.prune
        )
        if rules.inactive
        else choose("pruning", "none"),
        payload=choose(
            "payload", "utf-8", size_max=LONG_SIZE if rules.admits_long else SHORT_SIZE_MAX, rate=rules.rate
        ),
        frozen=rules.is_frozen,
    )


def distribution_of(rules: KindRules) -> Choice:
    """How a kind's messages come to others."""
    if rules.spread != "kept":
        return choose("distribution", rules.spread)
    name, newest = ("last-sync", {"newest": rules.newest}) if rules.newest else ("full-sync", {})
    return choose(
        "distribution",
        name,
        **newest,
        in_sequence=int(rules.in_sequence),
        priority=rules.priority,
        order=ORDERS.index(rules.order),
    )
