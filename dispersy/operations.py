"""What a client does, as procedures: generators that say what to ask and get the reply, without any I/O.

Client and AsyncClient run the very same procedures, each with its own way of waiting. A procedure yields
Submit (it gets the number of the request), Wait (the number and reply of one that is done), Pause (the time
then) or Resolve (the addresses), and returns the result; an error that the node answers is raised where the
procedure waits.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dispersy.conversation import RETRY_S, Frame
from dispersy.endpoint import Endpoint, parse_endpoint
from dispersy.errors import UsageError
from dispersy.locations import is_held
from dispersy.messages import Message, Page, message_of
from dispersy.whereabouts import Whereabouts

T = TypeVar("T")

TIMEOUT_S = 45.0
"""For an answer. Longer than the node itself waits for its writer: its own answer says more."""
ABSENCE_S = 300.0
"""How long a follow waits for a node that has gone."""
PUBLISH_PORTION_MAX = 500
"""Payloads of one publish-many request: one is stored while the next travels."""
PUBLISH_PORTION_SIZE_MAX = 512 << 10
"""Bytes of payloads after which a request ends: it may have 1 MiB in all, and one more payload 64 KiB."""
PUBLISH_WINDOW = 4
"""Publish-many requests under way at once."""
MEMBER_DIGITS = 64
START_GRACE_S = 1.0
"""A node that was started on the line before may need so long to take its home."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Begin a request."""

    op: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wait:
    """Until one of these requests is done."""

    numbers: Collection[int]


