"""Goal: the product, and calculations that share nothing with it, agree with the published bytes."""

from __future__ import annotations

import tomllib
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import mmh3
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dispersy.ext.bloom import BloomFilter
from dispersy.ext.digest import identify_many, sum_many, tokens_many
from dispersy.ext.sketch import SYMBOLS_MAX, keyed_items, symbols_of
from dispersy.ext.verify import public_key, sign_many, verify_messages
from dispersy.ext.wire import DROP_REASONS, pack, parse_messages
from dispersy.protocol.address import parse_address
from dispersy.protocol.definitions import definition_toml
from dispersy.protocol.definitions.definition import decode_definition, default_definition, encode_definition
from dispersy.protocol.identifiers import CommunityId, MemberId, community_tag, sum_key, symbols_key
from dispersy.protocol.wire import frames, sync_frames
from dispersy.protocol.wire.message import draft_message, message_id, read_message, signed_bytes
from dispersy.protocol.wire.numbers import FRAMES_SPOKEN, ConnectionType, FrameType, SignatureOutcome
from dispersy.protocol.wire.records import MESSAGE
from dispersy.protocol.wire.stripped import strip
from dispersy.protocol.wire.summary import Summary
from tests.oracle import wire as oracle
from tests.oracle.sketch import keyed_item, symbols_with

ADDRESSES = {"receiver", "lan", "wan", "introduced_lan", "introduced_wan", "walker_lan", "walker_wan"}
WANTED = {
    "ids": frames.MissingMessages,
    "low": frames.MissingSequences,
    "count": frames.MissingLast,
    "of": frames.MissingProof,
    "author": frames.MissingNewest,
}
OF_SYMBOLS = {
    ("asked", frozenset({"count", "symbols"})): sync_frames.Described,
    ("asked", frozenset({"set_name", "first", "count"})): sync_frames.Further,
    ("asked", frozenset({"items"})): sync_frames.Items,
    ("asked", frozenset({"key", "low", "high", "count", "symbols"})): sync_frames.RangeDescribed,
    ("told", frozenset({"count", "estimate"})): sync_frames.Untold,
    ("told", frozenset({"set_name", "first", "symbols"})): sync_frames.SetSymbols,
    ("told", frozenset({"count", "items"})): sync_frames.Lacked,
}


def read(name: str) -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / f"{name}.toml").read_text(encoding="utf-8"))


def joined(parts: list[list[str]]) -> bytes:
    return b"".join(bytes.fromhex(part) for part, _ in parts)


def unhex(value: Any) -> Any:
    return [bytes.fromhex(part) for part in value] if isinstance(value, list) else bytes.fromhex(value)


FRAMES = read("frames")
SIGNATURES = read("signatures")["frame"]
FRAMES["frame"] += SIGNATURES
for others in ("missing", "push", "stripped", "announcements", "symbols", "tree", "large"):
    FRAMES["frame"] += read(others)["frame"]
MESSAGES = read("messages")
DIGESTS = read("digests")
COMMUNITY = CommunityId(bytes.fromhex(MESSAGES["community_id"]))

every_frame = pytest.mark.parametrize("vector", FRAMES["frame"], ids=lambda vector: vector["name"])
every_message = pytest.mark.parametrize("vector", MESSAGES["message"], ids=lambda vector: vector["name"])


def field(name: str, value: Any) -> Any:
    """A vector's value as the product holds it."""
    if name in ADDRESSES:
        return parse_address(value)
    if name == "summary":
        return Summary(**{**value, "sum": int(value["sum"], 16)})
    if name == "connection":
        return ConnectionType(value)
    if name in ("ids", "of", "prefixes"):
        return tuple(map(bytes.fromhex, value))
    if name == "wanted":
        wanted = next(WANTED[key] for key in WANTED if key in value)
        return wanted(**{key: field(key, part) for key, part in value.items()})
    if name in ("asked", "told"):
        fields = {key: field(key, part) for key, part in value.items()}
        return OF_SYMBOLS[name, frozenset(fields)](**fields)
    if name == "indexes":
        return tuple(value)
    if name == "children":
        told = {int(place): (count, int(total, 16)) for place, (count, total) in value.items()}
        return tuple(told.get(place, (0, 0)) for place in range(64))
    if name == "names":
        return tuple(
            frames.LargeName(**{key: field(key, part) for key, part in each.items()}) for each in value
        )
    if name == "outcome":
        return SignatureOutcome(value)
    if isinstance(value, str):
        return int(value, 16) if name == "sum" else bytes.fromhex(value)
    return value


