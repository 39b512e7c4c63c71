"""Many datagrams a system call: recvmmsg and sendmmsg over one arena."""

class Receiver:
    """Buffers for up to `batch_max` datagrams of at most `size_max` bytes a call (longer ones are cut: length says so)."""

    def __init__(self, *, batch_max: int = 64, size_max: int = 1500) -> None: ...
    def receive(self, fd: int) -> tuple[bytes, bytes]:
        """(arena, packed datagram_records), both empty when nothing waits. Never blocks. IPv4 sources are mapped.

        raises  OSError as recvmmsg reports it, but for EAGAIN, EINTR and ECONNREFUSED
        """

def send_many(fd: int, datagrams: list[tuple[bytes, bytes]], *, ipv6: bool = True) -> tuple[int, int]:
    """Send (18-byte address, datagram) pairs without blocking; (pairs dealt with, of these refused by the kernel).

    Stops at the first that would block: what follows was not dealt with. ipv6 False: the socket is AF_INET.
    """
