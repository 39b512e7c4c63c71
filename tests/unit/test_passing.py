"""Goal: what is pushed leaves with the commit and never without; what is not stored is done once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dispersy.bus.frames import HeardMessage
from dispersy.errors import StorageError, UsageError
from dispersy.ext.digest import identify_many
from dispersy.ext.verify import public_key
from dispersy.ext.wire import DROP_REASONS, parse_messages
from dispersy.protocol.definitions.definition import Definition, encode_definition
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.wire.message import MessageView, read_message
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.protocol.wire.push import Push, check_hops
from dispersy.workers.authoring.publishing import PUSHED_PER_REQUEST_MAX
from dispersy.workers.keeping.passing import NOWHERE, Destination
from tests.scenarios.test_neighbourhood import FAN_OUT, KINDS
from tests.unit.test_ledger import NOW_MS
from tests.unit.test_ledger import House as LedgerHouse

NEWS, WHISPER, RUMOUR, BEACON = 65, 66, 67, 68
BOB = public_key(b"b" * 32)
TO_BOB = Destination(members=(BOB,))


class House(LedgerHouse):
    """A ledger with a community of all kinds."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.ledger.create(
            "create", name="chat", definition=encode_definition(Definition("chat", KINDS)), as_key=""
        )
        made = self.commit()["create"]
        self.community = CommunityId(made["community_id"])
        self.ledger.drain_leaving()

    def send(
        self, kind: int, to: Destination = NOWHERE, *, request: int = 1, texts: Sequence[bytes] = (b"hello",)
    ) -> Any:
        """The outcome of one request."""
        self.ledger.publish(
            request,
            number=1,
            kind=kind,
            groups=[[text] for text in texts],
            request_id=NOW_MS.to_bytes(6, "big") + request.to_bytes(10, "big"),
            destination=to,
            now_ms=NOW_MS,
        )
        return self.commit()[request]

    def pushed(self) -> list[tuple[MessageView, int, list[bytes]]]:
        """(message, fan-out, members) of what leaves."""
        leaving = self.ledger.drain_leaving().pushed.get(1, [])
        return [(read_message(self.community, each.message), each.fan_out, each.members) for each in leaving]

    def receive(self, raw: bytes) -> list[HeardMessage]:
        """What followers are told when this comes from the network."""
        area = encode_uvarint(len(raw)) + raw
        records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
        identify_many(records, area, self.community)
        self.ledger.receive(1, 0, bytes(records), area)
        self.commit()
        return self.ledger.drain_leaving().heard.get(1, [])


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_stored_message_is_pushed_once_it_is_durable(house: House) -> None:
    """To its kind's fan-out, and to whoever is named; without either nothing is pushed."""
    house.send(64, request=1)
    assert house.pushed() == []
    outcome = house.send(NEWS, TO_BOB, request=2)
    ((view, fan_out, members),) = house.pushed()
    assert ([view.id], fan_out, members) == (outcome["ids"], FAN_OUT, [BOB])
    house.send(64, TO_BOB, request=3)
    assert [(fan_out, members) for _, fan_out, members in house.pushed()] == [(0, [BOB])]
    house.store.fails = True
    assert isinstance(house.send(NEWS, request=4), StorageError)
    assert house.pushed() == []


def test_of_a_large_request_the_first_are_pushed(house: House) -> None:
    house.send(NEWS, texts=[b"%d" % number for number in range(PUSHED_PER_REQUEST_MAX + 1)])
    assert len(house.pushed()) == PUSHED_PER_REQUEST_MAX


def test_what_is_not_stored_leaves_no_trace_in_the_store(house: House) -> None:
    """No log entry, no clock, no commit; one message for each recipient, under rising sequences."""
    last, commits, state = house.store.last_cursor(), house.store.commits, house.store.state(1)
    carol = public_key(b"c" * 32)
    outcome = house.send(WHISPER, Destination(members=(BOB, carol)))
    assert (outcome["first_cursor"], outcome["last_cursor"], outcome["repeated"]) == (0, 0, False)
    sent = house.pushed()
    assert [view.id for view, _, _ in sent] == outcome["ids"]
    assert [(view.recipient, fan_out, members) for view, fan_out, members in sent] == [
        (BOB, 0, [BOB]),
        (carol, 0, [carol]),
    ]
    assert [view.sequence for view, _, _ in sent] == [NOW_MS, NOW_MS + 1]
    assert (house.store.last_cursor(), house.store.commits, house.store.state(1)) == (last, commits, state)


def test_a_request_is_done_once(house: House) -> None:
    first = house.send(BEACON)
    assert len(house.pushed()) == 1
    again = house.send(BEACON)
    assert again == {**first, "repeated": True}
    assert house.pushed() == []


def test_the_first_frame_of_an_n_hop_message_holds_what_its_header_signs(house: House) -> None:
    """Each with a chain of its own."""
    house.send(RUMOUR, texts=[b"one", b"two"])
    frames = [
        Push(each.hops_left, each.message, each.link) for each in house.ledger.drain_leaving().pushed[1]
    ]
    fields = [read_message(house.community, each.message).n_hop for each in frames]
    assert len(set(fields)) == 2
    for field, each in zip(fields, frames, strict=True):
        assert field is not None
        check_hops(field, each)
        assert each.hops_left == 1


def test_our_own_come_back_to_nobody(house: House) -> None:
    """A relayed message that comes round is no news here."""
    house.send(RUMOUR)
    ((view, _, _),) = house.pushed()
    assert house.receive(view.raw) == []
    assert house.ledger.counters["replayed"] == 1
    assert house.ledger.fate(1, view.id) == (False, "replayed")


def test_who_is_to_get_it_must_be_said(house: House) -> None:
    with pytest.raises(UsageError, match="nobody was named"):
        house.send(WHISPER)
