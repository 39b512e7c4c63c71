"""Goal: a process starts with exactly its parent's settings, and refuses what it does not understand."""

from __future__ import annotations

import msgspec
import pytest

from dispersy.bus.settings import RoleSettings


def test_json_and_back() -> None:
    """Every field, text that a shell or JSON would treat specially included."""
    settings = RoleSettings('/home/a "b" ü', "/run/x", "[::]:6421", 3, peers=("192.0.2.1:1", "[::1]:2"))
    assert RoleSettings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    "text", ['{"home": "/a"}', "{", '{"home": 1, "runtime": "", "listen": "", "workers": 1}']
)
def test_what_is_no_settings_is_refused(text: str) -> None:
    """argparse turns a ValueError into a message and status 2."""
    with pytest.raises(ValueError, match=r"required|truncated|Expected"):
        RoleSettings.from_json(text)


def test_an_unknown_setting_is_refused() -> None:
    """Programs of two versions must not run one node."""
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        RoleSettings.from_json('{"home": "", "runtime": "", "listen": "", "workers": 1, "colour": 1}')
