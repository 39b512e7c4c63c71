"""Of every operation: an optional field that is nil is as good as left out, and changes nothing else."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, get_args

import msgspec
import pytest
from msgspec.msgpack import encode

from dispersy.service.interface.requests import AnyRequest, Request, decode, decode_header

OPERATIONS: tuple[type[Request], ...] = get_args(AnyRequest)
VALUES: dict[str, Any] = {
    "accept": True,
    "community": "chat",
    "count": 1,
    "definition": b"x",
    "hard": True,
    "kind": "text",
    "kinds": ["text"],
    "members": ["ab"],
    "message_id": bytes(32),
    "mode": "always",
    "name": "chat",
    "payloads": [b"x"],
    "permissions": ["permit"],
    "request": bytes(32),
    "request_id": bytes(16),
    "resolution": "linear",
    "yes": True,
}
"""Of required fields; `join` alone wants a community's id."""


def fields_of(operation: type[Request]) -> tuple[dict[str, Any], list[str]]:
    """A request with what it must have, and the names of what it may have."""
    fields = [each for each in msgspec.structs.fields(operation) if each.name not in ("v", "id")]
    asked = {"v": 1, "id": 7, "op": operation.__struct_config__.tag}
    asked |= {each.encode_name: VALUES[each.encode_name] for each in fields if each.required}
    if asked["op"] == "join":
        asked["community"] = bytes(32)
    return asked, [each.encode_name for each in fields if not each.required]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_nil_is_as_good_as_left_out(operation: type[Request]) -> None:
    """As programs in other languages send what they do not say: each alone, and all."""
    asked, optional = fields_of(operation)
    meant = decode(encode(asked))
    assert isinstance(meant, operation)
    for nothing in [*([name] for name in optional), optional]:
        assert decode(encode(asked | dict.fromkeys(nothing))) == meant


@pytest.mark.parametrize("operation", OPERATIONS)
def test_nil_is_no_value_of_other_fields(operation: type[Request]) -> None:
    """What is required must be there, and nobody's field is nobody's when it says nothing."""
    asked, optional = fields_of(operation)
    for name in [*asked, "unheard-of"]:
        with pytest.raises(msgspec.ValidationError):
            decode(encode(asked | dict.fromkeys(optional) | {name: None}))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_beside_nil_all_is_as_strict(operation: type[Request]) -> None:
    """A text is no bytes: read as base64 it would be published for good as something else."""
    asked, optional = fields_of(operation)
    for name, value in asked.items():
        wrong: Any = b"x"
        if isinstance(value, bytes):
            wrong = b64encode(value).decode()
        elif value == [b"x"]:
            wrong = ["YWJj"]
        for nothing in ({}, dict.fromkeys(optional)):
            with pytest.raises(msgspec.ValidationError):
                decode(encode(asked | nothing | {name: wrong}))


@pytest.mark.parametrize("key", [b"\x01", b"\xc4\x01x", b"\x91\x01"])
def test_a_key_that_is_no_name_is_refused(key: bytes) -> None:
    """A number, bytes, or a list as the key of a field that is nil."""
    with pytest.raises(msgspec.MsgspecError):
        decode(b"\x85" + encode({"v": 1, "id": 7, "op": "status", "brief": None})[1:] + key + b"\xc0")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_no_id(number: float) -> None:
    """A NaN equals nothing: the follow that had it could be granted no credit, and not be cancelled."""
    frame = encode({"v": 1, "id": number, "op": "follow"})
    with pytest.raises(msgspec.ValidationError):
        decode(frame)
    assert decode_header(frame).request_id() is None
