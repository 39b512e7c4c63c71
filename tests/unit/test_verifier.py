"""The verifier: out of any mix exactly the good new messages come, and what is known costs no signature."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dispersy.bus.frames import VERIFY_SOURCE, Introduction
from dispersy.bus.settings import RoleSettings
from dispersy.ext import verify
from dispersy.ext.digest import identify_many
from dispersy.ext.wire import DROP_REASONS, parse_messages
from dispersy.protocol.identifiers import CommunityId, MemberId, community_tag
from dispersy.protocol.wire.frames import IntroductionRequest, IntroductionResponse, introduction_signed_bytes
from dispersy.protocol.wire.message import create_many
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.protocol.wire.records import MESSAGE, STRIPPED, id_keys
from dispersy.protocol.wire.stripped import strip
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, CommunityRecord, MessageBlock
from dispersy.workers import verifier
from dispersy.workers.report import Reporter
from dispersy.workers.verifier import RECENT_LIFETIME_S, Verifier

SEED = bytes(range(32))
PUBLIC = verify.public_key(SEED)
NEIGHBOUR_SEED = bytes(32)
NEIGHBOUR = MemberId(verify.public_key(NEIGHBOUR_SEED))
COMMUNITY = CommunityId(bytes(31) + b"\1")
NUMBER = 3
RECORD = CommunityRecord(NUMBER, COMMUNITY, "test", PUBLIC)


def messages(count: int, first: int = 1) -> list[bytes]:
    return create_many(
        COMMUNITY,
        SEED + PUBLIC,
        kind=64,
        first_global_time=first,
        first_sequence=first,
        payload_groups=[[b"payload"]] * count,
    )


def area_of(raws: list[bytes]) -> bytes:
    return b"".join(encode_uvarint(len(raw)) + raw for raw in raws)


class House:
    """A verifier beside a store; counts the signatures it checks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = MemoryStore()
        self.store.commit(Batch(communities=[RECORD]))
        self.reporter = Reporter("worker-0", RoleSettings("", "", "", 1))
        self.verifier = Verifier(self.store, self.reporter)
        self.verifier.set_communities([RECORD])
        self.checked = 0

        def counting(records: bytes, arena: bytes, community_id: bytes) -> bytes:
            self.checked += len(records) // MESSAGE.size
            return verify.verify_messages(records, arena, community_id)

        monkeypatch.setattr(verifier, "verify_messages", counting)

    def batch(self, raws: list[bytes], now: float = 0.0) -> list[bytes]:
        """The messages that come out."""
        area = area_of(raws)
        records = self.verifier.batch(NUMBER, area, now)
        return [area[at[0] : at[0] + at[1]] for at in MESSAGE.iter_unpack(records)]

    def store_messages(self, raws: list[bytes]) -> None:
        area = area_of(raws)
        records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
        identify_many(records, area, COMMUNITY)
        self.store.commit(Batch(blocks=[MessageBlock(NUMBER, bytes(records), area, bytes(len(raws)), 0)]))


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    return House(monkeypatch)


@pytest.mark.parametrize("seed", range(20))
def test_of_any_mix_the_good_new_ones_come_out(house: House, seed: int) -> None:
    """Goal: no bad signature, copy or broken message takes a good one with it, in any order."""
    rng = random.Random(seed)
    good, held, recent = messages(6), messages(3, first=50), messages(3, first=90)
    house.store_messages(held)
    assert house.batch(recent) == recent
    house.checked = 0
    forged = [raw[:-1] + bytes([raw[-1] ^ 1]) for raw in [*good, *messages(2, first=200)]]
    broken = [good[0][:40], b"", good[1][:-1], good[2] + b"\0", bytes(100)]
    mix = [*good, *good[:3], *held, *recent, *forged, *broken]
    rng.shuffle(mix)
    assert sorted(house.batch(mix)) == sorted(good)
    assert house.checked == len(good) + len(forged)
    assert house.reporter.counters["known-held"] == 3
    assert house.reporter.counters["known-recently"] == 3
    assert house.reporter.counters["signature-wrong"] == len(forged)