def pairs(area: bytes) -> list[tuple[int, int]]:
    """(start, size) of each message of an area, by plain arithmetic for lengths of one or two bytes."""
    found, at = [], 0
    while at < len(area):
        size = area[at] & 0x7F
        at += 1
        if area[at - 1] & 0x80:
            size += area[at] << 7
            at += 1
        found.append((at, size))
        at += size
    return found


def test_every_spoken_frame_has_a_vector() -> None:
    assert {vector["type"] for vector in FRAMES["frame"]} == FRAMES_SPOKEN


@every_frame
def test_frame(vector: dict[str, Any]) -> None:
    body = joined(vector["body"])
    value = {name: field(name, part) for name, part in vector["value"].items()}
    if vector["type"] in (FrameType.MESSAGES, FrameType.STRIPPED):
        area = bytes.fromhex(vector["messages"])
        is_stripped = vector["type"] == FrameType.STRIPPED
        header_class = frames.StrippedHeader if is_stripped else frames.MessagesHeader
        header = header_class(**value)
        assert header.encode() == body
        assert header_class.decode(body + area) == (header, area)
        messages = [area[start : start + size] for start, size in pairs(area)]
        assert pack(messages, len(area)) == [(len(messages), area)]
        body += area
    else:
        built = frames.FRAME_CLASSES[FrameType(vector["type"])](**value)
        assert built.encode() == body
        assert frames.decode_frame(vector["type"], body) == built
    whole = bytes.fromhex(vector["header"]) + body
    assert frames.frame(FrameType(vector["type"]), body) == whole
    assert whole == bytes((vector["type"],)) + oracle.uvarint(len(body)) + body


@pytest.mark.parametrize(
    "vector", [vector for vector in FRAMES["frame"] if "signed" in vector], ids=lambda vector: vector["name"]
)
def test_introduction_signature(vector: dict[str, Any]) -> None:
    tag, token = bytes.fromhex(FRAMES["community_tag"]), bytes.fromhex(FRAMES["token"])
    body, seed = joined(vector["body"]), bytes.fromhex(FRAMES["seed"])
    unsigned, signature, frame_type = body[:-64], body[-64:], FrameType(vector["type"])
    signed = bytes.fromhex(vector["signed"])
    covered = bytes.fromhex(FRAMES["receiver_member"]) if unsigned[36] & 0x20 else b""
    assert signed == b"dispersy/3 introduction" + tag + token + bytes((frame_type,)) + unsigned + covered
    assert Ed25519PrivateKey.from_private_bytes(seed).sign(signed) == signature

    introduction = frames.decode_frame(frame_type, body)
    assert isinstance(introduction, frames.IntroductionRequest | frames.IntroductionResponse)
    receiver = MemberId(covered) if introduction.covers_receiver else None
    rebuilt = introduction.unsigned()
    made = frames.introduction_signed_bytes(tag, token, frame_type, rebuilt, receiver_member=receiver)
    assert made == signed
    assert introduction.member == public_key(seed)
    assert sign_many(seed + introduction.member, [signed]) == introduction.signature == signature


def test_the_hop_chain_of_a_push() -> None:
    """Each link is the hash of the one before it, from the author's secret to what the author signed."""
    vector = next(each for each in FRAMES["frame"] if each["name"] == "push n-hop")
    message, link = bytes.fromhex(vector["value"]["message"]), bytes.fromhex(vector["value"]["link"])
    links = [bytes(range(16))]
    for _ in range(3):
        links.append(sha256(b"dispersy/3 hop" + links[-1]).digest()[:16])
    assert link == links[1]
    assert message[36:53] == b"\x03" + links[3]
    assert read_message(COMMUNITY, message).n_hop == message[36:53]


def test_stripped_messages_are_the_whole_ones() -> None:
    """Header, digest and signatures of two messages: same ids, and their signatures hold."""
    (vector,) = read("stripped")["frame"]
    area = bytes.fromhex(vector["messages"])
    whole = {message["id"]: message for message in MESSAGES["message"]}
    expected = []
    for message in (whole[each] for each in vector["ids"]):
        header, signatures = joined(message["header"]), joined(message["signatures"])
        expected.append(header + bytes.fromhex(message["digest"]) + signatures)
        assert strip(header + joined(message["payload_part"]) + signatures) == expected[-1]
    assert area == b"".join(oracle.uvarint(len(each)) + each for each in expected)
    drops = bytearray(4 * len(DROP_REASONS))
    records = parse_messages(area, drops, stripped=True)
    assert not any(drops)
    identify_many(records, area, COMMUNITY)
    assert [fields[11].hex() for fields in MESSAGE.iter_unpack(records)] == vector["ids"]
    assert verify_messages(records, area, COMMUNITY) == b"\1\1"


