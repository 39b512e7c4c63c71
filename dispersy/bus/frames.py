"""What the roles say to each other: the first part of each ZeroMQ message names it, one contiguous part holds
a batch.

Hot batches are packed structs (native byte order: they never leave the machine); rare ones are MessagePack.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct

import msgspec

from dispersy.protocol.wants import Wants

# network -> worker
VERIFY = b"V"
"""[VERIFY, VERIFY_HEADER, area of (uvarint length ‖ message)*, VERIFY_SOURCE*]"""
VERIFY_STRIPPED = b"D"
"""[VERIFY_STRIPPED, ...]: as VERIFY, of stripped messages (docs/wire.md)"""
VERIFY_IMPORTED = b"B"
"""[VERIFY_IMPORTED, IMPORT_HEADER, area of (uvarint length ‖ message)*]: of a file; whoever reads it is told
what becomes of them"""
INTRODUCTIONS = b"I"
"""[INTRODUCTIONS, Introduction list]: to the verifier to be checked, back to the network those that hold"""
SYNC = b"S"
"""[SYNC, u32 community number, SyncFrame list]: other frames for the responder"""
ENVELOPES = b"E"
"""[ENVELOPES, u32 community number, (18 B source ‖ envelope_record)*]: what is on its way to the verifiers"""
PEERS = b"P"
"""[PEERS, u32 community number, PeerHeard list]"""

# worker -> network
CREDIT = b"C"
"""[CREDIT, CREDIT_HEADER]: which incarnation of the worker has finished how many VERIFY batches"""

# worker -> network, socket outbound: [u32 community number, (18 B address ‖ u16 length ‖ frames)*]; without
# frames: this neighbour has left a question unanswered, and may be gone

# worker -> writer, socket intake
MESSAGES = b"M"
"""[MESSAGES, MESSAGES_HEADER, packed message_records, arena]"""
IMPORTED = b"J"
"""[IMPORTED, IMPORT_HEADER, dropped (reason -> count), packed message_records, arena]"""
CLOCK = b"K"
"""[CLOCK, CLOCK_HEADER]: how far neighbours' clocks have come, for one that is behind"""

EXHAUSTED = b"X"
"""[EXHAUSTED, EXHAUSTED_HEADER, what was wanted]: neighbours were asked for what an application waits for"""

TOLD = b"T"
"""[TOLD, TOLD_HEADER]: a neighbour has said what it holds of ours, its messages are on their way"""

# network -> writer, socket intake
SIGNATURE = b"G"
"""[SIGNATURE, u32 community number, ReceivedSignature]: a signature-request or -response"""
WAKE = b"W"
"""[WAKE, u32 community number]: somebody speaks to a community that is loaded when that happens"""

# writer -> everyone, socket notes: [COMMIT, CommitNote]
COMMIT = b"commit"

# writer -> network, socket notes
PUSH = b"push"
"""[PUSH, u32 community number, Pushed list]: messages of ours to be sent at once"""
SIGN = b"sign"
"""[SIGN, u32 community number, SignatureFrame list]: signature-requests and -responses to send"""
RELAY = b"relay"
"""[RELAY, u32 community number, list of messages]: n-hop messages of others that were accepted"""

IMPORT = b"import"
"""[IMPORT, IMPORT_HEADER, area]: messages of a file, to be verified; whole ones, or stripped ones"""

FRESH = b"fresh"
"""[FRESH, u32 community number, FreshMessages]: what was committed just now and may be told to neighbours"""

# writer -> publisher and gateway, socket notes
HEARD = b"heard"
"""[HEARD, u32 community number, HeardMessage list]: accepted messages that are not stored"""

ASKED = b"asked"
"""[ASKED, u32 community number, AskedSignature list]: to the gateway: drafts that applications decide on"""

NUMBER = Struct("=I")
VERIFY_HEADER = Struct("=IIB")
"""community number, messages in the area that came in messages frames, the way that they came"""
VERIFY_SOURCE = Struct("=IB")
"""Where in the area what one neighbour sent ends, and the bucket of its host; in order."""
MESSAGES_HEADER = Struct("=IIB")
"""community number, messages that this accounts for (those dropped since included), the way that they came"""
IMPORT_HEADER = Struct("=IQI?")
"""community number, which portion of a file, messages in the area, whether these are stripped"""
CREDIT_HEADER = Struct("=QQ")
"""incarnation, batches finished since its start"""
TOLD_HEADER = Struct("=IB")
"""community number, the bucket of the neighbour's host (protocol/hosts.py): one host is one voice"""
EXHAUSTED_HEADER = Struct("=II")
"""community number, how many neighbours were asked"""
CLOCK_HEADER = Struct("=IQBB")
"""community number, global time, whether it is the word of several, and whether a newcomer's"""
OUTBOUND_ITEM = Struct("=18sH")
ENVELOPE_ITEM_SIZE = 18 + 96


