"""Whose a connection is: limits are for a client, not for each of the connections that it opens.

A client that comes in over tcp has a name, for its CURVE key is in the list (clients.py); ZeroMQ tells it
with each of its frames. A local program has none, and each of its connections counts for itself: what keeps
others out there is the folder's mode.

The name is put before ZeroMQ's own name of the connection. So nothing has to be remembered of connections,
which come and go unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable

Holder = Callable[[bytes], bytes]
"""A client's connection, by the name that it has in the gateway -> what its limits are counted for."""


def named(connection: bytes, user: str) -> bytes:
    """What a connection is called in the gateway; user is empty where nobody is named."""
    name = user.encode()
    assert len(name) <= 0xFF
    return bytes((len(name),)) + name + connection


def connection_of(client: bytes) -> bytes:
    """ZeroMQ's own name of it."""
    return client[1 + client[0] :]


def holder_of(client: bytes) -> bytes:
    """The same for all connections of one named client."""
    return client[: 1 + client[0]] if client[0] else client


def each_for_itself(client: bytes) -> bytes:
    """The holder where there are no named clients."""
    return client
