"""What was refused lately: bounded, the oldest forgotten first."""

from __future__ import annotations

from dispersy.protocol.intake.refusals import Refusals


def test_the_newest_are_remembered() -> None:
    """Goal: a flood of refused messages costs no more than its newest."""
    refusals = Refusals(kept_max=3)
    for number in range(5):
        refusals.add(bytes([number]), f"reason {number}")
    assert len(refusals) == 3
    assert [refusals.reason(bytes([number])) for number in range(5)] == [
        "", "", "reason 2", "reason 3", "reason 4",
    ]  # fmt: skip


def test_one_that_comes_again_is_the_newest() -> None:
    """Goal: what is refused again and again is not forgotten for its age; its last reason counts."""
    refusals = Refusals(kept_max=2)
    for name, reason in ((b"a", "first"), (b"b", "second"), (b"a", "third"), (b"c", "fourth")):
        refusals.add(name, reason)
    assert (refusals.reason(b"a"), refusals.reason(b"b"), refusals.reason(b"c")) == ("third", "", "fourth")
