"""Goal: what a control message says has one form in bytes, and each fault has a name."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispersy.constants import DATAGRAM_MESSAGE_SIZE_MAX, GLOBAL_TIME_MAX, SEQUENCE_MAX
from dispersy.errors import UsageError, WireError
from dispersy.ext.verify import public_key
from dispersy.protocol.identifiers import CommunityId, MemberId, MessageId
from dispersy.protocol.permissions.control_messages import (
    Authorize,
    AuthorRanges,
    Body,
    ControlMessage,
    Destroy,
    Grant,
    PairCut,
    PairRanges,
    Permission,
    Ranges,
    Revoke,
    Settings,
    Undo,
    Withdrawal,
    control_kind,
    decode_body,
    encode_body,
    read_control,
)
from dispersy.protocol.wire.message import NO_PREVIOUS, create_message, draft_message, read_message
from dispersy.protocol.wire.numbers import ControlKind

SEED = bytes(range(32))
AUTHOR = MemberId(public_key(SEED))
COMMUNITY = CommunityId(b"\7" * 32)
A, B = MemberId(b"\1" * 32), MemberId(b"\2" * 32)
X, Y = MessageId(b"\5" * 32), MessageId(b"\6" * 32)
PERMIT, UNDO = Permission.PERMIT, Permission.UNDO

members = st.binary(min_size=32, max_size=32).map(MemberId)
prefixes = st.binary(min_size=16, max_size=16)
ids = st.binary(min_size=32, max_size=32).map(MessageId)
kinds = st.integers(64, 255)
permissions = st.integers(1, 31).map(Permission)
powers = st.tuples(members, kinds)


@st.composite
def ranges(draw: st.DrawFn, size_min: int = 0) -> Ranges:
    bounds = draw(st.lists(st.integers(1, SEQUENCE_MAX // 2), min_size=size_min, max_size=4, unique=True))
    # Even numbers, so that no two ranges touch; the last of an odd count is a range of its own.
    bounds = sorted(2 * bound for bound in bounds)
    return tuple(
        zip(bounds[::2], [*bounds[1::2], bounds[-1]] if len(bounds) % 2 else bounds[1::2], strict=True)
    )


named = ranges(size_min=1)


@st.composite
def withdrawals(draw: st.DrawFn, member: MemberId, kind: int) -> Withdrawal:
    withdrawn = draw(permissions)
    heads = tuple(sorted(draw(st.lists(ids, max_size=2, unique=True))))
    if not withdrawn & PERMIT:
        return Withdrawal(member, kind, withdrawn, heads)
    others = draw(st.lists(st.tuples(members, st.integers(0, 1)), max_size=1, unique=True))
    pairs = tuple(PairRanges(other, role, draw(named)) for other, role in sorted(others))
    return Withdrawal(member, kind, withdrawn, heads, draw(ranges()), pairs)


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    """Anything that a control message can say."""
    match draw(st.sampled_from(sorted(ControlKind)[1:])):
        case ControlKind.AUTHORIZE:
            named_powers = sorted(draw(st.lists(powers, min_size=1, max_size=5, unique=True)))
            return Authorize(tuple(Grant(member, kind, draw(permissions)) for member, kind in named_powers))
        case ControlKind.REVOKE:
            named_powers = sorted(draw(st.lists(powers, min_size=1, max_size=2, unique=True)))
            return Revoke(tuple(draw(withdrawals(member, kind)) for member, kind in named_powers))
        case ControlKind.UNDO:
            times = st.integers(1, GLOBAL_TIME_MAX)
            return Undo(draw(ids), draw(kinds), draw(times), draw(st.none() | st.integers(0, 254)))
        case ControlKind.SETTINGS:
            return draw(settings())
    return Destroy(draw(st.booleans()))


@st.composite
def settings(draw: st.DrawFn) -> Settings:
    if draw(st.booleans()):
        return Settings(draw(kinds), is_linear=False)
    authors = sorted(draw(st.lists(prefixes, max_size=4, unique=True)))
    pairs = sorted(draw(st.lists(st.tuples(prefixes, prefixes), max_size=3, unique=True)))
    return Settings(
        draw(kinds),
        is_linear=True,
        cut=tuple(AuthorRanges(author, draw(named)) for author in authors),
        pair_cut=tuple(PairCut(first, second, draw(named)) for first, second in pairs),
        continues=draw(st.none() | ids),
    )


@given(bodies())
def test_a_body_is_read_as_it_was_written(body: Body) -> None:
    assert decode_body(control_kind(body), encode_body(body)) == body


def outcome(kind: int, payload: bytes) -> bytes | str:
    """The bytes of what was read, or the fault's name."""
    try:
        return encode_body(decode_body(kind, payload))
    except WireError as error:
        return error.reason


