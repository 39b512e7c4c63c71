"""Messages one by one: build, sign and read them, through the kernels that also do it by the batch.

The id and what is signed leave the signatures out (docs/wire.md). So a draft has its id before anybody has
signed it, and two authors sign the same bytes one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from dispersy.constants import DATAGRAM_MESSAGE_SIZE_MAX, MESSAGE_SIZE_MAX, PAYLOADS_MAX
from dispersy.errors import UsageError, WireError
from dispersy.ext.digest import identify_many
from dispersy.ext.verify import sign_many
from dispersy.ext.wire import DROP_REASONS, encode_message, parse_messages, split_payloads
from dispersy.protocol.identifiers import CommunityId, GlobalTime, MemberId, MessageId
from dispersy.protocol.identifiers import Sequence as SequenceNumber
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN, MessageFlag
from dispersy.protocol.wire.packing import UVARINT_MAX, encode_uvarint
from dispersy.protocol.wire.records import MESSAGE

KEY_SIZE = 32
SIGNATURE_SIZE = 64
N_HOP_SIZE = 17
NO_PREVIOUS = MessageId(bytes(KEY_SIZE))
"""What the first control message of an author gives as its previous."""


class MessageTooLong(UsageError):  # noqa: N818 - an Error at the end would say nothing
    """A message longer than those of its shape may be; the text names the limit and the size.

    size, size_max  in bytes, signatures included
    """

    def __init__(self, size: int, size_max: int) -> None:
        super().__init__(
            f"the message would have {size} bytes; the limit is {size_max}",
            code="message-too-long",
            hint="send less at once: shorter payloads, or fewer in one message",
        )
        self.size = size
        self.size_max = size_max


@dataclass(frozen=True, slots=True)
class MessageView:
    """The fields of a well-formed message; whether its signatures hold is another question (ext.verify).

    author, sequence  None and 0 without author
    previous          exactly for kinds below 64
    n_hop             17 bytes, u8 n and H^n(s)
    signatures        64 bytes each, none to two
    raw               the whole message
    """

    kind: int
    flags: MessageFlag
    author: MemberId | None
    second_author: MemberId | None
    recipient: MemberId | None
    global_time: GlobalTime
    sequence: SequenceNumber
    previous: MessageId | None
    n_hop: bytes | None
    payloads: tuple[bytes, ...]
    signatures: tuple[bytes, ...]
    id: MessageId
    digest: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that nobody has signed yet.

    unsigned  all of it but the signatures
    signed    what each author signs
    """

    unsigned: bytes
    signed: bytes
    id: MessageId

    def complete(self, signatures: Sequence[bytes]) -> bytes:
        """The whole message; signatures in the order of the authors."""
        return self.unsigned + b"".join(signatures)


def signed_bytes(community_id: CommunityId, header: bytes, digest: bytes) -> bytes:
    """What a message's signatures cover; digest = SHA-256 of the payload part."""
    return b"dispersy/3 message" + community_id + header + digest


def message_id(community_id: CommunityId, header: bytes, digest: bytes) -> MessageId:
    """A message's id; digest = SHA-256 of the payload part."""
    return MessageId(sha256(b"dispersy/3 id" + community_id + header + digest).digest())


def message_size_max(
    kind: int, *, author_count: int = 1, has_recipient: bool = False, has_n_hop: bool = False
) -> int:
    """The longest message of this shape, in bytes.

    Only what neighbours ask for travels by fragments. What is pushed, and what a second author is sent to
    sign, fits one datagram; and so does what governs, for it is judged one by one and kept in memory.
    """
    is_plain = author_count == 1 and not has_recipient and not has_n_hop and kind >= COMMUNITY_KIND_MIN
    return MESSAGE_SIZE_MAX if is_plain else DATAGRAM_MESSAGE_SIZE_MAX


