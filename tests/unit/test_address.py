"""Goal: one address has one value, whoever wrote it, and who wrote a wrong one is told what is right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispersy.errors import UsageError, WireError
from dispersy.protocol.address import (
    NO_ADDRESS,
    Address,
    address_host,
    address_port,
    decode_address,
    encode_address,
    format_address,
    is_ipv4,
    is_loopback,
    is_multicast,
    is_private,
    is_unspecified,
    make_address,
    parse_address,
    split_endpoint,
    usable_as_peer,
)

PORT = (6421).to_bytes(2, "big")
MAPPED = bytes(10) + b"\xff\xff"


def test_ipv4_is_held_mapped() -> None:
    address = make_address("127.0.0.1", 6421)
    assert address == MAPPED + bytes((127, 0, 0, 1)) + PORT
    assert is_ipv4(address)
    assert make_address("::ffff:127.0.0.1", 6421) == address
    assert (address_host(address), address_port(address)) == ("127.0.0.1", 6421)


def test_ipv6_in_any_spelling_is_one_value() -> None:
    address = make_address("2001:DB8:0:0::1", 6421)
    assert address == parse_address("[2001:db8::1]:6421")
    assert format_address(address) == "[2001:db8::1]:6421"
    assert not is_ipv4(address)


@pytest.mark.parametrize("text", ["127.0.0.1:6421", "[::1]:6421", "203.0.113.9:1", "[2001:db8::1]:65535"])
def test_people_read_what_they_wrote(text: str) -> None:
    assert format_address(parse_address(text)) == text


@given(st.binary(min_size=18, max_size=18).filter(lambda data: data[16:] != b"\0\0").map(Address))
def test_every_address_can_be_written_and_read_by_people(address: Address) -> None:
    assert parse_address(format_address(address)) == address


@given(st.binary(min_size=18, max_size=18).map(Address))
def test_every_address_can_be_written_and_read_on_the_wire(address: Address) -> None:
    part = encode_address(address)
    assert decode_address(b"before" + part + b"behind", 6) == (address, 6 + len(part))


@given(st.binary(max_size=24))
def test_any_bytes_are_an_address_or_a_named_fault(data: bytes) -> None:
    try:
        address, end = decode_address(data, 0)
        outcome: bytes | str = encode_address(address) + data[end:]
    except WireError as error:
        outcome = error.reason
    assert outcome in {data, "frame-truncated", "address-malformed"}


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (b"", "frame-truncated"),
        (b"\x05" + bytes(18), "address-malformed"),
        (b"\x04\x7f\0\0\1\x19", "frame-truncated"),
        (b"\x06" + bytes(17), "frame-truncated"),
        (b"\x06" + MAPPED + bytes((127, 0, 0, 1)) + PORT, "address-malformed"),
        (b"\x06" + bytes(18), "address-malformed"),
    ],
)
def test_other_than_canonical_is_refused(part: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        decode_address(part, 0)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("127.0.0.1", "HOST:PORT"),
        (":6421", "HOST:PORT"),
        ("", "HOST:PORT"),
        ("host name:6421", "HOST:PORT"),
        ("a" * 254 + ":6421", "HOST:PORT"),
        ("::1:6421", "brackets"),
        ("[127.0.0.1]:6421", "brackets"),
        ("[::1:6421", "brackets"),
        ("127.0.0.1:0", "1 to 65535"),
        ("127.0.0.1:65536", "1 to 65535"),
        ("127.0.0.1:+1", "1 to 65535"),
        ("127.0.0.1:٣", "1 to 65535"),
        ("127.0.0.1:", "1 to 65535"),
        ("tracker.example:6421", "2001:db8::1"),
        ("[fe80::1%eth0]:6421", "without '%eth0'"),
        ("127.0.0.256:6421", "192.0.2.1"),
    ],
)
def test_a_wrong_endpoint_is_told_what_is_right(text: str, right: str) -> None:
    with pytest.raises(UsageError, match=right):
        parse_address(text)


def test_endpoints_may_name_hosts() -> None:
    assert split_endpoint("tracker.example:6421") == ("tracker.example", 6421)
    assert split_endpoint("[::1]:1") == ("::1", 1)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_has_16_bits(port: int) -> None:
    with pytest.raises(UsageError, match="65535"):
        make_address("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "classes"),
    [
        ("127.0.0.1", {is_loopback}),
        ("127.255.0.9", {is_loopback}),
        ("::1", {is_loopback}),
        ("10.1.2.3", {is_private}),
        ("172.31.0.1", {is_private}),
        ("192.168.1.1", {is_private}),
        ("169.254.0.1", {is_private}),
        ("fe80::1", {is_private}),
        ("fd00::1", {is_private}),
        ("172.32.0.1", set()),
        ("8.8.8.8", set()),
        ("2001:db8::1", set()),
        ("0.0.0.0", {is_unspecified}),
        ("::", {is_unspecified}),
        ("224.0.0.1", {is_multicast}),
        ("ff02::1", {is_multicast}),
        ("255.255.255.255", {is_multicast}),
    ],
)
def test_classes(host: str, classes: set[object]) -> None:
    address = make_address(host, 6421)
    tests = (is_loopback, is_private, is_unspecified, is_multicast)
    assert {test for test in tests if test(address)} == classes
    assert usable_as_peer(address) == (not classes & {is_unspecified, is_multicast})


def test_nobody_is_reached_at_port_0_or_nowhere() -> None:
    assert not usable_as_peer(make_address("8.8.8.8", 0))
    assert not usable_as_peer(NO_ADDRESS)