@dataclass(frozen=True, slots=True)
class Pause:
    """Let so many seconds pass; 0: only tell the time (monotonic)."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Resolve:
    """The numeric HOST:PORT of an endpoint, whose host may be a name."""

    endpoint: Endpoint


Step = Submit | Wait | Pause | Resolve
Procedure = Generator[Step, Any, T]


def new_request_id() -> bytes:
    """16 bytes: 6 of unix milliseconds, so that a node can tell old ones, and 10 random ones."""
    return (time.time_ns() // 1_000_000).to_bytes(6, "big") + secrets.token_bytes(10)


def follow_fields(communities: Sequence[str], kinds: Sequence[str], since: str | int) -> dict[str, Any]:
    """The fields of a follow; UsageError where a text was given instead of a list of texts."""
    for name, given in (("communities", communities), ("kinds", kinds)):
        if isinstance(given, (str, bytes)):
            raise UsageError(f"{name} is a list, as [{given!r}], not {given!r}")
    return {"communities": list(communities), "kinds": list(kinds), "since": since}


def request(op: str, /, **values: Any) -> Procedure[Frame]:
    """One request; its reply."""
    number = yield Submit(op, values)
    _, reply = yield Wait((number,))
    assert isinstance(reply, dict)
    return reply


def publish_many(
    community: str,
    payloads: Iterable[bytes],
    *,
    kind: str,
    progress: Callable[[int], None] | None,
    as_key: str,
    to: Sequence[str | bytes],
) -> Procedure[int]:
    """One message for each payload, a few requests under way at once; how many."""
    rest = iter(payloads)
    waiting: dict[int, int] = {}
    done = 0
    while True:
        while len(waiting) < PUBLISH_WINDOW and (portion := _portion(rest)):
            wanted = publication(community, kind, portion, None, as_key, to)
            number = yield Submit("publish-many", wanted)
            waiting[number] = len(portion)
        if not waiting:
            return done
        number, _ = yield Wait(waiting)
        done += waiting.pop(number)
        if progress is not None:
            progress(done)


def _portion(payloads: Iterator[bytes]) -> list[bytes]:
    """The next payloads that go into one request."""
    portion: list[bytes] = []
    size = 0
    for payload in payloads:
        portion.append(payload)
        size += len(payload)
        if len(portion) >= PUBLISH_PORTION_MAX or size >= PUBLISH_PORTION_SIZE_MAX:
            break
    return portion


def get(
    community: str, message_id: bytes | None, *, author: bytes | None, kind: str, sequence: int, fetch_s: int
) -> Procedure[list[Message]]:
    """By id, or by slot: one message, or the two that prove misbehaviour."""
    wanted: dict[str, Any] = {"community": community, "fetch": fetch_s}
    if message_id is not None:
        wanted["message_id"] = message_id
    else:
        wanted |= {"author": author, "kind": kind, "sequence": sequence}
    reply = yield from request("get", **wanted)
    return [message_of(found) for found in reply["messages"]]


def page(community: str, **wanted: Any) -> Procedure[Page]:
    """One page of a list; the names are those of docs/interface.md, but time_low, time_high, after."""
    for name, given in (("from", wanted.pop("time_low")), ("to", wanted.pop("time_high"))):
        if given is not None:
            wanted[name] = given
    if isinstance(wanted["kinds"], (str, bytes)):
        raise UsageError(f"kinds is a list, as [{wanted['kinds']!r}], not {wanted['kinds']!r}")
    wanted["kinds"] = list(wanted["kinds"])
    wanted["next"] = wanted.pop("after")
    reply = yield from request("list", community=community, **wanted)
    return Page(tuple(message_of(found) for found in reply["messages"]), reply["next"])


def last(
    community: str, *, kind: str, count: int, author: bytes | None, fetch_s: int
) -> Procedure[list[Message]]:
    """The newest by global time, the newest first; as many as asked for, if there are so many."""
    if fetch_s:
        yield from request("last", community=community, kind=kind, author=author, count=count, fetch=fetch_s)
    found: list[Message] = []
    wanted: dict[str, Any] = {"community": community, "kinds": [kind], "author": author}
    following = None
    while len(found) < count:
        reply = yield from request(
            "list", **wanted, order="descending", limit=count - len(found), next=following
        )
        found += [message_of(each) for each in reply["messages"]]
        following = reply["next"]
        if following is None:
            break
    return found


def count(community: str) -> Procedure[int]:
    """How many messages of a community the node holds."""
    reply = yield from request("count", community=community)
    held = reply["count"]
    assert isinstance(held, int)
    return held


def communities(*, left: bool = False) -> Procedure[list[Frame]]:
    """What the node has joined; left: and what it has left and still holds."""
    reply = yield from request("communities", left=left)
    return list(reply["communities"])


def community(name: str) -> Procedure[Frame]:
    """One of communities(): by name, id in hex, or the beginning of one."""
    found = (yield from request("count", community=name))["community"]
    listed = yield from communities()
    return next(entry for entry in listed if entry["community"] == found)


def join(community_id: bytes, *, name: str, peers: Sequence[str], as_key: str) -> Procedure[Frame]:
    """Take part in a community; the host names of peers are resolved here."""
    numeric: list[str] = []
    for peer in peers:
        numeric += map(str, (yield Resolve(parse_endpoint(peer))))
    wanted = {"community": community_id, "name": name, "peers": numeric, "as": as_key}
    return (yield from request("join", **wanted))


def leave(community: str, *, purge: bool) -> Procedure[Frame]:
    """Take part no more; purge: remove what the node holds of it."""
    return (yield from request("leave", community=community, purge=purge))


def block(op: str, who: str | bytes, community: str) -> Procedure[Frame]:
    """Block or unblock a member (32 bytes, or 64 hex digits) or an address HOST or HOST:PORT."""
    member = member_of(who)
    what = {"address": who} if member is None else {"member": member}
    return (yield from request(op, **what, community=community))


def member_of(who: str | bytes) -> bytes | None:
    """The key that `who` is, None where it names an address."""
    if isinstance(who, bytes):
        return who
    try:
        return bytes.fromhex(who) if len(who) == MEMBER_DIGITS else None
    except ValueError:
        return None


def blocked() -> Procedure[list[Frame]]:
    """Whom the node does not listen to."""
    reply = yield from request("blocked")
    return list(reply["blocked"])


def peers(community: str) -> Procedure[list[Frame]]:
    """Neighbours, of one community or of all."""
    reply = yield from request("peers", community=community)
    return list(reply["peers"])


def wait_for(
    ask: Callable[[], Procedure[T]], enough: Callable[[T], bool], *, timeout_s: float, what: str
) -> Procedure[T]:
    """Ask until it is enough; UsageError `timeout`."""
    limit = (yield Pause(0)) + timeout_s
    while not enough(answer := (yield from ask())):
        now = yield Pause(RETRY_S)
        if now > limit:
            raise UsageError(f"waited {timeout_s:g} s for {what} in vain", code="timeout")
    return answer


def wait_for_ready(*, timeout_s: float) -> Procedure[Frame]:
    """Until every process of the node is at work; its brief status."""
    return wait_for(
        lambda: request("status", brief=True),
        lambda status: bool(status["ready"]),
        timeout_s=timeout_s,
        what="the node to be ready",
    )


def wait_for_status(enough: Callable[[Frame], bool], *, timeout_s: float) -> Procedure[Frame]:
    """Until the status is as wanted."""
    return wait_for(lambda: request("status"), enough, timeout_s=timeout_s, what="the wanted status")


def wait_for_count(
    community: str, wanted: int, *, timeout_s: float, progress: Callable[[int], None] | None
) -> Procedure[int]:
    """Until the node holds at least so many messages of a community."""

    def ask() -> Procedure[int]:
        held = yield from count(community)
        if progress is not None:
            progress(held)
        return held

    what = f"{wanted} messages of {community}"
    return wait_for(ask, lambda held: held >= wanted, timeout_s=timeout_s, what=what)


def wait_for_peers(community: str, wanted: int, *, timeout_s: float) -> Procedure[list[Frame]]:
    """Until at least so many neighbours of a community are known."""
    what = f"{wanted} neighbours in {community}"
    return wait_for(
        lambda: peers(community), lambda found: len(found) >= wanted, timeout_s=timeout_s, what=what
    )


def wait_for_definition(name: str, *, timeout_s: float) -> Procedure[Frame]:
    """Until a community's definition is known; its entry of communities()."""
    return wait_for(
        lambda: community(name),
        lambda entry: bool(entry["defined"]),
        timeout_s=timeout_s,
        what=f"the definition of {name}",
    )


