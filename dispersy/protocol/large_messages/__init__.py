"""Messages that no datagram holds: named, fetched in fragments and put together."""