@given(st.integers(0, 70), st.binary(max_size=120))
def test_any_bytes_are_a_body_or_a_named_fault(kind: int, payload: bytes) -> None:
    assert outcome(kind, payload) in (payload, "control-malformed", "control-not-canonical")


@given(bodies(), st.data())
def test_a_body_with_another_byte_is_another_body_or_a_named_fault(body: Body, data: st.DataObject) -> None:
    payload = bytearray(encode_body(body))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    read = outcome(control_kind(body), bytes(payload))
    assert read in (bytes(payload), "control-malformed", "control-not-canonical")


GRANT = [A, 64, 1]
WITHDRAWAL = [A, 64, 1, [X, Y], [1, 2, 4, 4], [[A, 0, [1, 1]], [A, 1, [1, 1]]]]
CUT = [bytes(16), [1, 2]]
PAIR = [bytes(16), bytes(16), [1, 2]]


def changed(row: list[object], index: int, value: object) -> list[object]:
    return [*row[:index], value, *row[index + 1 :]]


WELL_FORMED: dict[str, tuple[ControlKind, object]] = {
    "authorize": (ControlKind.AUTHORIZE, {1: [GRANT, [A, 65, 31], [B, 64, 1]]}),
    "revoke": (ControlKind.REVOKE, {1: [WITHDRAWAL, [B, 64, 2, [], [], []]]}),
    "undo": (ControlKind.UNDO, {1: X, 2: 64, 3: 7}),
    "undo of a payload": (ControlKind.UNDO, {1: X, 2: 64, 3: 7, 4: 254}),
    "public": (ControlKind.SETTINGS, {1: 64, 2: 0}),
    "linear": (ControlKind.SETTINGS, {1: 64, 2: 1, 3: []}),
    "linear, all of it": (ControlKind.SETTINGS, {1: 64, 2: 1, 3: [CUT], 4: [PAIR], 5: X}),
    "destroy": (ControlKind.DESTROY, {1: 0}),
}
MALFORMED: dict[str, tuple[int, object]] = {
    "a definition": (ControlKind.DEFINITION, {1: 1}),
    "reserved kind": (6, {1: 0}),
    "no map": (ControlKind.AUTHORIZE, [GRANT]),
    "grants of nothing": (ControlKind.AUTHORIZE, {1: []}),
    "another key": (ControlKind.AUTHORIZE, {2: [GRANT]}),
    "one key more": (ControlKind.AUTHORIZE, {1: [GRANT], 2: [GRANT]}),
    "short member": (ControlKind.AUTHORIZE, {1: [changed(GRANT, 0, A[1:])]}),
    "member as text": (ControlKind.AUTHORIZE, {1: [changed(GRANT, 0, "a" * 32)]}),
    "kind of Dispersy's own": (ControlKind.AUTHORIZE, {1: [changed(GRANT, 1, 63)]}),
    "kind above all": (ControlKind.AUTHORIZE, {1: [changed(GRANT, 1, 256)]}),
    "no permission": (ControlKind.AUTHORIZE, {1: [changed(GRANT, 2, 0)]}),
    "unknown permission": (ControlKind.AUTHORIZE, {1: [changed(GRANT, 2, 32)]}),
    "negative permission": (ControlKind.AUTHORIZE, {1: [changed(GRANT, 2, -1)]}),
    "permission as float": (ControlKind.AUTHORIZE, {1: [changed(GRANT, 2, 1.0)]}),
    "permission as boolean": (ControlKind.AUTHORIZE, {1: [changed(GRANT, 2, True)]}),
    "grant with more": (ControlKind.AUTHORIZE, {1: [[*GRANT, 1]]}),
    "withdrawals of nothing": (ControlKind.REVOKE, {1: []}),
    "withdrawal of a short member": (ControlKind.REVOKE, {1: [changed(WITHDRAWAL, 0, A[1:])]}),
    "short head": (ControlKind.REVOKE, {1: [changed(WITHDRAWAL, 3, [X[1:]])]}),
    "a range without end": (ControlKind.REVOKE, {1: [changed(WITHDRAWAL, 4, [1, 2, 4])]}),
    "sequence 0": (ControlKind.REVOKE, {1: [changed(WITHDRAWAL, 4, [0, 2])]}),
    "range backwards": (ControlKind.REVOKE, {1: [changed(WITHDRAWAL, 4, [3, 2])]}),
    "sequence above all": (ControlKind.REVOKE, {1: [changed(WITHDRAWAL, 4, [1, 1 << 63])]}),
    "ranges without permit": (ControlKind.REVOKE, {1: [[A, 64, 2, [], [1, 1], []]]}),
    "pairs without permit": (ControlKind.REVOKE, {1: [[A, 64, 2, [], [], [[B, 0, [1, 1]]]]]}),
    "pair of no sequences": (ControlKind.REVOKE, {1: [changed(WITHDRAWAL, 5, [[B, 0, []]])]}),
    "role 2": (ControlKind.REVOKE, {1: [changed(WITHDRAWAL, 5, [[B, 2, [1, 1]]])]}),
    "short other": (ControlKind.REVOKE, {1: [changed(WITHDRAWAL, 5, [[B[1:], 0, [1, 1]]])]}),
    "undo without target": (ControlKind.UNDO, {2: 64, 3: 7}),
    "undo of a short target": (ControlKind.UNDO, {1: X[1:], 2: 64, 3: 7}),
    "undo of an undo": (ControlKind.UNDO, {1: X, 2: 3, 3: 7}),
    "undo at time 0": (ControlKind.UNDO, {1: X, 2: 64, 3: 0}),
    "undo at a time above all": (ControlKind.UNDO, {1: X, 2: 64, 3: 1 << 63}),
    "undo of payload 255": (ControlKind.UNDO, {1: X, 2: 64, 3: 7, 4: 255}),
    "undo of a payload by bytes": (ControlKind.UNDO, {1: X, 2: 64, 3: 7, 4: X}),
    "undo that says more": (ControlKind.UNDO, {1: X, 2: 64, 3: 7, 5: 1}),
    "settings without a policy": (ControlKind.SETTINGS, {1: 64}),
    "settings of an unknown policy": (ControlKind.SETTINGS, {1: 64, 2: 2, 3: []}),
    "settings of a control kind": (ControlKind.SETTINGS, {1: 3, 2: 0}),
    "public with a cut": (ControlKind.SETTINGS, {1: 64, 2: 0, 3: []}),
    "linear without a cut": (ControlKind.SETTINGS, {1: 64, 2: 1}),
    "cut of a whole key": (ControlKind.SETTINGS, {1: 64, 2: 1, 3: [[A, [1, 2]]]}),
    "cut of no sequences": (ControlKind.SETTINGS, {1: 64, 2: 1, 3: [[bytes(16), []]]}),
    "cut of sequence 0": (ControlKind.SETTINGS, {1: 64, 2: 1, 3: [[bytes(16), [0, 1]]]}),
    "cut in another shape": (ControlKind.SETTINGS, {1: 64, 2: 1, 3: [[[1, 2], bytes(16)]]}),
    "pair cut in another shape": (ControlKind.SETTINGS, {1: 64, 2: 1, 3: [], 4: [CUT]}),
    "pair cut of no sequences": (ControlKind.SETTINGS, {1: 64, 2: 1, 3: [], 4: [changed(PAIR, 2, [])]}),
    "pair cut of a whole key": (ControlKind.SETTINGS, {1: 64, 2: 1, 3: [], 4: [changed(PAIR, 1, A)]}),
    "continues a short id": (ControlKind.SETTINGS, {1: 64, 2: 1, 3: [], 5: X[1:]}),
    "continues a number": (ControlKind.SETTINGS, {1: 64, 2: 1, 3: [], 5: 1}),
    "settings that say more": (ControlKind.SETTINGS, {1: 64, 2: 1, 3: [], 6: 1}),
    "destroy in a third way": (ControlKind.DESTROY, {1: 2}),
    "destroy of nothing": (ControlKind.DESTROY, {}),
    "destroy that says more": (ControlKind.DESTROY, {1: 1, 2: 1}),
}
NOT_CANONICAL: dict[str, tuple[ControlKind, object]] = {
    "grants descend by member": (ControlKind.AUTHORIZE, {1: [[B, 64, 1], GRANT]}),
    "grants descend by kind": (ControlKind.AUTHORIZE, {1: [[A, 65, 1], GRANT]}),
    "a grant twice": (ControlKind.AUTHORIZE, {1: [GRANT, GRANT]}),
    "one power in two grants": (ControlKind.AUTHORIZE, {1: [GRANT, [A, 64, 2]]}),
    "a withdrawal twice": (ControlKind.REVOKE, {1: [WITHDRAWAL, WITHDRAWAL]}),
    "withdrawals descend": (ControlKind.REVOKE, {1: [[B, 64, 2, [], [], []], WITHDRAWAL]}),
    "heads descend": (ControlKind.REVOKE, {1: [changed(WITHDRAWAL, 3, [Y, X])]}),
    "a head twice": (ControlKind.REVOKE, {1: [changed(WITHDRAWAL, 3, [X, X])]}),
    "ranges descend": (ControlKind.REVOKE, {1: [changed(WITHDRAWAL, 4, [4, 4, 1, 2])]}),
    "ranges overlap": (ControlKind.REVOKE, {1: [changed(WITHDRAWAL, 4, [1, 3, 3, 4])]}),
    "ranges touch": (ControlKind.REVOKE, {1: [changed(WITHDRAWAL, 4, [1, 2, 3, 4])]}),
    "pairs descend": (ControlKind.REVOKE, {1: [changed(WITHDRAWAL, 5, [[B, 1, [1, 1]], [B, 0, [1, 1]]])]}),
    "an author twice": (ControlKind.SETTINGS, {1: 64, 2: 1, 3: [CUT, CUT]}),
    "a pair twice": (ControlKind.SETTINGS, {1: 64, 2: 1, 3: [], 4: [PAIR, PAIR]}),
    "a pair cut of none": (ControlKind.SETTINGS, {1: 64, 2: 1, 3: [], 4: []}),
    "keys descend": (ControlKind.SETTINGS, {2: 0, 1: 64}),
}