def payload_size_max(
    kind: int = COMMUNITY_KIND_MIN,
    *,
    author_count: int = 1,
    has_recipient: bool = False,
    has_n_hop: bool = False,
    in_datagram: bool = False,
    global_time: int = UVARINT_MAX,
    sequence: int = UVARINT_MAX,
) -> int:
    """The longest single payload, in bytes, that a message of this shape holds.

    Without global time and sequence it is what fits whatever they will be: what a program checks before it
    sends. The kind's own size_max may be lower.

    in_datagram   the message shall fit one datagram, though its shape may be longer
    """
    size_max = message_size_max(
        kind, author_count=author_count, has_recipient=has_recipient, has_n_hop=has_n_hop
    )
    room = (DATAGRAM_MESSAGE_SIZE_MAX if in_datagram else size_max) - _header_size(
        kind,
        author_count=author_count,
        has_recipient=has_recipient,
        has_n_hop=has_n_hop,
        global_time=global_time,
        sequence=sequence,
    )
    room -= author_count * SIGNATURE_SIZE + 1
    # Lengths from 128 to 16,383 take two bytes, longer ones three: the room is never near where that changes.
    assert 130 <= room <= 16_385 or room >= 16_387
    return room - (2 if room <= 16_385 else 3)


def draft_message(
    community_id: CommunityId,
    *,
    kind: int,
    authors: Sequence[MemberId],
    global_time: int,
    sequence: int,
    payloads: Sequence[bytes],
    recipient: MemberId | None = None,
    previous: MessageId | None = None,
    n_hop: bytes | None = None,
) -> Draft:
    """A message to be signed by its authors (none, one or two; without any the sequence is 0).

    raises  MessageTooLong; UsageError for parts that contradict one another
    """
    flags = 0
    for flag, present in (
        (MessageFlag.TWO_AUTHORS, len(authors) == 2),
        (MessageFlag.NO_AUTHOR, not authors),
        (MessageFlag.RECIPIENT, recipient is not None),
        (MessageFlag.N_HOP, n_hop is not None),
    ):
        flags |= flag if present else 0
    if not 1 <= len(payloads) <= PAYLOADS_MAX:
        raise UsageError(f"a message has 1 to {PAYLOADS_MAX} payloads, not {len(payloads)}", code="message")
    payload_part_size = len(encode_uvarint(len(payloads)))
    payload_part_size += sum(len(encode_uvarint(len(payload))) + len(payload) for payload in payloads)
    header_size = _header_size(
        kind,
        author_count=len(authors),
        has_recipient=recipient is not None,
        has_n_hop=n_hop is not None,
        global_time=global_time,
        sequence=sequence,
    )
    size = header_size + payload_part_size + len(authors) * SIGNATURE_SIZE
    size_max = message_size_max(
        kind,
        author_count=len(authors),
        has_recipient=recipient is not None,
        has_n_hop=n_hop is not None,
    )
    if size > size_max:
        raise MessageTooLong(size, size_max)
    try:
        unsigned = encode_message(
            kind,
            flags,
            b"".join(authors),
            recipient or b"",
            global_time,
            sequence,
            previous or b"",
            n_hop or b"",
            list(payloads),
        )
    except ValueError as error:
        raise UsageError(f"no such message: {error}", code="message") from error
    header, payload_part = unsigned[:header_size], unsigned[header_size:]
    digest = sha256(payload_part).digest()
    return Draft(
        unsigned=unsigned,
        signed=signed_bytes(community_id, header, digest),
        id=message_id(community_id, header, digest),
    )


def create_message(
    community_id: CommunityId,
    secret: bytes,
    *,
    kind: int,
    global_time: int,
    sequence: int,
    payloads: Sequence[bytes],
    previous: MessageId | None = None,
) -> bytes:
    """A whole message of one author; arguments and errors as create_many()."""
    return create_many(
        community_id,
        secret,
        kind=kind,
        first_global_time=global_time,
        first_sequence=sequence,
        payload_groups=[payloads],
        previous=previous,
    )[0]


