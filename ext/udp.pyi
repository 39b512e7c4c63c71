"""Many datagrams a system call: recvmmsg and sendmmsg over one arena."""

from typing import Self, final

@final
class Receiver:
    """Buffers for up to `batch_max` (1 to 256) datagrams of at most `size_max` bytes a call.

    Longer ones are cut to size_max + 1 bytes, which is how one knows them. One thread at a time.
    """

    def __new__(cls, *, batch_max: int = 64, size_max: int = 1500) -> Self: ...
    def receive(self, fd: int) -> tuple[bytes, bytes]:
        """(arena, packed datagram_records), both empty when nothing waits. Never blocks.

        IPv4 sources are mapped.

        raises  OSError as recvmmsg reports it, but for EAGAIN, EINTR and ECONNREFUSED
        """

def send_many(fd: int, datagrams: list[tuple[bytes, bytes]], *, ipv6: bool = True) -> tuple[int, int]:
    """Send (18-byte address, datagram) pairs without blocking; (pairs dealt with, of these refused).

    Stops at the first that would block: what follows was not dealt with. Refused is what the system would not
    take (no route, too long) and, with ipv6 False, for an AF_INET socket, what is not IPv4-mapped.

    raises  OSError when fd is no socket
    """
