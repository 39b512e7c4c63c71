"""What the steps of a community as a state machine (machine.py) are about, for Hypothesis to draw."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from dispersy.protocol.permissions.control_messages import Permission
from tests.oracle.state import KindRules
from tests.oracle.writing import ORDERS

NODES = 3
MEMBERS = 3
DESTROY_AFTER = 15
"""Messages: a community that ends earlier has little to end."""
KINDS_MAX = 2
KIND_MIN = 64

NODE = st.integers(0, NODES - 1)
PERSON = st.integers(0, MEMBERS)
"""0 is the founder."""
AUTHOR = st.sampled_from(
    ("able", "able", "able", "able last", "founder", "founder", "revoked", "1", "2", "3")
)
"""Who holds the power that the message needs, as far as the node knows; whom the last revoke was against; or
whoever it is."""
KIND = st.sampled_from((0, 0, 1))
WHEN = st.sampled_from((1, 1, 2, 0, -1, -2, -4, -8, 5, 30, 150))
"""How far behind the highest global time that the author's node has seen; below 1 it is back-dated, to that
of a message so many before the newest."""
BEHIND = st.sampled_from(("newest", "none", "newest", "oldest"))
"""Which of its author's control messages a new one follows: all but the first make a fork."""
PERMISSIONS = st.one_of(st.just(31), st.integers(1, 31)).map(Permission)
CHANCE = st.integers(0, 255)


def kept_kinds() -> st.SearchStrategy[KindRules]:
    """Kinds that do not contradict themselves."""
    drawn = st.builds(
        KindRules,
        resolution=st.sampled_from(("linear", "dynamic", "public")),
        initial=st.sampled_from(("public", "linear")),
        newest=st.sampled_from((0, 0, 0, 1, 2)),
        rate=st.sampled_from((0, 0, 0, 1, 3)),
        author_count=st.sampled_from((1, 1, 2)),
        inactive=st.sampled_from((0, 0, 4, 8, 40)),
        prune=st.sampled_from((1, 8, 40)),
        priority=st.sampled_from((128, 128, 32, 255, 31, 0)),
        order=st.sampled_from(("ascending", *ORDERS)),
        in_sequence=st.sampled_from((False, False, True)),
        admits_long=st.sampled_from((False, True)),
    )
    return drawn.map(_without_contradictions)


def _without_contradictions(rules: KindRules) -> KindRules:
    prune = rules.inactive and rules.inactive + rules.prune
    may_wait = not (rules.newest or rules.rate or rules.inactive or rules.is_on_request)
    in_sequence = rules.in_sequence and may_wait
    order = "ascending" if in_sequence or rules.is_on_request else rules.order
    return replace(rules, prune=prune, in_sequence=in_sequence, order=order)


PASSING = st.sampled_from(
    (
        KindRules("linear", spread="direct"),
        KindRules("public", spread="direct", author_count=0),
        KindRules("dynamic", spread="relay", hops=2),
        KindRules("public", spread="relay", hops=1, author_count=0),
    )
)
"""Kinds that nobody keeps."""
