"""Scenarios, Duplicates: the same again is ignored, and cheaply; other content in a slot is misbehaviour."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dispersy.bus.settings import RoleSettings
from dispersy.ext import verify
from dispersy.ext.digest import identify_many
from dispersy.ext.wire import DROP_REASONS, parse_messages
from dispersy.protocol.definitions.definition import default_definition, encode_definition
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.intake.marks import HIDDEN_BY_EQUIVOCATION
from dispersy.protocol.wire.message import NO_PREVIOUS, create_message, read_message
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.protocol.wire.records import MESSAGE
from dispersy.storage.keyring import Keyring
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, CommunityRecord, EntryType
from dispersy.workers import verifier
from dispersy.workers.ledger import Ledger
from dispersy.workers.report import Reporter
from dispersy.workers.verifier import Verifier
from tests.oracle.verify import Secret

SEED = bytes(range(32))
MASTER = verify.public_key(SEED)
COMMUNITY = CommunityId(MASTER)
NUMBER = 1
SIGNATURE_SIZE = 64


def written(payload: bytes, *, sequence: int = 1, global_time: int = 2) -> bytes:
    return create_message(
        COMMUNITY, SEED + MASTER, kind=64, global_time=global_time, sequence=sequence, payloads=[payload]
    )


def signed_anew(raw: bytes) -> bytes:
    """The same message under another signature that holds as well: its author used another nonce."""
    signer = replace(Secret.from_seed(SEED), prefix=b"another nonce")
    area = encode_uvarint(len(raw)) + raw
    records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
    identify_many(records, area, COMMUNITY)
    (fields,) = MESSAGE.iter_unpack(records)
    header_size = fields[4]
    signed = b"dispersy/3 message" + COMMUNITY + raw[:header_size] + fields[12]
    return raw[:-SIGNATURE_SIZE] + signer.sign(signed)


class Node:
    """A verifier and a ledger over one store, as worker and writer are; counts signatures checked."""

    def __init__(self, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = MemoryStore()
        definition = create_message(
            COMMUNITY,
            SEED + MASTER,
            kind=0,
            global_time=1,
            sequence=1,
            payloads=[encode_definition(default_definition("chat"))],
            previous=NO_PREVIOUS,
        )
        record = CommunityRecord(NUMBER, COMMUNITY, "chat", MASTER, definition)
        self.store.commit(Batch(communities=[record]))
        self.ledger = Ledger(self.store, Keyring(keys), now_ms=1_000)
        self.verifier = Verifier(self.store, Reporter("worker-0", RoleSettings("", "", "", 1)))
        self.verifier.set_communities([record])
        self.signatures = 0

        def counting(records: bytes, arena: bytes, community_id: bytes) -> bytes:
            self.signatures += len(records) // MESSAGE.size
            return verify.verify_messages(records, arena, community_id)

        monkeypatch.setattr(verifier, "verify_messages", counting)

    def receive(self, *raws: bytes, now: float = 0.0) -> None:
        area = b"".join(encode_uvarint(len(raw)) + raw for raw in raws)
        records = self.verifier.batch(NUMBER, area, now)
        self.ledger.receive(NUMBER, len(raws), records, area)
        self.ledger.commit(now_ms=2_000)

    def held(self) -> list[tuple[bytes, int]]:
        """(payload, marks) of what is in the log, in its order."""
        return [
            (read_message(COMMUNITY, entry.message).payloads[0], entry.marks)
            for entry in self.store.log(1, 100)
            if entry.type == EntryType.MESSAGE
        ]


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path / "keys", monkeypatch)


@pytest.mark.parametrize("later_s", [0.0, 10_000.0], ids=["at once", "much later"])
@pytest.mark.parametrize("anew", [False, True], ids=["the same bytes", "signed anew"])
def test_the_same_message_again_is_ignored_without_a_signature_check(
    node: Node, later_s: float, anew: bool
) -> None:
    """Goal: one copy is kept, the log does not grow, and the second costs no signature."""
    raw = written(b"once")
    again = signed_anew(raw) if anew else raw
    assert (again != raw) == anew
    node.receive(raw)
    assert node.signatures == 1
    last = node.store.last_cursor()
    node.receive(again, now=later_s)
    assert node.signatures == 1
    assert node.store.last_cursor() == last
    assert node.held() == [(b"once", 0)]


def test_a_message_signed_anew_is_a_good_one_where_the_first_is_not_known(node: Node) -> None:
    """Goal: what makes the test above cheap is the message's id, not a signature that would not hold."""
    node.receive(signed_anew(written(b"once")))
    assert node.held() == [(b"once", 0)]


def test_other_content_in_one_slot_is_proof_of_misbehaviour(node: Node) -> None:
    """Goal: same author, kind and sequence: neither is shown, both are kept as the proof for others."""
    node.receive(written(b"this"))
    node.receive(written(b"that", global_time=3))
    assert node.held() == [(b"this", HIDDEN_BY_EQUIVOCATION), (b"that", HIDDEN_BY_EQUIVOCATION)]
    assert node.store.state(NUMBER).summary.count == 2
    denied = [entry for entry in node.store.log(1, 100) if entry.type == EntryType.DENIED]
    assert [entry.reason for entry in denied] == ["equivocation"]