@pytest.mark.parametrize("name", WELL_FORMED)
def test_each_shape_is_taken(name: str) -> None:
    """The rows below each differ from one of these in one thing."""
    kind, decoded = WELL_FORMED[name]
    payload = msgspec.msgpack.encode(decoded)
    assert encode_body(decode_body(kind, payload)) == payload


@pytest.mark.parametrize("name", MALFORMED)
def test_what_makes_no_sense_is_malformed(name: str) -> None:
    kind, decoded = MALFORMED[name]
    with pytest.raises(WireError, match=r"^control-malformed$"):
        decode_body(kind, msgspec.msgpack.encode(decoded))


@pytest.mark.parametrize("name", NOT_CANONICAL)
def test_what_could_be_written_in_another_way_is_not_canonical(name: str) -> None:
    kind, decoded = NOT_CANONICAL[name]
    with pytest.raises(WireError, match=r"^control-not-canonical$"):
        decode_body(kind, msgspec.msgpack.encode(decoded))


@pytest.mark.parametrize(
    "payload",
    ["8101cc00", "810100810100", "8201000101", "de00010100", "8201010100", "8101"],
    ids=["long number", "goes on", "a key twice", "long map", "the other twice", "ends early"],
)
def test_bytes_of_another_form_are_refused(payload: str) -> None:
    assert decode_body(ControlKind.DESTROY, bytes.fromhex("810100")) == Destroy(is_hard=False)
    with pytest.raises(WireError, match=r"^control-(malformed|not-canonical)$"):
        decode_body(ControlKind.DESTROY, bytes.fromhex(payload))