@pytest.mark.parametrize("vector", SIGNATURES, ids=lambda vector: vector["name"])
def test_signature_frames(vector: dict[str, Any]) -> None:
    """What each side signs, by another library."""
    number, signature = vector["value"]["number"].to_bytes(4, "big"), vector["value"]["signature"]
    draft, covered = bytes.fromhex(vector["value"]["draft"]), bytes.fromhex(vector["covered"])
    asked = bytes.fromhex(SIGNATURES[0]["value"]["draft"])
    outcome = vector["value"].get("outcome")
    if outcome is None:
        assert covered == b"dispersy/3 signature-request" + COMMUNITY + number + draft
    elif outcome:
        payload_part = draft[2 + 64 + 2 :]
        header, digest = draft[: -len(payload_part)], sha256(payload_part).digest()
        assert covered == b"dispersy/3 message" + COMMUNITY + header + digest
    else:
        assert covered == b"dispersy/3 signature-response" + COMMUNITY + number + b"\0" + asked
    seed = bytes(range(32)) if vector["by"] == "first" else bytes(range(32, 64))
    assert Ed25519PrivateKey.from_private_bytes(seed).sign(covered).hex() == signature


def test_community_tag() -> None:
    community_id = CommunityId(bytes.fromhex(FRAMES["community_id"]))
    tag = bytes.fromhex(FRAMES["community_tag"])
    assert sha256(b"dispersy/3 community" + community_id).digest()[:8] == tag
    assert community_tag(community_id) == tag


def test_token_datagram() -> None:
    datagram = joined(FRAMES["datagram"]["parts"])
    tag, token = bytes.fromhex(FRAMES["community_tag"]), bytes.fromhex(FRAMES["token"])
    assert len(datagram) == 28
    assert frames.token_datagram(tag, token, datagram[-8:]) == datagram


@every_message
def test_message_by_independent_calculation(vector: dict[str, Any]) -> None:
    header, payload_part = joined(vector["header"]), joined(vector["payload_part"])
    digest = sha256(payload_part).digest()
    signed = b"dispersy/3 message" + COMMUNITY + header + digest
    authors = [Ed25519PrivateKey.from_private_bytes(seed) for seed in unhex(vector["seeds"])]
    assert digest.hex() == vector["digest"]
    assert signed.hex() == vector["signed"]
    assert sha256(b"dispersy/3 id" + COMMUNITY + header + digest).hexdigest() == vector["id"]
    assert b"".join(author.sign(signed) for author in authors) == joined(vector["signatures"])


@every_message
def test_message_is_built(vector: dict[str, Any]) -> None:
    header, payload_part = joined(vector["header"]), joined(vector["payload_part"])
    value: dict[str, Any] = {
        name: part if isinstance(part, int) else unhex(part) for name, part in vector["value"].items()
    }
    draft = draft_message(COMMUNITY, **value)
    assert draft.unsigned == header + payload_part
    assert draft.signed.hex() == vector["signed"]
    assert draft.id.hex() == vector["id"]
    digest = bytes.fromhex(vector["digest"])
    assert signed_bytes(COMMUNITY, header, digest) == draft.signed
    assert message_id(COMMUNITY, header, digest) == draft.id
    secrets = [seed + public_key(seed) for seed in map(bytes.fromhex, vector["seeds"])]
    signatures = [sign_many(secret, [draft.signed]) for secret in secrets]
    assert draft.complete(signatures) == header + payload_part + joined(vector["signatures"])


@every_message
def test_message_is_read(vector: dict[str, Any]) -> None:
    raw = joined(vector["header"]) + joined(vector["payload_part"]) + joined(vector["signatures"])
    view, value = read_message(COMMUNITY, raw), vector["value"]
    for name in ("kind", "global_time", "sequence"):
        assert getattr(view, name) == value[name]
    authors = [key for key in (view.author, view.second_author) if key is not None]
    assert authors == unhex(value["authors"])
    assert list(view.payloads) == unhex(value["payloads"])
    for name in ("recipient", "previous", "n_hop"):
        assert getattr(view, name) == (bytes.fromhex(value[name]) if name in value else None)
    assert b"".join(view.signatures) == joined(vector["signatures"])
    assert (view.id.hex(), view.digest.hex(), view.raw) == (vector["id"], vector["digest"], raw)


def test_all_messages_as_one_batch() -> None:
    raws = [
        joined(vector["header"]) + joined(vector["payload_part"]) + joined(vector["signatures"])
        for vector in MESSAGES["message"]
    ]
    area = b"".join(oracle.uvarint(len(raw)) + raw for raw in raws)
    drops = bytearray(4 * len(DROP_REASONS))
    records = parse_messages(area, drops)
    assert not any(drops)
    identify_many(records, area, COMMUNITY)
    # Without an author nothing is proven.
    signed = bytes(bool(vector["seeds"]) for vector in MESSAGES["message"])
    assert verify_messages(records, area, COMMUNITY) == signed


