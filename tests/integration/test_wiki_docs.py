"""Goal: docs/wiki.md is true: every command in it, typed at terminals of real nodes, prints what it says."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from tests.integration.walk_through import Names, Terminals, read_story

DOCUMENT = Path(__file__).parents[2] / "docs" / "wiki.md"


def test_every_command_prints_what_is_said(tmp_path: Path) -> None:
    """From three empty homes to a wiki that has governed itself."""
    story = read_story(DOCUMENT.read_text(encoding="utf-8"))
    assert len(story.steps) >= 20
    with closing(Terminals(tmp_path, story.files)) as terminals:
        for step in story.steps:
            terminals.play(step)


def test_the_check_bites() -> None:
    """What stands for one id is that id ever after, whole or cut; anything else is no match."""
    one, other = "ab" * 32, "cd" * 32
    names = Names()
    assert names.match(f"  message {'12' * 32}", f"  message {one}")
    assert names.actual(f"dispersy undo wiki {'12' * 32}") == f"dispersy undo wiki {one}"
    assert names.match(f"by {'12' * 4} at 3", f"by {one[:8]} at 3")
    assert not names.match(f"by {'12' * 4} at 3", f"by {other[:8]} at 3")
    assert not names.match(f"by {'12' * 4} at 3", f"by {one[:8]} at 4")
    assert not names.match("nothing", "something")
