"""What is checked before the writer is troubled: a publication's kind, format and size; a new community."""

from __future__ import annotations

from collections.abc import Sequence

from dispersy.errors import UsageError, WireError
from dispersy.protocol.definitions.definition import (
    Definition,
    Kind,
    check_definition,
    check_payload,
    check_payload_groups,
    decode_definition,
    default_definition,
    encode_definition,
    payload_room,
    require_enforced,
    size_limit,
)
from dispersy.protocol.wire.packing import encode_uvarint


def check_name(name: str) -> None:
    """UsageError `definition-name` for what cannot be the name of a community."""
    try:
        check_definition(Definition(name, ()))
    except UsageError as error:
        raise UsageError(
            f"'{name}' is no name for a community: it takes a small letter, then at most 31 small letters, "
            "digits or hyphens",
            code=error.code,
        ) from None


def new_definition(name: str, payload: bytes = b"") -> bytes:
    """The definition payload of a new community, checked; without one: one kind, `text`.

    raises  UsageError that names what is wrong, the kind and the policy
    """
    check_name(name)
    if not payload:
        return encode_definition(default_definition(name))
    try:
        definition = decode_definition(payload)
    except WireError as error:
        raise UsageError(f"this is no definition: {error.__cause__ or error}", code=error.reason) from None
    check_new(name, definition)
    return payload


def check_new(name: str, definition: Definition) -> None:
    """Whether a community of this name may begin with this definition.

    raises  UsageError, code definition-...: name, kinds, not-enforced
    """
    if definition.name != name:
        # Everyone who joins calls it as it is defined, so two names would only confuse.
        raise UsageError(
            f"the definition is that of '{definition.name}', not of '{name}'",
            code="definition-name",
            hint=f'write the same name in both places, for example: name = "{name}"',
        )
    if not definition.kinds:
        raise UsageError(
            "the definition has no kinds, so nobody could ever publish",
            code="definition-kinds",
            hint="one is enough: a table [kinds.text] with number = 64",
        )
    require_enforced(definition)


def require_definition(community: str, definition: Definition | None, refusal: str) -> Definition:
    """The definition, if there is one; refusal: why this version does not take the one that has come.

    raises    UsageError `definition-unknown`, or with the refusal as its code
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
    return definition


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
    known = require_definition(community, definition, refusal)
    kind = known.kind_by_name(kind_name)
    limit = size_limit(kind)
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
            reason = check_payload(kind, payload)
            if reason is not None:
                raise _wrong_format(f"payload {index + 1}", f"{kind_name} in {community}", kind, reason)
    if together:
        total = sum(len(payload) + _length_size(len(payload)) for payload in payloads)
        # The room of one payload is what is left behind a count of one byte and its length.
        room = payload_room(kind) + 1 + _length_size(payload_room(kind)) - _length_size(len(payloads))
        if total > room:
            raise UsageError(
                f"{len(payloads)} payloads take {total} bytes; one message carries {room}",
                code="message-size",
                hint="publish them as several messages",
            )
    return kind.number


def _wrong_format(which: str, whose: str, kind: Kind, reason: str) -> UsageError:
    if reason == "payload-schema":
        return UsageError(
            f"{which} is not what the schema of {whose} says",
            code="payload-format",
            hint=f"the schema is {kind.payload['schema']}",
        )
    return UsageError(f"{which} is not {kind.payload.name}, which {whose} takes", code="payload-format")


def _length_size(number: int) -> int:
    """Bytes that a length or count of a message takes."""
    return len(encode_uvarint(number))
