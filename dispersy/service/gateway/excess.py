"""Who sends requests without an end is disconnected before the process has no memory left.

ZeroMQ hands a request over when its last frame has come, and keeps the frames until then: each is bounded,
their number is not, and no option bounds it. Nor does it tell who is sending. So this looks at the memory of
the process itself, whenever that has used LOOK_CPU_S of processor time: to gather frames takes time, and what
is idle is left alone.

Two things are known of a connection. It holds no more than the process has gained since its last whole
request: who goes on giving such requests is in no doubt. And its bytes may be seen waiting in the kernel, for
as long as a frame takes to be read: who is seen so again and again, and gives no whole request, sends without
an end. Beyond the limit those seen so most often are cut off; where that does not help, or nobody was seen,
twice as many each time, until it helps or nobody is left who may hold much. An honest client comes back by
itself and repeats what was not answered.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import socket
import termios
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from struct import Struct
from time import monotonic

import zmq

from dispersy.bus.sockets import receive_all
from dispersy.service.logs import CLIENT_CUT, event, logger
from dispersy.workers.loop import Loop

MEMORY_MAX = 256 << 20
"""Bytes of anonymous memory, on top of what the process held before anybody could connect: more than all
other bounds on what clients may cost a process together."""
MEMORY_SHARE = 2
"""On a small machine at most this part of its memory."""
LOOK_CPU_S = 0.05
"""Some 100 MB come in so much time, from a program on this machine."""
DOUBTED_SHARE = 8
"""Who may hold less than this part of the limit is not cut off. All of those together hold no more than it:
what they have sent came since the earliest of their last whole requests."""
WATCH_S = 0.005
WATCHED_GROWTH = 1 << 20
"""When the process has gained so many bytes since the last look, it is watched for so long who is sending:
frames that come one by one wait for some microseconds each, and a single glance would hardly meet one."""
SETTLED_S = 1.0
"""What those held who were cut off is let go of by another thread, and a turn of the loop: until then nobody
else is cut off who was not seen sending."""
EVENTS_PER_TURN_MAX = 256
EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED
_EVENT = Struct("=Hi")
"""How an event of zmq_socket_monitor begins: number and value. What pyzmq has for it imports asyncio."""
_PAGE = os.sysconf("SC_PAGE_SIZE")

Socket = zmq.Socket[bytes]


@dataclass(slots=True)
class _Connection:
    """inode   which tells it from another one that got its descriptor later
    sending    looks that saw it sending since its last whole request
    size       the least that the process has held since then: what this one holds has come on top of it
    """

    inode: int
    size: int
    sending: int = 0


class Excess:
    """One a process, for all its sockets that clients connect to.

    counters    where `client-cut` is counted
    memory      bytes that the machine has
    memory_max  bytes that this process may come to hold; None: MEMORY_MAX, or less on a small machine
    measure     bytes of anonymous memory of this process
    """

    def __init__(
        self,
        counters: Counter[str],
        *,
        memory: int = MEMORY_SHARE * MEMORY_MAX,
        memory_max: int | None = None,
        measure: Callable[[], int] | None = None,
    ) -> None:
        self._counters = counters
        self._allowed = memory_max or min(MEMORY_MAX, memory // MEMORY_SHARE)
        self._memory_max = self._allowed
        self._measure = measure or anonymous_bytes
        self._before = 0
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._connections: dict[int, _Connection] = {}
        self._watched = 0
        self._size = 0
        self._cut_next = 1
        self._settled_at = 0.0

    def open(self, loop: Loop) -> None:
        self._loop = loop
        self._before = self._measure()
        loop.after_processor_time(LOOK_CPU_S, self.look)

    def watch(self, socket: Socket) -> None:
        """Know who connects to this socket, which is not bound yet."""
        endpoint = f"inproc://visitors-{self._watched}"
        self._watched += 1
        socket.monitor(endpoint, EVENTS)
        monitor = self._loop.context.socket(zmq.PAIR)
        # Full, it would stop the thread that serves all connections.
        monitor.setsockopt(zmq.RCVHWM, 0)
        monitor.connect(endpoint)
        self._loop.watch(monitor, partial(self._receive_events, monitor))

    def completed(self, part: zmq.Frame) -> None:
        """A whole request has come, of which this is a part."""
        try:
            connection = self._connections.get(int(part.get(zmq.SRCFD)))
        except zmq.ZMQError:
            # Of a connection that speaks an old protocol ZeroMQ does not tell.
            return
        if connection is not None:
            connection.sending, connection.size = 0, self._size

    def look(self) -> None:
        """See what the process holds, and who is sending; whoever sends too much is cut off."""
        size = self._came()
        if 2 * size < self._memory_max:
            self._note(0)
            self._cut_next = 1
            return
        for fd in self._sending(WATCH_S if size - self._size >= WATCHED_GROWTH else 0.0):
            self._connections[fd].sending += 1
        if size >= self._memory_max and self._trim is not None:
            # What was let go of may still be the allocator's.
            self._trim(0)
            size = self._came()
        self._note(size)
        if size < self._memory_max:
            self._cut_next = 1
            return
        doubted = self._doubted()
        if not doubted:
            # What is held is not of clients, but of other roles in here.
            self._memory_max = size + self._allowed
            return
        most = self._connections[doubted[0]].sending
        seen = sum(self._connections[fd].sending == most for fd in doubted) if most else 0
        if monotonic() >= self._settled_at:
            seen = max(seen, self._cut_next)
            self._cut_next *= 2
        if seen:
            self._cut(doubted[:seen], size)
            self._settled_at = monotonic() + SETTLED_S

    def _note(self, size: int) -> None:
        """What the process holds at a look; half the limit is as good as nothing."""
        if size < self._size:
            for connection in self._connections.values():
                connection.size = min(connection.size, size)
        self._size = size

    def _sending(self, watch_s: float) -> set[int]:
        """Connections of which bytes are waiting now, or at some time of the next seconds."""
        until = monotonic() + watch_s
        sending: set[int] = set()
        while True:
            sending.update(fd for fd in self._connections.keys() - sending if _has_waiting(fd))
            if monotonic() >= until:
                return sending

    def _doubted(self) -> list[int]:
        """Who may hold much, the likeliest first; of those that are alike, who came last."""
        least = max(1, self._allowed // DOUBTED_SHARE)
        doubted = [fd for fd, each in self._connections.items() if self._size - each.size >= least]
        doubted.reverse()
        return sorted(doubted, key=self._likelihood, reverse=True)

    def _likelihood(self, fd: int) -> tuple[int, int]:
        connection = self._connections[fd]
        return connection.sending, self._size - connection.size

    def _came(self) -> int:
        return self._measure() - self._before

    def _cut(self, descriptors: list[int], size: int) -> None:
        logger.warning(
            "%d clients were disconnected that sent more than is taken: this process came to hold %d MB more",
            len(descriptors),
            size >> 20,
            extra=event(CLIENT_CUT, clients=len(descriptors), memory_bytes=size),
        )
        for fd in descriptors:
            connection = self._connections.pop(fd)
            self._counters["client-cut"] += 1
            # Closing is ZeroMQ's: it may have done so by now, and somebody else's be what has the number.
            with suppress(OSError), socket.fromfd(fd, socket.AF_UNIX, socket.SOCK_STREAM) as ours:
                if os.fstat(ours.fileno()).st_ino == connection.inode:
                    ours.shutdown(socket.SHUT_RDWR)

    def _receive_events(self, monitor: Socket) -> None:
        for parts in receive_all(monitor, count_max=EVENTS_PER_TURN_MAX):
            number, fd = _EVENT.unpack(parts[0])
            self._connections.pop(fd, None)
            if number == zmq.EVENT_ACCEPTED:
                with suppress(OSError):
                    self._connections[fd] = _Connection(os.fstat(fd).st_ino, self._size)


def anonymous_bytes() -> int:
    """Resident memory of this process that is no file's."""
    _, resident, shared, *_ = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return (int(resident) - int(shared)) * _PAGE


def _has_waiting(fd: int) -> bool:
    """Whether a connection has sent what nobody has taken from the kernel."""
    count = array.array("i", [0])
    try:
        fcntl.ioctl(fd, termios.FIONREAD, count)
    except OSError:
        return False
    return count[0] > 0
