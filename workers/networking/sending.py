"""What the network role sends: in order, as fast as the upload budget and the kernel take it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from time import monotonic, perf_counter

from dispersy.ext.udp import send_many
from dispersy.protocol.spreading.upload import Upload
from dispersy.protocol.wire.frames import Busy, frame
from dispersy.protocol.wire.numbers import FrameType
from dispersy.storage.blocklist import Blocklist
from dispersy.workers.report import Reporter

SEND_QUEUE_MAX = 4_096
"""Datagrams that wait for the kernel to take them; more are dropped and counted."""
SEND_RETRY_S = 0.002
"""After this the kernel is asked again whether it takes more."""
BUSY_UPLOAD_MS = 1_000
"""For so long a neighbour is sent elsewhere when its answer would wait for the upload budget."""
REQUEST_NUMBER_SIZE = 4

Sent = tuple[bytes, bytes]
"""18-byte address, datagram."""

_REFUSED = (FrameType.SYNC_REQUEST, FrameType.RANGE_REQUEST, FrameType.FRAGMENT_REQUEST)
"""Requests whose answers are large; both begin with their number."""


class Sending:
    """One a node.

    upload_max   bytes a second, headers included; 0: as many as there are
    """

    def __init__(self, reporter: Reporter, *, upload_max: int) -> None:
        self._reporter = reporter
        self._upload = Upload(upload_max, now=monotonic()) if upload_max else None
        self._out: deque[Sent] = deque()
        self._unsent: deque[Sent] = deque()
        """What the kernel did not take yet; the budget has paid for it."""
        self._again_at: float | None = None

    def add(self, address: bytes, datagram: bytes) -> None:
        """A datagram is to leave with the next flush()."""
        self._out.append((address, datagram))

    def extend(self, items: Iterable[Sent]) -> None:
        """Several are."""
        self._out.extend(items)

    def busy(self, source: bytes, frame_type: int, body: bytes) -> bytes | None:
        """The frame that answers a request whose answer would only wait for the budget; None: let it in."""
        if self._upload is None or frame_type not in _REFUSED:
            return None
        if len(body) < REQUEST_NUMBER_SIZE or not self._upload.keeps_waiting(source):
            return None
        self._reporter.counters["busy-upload"] += 1
        number = int.from_bytes(body[:REQUEST_NUMBER_SIZE], "big")
        return frame(FrameType.BUSY, Busy(number, BUSY_UPLOAD_MS).encode())

    @property
    def waiting(self) -> int:
        """Bytes that wait for the budget."""
        return 0 if self._upload is None else self._upload.waiting

    def next_deadline(self) -> float | None:
        """When flush() may send more; None: nothing waits."""
        upload = None if self._upload is None else self._upload.next_deadline()
        return min((due for due in (upload, self._again_at) if due is not None), default=None)

    def flush(self, descriptor: int, blocklist: Blocklist, *, ipv6: bool) -> None:
        """Send what may leave now."""
        waits = self._upload is not None and self._upload.waiting
        if not self._out and not self._unsent and not waits:
            return
        began = perf_counter()
        pending = self._due(blocklist)
        dealt_with, refused = send_many(descriptor, pending, ipv6=ipv6) if pending else (0, 0)
        counters = self._reporter.counters
        counters["datagrams-out"] += dealt_with - refused
        counters["out-refused"] += refused
        counters["bytes-out"] += sum(len(datagram) for _, datagram in pending[:dealt_with])
        left = pending[dealt_with:]
        if left:
            counters["out-dropped-full"] += max(0, len(left) - SEND_QUEUE_MAX)
            self._unsent.extend(left[:SEND_QUEUE_MAX])
        self._again_at = monotonic() + SEND_RETRY_S if left else None
        self._reporter.step("network.send", began, dealt_with)

    def _due(self, blocklist: Blocklist) -> list[Sent]:
        pending = list(self._out)
        self._out.clear()
        if blocklist.has_addresses:
            allowed = [each for each in pending if not blocklist.refuses(each[0])]
            self._reporter.counters["out-dropped-blocked"] += len(pending) - len(allowed)
            pending = allowed
        if self._upload is not None:
            for each in pending:
                self._upload.add(*each)
            pending = self._upload.take(monotonic())
            self._reporter.counters.update(self._upload.counts)
            self._upload.counts.clear()
        unsent = list(self._unsent)
        self._unsent.clear()
        return [*unsent, *pending]
