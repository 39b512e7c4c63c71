"""Sequence: number 5 first asks for 1 to 4, then all five arrive in order; 10 then asks for 6 to 9."""

from __future__ import annotations

from pathlib import Path

from dispersy.protocol.definitions.definition import Kind
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.wire.frames import MissingSequences
from tests.scenarios.neighbour import COMMUNITY, LIMIT_S, founder, joined, running

LOG = 64
KIND = Kind(number=LOG, name="log", distribution=choose("distribution", "full-sync", in_sequence=1))


def test_five_asks_for_one_to_four_and_ten_for_six_to_nine(tmp_path: Path) -> None:
    """Goal: over UDP, with real processes: a gap is asked for at once, once, and delivery waits for it."""
    master = founder()
    with running(tmp_path) as client, joined(client, master, KIND) as other:
        author = other.author
        messages = {
            number: author.message(b"%d" % number, kind=LOG, sequence=number) for number in range(1, 11)
        }
        events = client.follow([COMMUNITY], kinds=["log"], since="begin", idle_s=LIMIT_S)
        for newest, gap in ((5, (1, 4)), (10, (6, 9))):
            other.send_messages([messages[newest]])
            request, wanted = other.asked_for(MissingSequences)
            assert (wanted.author, wanted.kind) == (author.public, LOG)
            assert (wanted.low, wanted.high) == gap
            # The answer's order is not that of the log.
            other.give(request, [messages[number] for number in reversed(range(gap[0], gap[1] + 1))])
            delivered = []
            while len(delivered) < 5:
                event = next(events)
                if event.event == "message":
                    delivered.append(int(event.payload))
            assert delivered == list(range(gap[0], newest + 1))
            assert not [each for each in other.asks() if isinstance(each.wanted, MissingSequences)]
