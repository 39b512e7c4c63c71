"""Whom a publication is sent to at once: from how people name neighbours to keys and addresses.

The network role knows its neighbours now, this process as of its last report, at most a second or so ago.
Somebody who is not among them is refused here, where the client can still be told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dispersy.errors import UsageError
from dispersy.protocol.address import format_address, parse_address
from dispersy.protocol.definitions.kind import Kind, is_stored

PREFIX_MIN = 4
"""Shorter beginnings of a key are too likely to become ambiguous with the next neighbour."""
KEY_DIGITS = 64
VERIFIED = ("walked", "stumbled")


def destination_of(
    to: Sequence[str], kind: Kind, about: Mapping[str, Any], *, own: bytes
) -> dict[str, list[bytes]]:
    """The fields of the writer's order.

    to      members (64 hex digits, or the beginning of a neighbour's key) and addresses HOST:PORT
    about   what the network role reports of the community
    own     our key in it
    raises  UsageError: to-missing, to-unknown, to-ambiguous, to-self
    """
    names_recipient = kind.destination.name == "candidate"
    if names_recipient and not to:
        raise UsageError(
            f"a message of kind '{kind.name}' goes to one member: nobody was named",
            code="to-missing",
            hint="name a neighbour, by its key or address; `dispersy peers` lists them",
        )
    if not to and not is_stored(kind) and not about.get("peers_verified"):
        raise UsageError(
            f"a message of kind '{kind.name}' is not stored, and there is no neighbour to send it to",
            code="to-unknown",
            hint="`dispersy peers` shows neighbours; publish it again when there is one",
        )
    members: list[bytes] = []
    addresses: list[bytes] = []
    for text in to:
        if _is_address(text):
            address = parse_address(text)
            peer = _at(format_address(address), about)
            if names_recipient:
                # What is bound to its recipient must name one, wherever it is by then.
                members.append(bytes(peer["member"]))
            else:
                addresses.append(address)
        else:
            members.append(own if text.lower() == own.hex() else _member(text, about))
    if own in members:
        raise UsageError(
            "this node's own key was named: it would speak to itself",
            code="to-self",
            hint="name another member; `dispersy peers` lists neighbours",
        )
    return {
        "to_members": list(dict.fromkeys(members)),
        "to_addresses": list(dict.fromkeys(addresses)),
    }


def second_of(text: str, about: Mapping[str, Any], *, own: bytes) -> bytes:
    """The key of the member that is to sign, too, named as a destination is."""
    if _is_address(text):
        return bytes(_at(format_address(parse_address(text)), about)["member"])
    return own if text.lower() == own.hex() else _member(text, about)


def _is_address(text: str) -> bool:
    return ":" in text


def _proven_peers(about: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    proven = [peer for peer in about.get("peers", ()) if peer["category"] in VERIFIED and peer["member"]]
    return [peer for peer in proven if not peer["tracker"]]


def _at(address: str, about: Mapping[str, Any]) -> Mapping[str, Any]:
    for peer in _proven_peers(about):
        if peer["address"] == address:
            return peer
    raise _unknown(address)


def _member(text: str, about: Mapping[str, Any]) -> bytes:
    digits = text.lower()
    known = {bytes(peer["member"]) for peer in _proven_peers(about)}
    fitting = [member for member in known if len(digits) >= PREFIX_MIN and member.hex().startswith(digits)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UsageError(
            f"{text} fits {len(fitting)} neighbours",
            code="to-ambiguous",
            hint="write more digits of the key",
        )
    # Only so many neighbours are reported; the network role knows them all.
    if about.get("peers_count", 0) > len(about.get("peers", ())) and len(digits) == KEY_DIGITS:
        try:
            return bytes.fromhex(digits)
        except ValueError:
            pass
    raise _unknown(text)


def _unknown(text: str) -> UsageError:
    return UsageError(
        f"no neighbour is known as {text}",
        code="to-unknown",
        hint="`dispersy peers` lists neighbours; one that was just met shows within seconds",
    )
