"""Goal: messages of any size are built, signed, split, stored and answered, and come out byte by byte as they
were."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dispersy.constants import FRAMES_SIZE_MAX, MESSAGE_SIZE_MAX
from dispersy.ext.verify import public_key, verify_messages
from dispersy.ext.wire import split_payloads
from dispersy.protocol.address import make_address
from dispersy.protocol.identifiers import CommunityId, OrderKey
from dispersy.protocol.intake.received import pack
from dispersy.protocol.large_messages.assembly import Assembly
from dispersy.protocol.large_messages.fragment_answer import FragmentAnswer
from dispersy.protocol.sync.answer import Answer
from dispersy.protocol.wire.frames import (
    Fragment,
    FragmentRequest,
    Large,
    LargeName,
    MessagesHeader,
    SyncRequest,
)
from dispersy.protocol.wire.large_frames import all_fragments
from dispersy.protocol.wire.message import create_message, payload_size_max
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.packing import decode_uvarint
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, CommunityRecord, MessageBlock, StoreWriter
from dispersy.workers.answering.served import CommittedHoldings

COMMUNITY = CommunityId(bytes(range(32)))
SEED = bytes(range(32))
SECRET = SEED + public_key(SEED)
SOURCE = make_address("192.0.2.1", 6421)
LONGEST = payload_size_max()
FITS = payload_size_max(in_datagram=True)

sizes = st.one_of(
    st.integers(1, LONGEST), st.integers(FITS - 3, FITS + 40), st.integers(LONGEST - 3, LONGEST)
)


def frames_of(content: bytes) -> list[tuple[int, bytes]]:
    """(type, body) of the frames of one datagram."""
    found, at = [], 0
    while at < len(content):
        size, start = decode_uvarint(content, at + 1)
        found.append((content[at], content[start : start + size]))
        at = start + size
    return found


def answered(store: StoreWriter) -> list[bytes]:
    """All messages as a newcomer gets them: in messages frames, and by the fragments of what is named."""
    (record,) = store.communities()
    holdings = CommittedHoldings(store, record)
    answer = Answer(SyncRequest(number=5, budget=64), holdings, None)
    found: list[bytes] = []
    low = OrderKey(bytes(24))
    while not answer.finished:
        for content in answer.frames(3):
            assert len(content) <= FRAMES_SIZE_MAX
            for frame_type, body in frames_of(content):
                if frame_type == FrameType.LARGE:
                    large = Large.decode(body)
                    assert large.number == 5
                    found += [fetched(holdings, name) for name in large.names]
                    continue
                header, area = MessagesHeader.decode(body)
                assert header.low == low
                low = header.high
                while area:
                    size, start = decode_uvarint(area, 0)
                    found.append(area[start : start + size])
                    area = area[start + size :]
    return found


def fetched(holdings: CommittedHoldings, name: LargeName) -> bytes:
    """A named message, by its fragments."""
    assembly = Assembly(COMMUNITY, name, SOURCE, 0.0)
    answer = FragmentAnswer(FragmentRequest(9, name.key, all_fragments(name.size)), holdings)
    while not answer.finished:
        for content in answer.frames(10):
            ((frame_type, body),) = frames_of(content)
            assert (frame_type, len(content) <= FRAMES_SIZE_MAX) == (FrameType.FRAGMENT, True)
            assembly.take(Fragment.decode(body))
    message = assembly.whole()
    assert message is not None
    return message


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(sizes, min_size=1, max_size=12))
@example([FITS, FITS + 1, LONGEST, 1, FITS, LONGEST])
def test_messages_of_any_size_come_back_as_they_were(lengths: list[int]) -> None:
    messages = [
        create_message(
            COMMUNITY, SECRET, kind=64, global_time=time, sequence=time, payloads=[bytes([time]) * length]
        )
        for time, length in enumerate(lengths, start=1)
    ]
    assert max(map(len, messages)) <= MESSAGE_SIZE_MAX
    records, arena = pack(messages, COMMUNITY)
    assert verify_messages(records, arena, COMMUNITY) == b"\1" * len(messages)
    assert [len(split_payloads(message)[0]) for message in messages] == lengths
    with TemporaryDirectory() as folder:
        stores: list[StoreWriter] = [MemoryStore(), LmdbStore(Path(folder) / "store")]
        for store in stores:
            record = CommunityRecord(1, COMMUNITY, "demo", bytes(32))
            block = MessageBlock(1, records, arena, bytes(len(messages)), 7)
            store.commit(Batch(communities=[record], blocks=[block]))
            assert [entry.message for entry in store.log(1, 100)] == messages

            assert sorted(answered(store)) == sorted(messages)
            store.close()
