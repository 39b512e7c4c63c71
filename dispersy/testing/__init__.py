"""Nodes and a network in memory, for the tests of applications (docs/python.md).

with Network() as network:
    alice, bob = network.nodes(2)
    chat = Chat.create(alice.client, "chat")
    ...
"""

from dispersy.testing.links import Link
from dispersy.testing.network import Network
from dispersy.testing.node import Node

__all__ = ["Link", "Network", "Node"]
