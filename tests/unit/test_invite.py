"""Goal: an invite survives being copied, and a damaged one says which part is wrong."""

from __future__ import annotations

import pytest

from dispersy.endpoint import Endpoint
from dispersy.errors import UsageError
from dispersy.invite import Invite, parse_invite, reachable_addresses

ID = bytes(range(32))


@pytest.mark.parametrize(
    "peers",
    [
        (),
        (Endpoint("192.0.2.1", 6421),),
        (Endpoint("2001:db8::1", 1), Endpoint("node.example.org", 65535)),
    ],
)
def test_round_trip(peers: tuple[Endpoint, ...]) -> None:
    """What is printed is what is read."""
    invite = Invite(ID, peers)
    assert parse_invite(str(invite)) == invite
    assert parse_invite(f"  {invite}\n") == invite


def test_a_bare_id_is_enough() -> None:
    """Knowing a community's id is enough to join it."""
    assert parse_invite(ID.hex().upper()) == Invite(ID)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "64 hex digits"),
        ("chat", "begins with 'dispersy:'"),
        (ID.hex()[:-1], "63 characters"),
        (f"dispersy:{ID.hex()[:-2]}", "62 characters"),
        (f"dispersy:{ID.hex()}x", "65 characters"),
        (f"dispersy://{ID.hex()}", "66 characters"),
        (f"dispersy:{ID.hex()}?", "''"),
        (f"dispersy:{ID.hex()}?peer", "'peer'"),
        (f"dispersy:{ID.hex()}?host=192.0.2.1:1", "'host=192.0.2.1:1'"),
        (f"dispersy:{ID.hex()}?peer=192.0.2.1", "port is missing"),
        (f"dispersy:{ID.hex()}?peer=::1:5", "brackets"),
        (f"dispersy:{ID.hex()}?peer=0.0.0.0:5", "names no node"),
        (f"dispersy:{ID.hex()}?peer=[::]:5", "names no node"),
        (f"dispersy:{ID.hex()}?" + "&".join(f"peer=192.0.2.1:{port}" for port in range(1, 19)), "18 peers"),
    ],
)
def test_a_damaged_invite_says_what_is_wrong(text: str, part: str) -> None:
    """The message names the part, so that the copy can be compared."""
    with pytest.raises(UsageError) as caught:
        parse_invite(text)
    assert part in str(caught.value)
    assert caught.value.hint


def test_a_bound_address_is_the_address() -> None:
    """Who listens on one address is reached there and nowhere else, loopback too."""
    listen = Endpoint("127.0.0.1", 4000)
    assert reachable_addresses(listen, [Endpoint("203.0.113.5", 9)]) == [listen]


def test_a_wildcard_is_never_given_out() -> None:
    """Nobody can connect to [::]; what others see us as comes first."""
    seen_as = Endpoint("203.0.113.5", 9)
    for wildcard in ("::", "0.0.0.0"):
        found = reachable_addresses(
            Endpoint(wildcard, 4000), [seen_as, Endpoint("::", 9), Endpoint("127.0.0.1", 9)]
        )
        assert found[0] == seen_as
        numbers = [address.numeric for address in found]
        assert not any(number is None or number.is_unspecified or number.is_loopback for number in numbers)


def test_without_any_interface_loopback_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a network can still try things out."""
    monkeypatch.setattr("dispersy.invite.hosts_towards_the_world", lambda **_: [])
    assert reachable_addresses(Endpoint("::", 4000)) == [Endpoint("127.0.0.1", 4000)]
