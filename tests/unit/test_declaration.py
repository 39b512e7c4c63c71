"""Goal: a class declares what the same TOML declares, and says at once, by name, what cannot be."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from typing import Any

import msgspec
import pytest
from hypothesis import given

import dispersy
from dispersy.community import BlockingCommunity, Community, kind
from dispersy.declaration import Policy, full_sync, last_sync, n_hop, policy
from dispersy.errors import UsageError
from dispersy.protocol.definitions import definition_toml
from dispersy.protocol.definitions.definition import Definition, decode_definition, encode_definition
from tests.unit.test_definition import definitions


class Text(msgspec.Struct):
    body: str
    language: str = ""


PAYLOADS = {"utf-8": str, "bytes": bytes, "messagepack": Text}


def class_of(toml: str, base: type[Community] | type[BlockingCommunity] = Community) -> type[Community]:
    """The class that somebody would write after a TOML text: its names and values, one by one."""
    attributes: dict[str, Any] = {}
    for name, table in tomllib.loads(toml).get("kinds", {}).items():
        options: dict[str, Any] = {}
        for group, stated in table.items():
            if group == "payload":
                given = {"format": stated} if isinstance(stated, str) else dict(stated)
                payload: type[Any] = PAYLOADS[given.pop("format")]
                options |= given
            elif isinstance(stated, dict):
                parameters = dict(stated)
                options[group] = policy(parameters.pop("type"), **parameters)
            else:
                options[group] = stated
        number = options.pop("number")
        attributes[name.replace("-", "_")] = kind(number, payload, name=name, **options)
    return type("Declared", (base,), attributes)


@given(definition=definitions())
def test_a_class_makes_the_definition_of_its_toml(definition: Definition) -> None:
    """Whatever the policies: byte for byte, and back."""
    toml = definition_toml.format(definition)
    for base in (Community, BlockingCommunity):
        made = class_of(toml, base).definition(definition.name)
        assert made == encode_definition(definition)
        assert definition_toml.format(decode_definition(made)) == toml


def test_a_type_can_be_the_schema_of_its_kind() -> None:
    class Chat(Community):
        text = kind(64, Text, schema=True)
        vote = kind(65, int, schema="int(0..9)", rate=3)

    text, vote = decode_definition(Chat.definition("chat")).kinds
    assert text.payload["schema"] == "{body: str, language?: str, ...}"
    assert (vote.payload["schema"], vote.payload["rate"]) == ("int(0..9)", 3)
    with pytest.raises(UsageError, match="kind 'wrong': schema, character 1"):
        type("Chat", (Community,), {"wrong": kind(64, int, schema="number")})
    with pytest.raises(UsageError, match=r"kind 'wrong': .* no parameter 'schema'"):
        type("Chat", (Community,), {"wrong": kind(64, str, schema=True)})


def test_what_is_left_out_is_at_its_default() -> None:
    class Chat(Community):
        text = kind(64, Text, resolution="public", distribution=full_sync())
        long_text = kind(65, str)

    toml = (
        'name = "chat"\n[kinds.text]\nnumber = 64\npayload = "messagepack"\n[kinds.long-text]\nnumber = 65\n'
    )
    assert Chat.definition("chat") == encode_definition(definition_toml.parse(toml))
    assert list(Chat.kinds) == ["text", "long-text"]


@pytest.mark.parametrize(
    ("declared", "parts"),
    [
        (
            lambda: kind(64, str, authentication="none"),
            ["kind 'wrong'", "needs distribution direct or relay"],
        ),
        (lambda: kind(64, str, destination=n_hop(2)), ["kind 'wrong'", "destination community"]),
        (lambda: kind(64, str, distribution=last_sync(3, in_sequence=True)), ["kind 'wrong'", "in_sequence"]),
        (lambda: kind(63, str), ["kind 'wrong'", "63"]),
        (lambda: kind(65, str), ["'wrong'", "'other'", "same number 65"]),
        (lambda: kind(64, str, resolution="open"), ["kind 'wrong'", "'open' is unknown"]),
        (lambda: kind(64, str, distribution=full_sync(speed=1)), ["kind 'wrong'", "speed"]),
        (lambda: kind(64, str, size_max=0), ["kind 'wrong'", "size_max"]),
        (lambda: kind(64, str, name="Wrong"), ["kind 64", "'Wrong'"]),
        (lambda: kind(64, str, name="other"), ["two kinds are named 'other'"]),
        (lambda: kind(64, type("Odd", (), {"__init__": None})), ["kind 'wrong'", "Odd"]),
    ],
)
def test_what_cannot_be_is_refused_when_the_class_is_made(declared: Any, parts: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        type("Chat", (Community,), {"other": kind(65, str), "wrong": declared()})
    assert caught.value.code.startswith("definition-")
    assert all(part in str(caught.value) for part in parts), caught.value


def test_a_community_that_is_defined_otherwise_is_told_apart() -> None:
    """Every difference, by kind and policy."""

    class Mine(Community):
        text = kind(64, Text)
        photo = kind(65, bytes, size_max=900)
        remark = kind(67, str)

    toml = """
    name = "chat"
    [kinds.text]
    number = 64
    [kinds.picture]
    number = 65
    [kinds.vote]
    number = 66
    [kinds.remark]
    number = 67
    """
    Mine.check("chat", Mine.definition("another-name"))
    with pytest.raises(UsageError) as caught:
        Mine.check("chat", encode_definition(definition_toml.parse(toml)))
    assert caught.value.code == "definition-different"
    for part in (
        "community chat is defined otherwise than Mine",
        'kind \'text\': payload is { format = "utf-8", size_max = 971 } there and { format = "messagepack"',
        "kind 65 is 'picture' there and 'photo' in the class",
        "kind 66, 'vote', is not in the class",
    ):
        assert part in str(caught.value)
    assert "remark" not in str(caught.value)


def test_a_payload_of_another_type_is_refused_before_it_is_sent() -> None:
    class Chat(Community):
        text = kind(64, Text)
        note = kind(65, str)
        raw = kind(66, bytes)

    wrong: list[tuple[Any, Any]] = [
        (Chat.text, Text(7)),  # type: ignore[arg-type]
        (Chat.text, "hello"),
        (Chat.note, b"hello"),
        (Chat.raw, "hello"),
        (Chat.note, "\ud800"),
    ]
    for declared, payload in wrong:
        with pytest.raises(UsageError) as caught:
            declared.encode(payload)
        assert caught.value.code == "payload-format"
        assert declared.name in str(caught.value)
    assert Chat.text.decode(Chat.text.encode(Text("hello"))) == Text("hello")


def test_what_applications_need_is_in_the_package_and_loaded_when_asked_for() -> None:
    """A role imports `dispersy` with all it needs, and none of the clients."""
    for name in dispersy.__all__:
        assert getattr(dispersy, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        dispersy.Klient  # noqa: B018
    program = (
        "import sys, dispersy, dispersy.workers.network, dispersy.workers.writer\n"
        "import dispersy.service.gateway.gateway\n"
        "import dispersy.service.processes.supervisor\n"
        "print([name for name in sys.modules if name.startswith(('dispersy.', 'asyncio', 'zmq.asyncio'))])\n"
        "from dispersy import AsyncClient, Community, kind\n"
        "assert 'dispersy.aio' in sys.modules\n"
    )
    loaded = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert "dispersy.workers.network" in loaded.stdout
    for name in ("dispersy.client", "dispersy.aio", "dispersy.community", "dispersy.declaration", "'asyncio"):
        assert name not in loaded.stdout


def test_policies_are_named_as_in_toml() -> None:
    assert full_sync(priority=7) == Policy("full-sync", {"priority": 7})
