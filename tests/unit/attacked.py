"""Two honest nodes under attack: what comes is verified, decided in two orders, exchanged and explained."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from dispersy.bus.settings import RoleSettings
from dispersy.protocol.definitions.kind import Kind
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.intake.intake import Intake
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.service.operations.explanation import explained
from dispersy.storage.store import StoreWriter
from dispersy.workers.report import Reporter
from dispersy.workers.verifier import RECENT_LIFETIME_S, Verifier
from tests.unit.governed import KINDS, GovernedNode, id_of

WHISPER, RUMOUR = 70, 71
"""Kinds that are not stored: for one recipient; for neighbours of neighbours, two hops far."""
_SHORT = choose("payload", "utf-8", size_max=800)
ALL_KINDS = (
    *KINDS,
    Kind(
        number=WHISPER,
        name="whisper",
        distribution=choose("distribution", "direct"),
        destination=choose("destination", "candidate"),
        payload=_SHORT,
    ),
    Kind(
        number=RUMOUR,
        name="rumour",
        distribution=choose("distribution", "relay"),
        destination=choose("destination", "n-hop", hops=2),
        payload=_SHORT,
    ),
)


class AttackedNode(GovernedNode):
    """An honest node; whatever comes goes through its verifier first."""

    def __init__(self, home: Path, store: StoreWriter | None = None) -> None:
        super().__init__(home, store, *ALL_KINDS)
        self._reporter = Reporter("worker-0", RoleSettings("", "", "", 1))
        self._verifier = Verifier(self.store, self._reporter)
        self._verifier.set_communities(self.store.communities())
        self._now = 0.0

    def receive(self, *raws: bytes) -> None:
        # What came a moment ago is dropped by the verifier; an attacker has time.
        self._now += 2 * RECENT_LIFETIME_S
        area = b"".join(encode_uvarint(len(raw)) + raw for raw in raws)
        records = self._verifier.batch(self.number, area, self._now)
        if records:
            self.ledger.receive(self.number, len(raws), records, area)
            self.commit()

    @property
    def dropped(self) -> Counter[str]:
        """What the verifier dropped, by the reason."""
        return self._reporter.counters

    @property
    def intake(self) -> Intake:
        return self.ledger._communities.by_number[self.number].intake

    def explain(self, raw: bytes) -> dict[str, Any]:
        """What `dispersy explain` tells of a message."""
        told = self.ledger.explain(self.number, id_of(raw))
        entry = None if told["cursor"] is None else self.store.entries([told["cursor"]])[0]
        return explained(entry, told, is_defined=True)


class Honest:
    """Two nodes that hear the same in two orders, and exchange what is live."""

    def __init__(self, home: Path) -> None:
        self.nodes = (AttackedNode(home / "one"), AttackedNode(home / "other"))
        self._heard: dict[bytes, bytes] = {}

    def hear(self, *raws: bytes) -> None:
        """One node one after another, the other at once and backwards; then they exchange and agree."""
        one, other = self.nodes
        self._heard |= {id_of(raw): raw for raw in raws}
        for raw in raws:
            one.receive(raw)
        other.receive(*reversed(raws))
        self.exchange()

    def exchange(self) -> None:
        """Let each have what is live at the other until nothing is new."""
        one, other = self.nodes
        while (here := one.live()) != (there := other.live()):
            one.receive(*(self._heard[each] for each in sorted(there - here)))
            other.receive(*(self._heard[each] for each in sorted(here - there)))
            assert (here, there) != (one.live(), other.live()), "they will never agree"
        # Nobody is told of what a newer message replaced, so who followed early may show it still.
        assert one.shown & here == other.shown & here
        for each in one.live() & self._heard.keys():
            assert one.shows(self._heard[each]) == other.shows(self._heard[each])

    def shows(self, *raws: bytes) -> list[bool]:
        """What both show."""
        self.exchange()
        return self.nodes[0].shows(*raws)

    def explain(self, raw: bytes) -> list[dict[str, Any]]:
        """What each tells of a message."""
        return [node.explain(raw) for node in self.nodes]

    def states(self, raw: bytes) -> set[str]:
        return {told["state"] for told in self.explain(raw)}

    def against(self, raw: bytes) -> list[bytes]:
        """What both name as speaking against a message."""
        first, second = ([row["message_id"] for row in told["against"]] for told in self.explain(raw))
        assert first == second
        return first
