"""Whose a connection is: limits are for a client, and shares for a program, not for each connection it opens.

A client that comes in over tcp has a name, for its CURVE key is in the list (clients.py). A local program is
known by its user and its process, which the kernel tells of a connection. ZeroMQ says either with each frame.
To a named client every limit applies once. Of a local program each connection is a client, for a program may
be made of many parts; but where all clients together have taken all that there is, it is shared between
users, and between the programs of a user: one that opens many connections keeps no other out.

The name is put before ZeroMQ's own name of the connection. So nothing has to be remembered of connections,
which come and go unnoticed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

Holder = Callable[[bytes], bytes]
"""A client's connection, by the name that it has in the gateway -> what its limits are counted for."""
_LOCAL = b"\0"
"""Begins the name of a local program; those of the list are file names."""


def named(connection: bytes, user: str, peer: str = "") -> bytes:
    """What a connection is called in the gateway.

    user  its name in the list of clients; empty where nobody is named
    peer  what ZeroMQ says of a local program: HOST:USER:GROUP:PROCESS, the numbers that the kernel knows
    """
    name = user.encode()
    _, *numbers = peer.split(":")
    if not name and len(numbers) == 3:
        name = _LOCAL + f"{numbers[0]}:{numbers[2]}".encode()
    assert len(name) <= 0xFF
    return bytes((len(name),)) + name + connection


def connection_of(client: bytes) -> bytes:
    """ZeroMQ's own name of it."""
    return client[1 + client[0] :]


def holder_of(client: bytes) -> bytes:
    """The same for all connections of one named client."""
    return client if client[1:2] == _LOCAL or not client[0] else program_of(client)


def program_of(client: bytes) -> bytes:
    """The same for all connections of one local program, or of one named client."""
    return client[: 1 + client[0]] if client[0] else client


def user_of(client: bytes) -> bytes:
    """The same for all programs of one local user; a named client is its own."""
    return program_of(client)[1:].partition(b":")[0]


def each_for_itself(client: bytes) -> bytes:
    """The holder where there are no named clients."""
    return client


def _parts(client: bytes) -> tuple[bytes, ...]:
    """User, program and connection: between those of each the places of the one before are shared."""
    return user_of(client), program_of(client), client


def who_gives_way(clients: Iterable[bytes], newcomer: bytes) -> bytes | None:
    """Where all places are taken: the client that gives one to the newcomer; None: it has its share.

    clients   who holds a place, once for each
    """
    parts = [_parts(client) for client in clients]
    own = _parts(newcomer)
    for depth in range(len(own)):
        held = Counter(each[: depth + 1] for each in parts if each[:depth] == own[:depth])
        ((most, count),) = held.most_common(1) or [((), 0)]
        if count > held[own[: depth + 1]] + 1:
            for deeper in range(depth + 1, len(own)):
                within = Counter(each[: deeper + 1] for each in parts if each[:deeper] == most)
                ((most, _),) = within.most_common(1)
            return most[-1]
    return None
