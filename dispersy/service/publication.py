"""What is checked of a publication before the writer is troubled: kind, format and size."""

from __future__ import annotations

from collections.abc import Sequence

from dispersy.constants import MESSAGE_SIZE_MAX
from dispersy.errors import UsageError
from dispersy.protocol.definition import (
    Definition,
    check_payload,
    check_payload_groups,
    default_definition,
    encode_definition,
)

_HEADER_SIZE_MAX = 1 + 1 + 32 + 9 + 9
"""kind, flags, author, global time and sequence at their longest (docs/wire.md)."""
PAYLOADS_SIZE_MAX = MESSAGE_SIZE_MAX - _HEADER_SIZE_MAX - 2 - 64
"""Bytes for payloads with their lengths, besides the payload count and the signature."""
LONGEST_PAYLOAD = PAYLOADS_SIZE_MAX - 2
"""The longest single payload that a message of this version carries."""


def new_definition(name: str) -> bytes:
    """The definition payload of a new community that asks for nothing special: one kind, `text`."""
    return encode_definition(default_definition(name))


def check_publication(
    community: str,
    definition: Definition | None,
    kind_name: str,
    payloads: Sequence[bytes],
    *,
    together: bool,
    refusal: str = "",
) -> int:
    """The number of the kind; every payload may be published.

    together  whether the payloads go into one message, or each into its own
    refusal   why this version does not take the definition that has come
    raises    UsageError that names the payload (counted from 1), its size and the limit
    """
    if definition is None and refusal:
        raise UsageError(
            f"this version does not take the definition of {community}: {refusal}",
            code=refusal,
            hint="upgrade this node: the definition asks for something newer",
        )
    if definition is None:
        raise UsageError(
            f"the definition of {community} has not come yet",
            code="definition-unknown",
            hint="it comes from the first neighbour found; `dispersy peers` shows whether there is one",
        )
    kind = definition.kind_by_name(kind_name)
    limit = min(kind.payload.number("size_max"), LONGEST_PAYLOAD)
    for index, payload in enumerate(payloads):
        if len(payload) > limit:
            raise UsageError(
                f"payload {index + 1} has {len(payload)} bytes; {kind_name} in {community} allows {limit}",
                code="payload-size",
                hint="split it, or send a shorter one",
            )
    # Sizes are right, so what is left is the format; only then is each looked at.
    if check_payload_groups(kind, [payloads])[0] is not None:
        for index, payload in enumerate(payloads):
            if check_payload(kind, payload) is not None:
                raise UsageError(
                    f"payload {index + 1} is not {kind.payload.name}, which {kind_name} in {community} takes",
                    code="payload-format",
                )
    if together:
        total = sum(len(payload) + (1 if len(payload) < 128 else 2) for payload in payloads)
        if total > PAYLOADS_SIZE_MAX:
            raise UsageError(
                f"{len(payloads)} payloads take {total} bytes; one message carries {PAYLOADS_SIZE_MAX}",
                code="message-size",
                hint="publish them as several messages",
            )
    return kind.number
