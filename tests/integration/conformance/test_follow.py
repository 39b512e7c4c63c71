"""Goal: a client of any language gets every event once and in order: stored, live, over restarts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from dispersy.protocol.definitions import definition_toml
from dispersy.protocol.definitions.definition import encode_definition
from tests.integration.conformance.conftest import Shared
from tests.integration.conformance.driver import Driver
from tests.integration.node import FULL, Node
from tests.integration.peer import Author, Peer

NODE_OPTIONS = FULL

LIMIT_S = 60.0
SILENCE_S = 1.0
MakeNode = Callable[..., Node]
StartDriver = Callable[[dict[str, str]], Driver]
_numbers = count()
BEYOND_DOUBLES = (1 << 62) + 1
"""A number that a float of 64 bits cannot hold."""
TWO_KINDS = """
[kinds.text]
number = 64
[kinds.note]
number = 65
"""


def unused() -> str:
    """A name that no community of the shared node has yet."""
    return f"f{next(_numbers)}"


def numbered(first: int, last: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, last)]


def next_messages(driver: Driver, wanted: int) -> list[dict[str, Any]]:
    """So many messages; what else comes is passed over, and cursors only rise."""
    taken: list[dict[str, Any]] = []
    cursor = 0
    while len(taken) < wanted:
        events = driver.take("next", wanted - len(taken), limit_s=LIMIT_S)
        assert events, f"nothing more after {len(taken)} of {wanted} messages"
        for event in events:
            assert event["cursor"] >= cursor + (event["event"] != "caught-up")
            cursor = event["cursor"]
        taken += [event for event in events if event["event"] == "message"]
    return taken


def payloads_of(events: list[dict[str, Any]]) -> list[bytes]:
    return [event["payload"] for event in events]


def is_silent(driver: Driver) -> bool:
    """Whether no message comes for a while."""
    events = driver.take("next", 1_000, limit_s=SILENCE_S)
    return "message" not in {event["event"] for event in events}


def test_replay_and_live_are_one_stream(shared: Shared, driver: Driver) -> None:
    """From the beginning, with more published while it is read; each event has what the document lists."""
    name = unused()
    community_id = shared.community(name)["community_id"]
    published = shared.client.publish(name, [b"first", b"second"])
    shared.client.publish_many(name, numbered(0, 500))
    driver.call("follow", communities=[name], since="begin", credit=100)
    first, second = next_messages(driver, 2)
    assert payloads_of([first, second]) == [b"first", b"second"]
    assert (first["index"], second["index"], second["cursor"] - first["cursor"]) == (0, 1, 1)
    assert (first["community"], first["kind"], first["sequence"]) == (community_id, "text", 1)
    assert [first["message_id"]] == list(published.ids)
    assert len(first["author"]) == 32
    before = next_messages(driver, 200)
    shared.client.publish_many(name, numbered(500, 700))
    assert payloads_of(before + next_messages(driver, 500)) == numbered(0, 700)
    (caught_up,) = driver.take("next", 1, limit_s=LIMIT_S)
    assert caught_up["event"] == "caught-up"
    shared.client.publish(name, [b"live"])
    assert payloads_of(next_messages(driver, 1)) == [b"live"]


def test_a_follow_begins_where_it_is_told_and_shows_what_it_was_asked_for(
    shared: Shared, driver: Driver
) -> None:
    """After a cursor; one kind; from now on."""
    name = unused()
    shared.community(name, encode_definition(definition_toml.parse(f'name = "{name}"\n{TWO_KINDS}')))
    client = shared.client
    for payload in numbered(0, 10):
        client.publish(name, [b"note " + payload], kind="note")
        cursor = client.publish(name, [payload]).last_cursor
        if payload == b"4":
            middle = cursor
    driver.call("follow", communities=[name], kinds=["text"], since="begin", credit=7)
    assert payloads_of(next_messages(driver, 10)) == numbered(0, 10)
    driver.call("follow", communities=[name], since=middle, credit=7)
    assert payloads_of(next_messages(driver, 2)) == [b"note 5", b"5"]
    driver.call("follow", communities=[name], since="now", credit=7)
    (caught_up,) = driver.take("next", 1, limit_s=LIMIT_S)
    assert caught_up == {"v": 1, "id": caught_up["id"], "event": "caught-up", "cursor": cursor}
    client.publish(name, [b"new"])
    assert payloads_of(next_messages(driver, 1)) == [b"new"]


def test_no_more_than_the_credit_comes_unacknowledged_and_all_comes_in_the_end(
    shared: Shared, driver: Driver
) -> None:
    """Granted by hand: 10, then 5, then the rest."""
    name = unused()
    shared.community(name)
    shared.client.publish_many(name, numbered(0, 100))
    driver.request("follow", communities=[name], since="begin", credit=10)
    taken = driver.take("receive", 100, limit_s=SILENCE_S)
    assert payloads_of(taken) == numbered(0, 10)
    number = taken[0]["id"]
    driver.call("send", request={"op": "credit", "id": number, "count": 5})
    assert payloads_of(driver.take("receive", 100, limit_s=SILENCE_S)) == numbered(10, 15)
    driver.call("send", request={"op": "credit", "id": number, "count": 85})
    rest = driver.take("receive", 86, limit_s=LIMIT_S)
    assert payloads_of(rest[:-1]) == numbered(15, 100)
    assert rest[-1]["event"] == "caught-up"
    driver.call("send", request={"op": "cancel", "id": number})
    (reply,) = driver.take("receive", 1, limit_s=LIMIT_S)
    assert (reply["id"], reply["ok"]) == (number, True)
    shared.client.publish(name, [b"to nobody"])
    assert driver.take("receive", 1, limit_s=SILENCE_S) == []


@pytest.mark.parametrize("credit", [1, 10])
def test_a_slow_reader_gets_everything(shared: Shared, driver: Driver, credit: int) -> None:
    """It takes a few at a time while more is published, and its client grants what it has read."""
    name = unused()
    shared.community(name)
    driver.call("follow", communities=[name], since="begin", credit=credit)
    taken: list[dict[str, Any]] = []
    for first in range(0, 200, 50):
        shared.client.publish_many(name, numbered(first, first + 50))
        taken += next_messages(driver, 7)
    assert payloads_of(taken + next_messages(driver, 200 - len(taken))) == numbered(0, 200)
    assert is_silent(driver)


def test_numbers_that_no_double_holds_are_kept(shared: Shared, driver: Driver) -> None:
    """A neighbour may send a global time up to 2^63 - 1; arrival is told to the millisecond."""
    name = unused()
    community_id = shared.community(name)["community_id"]
    topic = community_id.hex() + "/text/"
    driver.call("subscribe", topics=[topic])
    while not driver.take("hear", 1, limit_s=LIMIT_S):
        pass  # Its first heartbeat shows that the publisher knows of the subscription.
    driver.call("follow", communities=[name], since="begin", credit=100)
    with Peer(community_id, shared.listen, author=Author(community_id)) as peer:
        peer.meet()
        peer.send_messages([peer.author.message(b"far ahead", global_time=BEYOND_DOUBLES)])
        (event,) = next_messages(driver, 1)
    (same,) = [
        each for each in shared.client.follow([name], since="begin", idle_s=0.5) if each.event == "message"
    ]
    assert (event["global_time"], event["arrival_ms"]) == (BEYOND_DOUBLES, same.arrival_ms)
    heard = [each for each in driver.take("hear", 3, limit_s=LIMIT_S) if each[1]["event"] == "message"]
    ((_, header, payload, _),) = heard
    assert (header["global_time"], payload) == (BEYOND_DOUBLES, b"far ahead")


def test_a_follow_of_what_does_not_exist_is_refused(driver: Driver) -> None:
    """The client says so and does not ask for ever."""
    driver.call("follow", communities=["nowhere"], since="begin", credit=100)
    answer = driver.call("next", count=1, limit_ms=60_000)
    assert answer["error"]["code"] == "community-unknown"


def test_a_follow_goes_on_over_restarts_of_the_whole_service(
    make_node: MakeNode, start_driver: StartDriver
) -> None:
    """Stopped with events unread, published to while nobody followed, twice: each comes once, in order."""
    node = make_node("a")
    with node.start() as client:
        client.create("chat")
        driver = start_driver(client.status(brief=True)["sockets"])
        driver.call("follow", communities=["chat"], since="begin", credit=20)
        client.publish_many("chat", numbered(0, 100))
        taken = next_messages(driver, 33)
    for first in (100, 150):
        assert node.stop() == 0
        with node.start() as client:
            client.publish_many("chat", numbered(first, first + 50))
            taken += next_messages(driver, first + 20 - len(taken))
    assert node.stop() == 0
    with node.start():
        assert payloads_of(taken + next_messages(driver, 200 - len(taken))) == numbered(0, 200)
        assert is_silent(driver)


def test_a_follow_goes_on_when_the_gateway_was_killed(make_node: MakeNode, start_driver: StartDriver) -> None:
    """Without a word: the client notices by itself."""
    node = make_node("a")
    with node.start() as client:
        client.create("chat")
        driver = start_driver(client.status(brief=True)["sockets"])
        driver.call("follow", communities=["chat"], since="now", credit=20)
        # Live, so the follow has begun.
        assert driver.take("next", 1, limit_s=LIMIT_S)[0]["event"] == "caught-up"
        node.kill("publisher")
        for payload in numbered(0, 30):
            client.publish("chat", [payload])
        assert payloads_of(next_messages(driver, 30)) == numbered(0, 30)
        assert is_silent(driver)
