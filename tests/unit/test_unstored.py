"""Goal: a message that is not stored is taken once, by whom it is meant for, under the rules of its kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispersy.ext.verify import public_key, sign_many
from dispersy.protocol.definitions.definition import Definition, encode_definition
from dispersy.protocol.definitions.held_definitions import HeldDefinitions
from dispersy.protocol.definitions.kind import Kind
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.identifiers import CommunityId, MemberId
from dispersy.protocol.intake.unstored import IDS_MAX, WINDOW_SIZE, ReplayWindows, Unstored
from dispersy.protocol.wire.message import (
    NO_PREVIOUS,
    MessageView,
    create_message,
    draft_message,
    read_message,
)
from dispersy.protocol.wire.push import n_hop_field

MASTER, ALICE, BOB = (bytes([number]) * 32 for number in (1, 2, 3))
COMMUNITY = CommunityId(public_key(MASTER))
ALICE_ID, BOB_ID = MemberId(public_key(ALICE)), MemberId(public_key(BOB))
SHORT = choose("payload", "utf-8", size_max=900)
KINDS = (
    Kind(
        number=64,
        name="whisper",
        distribution=choose("distribution", "direct"),
        destination=choose("destination", "candidate"),
        payload=SHORT,
    ),
    Kind(
        number=65,
        name="rumour",
        distribution=choose("distribution", "relay"),
        destination=choose("destination", "n-hop", hops=2),
        payload=SHORT,
    ),
    Kind(
        number=66,
        name="beacon",
        authentication=choose("authentication", "none"),
        distribution=choose("distribution", "direct"),
        destination=choose("destination", "community", fan_out=1),
    ),
)


def definitions() -> HeldDefinitions:
    held = HeldDefinitions(COMMUNITY)
    payload = encode_definition(Definition("demo", KINDS))
    secret = MASTER + public_key(MASTER)
    held.add(
        create_message(
            COMMUNITY, secret, kind=0, global_time=1, sequence=1, payloads=[payload], previous=NO_PREVIOUS
        )
    )
    return held


HELD = definitions()


def anybody(*_: object) -> bool:
    """A community in which all may write."""
    return True


def message(
    kind: int,
    *,
    sequence: int = 1,
    recipient: MemberId | None = None,
    hops: int = 0,
    is_signed: bool = True,
    payload: bytes = b"hello",
) -> MessageView:
    draft = draft_message(
        COMMUNITY,
        kind=kind,
        authors=(ALICE_ID,) if is_signed else (),
        global_time=2,
        sequence=sequence if is_signed else 0,
        payloads=[payload],
        recipient=recipient,
        n_hop=n_hop_field(bytes(16), hops) if hops else None,
    )
    signatures = (sign_many(ALICE + ALICE_ID, [draft.signed]),) if is_signed else ()
    return read_message(COMMUNITY, draft.complete(signatures))


@pytest.fixture
def unstored() -> Unstored:
    return Unstored(BOB_ID)


@pytest.mark.parametrize(
    ("view", "refusal"),
    [
        (message(64, recipient=BOB_ID), None),
        (message(65, hops=2), None),
        (message(65, hops=1), None),
        (message(66, is_signed=False), None),
        # A direct message passed on to somebody else.
        (message(64, recipient=ALICE_ID), "recipient-other"),
        (message(64), "policy-authentication"),
        (message(64, recipient=BOB_ID, is_signed=False), "policy-authentication"),
        (message(65, hops=3), "policy-hops"),
        (message(65), "policy-authentication"),
        (message(66), "policy-authentication"),
        (message(64, recipient=BOB_ID, payload=b"\xff"), "payload-utf-8"),
        (message(64, recipient=BOB_ID, payload=bytes(901)), "payload-size"),
    ],
)
def test_the_rules_of_its_kind_decide(unstored: Unstored, view: MessageView, refusal: str | None) -> None:
    assert unstored.receive(view, HELD, anybody) == refusal


def test_it_is_taken_once(unstored: Unstored) -> None:
    view = message(64, recipient=BOB_ID)
    assert unstored.receive(view, HELD, anybody) is None
    assert unstored.receive(view, HELD, anybody) == "replayed"


def test_what_was_refused_takes_no_place(unstored: Unstored) -> None:
    """Or a message that its kind does not allow would keep the right one out."""
    assert unstored.receive(message(64, recipient=BOB_ID, payload=b"\xff"), HELD, anybody) == "payload-utf-8"
    assert unstored.receive(message(64, recipient=BOB_ID), HELD, anybody) is None


def test_without_author_ids_are_remembered_up_to_a_limit(unstored: Unstored) -> None:
    views = [message(66, is_signed=False, payload=b"%d" % number) for number in range(IDS_MAX + 1)]
    assert {unstored.receive(view, HELD, anybody) for view in views} == {None}
    assert unstored.receive(views[1], HELD, anybody) == "replayed"
    assert unstored.receive(views[0], HELD, anybody) is None


def test_who_is_not_permitted_is_refused() -> None:
    asked: list[tuple[tuple[MemberId, ...], int, int, int]] = []

    def is_permitted(*claim: object) -> bool:
        asked.append(claim)  # type: ignore[arg-type]
        return False

    unstored = Unstored(BOB_ID)
    view = message(64, recipient=BOB_ID, sequence=7)
    assert unstored.receive(view, HELD, is_permitted) == "denied"
    assert unstored.receive(view, HELD, anybody) is None
    assert asked == [((ALICE_ID,), 64, 2, 7)]


@given(st.lists(st.integers(1, 300), max_size=200))
def test_a_window_takes_each_sequence_once_and_none_below_it(sequences: list[int]) -> None:
    """Beside a set that remembers all of them."""
    windows, seen = ReplayWindows(), set[int]()
    for sequence in sequences:
        expected = sequence not in seen and sequence > max(seen, default=0) - WINDOW_SIZE
        assert windows.is_fresh(b"author", 64, sequence) == expected
        if expected:
            seen.add(sequence)
            windows.note(b"author", 64, sequence)


def test_windows_are_bounded_and_whoever_was_silent_longest_is_forgotten() -> None:
    windows = ReplayWindows(windows_max=2)
    for author in (b"a", b"b", b"a", b"c"):
        windows.note(author, 64, windows._windows.get((author, 64), (0, 0))[0] + 1)
    assert len(windows) == 2
    assert not windows.is_fresh(b"a", 64, 2)
    assert windows.is_fresh(b"b", 64, 1)
