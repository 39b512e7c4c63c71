"""Goal: a client of any language hears what the events socket says, and sees what it missed."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from tests.integration.conformance.conftest import Shared
from tests.integration.conformance.driver import Driver
from tests.sockets import bounded_context

LIMIT_S = 60.0
_numbers = count()
StartDriver = Callable[[dict[str, str]], Driver]


def unused() -> str:
    """A name that no community of the shared node has yet."""
    return f"e{next(_numbers)}"


class Loss:
    """Stands between the publisher and a subscriber, and loses the events whose payload it is told."""

    def __init__(self, folder: Path, events: str) -> None:
        self.endpoint = f"ipc://{folder}/events"
        self.lose: set[bytes] = set()
        self._context = bounded_context()
        self._context.linger = 0
        self._inner = self._context.socket(zmq.XSUB)
        self._outer = self._context.socket(zmq.XPUB)
        self._end = self._context.socket(zmq.PAIR)
        ended = self._context.socket(zmq.PAIR)
        ended.bind("inproc://end")
        self._end.connect("inproc://end")
        self._inner.connect(events)
        self._outer.bind(self.endpoint)
        self._thread = threading.Thread(target=self._run, args=(ended,))
        self._thread.start()

    def close(self) -> None:
        self._end.send(b"")
        self._thread.join()
        self._end.close()
        self._context.term()

    def _run(self, ended: zmq.Socket[bytes]) -> None:
        with self._inner, self._outer, ended:
            self._forward(ended)

    def _forward(self, ended: zmq.Socket[bytes]) -> None:
        poller = zmq.Poller()
        for socket in (self._inner, self._outer, ended):
            poller.register(socket, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if ended in ready:
                return
            if self._outer in ready:
                self._inner.send_multipart(self._outer.recv_multipart())
            if self._inner in ready:
                frames = self._inner.recv_multipart()
                if frames[2] not in self.lose or not frames[2]:
                    self._outer.send_multipart(frames)


@pytest.fixture
def loss(shared: Shared) -> Iterator[Loss]:
    """In front of the shared node's events."""
    with tempfile.TemporaryDirectory(prefix="dsp-") as folder:
        made = Loss(Path(folder), shared.sockets["events"])
        yield made
        made.close()


def hear_until(driver: Driver, wanted: Callable[[list[Any]], bool]) -> list[list[Any]]:
    """Events up to the first that is wanted, [topic, header, payload, lost] each."""
    heard: list[list[Any]] = []
    while not heard or not wanted(heard[-1]):
        taken = driver.take("hear", 1, limit_s=LIMIT_S)
        assert taken, f"not among {heard}"
        heard += taken
    return heard


def is_heartbeat(event: list[Any]) -> bool:
    return bool(event[1]["event"] == "heartbeat")


def test_topics_choose_what_is_heard(shared: Shared, driver: Driver) -> None:
    """One community's kind and no other's; headers have what the document lists."""
    name, other = unused(), unused()
    community_id = shared.community(name)["community_id"]
    shared.community(other)
    topic = community_id.hex() + "/text/"
    driver.call("subscribe", topics=[topic])
    # The first heartbeat shows that the publisher knows of the subscription.
    hear_until(driver, is_heartbeat)
    shared.client.publish(other, [b"not for us"])
    published = shared.client.publish(name, [b"hello", b"again"])
    heard = hear_until(driver, lambda event: event[2] == b"again")
    assert {event[0] for event in heard} == {topic}
    messages = [event for event in heard if event[1]["event"] == "message"]
    assert [event[2] for event in messages] == [b"hello", b"again"]
    assert [event[1]["cursor"] for event in messages] == [published.first_cursor, published.last_cursor]
    assert [event[1]["index"] for event in messages] == [0, 1]
    assert {event[1]["message_id"] for event in messages} == set(published.ids)
    assert messages[1][1]["previous"] == published.first_cursor
    assert not any(lost for *_, lost in heard)


def test_a_gap_shows_in_the_next_event(shared: Shared, loss: Loss, start_driver: StartDriver) -> None:
    """The event before was lost on its way: `previous` is not what was had last."""
    name = unused()
    community_id = shared.community(name)["community_id"]
    driver = start_driver(shared.sockets | {"events": loss.endpoint})
    driver.call("subscribe", topics=[community_id.hex() + "/"])
    hear_until(driver, is_heartbeat)
    loss.lose.add(b"lost")
    shared.client.publish(name, [b"one"])
    shared.client.publish(name, [b"two"])
    heard = hear_until(driver, lambda event: event[2] == b"two")
    assert not any(lost for *_, lost in heard)
    shared.client.publish_many(name, [b"lost", b"three", b"four"])
    heard = hear_until(driver, lambda event: event[2] == b"four")
    assert [event[2] for event in heard if event[3]] == [b"three"]


def test_a_lost_tail_shows_in_a_heartbeat(shared: Shared, loss: Loss, start_driver: StartDriver) -> None:
    """Nothing comes after what was lost, and it shows all the same; a follow fills the gap."""
    name = unused()
    community_id = shared.community(name)["community_id"]
    driver = start_driver(shared.sockets | {"events": loss.endpoint})
    driver.call("subscribe", topics=[community_id.hex() + "/"])
    hear_until(driver, is_heartbeat)
    had = shared.client.publish(name, [b"had"]).last_cursor
    hear_until(driver, lambda event: event[2] == b"had")
    loss.lose.add(b"tail")
    lost = shared.client.publish(name, [b"tail"]).last_cursor
    *before, beat = hear_until(driver, lambda event: bool(event[3]))
    assert is_heartbeat(beat)
    assert beat[1]["previous"] == lost
    assert all(is_heartbeat(event) for event in before)
    driver.call("follow", communities=[name], since=had, credit=100)
    assert driver.take("next", 1, limit_s=LIMIT_S)[0]["payload"] == b"tail"


def test_headers_have_no_other_fields_than_listed(shared: Shared, driver: Driver) -> None:
    """What a client written from the document relies on, and the third frame of what has no payload."""
    name = unused()
    community_id = shared.community(name)["community_id"]
    driver.call("subscribe", topics=[community_id.hex() + "/", "node/"])
    shared.client.publish(name, [b"x"])
    heard = hear_until(driver, lambda event: event[0] == "node/")
    beat = heard[-1]
    assert beat[1].keys() == {"event", "cursor", "previous"}
    assert beat[2] == b""
    assert msgspec.convert(beat[1], dict[str, str | int]) == beat[1]
