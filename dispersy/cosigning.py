"""What a client does for messages that two members sign, as procedures (dispersy.operations says what these
are) and as methods of both clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dispersy.conversation import Frame
from dispersy.errors import UsageError
from dispersy.messages import Published
from dispersy.operations import Pause, Procedure, publication, request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SignatureWanted:
    """A message of another member that this node's member is to sign, too.

    request      what sign() takes
    author       who drafted it, 32 bytes
    payloads     of its author; what is appended stands behind them
    remaining_s  for how long its author still waits
    """

    request: bytes
    community: bytes
    kind: str
    author: bytes
    payloads: tuple[bytes, ...]
    global_time: int
    sequence: int
    remaining_s: float


_FIELDS = frozenset(SignatureWanted.__dataclass_fields__)


def publish(
    community: str,
    payloads: Sequence[bytes],
    *,
    kind: str,
    request_id: bytes | None,
    as_key: str,
    to: Sequence[str | bytes],
    second: str | bytes,
    appended: Callable[[tuple[bytes, ...]], bool] | None,
) -> Procedure[Published]:
    """One message with these payloads, of one author or two."""
    fields = publication(community, kind, payloads, request_id, as_key, to)
    if second:
        fields["second"] = second.hex() if isinstance(second, bytes) else second
    reply = yield from request("publish", **fields)
    if "appended" in reply:
        accept = appended is not None and appended(tuple(reply["appended"]))
        reply = yield from request("sign", request=reply["request"], accept=accept)
        if not accept:
            raise UsageError(
                "the second member has appended payloads, and they were not accepted",
                code="signature-appended",
                hint="nothing was published",
            )
    return Published(reply["first_cursor"], reply["last_cursor"], tuple(reply["ids"]), reply["repeated"])


def wanted(
    communities: Sequence[str], kinds: Sequence[str], known: Collection[bytes]
) -> Procedure[tuple[float, list[SignatureWanted]]]:
    """The time (monotonic), and all that waits as soon as some of it is not known; none after a while."""
    for name, given in (("communities", communities), ("kinds", kinds)):
        if isinstance(given, (str, bytes)):
            raise UsageError(f"{name} is a list, as [{given!r}], not {given!r}")
    reply = yield from request(
        "signature-requests", communities=list(communities), kinds=list(kinds), known=list(known)
    )
    now = yield Pause(0)
    return now, [_wanted_of(each) for each in reply["requests"]]


def decide(asked: SignatureWanted | bytes, accept: bool, append: Sequence[bytes]) -> Procedure[bytes]:
    """Sign, or refuse to; the id of what was signed."""
    asked_id = asked.request if isinstance(asked, SignatureWanted) else asked
    reply = yield from request("sign", request=asked_id, accept=accept, payloads=list(append))
    return bytes(reply.get("message_id", b""))


def _wanted_of(found: Frame) -> SignatureWanted:
    values = {key: value for key, value in found.items() if key in _FIELDS}
    return SignatureWanted(**{**values, "payloads": tuple(values["payloads"])})


class _Seen:
    """What a stream of requests has given, and whether it has been idle for too long."""

    def __init__(self, idle_s: float | None) -> None:
        self._idle_s = idle_s
        self._quiet_since: float | None = None
        self.known: tuple[bytes, ...] = ()

    def take(self, now: float, found: list[SignatureWanted]) -> list[SignatureWanted]:
        """Those that are new."""
        new = [each for each in found if each.request not in self.known]
        if found:
            self.known = tuple(each.request for each in found)
        if new or self._quiet_since is None:
            self._quiet_since = now
        return new

    def is_over(self, now: float) -> bool:
        assert self._quiet_since is not None
        return self._idle_s is not None and now >= self._quiet_since + self._idle_s


class Cosigns:
    """What the blocking client does for messages that two members sign."""

    def signature_requests(
        self, communities: Sequence[str] = (), *, kinds: Sequence[str] = (), idle_s: float | None = None
    ) -> Iterator[SignatureWanted]:
        """Messages of others that this node's member is to sign, too, as they come; decide with sign().

        As long as it is iterated, and half a minute on, this client answers for these communities and kinds;
        what nobody answers for is refused.

        communities  names or ids; none: all
        idle_s       end when nothing came for this long, looked at every few seconds; None: never
        """
        seen = _Seen(idle_s)
        while True:
            now, found = self.run(wanted(communities, kinds, seen.known))
            yield from seen.take(now, found)
            if seen.is_over(now):
                return

    def sign(
        self, asked: SignatureWanted | bytes, *, accept: bool = True, append: Sequence[bytes] = ()
    ) -> bytes:
        """Sign a message of another member, or refuse to; the id of what was signed (empty: nothing).

        append  payloads of ours that stand behind its author's: then it decides again before it signs
        raises  UsageError `signature-unknown` when its author waits no more
        """
        return self.run(decide(asked, accept, append))

    def run(self, procedure: Procedure[T]) -> T:
        """As Client.run()."""
        raise NotImplementedError


class AsyncCosigns:
    """Cosigns of the asyncio client."""

    async def signature_requests(
        self, communities: Sequence[str] = (), *, kinds: Sequence[str] = (), idle_s: float | None = None
    ) -> AsyncIterator[SignatureWanted]:
        """Messages of others that this node's member is to sign, too, as they come; decide with sign().

        As long as it is iterated, and half a minute on, this client answers for these communities and kinds;
        what nobody answers for is refused.

        communities  names or ids; none: all
        idle_s       end when nothing came for this long, looked at every few seconds; None: never
        """
        seen = _Seen(idle_s)
        while True:
            now, found = await self.run(wanted(communities, kinds, seen.known))
            for each in seen.take(now, found):
                yield each
            if seen.is_over(now):
                return

    async def sign(
        self, asked: SignatureWanted | bytes, *, accept: bool = True, append: Sequence[bytes] = ()
    ) -> bytes:
        """Sign a message of another member, or refuse to; the id of what was signed (empty: nothing).

        append  payloads of ours that stand behind its author's: then it decides again before it signs
        raises  UsageError `signature-unknown` when its author waits no more
        """
        return await self.run(decide(asked, accept, append))

    async def run(self, procedure: Procedure[T]) -> T:
        """As AsyncClient.run()."""
        raise NotImplementedError
