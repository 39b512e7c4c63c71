"""What settings cut off, beside the rule as it is written (docs/timeline.md, rule 11), whatever counts."""

from __future__ import annotations

from random import Random

import pytest

from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.permissions import policy_history
from dispersy.protocol.permissions.control_messages import (
    AuthorRanges,
    ControlMessage,
    PairCut,
    Settings,
    control_kind,
)
from dispersy.protocol.permissions.policy_history import PolicyHistory
from dispersy.protocol.ranges import merged
from dispersy.protocol.wire.message import NO_PREVIOUS
from tests.oracle.naming import cut_names
from tests.oracle.state import DataMessage

ONE, OTHER = (MemberId(bytes([number]) * 32) for number in (1, 2))
LANES = ((ONE,), (OTHER,), (ONE, OTHER), (OTHER, ONE))
KIND, TIMES, SEQUENCES = 64, 6, 9


def some_ranges(rng: Random) -> tuple[tuple[int, int], ...]:
    lows = (rng.randint(1, SEQUENCES) for _ in range(rng.choice((1, 1, 2, 3))))
    return tuple(merged((low, low + rng.randint(0, 3)) for low in lows))


def some_settings(rng: Random, number: int, firsts: list[MessageId]) -> ControlMessage:
    alone = tuple(AuthorRanges(each[:16], some_ranges(rng)) for each in (ONE, OTHER) if rng.random() < 0.7)
    pairs = tuple(
        PairCut(first[:16], second[:16], some_ranges(rng))
        for first, second in ((ONE, OTHER), (OTHER, ONE))
        if rng.random() < 0.6
    )
    continues = rng.choice(firsts) if firsts and rng.random() < 0.4 else None
    is_linear = continues is not None or rng.random() < 0.8
    body = Settings(KIND, True, alone, pairs, continues) if is_linear else Settings(KIND, False)
    message_id = MessageId(rng.randbytes(31) + bytes([number]))
    author = rng.choice((ONE, ONE, OTHER))
    return ControlMessage(message_id, author, control_kind(body), rng.randint(1, TIMES), NO_PREVIOUS, body)


def cut_off_by(counting: list[ControlMessage], message: DataMessage) -> MessageId | None:
    """The latest of those that do not name a message."""
    for narrowing in sorted(counting, key=lambda each: (-each.global_time, each.id)):
        body = narrowing.body
        assert isinstance(body, Settings)
        if not body.is_linear or body.continues is not None or narrowing.global_time < message.global_time:
            continue
        parts = [
            each.body
            for each in counting
            if isinstance(each.body, Settings)
            and each.author == narrowing.author
            and narrowing.id in (each.id, each.body.continues)
        ]
        if not any(cut_names(part, message) for part in parts):
            return narrowing.id
    return None


@pytest.mark.parametrize("seed", range(40))
def test_what_is_cut_off_depends_on_what_counts_alone(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: in whatever order settings come to count, and cease to; also where few lanes are remembered."""
    rng = Random(seed)
    lanes_max = (len(LANES), 2)[seed % 2]
    monkeypatch.setattr(policy_history, "CUT_LANES_MAX", lanes_max)
    history = PolicyHistory()
    history.resolution = ("dynamic", "public")
    written: list[ControlMessage] = []
    for number in range(12):
        written.append(some_settings(rng, number, [each.id for each in written]))
    counting: list[ControlMessage] = []
    for _ in range(25):
        message = rng.choice(written)
        if message in counting and rng.random() < 0.5:
            counting.remove(message)
            history.set_counts(message, counts=False)
        else:
            counting = [*(each for each in counting if each != message), message]
            history.set_counts(message, counts=True)
        for authors in rng.sample(LANES, k=2):
            for sequence in range(1, SEQUENCES + 4):
                time = rng.randint(1, TIMES)
                said = DataMessage(MessageId(bytes(32)), authors, KIND, time, sequence)
                assert history.cut_off_by(authors, time, sequence) == cut_off_by(counting, said)
        assert len(history._dropped) <= lanes_max
