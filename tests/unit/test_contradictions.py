"""Goal: policies that exclude one another are refused with the reason, and all others go together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dispersy.constants import DATAGRAM_MESSAGE_SIZE_MAX, GLOBAL_TIME_MAX, MESSAGE_SIZE_MAX, SEQUENCE_MAX
from dispersy.errors import UsageError
from dispersy.protocol.definitions import definition as definition_module
from dispersy.protocol.definitions import definition_toml
from dispersy.protocol.definitions.definition import (
    Definition,
    Kind,
    check_definition,
    decode_definition,
    encode_definition,
    payload_room,
    require_enforced,
    shape_of,
)
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.identifiers import CommunityId, MemberId
from dispersy.protocol.wire.message import draft_message
from dispersy.protocol.wire.numbers import MessageFlag

TEXT = Kind(number=64, name="text")
NONE = {"authentication": choose("authentication", "none")}
TWO = {"authentication": choose("authentication", "double-member")}
DIRECT = {"distribution": choose("distribution", "direct")}
RELAY = {"distribution": choose("distribution", "relay")}
LAST = {"distribution": choose("distribution", "last-sync", newest=1)}
IN_SEQUENCE = {"distribution": choose("distribution", "full-sync", in_sequence=1)}
TO_FEW = {"destination": choose("destination", "community", fan_out=3)}
TO_ONE = {"destination": choose("destination", "candidate")}
HOPS = {"destination": choose("destination", "n-hop", hops=2)}
LINEAR = {"resolution": choose("resolution", "linear")}
DYNAMIC = {"resolution": choose("resolution", "dynamic", initial=0)}
PRUNED = {"pruning": choose("pruning", "global-time", inactive_threshold=1, prune_threshold=2)}
RATED = {"payload": choose("payload", "bytes", rate=1)}


def distribution(name: str, **parameters: int | str) -> dict[str, Any]:
    return {"distribution": choose("distribution", name, **parameters)}


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (NONE, "authentication none needs distribution direct or relay, not full-sync"),
        (NONE | LAST, "authentication none needs distribution direct or relay, not last-sync"),
        (NONE | DIRECT | TO_ONE | LINEAR, "authentication none needs resolution public, not linear"),
        (NONE | RELAY | HOPS | DYNAMIC, "authentication none needs resolution public, not dynamic"),
        (TWO | DIRECT | TO_ONE, "double-member needs .* with direct nobody would keep"),
        (TWO | RELAY | HOPS, "double-member needs .* with relay nobody would keep"),
        (HOPS, "full-sync needs destination community, not n-hop"),
        (LAST | TO_ONE, "last-sync needs destination community, not candidate"),
        (DIRECT | HOPS, "direct is never passed on"),
        (DIRECT, "reaches nobody with fan_out 0"),
        (RELAY, "relay needs destination n-hop, which says how far it goes, not community"),
        (RELAY | TO_ONE, "relay needs destination n-hop, which says how far it goes, not candidate"),
        (RELAY | HOPS | PRUNED, "relay stores nothing, so pruning must be none"),
        (DIRECT | TO_ONE | RATED, "direct stores nothing, so rate must be 0"),
        (DIRECT | TO_FEW | {"batch_window_ms": 1}, "stores nothing, so batch_window_ms must be 0"),
        (distribution("direct", priority=1) | TO_ONE, "stores nothing, so priority must be left out"),
        (distribution("relay", order=1) | HOPS, "stores nothing, so order must be left out"),
        (distribution("direct", in_sequence=1) | TO_ONE, "in_sequence needs distribution full-sync, not dir"),
        (distribution("last-sync", newest=9, in_sequence=1), "in_sequence needs distribution full-sync"),
        (IN_SEQUENCE | PRUNED, "in_sequence needs pruning none: newcomers would wait"),
        (IN_SEQUENCE | RATED, "in_sequence needs rate 0: .* gaps"),
        (distribution("full-sync", in_sequence=1, order=1), "in_sequence needs order ascending"),
        (distribution("full-sync", in_sequence=1, order=2), "in_sequence needs order ascending"),
        (distribution("full-sync", in_sequence=1, priority=31), "priority 31 .* in_sequence must be false"),
        (distribution("full-sync", order=1, priority=31), "only on request, so order must be left out"),
        (distribution("last-sync", newest=1, priority=0) | TO_FEW, "priority 0 .* fan_out must be 0"),
        (
            {"pruning": choose("pruning", "global-time", inactive_threshold=2, prune_threshold=2)},
            "prune_threshold must be above inactive_threshold",
        ),
    ],
)
def test_contradicting_policies_are_refused_with_the_reason(kind: dict[str, Any], wrong: str) -> None:
    with pytest.raises(UsageError, match=f"kind 'text': .*{wrong}") as caught:
        check_definition(Definition("demo", (replace(TEXT, **kind),)))
    assert caught.value.code == "definition-contradiction"


@pytest.mark.parametrize(
    "kind",
    [
        NONE | DIRECT | TO_FEW,
        NONE | RELAY | HOPS,
        TWO | LINEAR | LAST | PRUNED | RATED | {"batch_window_ms": 9, "frozen": True},
        TWO | DYNAMIC | IN_SEQUENCE | {"batch_window_ms": 9},
        DIRECT | TO_ONE | LINEAR,
        RELAY | HOPS | DYNAMIC | {"frozen": True},
        LAST | TO_FEW | PRUNED,
        distribution("last-sync", newest=2, priority=32, order=2) | RATED,
        distribution("full-sync", in_sequence=1, priority=32) | TO_FEW | LINEAR,
        TWO | DYNAMIC | PRUNED | RATED | distribution("full-sync", priority=31),
        distribution("last-sync", newest=2, priority=0) | {"batch_window_ms": 9, "frozen": True},
    ],
)
def test_what_goes_together_is_taken(kind: dict[str, Any]) -> None:
    definition = Definition("demo", (replace(TEXT, **kind),))
    assert decode_definition(encode_definition(definition)) == definition


@pytest.mark.parametrize(
    ("kind", "flags", "room"),
    [
        ({}, 0, 65_416),
        (LAST, 0, 65_416),
        (DIRECT, 0, 971),
        (RELAY, 0, 971),
        (TWO, MessageFlag.TWO_AUTHORS, 971 - 32 - 64),
        (NONE | DIRECT | TO_FEW, MessageFlag.NO_AUTHOR, 971 + 32 + 9 + 64),
        (DIRECT | TO_ONE, MessageFlag.RECIPIENT, 971 - 32),
        (RELAY | HOPS, MessageFlag.N_HOP, 971 - 17),
        (NONE | DIRECT | TO_ONE, MessageFlag.NO_AUTHOR | MessageFlag.RECIPIENT, 971 + 9 + 64),
    ],
)
def test_the_shape_of_its_messages_says_how_much_a_kind_may_allow(
    kind: dict[str, Any], flags: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: what a definition allows, a message of this kind can always carry, and not a byte more."""
    shaped = replace(TEXT, **kind)
    assert (shape_of(shaped), payload_room(shaped)) == (flags, room)
    message = draft_message(
        CommunityId(bytes(32)),
        kind=64,
        authors=[MemberId(bytes([number]) * 32) for number in (1, 2)[: len(authors_of(flags))]],
        recipient=MemberId(b"\3" * 32) if flags & MessageFlag.RECIPIENT else None,
        n_hop=bytes(17) if flags & MessageFlag.N_HOP else None,
        global_time=GLOBAL_TIME_MAX,
        sequence=SEQUENCE_MAX if authors_of(flags) else 0,
        payloads=[bytes(room)],
    )
    longest = MESSAGE_SIZE_MAX if room > 971 + 32 + 9 + 64 else DATAGRAM_MESSAGE_SIZE_MAX
    assert len(message.unsigned) + 64 * len(authors_of(flags)) == longest
    fitting, longer = (
        Definition("demo", (replace(shaped, payload=choose("payload", "bytes", size_max=size)),))
        for size in (room, room + 1)
    )
    # Whatever else of such a kind is enforced.
    monkeypatch.setattr(definition_module, "not_enforced", lambda _: None)
    require_enforced(fitting)
    with pytest.raises(UsageError, match=f"size_max {room + 1} .* holds {room} bytes; use 1 to {room}$"):
        require_enforced(longer)


def authors_of(flags: int) -> str:
    """A letter for each."""
    return "" if flags & MessageFlag.NO_AUTHOR else "ab" if flags & MessageFlag.TWO_AUTHORS else "a"


def test_a_size_that_is_not_stated_fits_the_shape() -> None:
    """Goal: nobody has to know how many bytes a second signature takes."""
    text = 'name = "demo"\n[kinds.text]\nnumber = 64\nauthentication = "double-member"\n'
    for payload in ("", 'payload = "bytes"\n', 'payload = { format = "utf-8", rate = 3 }\n'):
        (kind,) = definition_toml.parse(text + payload).kinds
        assert kind.payload["size_max"] == payload_room(kind) == 875
    (stated,) = definition_toml.parse(text + 'payload = { format = "bytes", size_max = 971 }').kinds
    assert stated.payload["size_max"] == 971