def test_known_messages_cost_no_signature(house: House) -> None:
    """Goal: a flood of what was handled or is stored is dropped before the signatures."""
    raws = messages(10)
    assert house.batch(raws) == raws
    assert house.batch(raws) == []
    assert house.checked == 10
    house.store_messages(raws)
    assert house.batch(raws, now=1000.0) == []
    assert house.checked == 10


def test_what_was_lost_on_the_way_to_the_store_is_taken_again(house: House) -> None:
    """Goal: after a killed writer or a refused commit synchronisation can bring a message back."""
    raws = messages(4)
    assert house.batch(raws, now=100.0) == raws
    assert house.batch(raws, now=100.0 + RECENT_LIFETIME_S) == []
    assert house.batch(raws, now=100.0 + 2 * RECENT_LIFETIME_S) == raws


def test_each_record_says_which_hosts_it_came_from(house: House) -> None:
    """Goal: buckets stay with their messages, whatever of a batch is dropped on the way."""
    raws, held = messages(5), messages(1, first=50)
    house.store_messages(held)
    parts = [[raws[0], bytes(100), held[0], raws[1]], [], [bytes(100)], [raws[2]], [raws[3], raws[4]]]
    ends = [len(area_of([raw for part in parts[: index + 1] for raw in part])) for index in range(len(parts))]
    sources = b"".join(VERIFY_SOURCE.pack(end, 10 + index) for index, end in enumerate(ends))
    area = area_of([raw for part in parts for raw in part])
    records = house.verifier.batch(NUMBER, area, 0.0, sources)
    assert [fields[10] for fields in MESSAGE.iter_unpack(records)] == [10, 10, 13, 14, 14]
    alike = area_of(messages(3, first=60))
    records = house.verifier.batch(NUMBER, alike, 0.0, VERIFY_SOURCE.pack(len(alike), 17))
    assert [fields[10] for fields in MESSAGE.iter_unpack(records)] == [17, 17, 17]


def test_the_keys_of_ids_are_their_first_bytes(house: House) -> None:
    records = house.verifier.batch(NUMBER, area_of(messages(3)), 0.0)
    ids = [fields[11] for fields in MESSAGE.iter_unpack(records)]
    assert id_keys(records) == b"".join(each[:16] for each in ids)
    assert id_keys(b"") == b""


def test_what_came_before_the_definition_is_taken_when_it_is_there(house: House) -> None:
    """Goal: a message that is pushed to a newcomer too early is not refused when it is fetched soon after:
    its neighbours would seem to have nothing, and be left alone for longer and longer."""
    raws = messages(4)
    assert house.batch(raws, now=100.0) == raws
    assert house.batch(raws, now=100.1) == []
    house.verifier.set_communities([replace(RECORD, definition=b"definition")])
    assert house.batch(raws, now=100.2) == raws
    house.verifier.set_communities([replace(RECORD, definition=b"another")])
    assert house.batch(raws, now=100.3) == []


def test_a_restarted_writer_makes_the_verifier_forget(house: House) -> None:
    """Goal: what was on its way to a killed writer is checked again at once, not after the table has aged."""
    raws = messages(4)
    assert house.batch(raws, now=100.0) == raws
    assert house.batch(raws, now=100.1) == []
    house.verifier.forget()
    assert house.batch(raws, now=100.2) == raws


def test_a_forged_copy_does_not_hide_the_good_one_later(house: House) -> None:
    """Goal: who sends a message with a wrong signature first keeps nobody from it."""
    [raw] = messages(1)
    forged = raw[:-1] + bytes([raw[-1] ^ 1])
    assert house.batch([forged]) == []
    assert house.batch([raw]) == [raw]