@pytest.mark.parametrize("vector", read("definition")["definition"], ids=lambda vector: vector["name"])
def test_definition(vector: dict[str, Any]) -> None:
    payload = joined(vector["payload"])
    # Canonical MessagePack: whoever else decodes and encodes it gets the same bytes.
    assert msgspec.msgpack.encode(msgspec.msgpack.decode(payload)) == payload
    definition = definition_toml.parse(vector["toml"])
    assert encode_definition(definition) == payload
    assert decode_definition(payload) == definition
    assert definition_toml.format(definition) == vector["toml"]


def test_the_default_definition_is_the_first_vector() -> None:
    shortest = read("definition")["definition"][0]
    assert encode_definition(default_definition("demo")) == joined(shortest["payload"])
    assert msgspec.msgpack.decode(joined(shortest["payload"])) == {1: 1, 2: "demo", 3: [{1: 64, 2: "text"}]}


@pytest.mark.parametrize("vector", DIGESTS["token"], ids=lambda vector: vector["token"])
def test_token(vector: dict[str, Any]) -> None:
    secret, tag = bytes.fromhex(vector["secret"]), bytes.fromhex(vector["community_tag"])
    epoch = vector["epoch"]
    address = parse_address(vector["address"])
    assert joined(vector["hashed"]) == address + tag + epoch.to_bytes(8, "big")
    assert oracle.siphash(secret, joined(vector["hashed"])).hex() == vector["siphash"]
    assert oracle.token(secret, address, tag, epoch).hex() == vector["token"]
    assert tokens_many(address, tag, epoch, secret).hex() == vector["token"]


def test_sum() -> None:
    vector = DIGESTS["sum"]
    community_id = CommunityId(bytes.fromhex(vector["community_id"]))
    key, ids = bytes.fromhex(vector["key"]), [bytes.fromhex(part) for part in vector["ids"]]
    terms = [blake2b(message_id, digest_size=16, key=key).digest()[:12] for message_id in ids]
    total = sum(int.from_bytes(term, "big") for term in terms) % (1 << 96)
    assert sha256(b"dispersy/3 sum" + community_id).digest()[:16] == key == sum_key(community_id)
    assert [term.hex() for term in terms] == vector["terms"]
    assert total == int(vector["sum"], 16) == sum_many(b"".join(ids), key)


def test_symbols() -> None:
    vector = read("symbols")["set"]
    key, items, expected = bytes.fromhex(vector["key"]), unhex(vector["items"]), joined(vector["symbols"])
    assert key == symbols_key(COMMUNITY)
    assert symbols_of(b"".join(items), 8, key, first=0, count=len(vector["symbols"])) == expected
    for item, indices in zip(items, vector["indices"], strict=True):
        assert symbols_with(int.from_bytes(item, "little"), key, SYMBOLS_MAX) == indices
        counts = symbols_of(item, 8, key, first=0, count=SYMBOLS_MAX)[12::13]
        assert [index for index, count in enumerate(counts) if count] == indices


def test_keyed_items() -> None:
    vector = read("symbols")["keyed"]
    key, ids, items = bytes.fromhex(vector["key"]), unhex(vector["ids"]), unhex(vector["items"])
    assert ids[0][:8] == ids[1][:8]
    assert [keyed_item(each, key) for each in ids] == items
    assert keyed_items(b"".join(ids), key) == b"".join(items)


def test_filter() -> None:
    vector = DIGESTS["filter"]
    salt, hash_count, size_bits = vector["salt"], vector["hash_count"], vector["size_bits"]
    added, absent = unhex(vector["added"]), bytes.fromhex(vector["absent"])
    bits = bytearray(size_bits // 8)
    for key, stated in zip(added, vector["positions"], strict=True):
        first, second = mmh3.hash64(key, seed=salt, x64arch=True, signed=False)
        positions = [(first + j * (second | 1)) % (1 << 64) % size_bits for j in range(hash_count)]
        assert positions == stated
        for position in positions:
            bits[position // 8] |= 1 << position % 8
    assert bits.hex() == vector["bits"]
    product = BloomFilter(size_bits=size_bits, hash_count=hash_count, salt=salt)
    product.add_many(b"".join(added), 32)
    assert product.to_bytes() == bits
    assert product.missing_many(b"".join([*added, absent]), 32) == b"\0\0\1"
