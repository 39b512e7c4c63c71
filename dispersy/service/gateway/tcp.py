"""The sockets for applications over tcp: CURVE alone, and only for clients of the allow-list.

libzmq asks about every handshake in this process, by ZAP (RFC 27): the answer is what the folder of public
keys says now. A client that is removed is cut off: its endpoint is closed and opened again, at which those
that are still allowed reconnect by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, time_ns

import zmq
from zmq.utils import z85

from dispersy.bus.settings import RoleSettings
from dispersy.bus.sockets import receive_all
from dispersy.errors import UsageError
from dispersy.service.home.clients import Clients
from dispersy.workers.loop import Loop
from dispersy.workers.report import Reporter

ZAP_ENDPOINT = "inproc://zeromq.zap.01"
ZAP_VERSION = b"1.0"
DOMAIN = b"dispersy"
HANDSHAKE_LIMIT_MS = 5_000
"""A stranger that connects and says nothing holds a descriptor for so long."""
HEARTBEAT_MS = 10_000
SILENCE_MS = 30_000
REBIND_S = 0.05
SETTLED_NS = 2_000_000_000
"""A folder's time is coarse: what changed so lately may have changed again since it was read."""

Socket = zmq.Socket[bytes]


class TcpRole:
    """Binds the control and events sockets of this process over tcp too, and lets allowed clients in.

    sockets   what has been bound for local programs, and HOST:PORT to bind it to; asked when this opens
    """

    name = "tcp"

    def __init__(self, settings: RoleSettings, sockets: Callable[[], list[tuple[Socket, str]]]) -> None:
        self._clients = Clients(settings.home_path)
        self._sockets = sockets
        self._reporter = Reporter("tcp", settings)
        self._allowed: dict[bytes, str] = {}
        self._read_at = -1
        self._let_in: set[bytes] = set()
        self._unbound: list[tuple[Socket, str]] = []
        self._bind_due: float | None = None

    def open(self, loop: Loop) -> None:
        secret = self._clients.server_secret()
        self._read()
        # First of all: nobody may come in while there is nobody to ask.
        self._zap: Socket = loop.context.socket(zmq.REP)
        self._zap.setsockopt(zmq.LINGER, 0)
        self._zap.bind(ZAP_ENDPOINT)
        self._bound = self._sockets()
        for socket, address in self._bound:
            _demand_curve(socket, secret, ipv6=address.startswith("["))
            try:
                socket.bind(f"tcp://{address}")
            except zmq.ZMQError as error:
                raise UsageError(
                    f"cannot listen on tcp {address}: {error.strerror}",
                    code="listen",
                    hint="see [tcp] in config.toml",
                ) from error
        self._reporter.open(loop)
        loop.watch(self._zap, self._decide)
        loop.every(1.0, self._look)
        loop.deadline(lambda: self._bind_due, self._bind_again)

    def close(self) -> None:
        """The loop closes all sockets."""

    def _decide(self) -> None:
        """Answer one handshake; a REP socket has no other to take before."""
        self._read()
        for parts in receive_all(self._zap, count_max=1):
            user = self._user(parts)
            self._reporter.counters["client-allowed" if user else "client-refused"] += 1
            status = (b"200", b"OK") if user else (b"400", b"not in the list of clients")
            request_id = parts[1] if len(parts) > 1 else b""
            self._zap.send_multipart([ZAP_VERSION, request_id, *status, user.encode(), b""])

    def _user(self, parts: list[bytes]) -> str:
        """Whose handshake this is; empty: nobody's whom we know."""
        if len(parts) != 7 or parts[0] != ZAP_VERSION or parts[2] != DOMAIN or parts[5] != b"CURVE":
            return ""
        key = z85.encode(parts[6])
        user = self._allowed.get(key, "")
        if user:
            self._let_in.add(key)
        return user

    def _look(self) -> None:
        """Who was let in and is not allowed any more must go."""
        self._read()
        gone = self._let_in - self._allowed.keys()
        if gone:
            self._let_in -= gone
            self._reporter.counters["client-removed"] += len(gone)
            self._cut()

    def _read(self) -> None:
        changed_at = self._clients.changed_at()
        if changed_at != self._read_at or time_ns() - changed_at < SETTLED_NS:
            self._allowed = self._clients.allowed()
            self._read_at = changed_at

    def _cut(self) -> None:
        # libzmq ends what came by an endpoint together with it; a single connection it cannot end.
        for socket, address in self._bound:
            if (socket, address) not in self._unbound:
                socket.unbind(f"tcp://{address}")
                self._unbound.append((socket, address))
        self._bind_due = monotonic()

    def _bind_again(self) -> None:
        """The old listener may take a moment to be gone."""
        left = []
        for socket, address in self._unbound:
            try:
                socket.bind(f"tcp://{address}")
            except zmq.ZMQError:
                left.append((socket, address))
        self._unbound = left
        self._bind_due = monotonic() + REBIND_S if left else None


def _demand_curve(socket: Socket, secret: bytes, *, ipv6: bool) -> None:
    """For endpoints that are bound from now on; those before stay as they are."""
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
    socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
    # Without it a handshake that nobody answers for would be let in.
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_LIMIT_MS)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENCE_MS)
    socket.setsockopt(zmq.IPV6, int(ipv6))
