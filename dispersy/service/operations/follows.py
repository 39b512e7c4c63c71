"""The follows of all clients: begun, granted credit, ended, and pumped in turn (follow.py is one of them)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import Any

from dispersy.bus.frames import HeardMessage
from dispersy.errors import UsageError
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.wire.message import read_message
from dispersy.service.interface import requests
from dispersy.service.interface.event import Event
from dispersy.service.interface.holders import Holder, each_for_itself, who_gives_way
from dispersy.service.interface.replies import ClientSend
from dispersy.service.interface.requests import INTERFACE_VERSION, RequestId
from dispersy.service.interface.view import View
from dispersy.service.operations.follow import Follow

FOLLOWS_MAX = 256
FOLLOWS_PER_CLIENT_MAX = 16
PUMP_SLICE_S = 0.02
"""All follows together hold a turn no longer than this, and one portion: requests are waiting, too."""


class Follows:
    """follow, credit and cancel, and the streams themselves."""

    def __init__(self, view: View, send: ClientSend, holder: Holder = each_for_itself) -> None:
        self._view = view
        self._send = send
        self._holder = holder
        self._follows: dict[tuple[bytes, RequestId], Follow] = {}

    def begin(self, client: bytes, request: requests.Follow) -> dict[str, Any]:
        """UsageError `follow-exists`, `too-many` or `cursor-ahead`."""
        last, directory = self._last_cursor(request.since), self._view.directory
        if (client, request.id) in self._follows:
            raise UsageError(
                f"a follow with id {request.id!r} is running", code="follow-exists", hint="cancel it first"
            )
        numbers = frozenset(directory.resolve(text).number for text in request.communities)
        if isinstance(request.since, int):
            position = request.since
        else:
            position = 0 if request.since == "begin" else last
        self._make_room(client)
        self._follows[client, request.id] = Follow(
            id=request.id,
            communities=numbers if request.communities else None,
            kinds=frozenset(request.kinds),
            position=position,
            credit=request.credit,
            aligned=isinstance(request.since, str),
        )
        return {"since": position, "last_cursor": last}

    def _make_room(self, client: bytes) -> None:
        """Where all places are taken, whoever has most of them gives one to who has fewer: one program must
        not keep all others out. The follow ends as by a restart: in silence, to be asked for again.

        raises  UsageError `too-many`
        """
        holder = self._holder(client)
        own = sum(self._holder(each) == holder for each, _ in self._follows)
        if own < FOLLOWS_PER_CLIENT_MAX:
            if len(self._follows) < FOLLOWS_MAX:
                return
            gives = who_gives_way((each for each, _ in self._follows), client)
            if gives is not None:
                del self._follows[next(key for key in self._follows if key[0] == gives)]
                return
        raise UsageError(
            f"at most {FOLLOWS_PER_CLIENT_MAX} follows a client and {FOLLOWS_MAX} in all",
            code="too-many",
            hint="one follow may name many communities",
        )

    def _last_cursor(self, since: int | str) -> int:
        """The log's end; UsageError `cursor-ahead` when the client has dealt with more than there is."""
        last = self._view.store().last_cursor()
        if isinstance(since, int) and since > last:
            # This turn's snapshot may be older than what the client has just been sent.
            self._view.refresh()
            last = self._view.store().last_cursor()
            if since > last:
                raise UsageError(
                    f"this node's log ends at {last}, before {since}: its home is not the one you followed, "
                    "or an older state of it was restored",
                    code="cursor-ahead",
                    hint="follow again since begin, and know messages by their message_id",
                )
        return last

    def hear(self, number: int, heard: Sequence[HeardMessage]) -> int:
        """Tell of messages that are not stored; how often one was missed by whoever wanted it."""
        directory, missed = self._view.directory, 0
        community_id = CommunityId(directory.community_id(number))
        for each in heard if community_id else ():
            view = read_message(community_id, each.message)
            author = view.author or b""
            kind = directory.kind_name(number, view.kind)
            if not kind or directory.hides(number, author):
                continue
            for index, payload in enumerate(view.payloads):
                event = Event(
                    INTERFACE_VERSION,
                    None,
                    "message",
                    0,
                    community=community_id,
                    kind=kind,
                    author=author,
                    global_time=view.global_time,
                    sequence=view.sequence,
                    index=index,
                    message_id=view.id,
                    payload=payload,
                    arrival_ms=each.arrival_ms,
                )
                missed += sum(not follow.hear(number, event) for follow in self._follows.values())
        return missed

    def grant(self, client: bytes, request: requests.CreditGrant) -> None:
        """Without a reply: the events are one."""
        follow = self._follows.get((client, request.id))
        if follow is not None:
            follow.grant(request.count)

    def cancel(self, client: bytes, request: requests.Cancel) -> dict[str, Any]:
        self._follows.pop((client, request.id), None)
        return {}

    def forget(self, client: bytes) -> None:
        """The client is gone."""
        for key in [key for key in self._follows if key[0] == client]:
            del self._follows[key]

    def heartbeat(self) -> None:
        """Only a send shows that a client is gone."""
        for (client, _), follow in list(self._follows.items()):
            follow.heartbeat(partial(self._send, client))

    def pump(self) -> bool:
        """Let the follows send what is due, in turn; True when time ran out and more is there."""
        reader, directory = self._view.store(), self._view.directory
        more = False
        until = monotonic() + PUMP_SLICE_S
        for key in list(self._follows):
            if monotonic() >= until:
                return True
            # To the end of the line: those that this turn has no time for are the first of the next.
            follow = self._follows.pop(key, None)
            if follow is None:
                continue
            self._follows[key] = follow
            if follow.pump(reader, directory, partial(self._send, key[0])):
                more = True
        return more
