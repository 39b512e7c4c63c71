"""Goal: messages are as long as they may be and no longer, form chains, and are read as they were written."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from dispersy.constants import DATAGRAM_MESSAGE_SIZE_MAX, MESSAGE_SIZE_MAX
from dispersy.errors import UsageError, WireError
from dispersy.ext.verify import public_key, sign_many
from dispersy.protocol.identifiers import CommunityId, MemberId, MessageId
from dispersy.protocol.wire.message import (
    NO_PREVIOUS,
    MessageTooLong,
    create_many,
    create_message,
    draft_message,
    payload_size_max,
    read_message,
)
from dispersy.protocol.wire.numbers import ControlKind, MessageFlag
from dispersy.protocol.wire.packing import UVARINT_MAX

SEED = bytes(range(32))
AUTHOR = MemberId(public_key(SEED))
SECRET = SEED + AUTHOR
SECOND_SEED = bytes(32)
SECOND = MemberId(public_key(SECOND_SEED))
COMMUNITY = CommunityId(b"\7" * 32)
TEXT = 64

keys = st.binary(min_size=32, max_size=32).filter(any).map(MemberId)
numbers = st.integers(1, UVARINT_MAX)
payload_groups = st.lists(st.lists(st.binary(max_size=50), min_size=1, max_size=8), min_size=1, max_size=5)


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, object]:
    """Arguments of draft_message() for any message that there can be."""
    kind = draw(st.integers(0, 255))
    authors = draw(st.lists(keys, min_size=0 if kind >= TEXT else 1, max_size=2))
    return {
        "kind": kind,
        "authors": authors,
        "global_time": draw(numbers),
        "sequence": draw(numbers) if authors else 0,
        "payloads": draw(st.lists(st.binary(max_size=50), min_size=1, max_size=8)),
        "recipient": draw(st.none() | keys),
        "previous": draw(st.binary(min_size=32, max_size=32)) if kind < TEXT else None,
        "n_hop": draw(st.none() | st.binary(min_size=17, max_size=17)),
    }


@given(shapes(), st.binary(min_size=128, max_size=128))
def test_a_message_is_read_as_it_was_drafted(shape: dict[str, object], noise: bytes) -> None:
    draft = draft_message(COMMUNITY, **shape)  # type: ignore[arg-type]
    authors = shape["authors"]
    assert isinstance(authors, list)
    signatures = [noise[:64], noise[64:]][: len(authors)]
    view = read_message(COMMUNITY, draft.complete(signatures))
    assert [key for key in (view.author, view.second_author) if key is not None] == authors
    assert list(view.payloads) == shape["payloads"]
    assert view.signatures == tuple(signatures)
    for name in ("kind", "global_time", "sequence", "recipient", "previous", "n_hop"):
        assert getattr(view, name) == shape[name]
    assert view.id == draft.id


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_named_fault(raw: bytes) -> None:
    try:
        outcome: bytes | str = read_message(COMMUNITY, raw).raw
    except WireError as error:
        outcome = error.reason
    assert outcome == raw or str(outcome).startswith("message-")


@given(payload_groups, st.integers(1, 1 << 40), st.integers(1, 1 << 40))
def test_many_are_what_one_by_one_would_be(
    groups: list[list[bytes]], global_time: int, sequence: int
) -> None:
    many = create_many(
        COMMUNITY,
        SECRET,
        kind=TEXT,
        first_global_time=global_time,
        first_sequence=sequence,
        payload_groups=groups,
    )
    assert many == [
        create_message(
            COMMUNITY,
            SECRET,
            kind=TEXT,
            global_time=global_time + index,
            sequence=sequence + index,
            payloads=payloads,
        )
        for index, payloads in enumerate(groups)
    ]


def test_control_messages_form_a_chain() -> None:
    raws = create_many(
        COMMUNITY,
        SECRET,
        kind=ControlKind.SETTINGS,
        first_global_time=5,
        first_sequence=1,
        payload_groups=[[b"\x80"]] * 3,
        previous=NO_PREVIOUS,
    )
    views = [read_message(COMMUNITY, raw) for raw in raws]
    assert [view.previous for view in views] == [NO_PREVIOUS, views[0].id, views[1].id]
    assert [view.global_time for view in views] == [5, 6, 7]
    assert [view.sequence for view in views] == [1, 2, 3]


def test_both_authors_sign_the_same_bytes() -> None:
    draft = draft_message(
        COMMUNITY, kind=TEXT, authors=(AUTHOR, SECOND), global_time=1, sequence=1, payloads=[b"agreed"]
    )
    second = sign_many(SECOND_SEED + SECOND, [draft.signed])
    first = sign_many(SECRET, [draft.signed])
    view = read_message(COMMUNITY, draft.complete([first, second]))
    assert view.flags == MessageFlag.TWO_AUTHORS
    for author, signature in zip((AUTHOR, SECOND), view.signatures, strict=True):
        Ed25519PublicKey.from_public_bytes(author).verify(signature, draft.signed)


def test_another_community_gives_another_id() -> None:
    raw = create_message(COMMUNITY, SECRET, kind=TEXT, global_time=1, sequence=1, payloads=[b"x"])
    other = CommunityId(b"\x08" * 32)
    assert read_message(COMMUNITY, raw).id != read_message(other, raw).id


@pytest.mark.parametrize(
    ("number", "kind", "previous"),
    [(1, TEXT, None), (127, TEXT, None), (128, TEXT, None), (UVARINT_MAX, TEXT, None), (1, 0, NO_PREVIOUS)],
)
def test_the_longest_payload_fits_and_one_byte_more_does_not(
    number: int, kind: int, previous: MessageId | None
) -> None:
    longest = payload_size_max(kind, global_time=number, sequence=number)

    def create(size: int) -> bytes:
        return create_message(
            COMMUNITY,
            SECRET,
            kind=kind,
            global_time=number,
            sequence=number,
            payloads=[bytes(size)],
            previous=previous,
        )

    size_max = MESSAGE_SIZE_MAX if kind else DATAGRAM_MESSAGE_SIZE_MAX
    assert len(create(longest)) == size_max
    with pytest.raises(MessageTooLong, match=f"{size_max + 1} bytes; the limit is {size_max}") as caught:
        create(longest + 1)
    assert (caught.value.size, caught.value.size_max) == (size_max + 1, size_max)
    assert caught.value.hint


def test_what_always_fits_is_known_before_the_clock() -> None:
    assert payload_size_max() == 65_416
    assert payload_size_max(in_datagram=True) == 971
    assert payload_size_max() == payload_size_max(global_time=UVARINT_MAX, sequence=UVARINT_MAX)
    assert payload_size_max(author_count=2) == 971 - 96
    assert payload_size_max(has_recipient=True) == 971 - 32
    assert payload_size_max(0) == 971 - 32


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"payloads": []}, "1 to 255 payloads"),
        ({"payloads": [b""] * 256}, "1 to 255 payloads"),
        ({"global_time": 0}, "global time"),
        ({"global_time": 1 << 63}, "2\\^63"),
        ({"sequence": -1}, "2\\^63"),
        ({"sequence": 0}, "sequence"),
        ({"previous": NO_PREVIOUS}, "previous"),
        ({"kind": 0}, "previous"),
        ({"kind": 256}, "kind"),
        ({"n_hop": bytes(16)}, "n_hop"),
        ({"recipient": b"short"}, "recipient"),
        ({"authors": (bytes(32),)}, "author"),
        ({"authors": (AUTHOR, SECOND, AUTHOR)}, "authors"),
        ({"authors": ()}, "sequence"),
    ],
)
def test_parts_that_contradict_are_a_usage_error(changes: dict[str, object], wrong: str) -> None:
    arguments = {"kind": TEXT, "authors": (AUTHOR,), "global_time": 1, "sequence": 1, "payloads": [b"x"]}
    with pytest.raises(UsageError, match=wrong):
        draft_message(COMMUNITY, **{**arguments, **changes})  # type: ignore[arg-type]
