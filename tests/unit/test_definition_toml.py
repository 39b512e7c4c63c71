"""Definitions as people write them: what may be left out, and what the errors say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dispersy.errors import UsageError
from dispersy.protocol.definitions import definition_toml
from dispersy.protocol.definitions.definition import Definition, default_definition
from dispersy.protocol.definitions.policies import choose

DEFAULT = default_definition("demo")
TEXT = DEFAULT.kinds[0]


def test_texts_are_quoted_whatever_they_hold() -> None:
    printed = "".join(chr(number) for number in range(0x20, 0x80) if chr(number) not in '"\\\\')
    schema = f'\t"{printed}größer"\n| int '
    kind = replace(TEXT, payload=choose("payload", "messagepack", schema=schema))
    definition = Definition("demo", (kind,))
    assert definition_toml.parse(definition_toml.format(definition)) == definition


def test_everything_but_the_number_has_a_default() -> None:
    assert definition_toml.parse('name = "demo"\n[kinds.text]\nnumber = 64') == DEFAULT


def test_kinds_may_come_in_any_order() -> None:
    text = 'name = "demo"\n[kinds.photo]\nnumber = 65\n[kinds.text]\nnumber = 64'
    assert [kind.number for kind in definition_toml.parse(text).kinds] == [64, 65]


@pytest.mark.parametrize(
    ("lines", "right"),
    [
        ("number = 1", "kind 'text': number 1 is outside 64 to 255"),
        ("", "kind 'text' needs a number from 64 to 255"),
        ('number = "64"', "kind 'text': number is a whole number"),
        ("number = true", "kind 'text': number is a whole number"),
        ("number = 64\ncolour = 1", "kind 'text': 'colour' is unknown; there are number, .*payload"),
        ('number = 64\nresolution = "open"', "kind 'text': resolution 'open' is unknown; there are public"),
        ("number = 64\nresolution = 1", "kind 'text': resolution is a name or a table"),
        ('number = 64\ndistribution = "last-sync"', "kind 'text': distribution last-sync needs 'newest'"),
        (
            'number = 64\ndistribution = { type = "last-sync", newest = 0 }',
            "kind 'text': .*newest must be a number from 1",
        ),
        (
            'number = 64\ndistribution = { type = "full-sync", order = "up" }',
            'kind \'text\': order is "ascending" or "descending"',
        ),
        (
            'number = 64\ndistribution = { type = "full-sync", in_sequence = 1 }',
            "kind 'text': in_sequence is true or false",
        ),
        ('number = 64\npayload = { type = "utf-8" }', "kind 'text': payload is a name or a table: .*format"),
        (
            'number = 64\npayload = { format = "utf-8", length = 9 }',
            "has no parameter 'length'; it has rate, size_max",
        ),
        ('number = 64\npayload = { format = "messagepack", schema = 1 }', "schema is a text"),
        ("number = 64\nfrozen = 1", "kind 'text': frozen is true or false"),
        ("number = 64\nbatch_window_ms = 70000", "kind 'text': batch_window_ms must be .* 65535"),
        ("number = ", "not TOML"),
    ],
)
def test_people_are_told_which_kind_and_what_is_right(lines: str, right: str) -> None:
    with pytest.raises(UsageError, match=right):
        definition_toml.parse(f'name = "demo"\n[kinds.text]\n{lines}')


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("", "needs a name"),
        ('name = "Demo"', "small letter"),
        ('name = "demo"\nkinds = 1', "kinds are tables"),
        ('name = "demo"\nkinds = { text = 64 }', r"write \[kinds.text\]"),
        ('name = "demo"\nkind = 1', "'kind' is unknown; there are name, kinds"),
        ('name = "demo"\n[kinds.Text]\nnumber = 64', "kind 64: name 'Text'"),
        ('name = "demo"\n[kinds.a]\nnumber = 64\n[kinds.b]\nnumber = 64', "'a' and 'b' have the same number"),
    ],
)
def test_people_are_told_what_a_definition_is(text: str, right: str) -> None:
    with pytest.raises(UsageError, match=right):
        definition_toml.parse(text)
