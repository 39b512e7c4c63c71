"""The UDP kernel over real loopback sockets, of both families."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from dispersy.ext import udp
from dispersy.protocol.wire import records

LIMIT_MS = 60_000
LOOPBACK = bytes(10) + b"\xff\xff\x7f\x00\x00\x01"
"""127.0.0.1, IPv4-mapped."""
LOOPBACK_6 = bytes(15) + b"\x01"
FAMILIES = [False, True]
"""Whether the socket is AF_INET6 (dual stack)."""


@contextmanager
def bound(ipv6: bool) -> Iterator[socket.socket]:
    """A socket at a port of the system's choice, on all addresses."""
    with socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as one:
        if ipv6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        one.bind(("::" if ipv6 else "127.0.0.1", 0))
        yield one


def address_of(one: socket.socket, ip: bytes = LOOPBACK) -> bytes:
    return ip + int(one.getsockname()[1]).to_bytes(2, "big")


def received(one: socket.socket, receiver: udp.Receiver, count: int) -> list[tuple[bytes, bytes]]:
    """(source, datagram) of the next `count` datagrams, within the limit."""
    found: list[tuple[bytes, bytes]] = []
    poller = select.poll()
    poller.register(one, select.POLLIN)
    while len(found) < count:
        assert poller.poll(LIMIT_MS), f"{len(found)} of {count} datagrams came"
        arena, packed = receiver.receive(one.fileno())
        for offset, length, address in records.DATAGRAM.iter_unpack(packed):
            found.append((address, arena[offset : offset + length]))
    return found


@pytest.mark.parametrize("to_ipv6", FAMILIES)
@pytest.mark.parametrize("from_ipv6", FAMILIES)
def test_datagrams_arrive_whole_with_a_mapped_source(from_ipv6: bool, to_ipv6: bool) -> None:
    """Goal: more than a batch goes through, in order, empty ones too; IPv4 looks alike from either family."""
    with bound(from_ipv6) as sender, bound(to_ipv6) as target:
        datagrams = [bytes([index]) * index for index in range(150)]
        pairs = [(address_of(target), datagram) for datagram in datagrams]
        assert udp.send_many(sender.fileno(), pairs, ipv6=from_ipv6) == (150, 0)
        found = received(target, udp.Receiver(batch_max=64), 150)
        assert found == [(address_of(sender), datagram) for datagram in datagrams]


def test_ipv6_addresses_pass_both_ways() -> None:
    """Goal: an answer to the source that was reported reaches the sender over IPv6."""
    with bound(True) as one, bound(True) as other:
        udp.send_many(one.fileno(), [(address_of(other, LOOPBACK_6), b"ask")])
        ((source, asked),) = received(other, udp.Receiver(), 1)
        assert (source, asked) == (address_of(one, LOOPBACK_6), b"ask")
        assert udp.send_many(other.fileno(), [(source, b"answer")]) == (1, 0)
        assert received(one, udp.Receiver(), 1) == [(address_of(other, LOOPBACK_6), b"answer")]


@pytest.mark.parametrize("ipv6", FAMILIES)
def test_nothing_waiting_is_no_error(ipv6: bool) -> None:
    """Goal: an empty socket is answered at once with nothing."""
    with bound(ipv6) as one:
        assert udp.Receiver().receive(one.fileno()) == (b"", b"")
        assert udp.send_many(one.fileno(), [], ipv6=ipv6) == (0, 0)


def test_a_datagram_that_is_too_long_shows() -> None:
    """Goal: one of size_max is whole, a longer one has size_max + 1 bytes and spoils none beside it."""
    with bound(False) as one:
        pairs = [(address_of(one), bytes(size)) for size in (100, 101, 5000, 3)]
        udp.send_many(one.fileno(), pairs, ipv6=False)
        found = received(one, udp.Receiver(size_max=100), 4)
        assert [len(datagram) for _, datagram in found] == [100, 101, 101, 3]


def test_what_cannot_be_sent_is_refused_and_the_rest_goes_on() -> None:
    """Goal: an address of the other family, no port and an impossible size count as refused, in any place."""
    with bound(False) as one:
        good = (address_of(one), b"good")
        other_family, no_port = (LOOPBACK_6 + b"\x19\x15", b"x"), (LOOPBACK + bytes(2), b"x")
        too_long = (address_of(one), bytes(70_000))
        pairs = [other_family, good, no_port, too_long, good, other_family]
        assert udp.send_many(one.fileno(), pairs, ipv6=False) == (6, 4)
        assert [datagram for _, datagram in received(one, udp.Receiver(), 2)] == [b"good", b"good"]


def test_an_icmp_error_is_no_exception() -> None:
    """Goal: nobody at the other end is no error, when it shows at receiving and when it shows at sending."""
    with ExitStack() as stack:
        one = stack.enter_context(bound(False))
        with bound(False) as gone:
            address, name = address_of(gone), gone.getsockname()
        one.connect(name)  # only a connected socket is told
        poller = select.poll()
        poller.register(one, select.POLLIN)
        assert udp.send_many(one.fileno(), [(address, b"first")], ipv6=False) == (1, 0)
        assert poller.poll(LIMIT_MS)
        assert udp.Receiver().receive(one.fileno()) == (b"", b"")
        udp.send_many(one.fileno(), [(address, b"second")], ipv6=False)
        assert poller.poll(LIMIT_MS)
        assert udp.send_many(one.fileno(), [(address, b"third"), (address, b"fourth")], ipv6=False)[0] == 2


def test_sending_stops_where_it_would_block() -> None:
    """Goal: a full socket ends the call, which says how far it came; none counts as refused."""
    # UDP over loopback never fills up; a connected TCP socket does when nobody reads, and heeds no address.
    pairs = [(LOOPBACK + b"\x00\x01", bytes(1000))] * 20_000
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as one,
    ):
        done, refused = udp.send_many(one.fileno(), pairs, ipv6=False)
        assert 0 < done < len(pairs)
        assert refused == 0


SIZES_BEYOND = [{"batch_max": 0}, {"batch_max": 257}, {"size_max": 0}, {"size_max": 65_535}]


@pytest.mark.parametrize("sizes", SIZES_BEYOND)
def test_sizes_have_bounds(sizes: dict[str, int]) -> None:
    """Goal: what records cannot hold and what would eat memory is refused at once."""
    with pytest.raises(ValueError, match="is not 1 to"):
        udp.Receiver(**sizes)
    udp.Receiver(batch_max=256, size_max=65_534)


def test_a_caller_s_fault_is_an_error() -> None:
    """Goal: what is no socket and what is no pair raise, the latter before anything is sent."""
    with bound(False) as one, open("/dev/null", "rb") as no_socket:
        good = (address_of(one), b"good")
        for call in (
            lambda: udp.Receiver().receive(no_socket.fileno()),
            lambda: udp.send_many(no_socket.fileno(), [good]),
        ):
            with pytest.raises(OSError, match="ocket") as caught:
                call()
            assert caught.value.errno == errno.ENOTSOCK
        for wrong in ((b"short", b""), (good[0], None), (None, b""), (good[0], "text"), good[:1], None):
            with pytest.raises((ValueError, TypeError)):
                udp.send_many(one.fileno(), [good, wrong], ipv6=False)  # type: ignore[list-item]
        assert udp.Receiver().receive(one.fileno()) == (b"", b"")