def test_an_unknown_community_gives_nothing(house: House) -> None:
    """Goal: a batch for a community that this worker has not heard of yet is counted, not an error."""
    assert house.verifier.batch(99, area_of(messages(1)), 0.0) == b""
    assert house.reporter.counters["community-gone"] == 1


def introduction(
    *, made_for: MemberId | None, flag: bool, response: bool = False, token: bytes = b"12345678"
) -> Introduction:
    """An introduction signed by a neighbour; made_for: the receiver's key that its signature covers."""
    spoken: IntroductionRequest | IntroductionResponse = (
        IntroductionResponse(number=1, member=NEIGHBOUR)
        if response
        else IntroductionRequest(
            number=1, member=NEIGHBOUR, covers_receiver=flag, capabilities=1 << 31, extension=b"later"
        )
    )
    signed = introduction_signed_bytes(
        community_tag(COMMUNITY), token, spoken.type, spoken.unsigned(), receiver_member=made_for
    )
    signature = verify.sign_many(NEIGHBOUR_SEED + NEIGHBOUR, [signed])
    return Introduction(NUMBER, bytes(18), token, spoken.type, spoken.unsigned() + signature)


def test_introductions_that_hold_come_out(house: House) -> None:
    """Goal: a wrong signature, another token, junk and unknown communities are dropped."""
    good = introduction(made_for=None, flag=False)
    kind, token, body = good.type, good.header_token, good.body
    mix = [
        Introduction(NUMBER, bytes(18), token, kind, b""),
        Introduction(NUMBER, bytes(18), token, kind, body[:-1] + bytes([body[-1] ^ 1])),
        Introduction(NUMBER, bytes(18), b"87654321", kind, body),
        good,
        Introduction(NUMBER, bytes(18), token, FrameType.INTRODUCTION_RESPONSE, body),
        Introduction(99, bytes(18), token, kind, body),
    ]
    assert house.verifier.introductions(mix) == [good]
    assert house.verifier.introductions([]) == []


def test_an_introduction_made_for_another_does_not_hold(house: House) -> None:
    """Goal: what covers the receiver's key holds under our own alone, requests and responses alike."""
    ours, another = MemberId(PUBLIC), MemberId(bytes(32))
    good = [
        introduction(made_for=ours, flag=True),
        introduction(made_for=ours, flag=True, response=True),
        introduction(made_for=None, flag=False),
    ]
    passed_on = [
        introduction(made_for=another, flag=True),
        introduction(made_for=another, flag=True, response=True),
        introduction(made_for=None, flag=True),
        introduction(made_for=ours, flag=False),
        introduction(made_for=None, flag=True, response=True),
    ]
    assert house.verifier.introductions([*passed_on, *good]) == good
    assert house.reporter.counters["introduction-signature-wrong"] == len(passed_on)


def test_what_is_stripped_proves_its_author_too(house: House) -> None:
    """Goal: signatures cover header and digest; where one of them does not fit the message is dropped."""
    raws = messages(3)
    left = [bytes(strip(raw)) for raw in raws]
    changed = left[1][:-65] + bytes([left[1][-65] ^ 1]) + left[1][-64:]
    area = area_of([left[0], changed, raws[2], left[2]])
    records = house.verifier.batch(NUMBER, area, 0.0, stripped=True)
    found = list(MESSAGE.iter_unpack(records))
    assert [area[fields[0] : fields[0] + fields[1]] for fields in found] == [left[0], left[2]]
    assert {fields[9] for fields in found} == {STRIPPED}
    assert house.reporter.counters["signature-wrong"] == 1
    assert house.reporter.counters["message-short"] == 1
    whole = parse_messages(area_of(raws), bytearray(4 * len(DROP_REASONS)))
    identify_many(whole, area_of(raws), COMMUNITY)
    ids = [fields[11] for fields in MESSAGE.iter_unpack(whole)]
    assert [fields[11] for fields in found] == [ids[0], ids[2]]