class Introduction(msgspec.Struct, array_like=True, frozen=True):
    """An introduction frame whose signature is to be checked."""

    community: int
    source: bytes
    header_token: bytes
    type: int
    body: bytes


class SyncFrame(msgspec.Struct, array_like=True, frozen=True):
    """A frame for the responder, its datagram's token valid."""

    source: bytes
    type: int
    body: bytes


class PeerHeard(msgspec.Struct, array_like=True, frozen=True):
    """A verified neighbour, and the summary it gave, if any (24 bytes or empty)."""

    source: bytes
    summary: bytes


class CommitNote(msgspec.Struct, frozen=True):
    """What a commit changed.

    last_cursor           the log's end
    communities_version   changes with what is known of communities (joined, left, loaded, defined), and with
                          whom this node has blocked
    processed             community number -> messages from verifiers that were stored or dropped since the
                          writer began
    summaries             community number -> 24-byte summary, of those that changed; those of all when
                          somebody subscribes, and now and then
    incarnation           another one after the writer was started again: what was on its way to it is gone
    restored              community number -> authors of ours whose newest messages neighbours are to be asked
                          for, since the home was restored or copied; in every note until it is done
    wanted                community number -> all that neighbours are to be asked for by name, where that has
                          changed; of all when somebody subscribes, and now and then
    """

    last_cursor: int
    communities_version: int
    processed: dict[int, int]
    summaries: dict[int, bytes]
    incarnation: int = 0
    restored: dict[int, list[bytes]] = {}
    wanted: dict[int, Wants] = {}


class Pushed(msgspec.Struct, array_like=True, frozen=True):
    """A message of ours to be pushed.

    fan_out    neighbours that it goes to
    members    32-byte keys of those it goes to besides
    addresses  18 bytes each: to whoever is there, too
    hops_left  and link: of the frame, for an n-hop message
    """

    message: bytes
    fan_out: int
    members: list[bytes] = []
    addresses: list[bytes] = []
    hops_left: int = 0
    link: bytes = b""


class FreshMessages(msgspec.Struct, array_like=True):
    """Messages of one community that a commit made durable, whole.

    own       ours
    taken     of others
    prefixes  of the ids of own, then of taken (protocol.announcements)
    """

    own: list[bytes] = []
    taken: list[bytes] = []
    prefixes: bytes = b""


class ReceivedSignature(msgspec.Struct, array_like=True, frozen=True):
    """A signature-request or -response, its datagram's token valid."""

    source: bytes
    type: int
    body: bytes


class SignatureFrame(msgspec.Struct, array_like=True, frozen=True):
    """A signature-request to a member, wherever it is, or a signature-response to an address."""

    type: int
    body: bytes
    member: bytes = b""
    address: bytes = b""


class AskedSignature(msgspec.Struct, array_like=True, frozen=True):
    """A draft of another member that names us its second author.

    id      of the draft
    wait_s  for how long from now its first author waits
    """

    id: bytes
    first: bytes
    kind: int
    payloads: list[bytes]
    global_time: int
    sequence: int
    wait_s: int


class HeardMessage(msgspec.Struct, array_like=True, frozen=True):
    """A message that is not stored, and when it came (unix milliseconds)."""

    message: bytes
    arrival_ms: int


introductions_decoder = msgspec.msgpack.Decoder(list[Introduction])
sync_decoder = msgspec.msgpack.Decoder(list[SyncFrame])
peers_decoder = msgspec.msgpack.Decoder(list[PeerHeard])
pushed_decoder = msgspec.msgpack.Decoder(list[Pushed])
relayed_decoder = msgspec.msgpack.Decoder(list[bytes])
fresh_decoder = msgspec.msgpack.Decoder(FreshMessages)
heard_decoder = msgspec.msgpack.Decoder(list[HeardMessage])
signature_decoder = msgspec.msgpack.Decoder(ReceivedSignature)
sign_decoder = msgspec.msgpack.Decoder(list[SignatureFrame])
asked_decoder = msgspec.msgpack.Decoder(list[AskedSignature])
dropped_decoder = msgspec.msgpack.Decoder(dict[str, int])
commit_decoder = msgspec.msgpack.Decoder(CommitNote)
encode = msgspec.msgpack.Encoder().encode


def pack_outbound(items: Iterable[tuple[bytes, bytes]]) -> bytes:
    """(18-byte address, frames) pairs in one part."""
    return b"".join(OUTBOUND_ITEM.pack(address, len(frames)) + frames for address, frames in items)


def unpack_outbound(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of pack_outbound(), in order."""
    position = 0
    while position < len(data):
        address, size = OUTBOUND_ITEM.unpack_from(data, position)
        position += OUTBOUND_ITEM.size
        yield address, data[position : position + size]
        position += size
