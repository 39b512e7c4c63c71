"""Goal: nodes that fetch the same large messages from one source come to have different ones."""

from __future__ import annotations

from random import Random

from dispersy.protocol.address import make_address
from dispersy.protocol.identifiers import MessageId
from dispersy.protocol.large_messages.assembly import Assembly
from dispersy.protocol.large_messages.fragment_sources import NEXT_MAX, NamingSource, Wanted, next_ones
from dispersy.protocol.wire.frames import LargeName
from tests.unit.fragments_house import COMMUNITY

SOURCE, OTHER = make_address("192.0.2.1", 6421), make_address("192.0.2.2", 6421)


def test_what_fewest_have_is_begun_first_and_of_that_anything_among_the_next_few() -> None:
    """What is far behind does not come first: where messages go in sequence it would wait for the others."""
    known, wanted = NamingSource(0.0), {}
    for number in range(30):
        name = LargeName(number, MessageId(bytes([number]) * 32), 2_000)
        known.names[name.message_id] = name
        each = wanted[name.message_id] = Wanted()
        each.offers = {SOURCE: name} if number != 4 else {SOURCE: name, OTHER: name}
    named = list(known.names)
    orders = [next_ones(known, wanted, None, Random(seed)) for seed in range(40)]
    assert {order[0] for order in orders} == {*named[:4], *named[5:NEXT_MAX]}
    assert all(order[NEXT_MAX - 1 :] == [named[4], *named[NEXT_MAX:]] for order in orders)
    wanted[named[0]].assembly = Assembly(COMMUNITY, known.names[named[0]], SOURCE, 0.0)
    wanted[named[1]].stored_by = 1.0
    assert set(next_ones(known, wanted, None, Random(1))) == set(named[2:])


def test_what_was_interrupted_is_begun_before_all_else() -> None:
    known, wanted = NamingSource(0.0), {}
    for number in range(2 * NEXT_MAX):
        name = LargeName(number, MessageId(bytes([number]) * 32), 2_000)
        known.names[name.message_id] = name
        wanted[name.message_id] = Wanted()
    named = list(known.names)
    begun = {known.names[named[3]], known.names[named[NEXT_MAX + 3]]}
    orders = [next_ones(known, wanted, begun.__contains__, Random(seed)) for seed in range(5)]
    assert all(order[:2] == [named[3], named[NEXT_MAX + 3]] for order in orders)