def test_whoever_builds_nonsense_is_told_what_is_wrong() -> None:
    with pytest.raises(UsageError, match="kind 63 is outside 64 to 255") as raised:
        encode_body(Authorize((Grant(A, 63, PERMIT),)))
    assert raised.value.code == "control-malformed"
    with pytest.raises(UsageError, match="only settings to linear carry a cut"):
        encode_body(Settings(64, is_linear=False, cut=(AuthorRanges(bytes(16), ((1, 2),)),)))
    with pytest.raises(UsageError, match="grants must ascend") as raised:
        encode_body(Authorize((Grant(B, 64, PERMIT), Grant(A, 64, UNDO))))
    assert raised.value.code == "control-not-canonical"


def signed(payloads: list[bytes], kind: int = ControlKind.AUTHORIZE) -> bytes:
    return create_message(
        COMMUNITY,
        SEED + AUTHOR,
        kind=kind,
        global_time=9,
        sequence=3,
        payloads=payloads,
        previous=NO_PREVIOUS,
    )


def test_a_body_may_fill_its_message_and_no_more() -> None:
    """Whatever global time and sequence it will have."""
    grants = [Grant(MemberId(bytes([number]) * 32), 64, PERMIT) for number in range(1, 40)]
    fitting = 25
    draft = draft_message(
        COMMUNITY,
        kind=ControlKind.AUTHORIZE,
        authors=[AUTHOR],
        global_time=GLOBAL_TIME_MAX,
        sequence=SEQUENCE_MAX,
        payloads=[encode_body(Authorize(tuple(grants[:fitting])))],
        previous=NO_PREVIOUS,
    )
    assert len(draft.unsigned) + 64 in range(DATAGRAM_MESSAGE_SIZE_MAX - 37, DATAGRAM_MESSAGE_SIZE_MAX + 1)
    with pytest.raises(UsageError, match="the limit is 939") as raised:
        encode_body(Authorize(tuple(grants[: fitting + 1])))
    assert raised.value.code == "control-too-long"


def test_a_message_is_read() -> None:
    body = Authorize((Grant(A, 64, PERMIT | UNDO),))
    view = read_message(COMMUNITY, signed([encode_body(body)]))
    assert read_control(view) == ControlMessage(
        view.id, AUTHOR, ControlKind.AUTHORIZE, global_time=9, previous=NO_PREVIOUS, body=body
    )


def test_a_message_of_a_wrong_shape_is_malformed() -> None:
    payload = encode_body(Authorize((Grant(A, 64, PERMIT),)))
    view = read_message(COMMUNITY, signed([payload]))
    read_control(view)
    shapes = [
        read_message(COMMUNITY, signed([payload, payload])),
        read_message(COMMUNITY, signed([payload], kind=6)),
        *(replace(view, flags=type(view.flags)(flag)) for flag in (1, 2, 4, 8)),
    ]
    for shape in shapes:
        with pytest.raises(WireError, match=r"^control-malformed$"):
            read_control(shape)