def create_many(
    community_id: CommunityId,
    secret: bytes,
    *,
    kind: int,
    first_global_time: int,
    first_sequence: int,
    payload_groups: Sequence[Sequence[bytes]],
    previous: MessageId | None = None,
) -> list[bytes]:
    """Whole messages of one author, one a group of payloads; global time and sequence rise by one each.

    secret    64 bytes, seed and public key of the author
    previous  for kinds below 64: the author's previous control message or NO_PREVIOUS; a chain follows it
    raises    MessageTooLong; UsageError for parts that contradict one another
    """
    author = MemberId(secret[KEY_SIZE:])
    drafts = []
    for index, payloads in enumerate(payload_groups):
        draft = draft_message(
            community_id,
            kind=kind,
            authors=(author,),
            global_time=first_global_time + index,
            sequence=first_sequence + index,
            payloads=payloads,
            previous=previous,
        )
        drafts.append(draft)
        if kind < COMMUNITY_KIND_MIN:
            previous = draft.id
    signatures = sign_many(secret, [draft.signed for draft in drafts])
    return [
        draft.complete((signatures[start : start + SIGNATURE_SIZE],))
        for draft, start in zip(drafts, range(0, len(signatures), SIGNATURE_SIZE), strict=True)
    ]


def read_message(community_id: CommunityId, raw: bytes) -> MessageView:
    """The fields of a message's bytes; its signatures are not checked.

    raises  WireError with the wire kernel's reason
    """
    length = encode_uvarint(len(raw))
    area = length + raw
    drops = bytearray(4 * len(DROP_REASONS))
    records = parse_messages(area, drops)
    if not records:
        counts = memoryview(drops).cast("I")
        raise WireError(next(reason for reason, count in zip(DROP_REASONS, counts, strict=True) if count))
    identify_many(records, area, community_id)
    fields = MESSAGE.unpack(records)
    _, _, global_time, sequence, header_size, kind, flag_bits, _, signature_count, _, _, id_, digest = fields
    flags = MessageFlag(flag_bits)
    keys = [raw[start : start + KEY_SIZE] for start in range(2, 2 + 3 * KEY_SIZE, KEY_SIZE)]
    n_hop_start = header_size - (N_HOP_SIZE if flags & MessageFlag.N_HOP else 0)
    signatures_start = len(raw) - signature_count * SIGNATURE_SIZE
    return MessageView(
        kind=kind,
        flags=flags,
        author=None if flags & MessageFlag.NO_AUTHOR else MemberId(keys[0]),
        second_author=MemberId(keys[1]) if flags & MessageFlag.TWO_AUTHORS else None,
        recipient=MemberId(keys[signature_count]) if flags & MessageFlag.RECIPIENT else None,
        global_time=GlobalTime(global_time),
        sequence=SequenceNumber(sequence),
        previous=MessageId(raw[n_hop_start - KEY_SIZE : n_hop_start]) if kind < COMMUNITY_KIND_MIN else None,
        n_hop=raw[n_hop_start:header_size] if flags & MessageFlag.N_HOP else None,
        payloads=tuple(split_payloads(raw)),
        signatures=tuple(
            raw[start : start + SIGNATURE_SIZE] for start in range(signatures_start, len(raw), SIGNATURE_SIZE)
        ),
        id=MessageId(id_),
        digest=digest,
        raw=raw,
    )


def _header_size(
    kind: int,
    *,
    author_count: int,
    has_recipient: bool,
    has_n_hop: bool,
    global_time: int,
    sequence: int,
) -> int:
    keys = author_count + has_recipient + (kind < COMMUNITY_KIND_MIN)
    for number in (global_time, sequence):
        if not 0 <= number <= UVARINT_MAX:
            raise UsageError(f"{number} is no global time or sequence: they end at 2^63 - 1", code="message")
    numbers_size = len(encode_uvarint(global_time)) + (len(encode_uvarint(sequence)) if author_count else 0)
    return 2 + keys * KEY_SIZE + numbers_size + (N_HOP_SIZE if has_n_hop else 0)
