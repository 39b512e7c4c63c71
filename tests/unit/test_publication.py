"""Goal: whoever publishes what a kind does not take is told which payload it is and what the kind takes."""

from __future__ import annotations

import pytest

from dispersy.errors import UsageError
from dispersy.protocol.definitions.definition import Definition, Kind
from dispersy.protocol.definitions.policies import choose
from dispersy.service.operations.publication import check_publication

VOTE = Kind(number=64, name="vote", payload=choose("payload", "messagepack", schema="{points: int(0..9)}"))
CONTRACT = Kind(number=65, name="contract", authentication=choose("authentication", "double-member"))
DEFINITION = Definition("demo", (VOTE, CONTRACT))


def check(kind: str, *payloads: bytes) -> int:
    return check_publication("demo", DEFINITION, kind, payloads, together=True)


def test_a_payload_that_does_not_fit_the_schema_is_named_with_the_schema() -> None:
    assert check("vote", b"\x81\xa6points\x09") == 64
    with pytest.raises(UsageError, match="payload 2 is not what the schema of vote in demo says") as caught:
        check("vote", b"\x81\xa6points\x09", b"\x81\xa6points\x0a")
    assert caught.value.code == "payload-format"
    assert caught.value.hint == "the schema is {points: int(0..9)}"
    with pytest.raises(UsageError, match="payload 1 is not messagepack, which vote in demo takes"):
        check("vote", b"\xc1")


def test_a_second_author_leaves_less_room() -> None:
    assert check("contract", b"x" * 875) == 65
    with pytest.raises(UsageError, match="payload 1 has 876 bytes; contract in demo allows 875"):
        check("contract", b"x" * 876)
    with pytest.raises(UsageError, match="2 payloads take 879 bytes; one message carries 877"):
        check("contract", b"x" * 874, b"xx")
