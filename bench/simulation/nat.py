"""NATs of four kinds before nodes with private addresses: what leaves is translated, what comes is filtered.

    full cone           who was sent anything once is reached by everybody at the one outer port
    address-restricted  only from hosts that it has sent to
    port-restricted     only from addresses that it has sent to
    symmetric           as port-restricted, and every destination sees another port

A mapping lapses MAPPING_S after the last datagram that left. Hairpins are not modelled: two nodes behind one
NAT do not occur here.
"""

from __future__ import annotations

from dispersy.protocol.address import Address, make_address

MAPPING_S = 60.0
FULL_CONE, ADDRESS_RESTRICTED, PORT_RESTRICTED, SYMMETRIC = (
    "full-cone",
    "address-restricted",
    "port-restricted",
    "symmetric",
)
KINDS = (FULL_CONE, ADDRESS_RESTRICTED, PORT_RESTRICTED, SYMMETRIC)
FIRST_PORT = 20_000


class _Nat:
    """One NAT before one node."""

    def __init__(self, kind: str, outside: Address, inside: Address) -> None:
        self.kind = kind
        self.outside = outside
        self.inside = inside
        self.ports: dict[Address, Address] = {}
        """Of a symmetric one: the outer address by destination."""
        self.sent: dict[tuple[Address, bytes], float] = {}
        """When something last left, by outer address and the destination as far as the kind looks at it."""

    def outer_for(self, target: Address) -> Address:
        if self.kind != SYMMETRIC:
            return self.outside
        if target not in self.ports:
            port = FIRST_PORT + len(self.ports)
            self.ports[target] = Address(self.outside[:16] + port.to_bytes(2, "big"))
        return self.ports[target]

    def part_of(self, address: Address) -> bytes:
        if self.kind == FULL_CONE:
            return b""
        return address[:16] if self.kind == ADDRESS_RESTRICTED else address


class Nats:
    """All NATs of a world."""

    def __init__(self) -> None:
        self.used = False
        self._by_inside: dict[Address, _Nat] = {}
        self._by_outside: dict[Address, _Nat] = {}
        self._open: dict[tuple[Address, Address], Address] = {}
        """Of datagrams on their way: the outer address that they were sent to, by source and inner target."""

    def place(self, host: int, kind: str, *, outside: Address) -> Address:
        """Put a node behind a NAT with this outer address; its private one."""
        assert kind in KINDS, f"a NAT is one of {', '.join(KINDS)}, not {kind!r}"
        inside = make_address(f"10.{host >> 16 & 255}.{host >> 8 & 255}.{host & 255}", 6421)
        self.used = True
        self._by_inside[inside] = self._by_outside[outside] = _Nat(kind, outside, inside)
        return inside

    def outside(self, address: Address) -> Address:
        """Where others reach it, as far as they do."""
        nat = self._by_inside.get(address)
        return address if nat is None else nat.outside

    def translate(self, source: Address, target: Address, now: float) -> tuple[Address, Address | None]:
        """(source as others see it, inner target); None: nobody has that address from outside."""
        nat = self._by_inside.get(source)
        if nat is not None:
            outer = nat.outer_for(target)
            self._by_outside[outer] = nat
            nat.sent[outer, nat.part_of(target)] = now
            source = outer
        beyond = self._by_outside.get(target)
        if beyond is None:
            return source, None if target in self._by_inside else target
        self._open[source, beyond.inside] = target
        return source, beyond.inside

    def lets_in(self, source: Address, inside: Address, now: float) -> bool:
        """Whether the NAT before a node passes on what comes from a source."""
        nat = self._by_inside.get(inside)
        if nat is None:
            return True
        outer = self._open.get((source, inside), nat.outside)
        return now <= nat.sent.get((outer, nat.part_of(source)), -MAPPING_S - 1) + MAPPING_S