def find_node(home: Path, path: Path, *, timeout_s: float) -> Procedure[None]:
    """See that somebody is at a socket's path.

    ZeroMQ would wait for a node for ever; whoever forgot to start one shall hear so at once.
    raises  UsageError `not-running`
    """
    began = yield Pause(0)
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
                return
            except OSError as error:
                why = error.strerror
        # A home that is held belongs to a node that is starting; one that is not may be about to be,
        # where both commands were typed in one line.
        now = yield Pause(RETRY_S)
        if now - began > (timeout_s if is_held(home) else START_GRACE_S):
            raise Whereabouts(home).not_running(str(why))


def creation(name: str, definition: bytes, request_id: bytes | None, as_key: str) -> dict[str, Any]:
    """The fields of create."""
    return {
        "name": name,
        "definition": definition,
        "request_id": request_id or new_request_id(),
        "as": as_key,
    }


def publication(
    community: str,
    kind: str,
    payloads: Sequence[bytes],
    request_id: bytes | None,
    as_key: str,
    to: Sequence[str | bytes],
) -> dict[str, Any]:
    """The fields of publish and publish-many."""
    if isinstance(to, (str, bytes)):
        raise UsageError(f"to is a list, as [{to!r}], not {to!r}")
    return {
        "community": community,
        "kind": kind,
        "payloads": list(payloads),
        "request_id": request_id or new_request_id(),
        "as": as_key,
        "to": [who.hex() if isinstance(who, bytes) else who for who in to],
    }
