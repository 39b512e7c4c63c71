"""What applications may ask of the gateway: typed maps; decoding checks every field (docs/interface.md)."""

from __future__ import annotations

import math
import sys
from typing import Annotated, Literal, get_args

import msgspec

from dispersy.constants import FETCH_MAX_S, GLOBAL_TIME_MAX, IMPORT_PORTION_MAX, SEQUENCE_MAX

INTERFACE_VERSION = 1
REQUEST_PAYLOADS_MAX = 1_000
"""Payloads in one publish-many: at most about 1 MB of messages, one commit or two."""
CREDIT_MAX = 1_000
"""Events a follower may have unread: bounds what waits for it in memory."""
FILTERS_MAX = 256
LIST_MAX = 1_000
"""Messages of one page."""
NEXT_SIZE_MAX = 64
SIGNATURES_KNOWN_MAX = 256
TARGETS_MAX = 20
"""Neighbours that a publication may name."""
MEMBERS_MAX = 256
"""Members of one authorize or revoke: with three kinds each, some thirty messages."""
KINDS_MAX = 192
"""As many as there are numbers for kinds."""

ID_SIZE_MAX = 200
"""Characters of a request's id, which every event of a follow repeats."""

Finite = Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
RequestId = int | Finite | Annotated[str, msgspec.Meta(max_length=ID_SIZE_MAX)]
"""A NaN equals nothing: the follow that had it could not be cancelled."""
Credit = Annotated[int, msgspec.Meta(ge=1, le=CREDIT_MAX)]
Cursor = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
CommunityText = Annotated[str, msgspec.Meta(max_length=128)]
KeyText = Annotated[str, msgspec.Meta(max_length=200)]
KindText = Annotated[str, msgspec.Meta(max_length=64)]
Id = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
FetchSeconds = Annotated[int, msgspec.Meta(ge=0, le=int(FETCH_MAX_S))]
GlobalTimeField = Annotated[int, msgspec.Meta(ge=0, le=GLOBAL_TIME_MAX)]
Packet = Annotated[bytes, msgspec.Meta(min_length=1)]
Member = Annotated[bytes, msgspec.Meta(max_length=32)]
Targets = Annotated[list[KeyText], msgspec.Meta(max_length=TARGETS_MAX)]
WriteId = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Someone = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""A member: the hex digits of its key, a key's name in the keyring, or the first digits of a known member."""
PermissionName = Literal["permit", "authorize", "revoke", "undo", "settings"]
Members = Annotated[list[Someone], msgspec.Meta(min_length=1, max_length=MEMBERS_MAX)]
KindNames = Annotated[list[KindText], msgspec.Meta(min_length=1, max_length=KINDS_MAX)]
PermissionNames = Annotated[list[PermissionName], msgspec.Meta(min_length=1, max_length=8)]


class Request(msgspec.Struct, tag_field="op", forbid_unknown_fields=True):
    """What all requests share: v, the interface's version, and id, which the reply repeats."""

    v: Literal[1]
    id: RequestId


class Publish(Request, tag="publish", rename={"as_key": "as"}):
    """One message with one or more payloads; `as` is a key of the keyring, without it our own here; `to` are
    neighbours, by key or address, that it is sent to at once; `second` is the one that signs it, too."""

    community: CommunityText
    kind: KindText
    payloads: Annotated[list[bytes], msgspec.Meta(min_length=1, max_length=255)]
    request_id: WriteId
    as_key: KeyText = ""
    to: Targets = []
    second: KeyText = ""


class PublishMany(Request, tag="publish-many", rename={"as_key": "as"}):
    """One message for each payload."""

    community: CommunityText
    kind: KindText
    payloads: Annotated[list[bytes], msgspec.Meta(min_length=1, max_length=REQUEST_PAYLOADS_MAX)]
    request_id: WriteId
    as_key: KeyText = ""
    to: Targets = []


class SignatureRequests(Request, tag="signature-requests"):
    """What waits for a decision whether this node's member signs it, too; none named: all. It is answered
    when there is something that is not in `known`, or after some seconds."""

    communities: Annotated[list[CommunityText], msgspec.Meta(max_length=FILTERS_MAX)] = []
    kinds: Annotated[list[KindText], msgspec.Meta(max_length=FILTERS_MAX)] = []
    known: Annotated[list[Id], msgspec.Meta(max_length=SIGNATURES_KNOWN_MAX)] = []


class Sign(Request, tag="sign"):
    """Decide on a draft that a second signature is wanted for, or on what was appended to one of ours."""

    request: Id
    accept: bool
    payloads: Annotated[list[bytes], msgspec.Meta(max_length=254)] = []


class Follow(Request, tag="follow"):
    """Events after `since`, in order, at most `credit` of them unacknowledged."""

    communities: Annotated[list[CommunityText], msgspec.Meta(max_length=FILTERS_MAX)] = []
    kinds: Annotated[list[KindText], msgspec.Meta(max_length=FILTERS_MAX)] = []
    since: Literal["begin", "now"] | Cursor = "now"
    credit: Credit = 100


class CreditGrant(Request, tag="credit"):
    """More events for the follow whose id this carries; no reply."""

    count: Credit


class Cancel(Request, tag="cancel"):
    """End of the follow whose id this carries."""


class Count(Request, tag="count"):
    """How many messages of a community this node holds."""

    community: CommunityText


class Get(Request, tag="get"):
    """A message by its id, or what is in a slot (author, kind, sequence); neighbours are asked for `fetch`
    seconds for what is not here."""

    community: CommunityText
    message_id: Id | None = None
    author: Id | None = None
    kind: KindText = ""
    sequence: Annotated[int, msgspec.Meta(ge=0, le=SEQUENCE_MAX)] = 0
    fetch: FetchSeconds = 0


class ListMessages(Request, tag="list", rename={"time_low": "from", "time_high": "to"}):
    """A page of messages; `next` is what the page before gave."""

    community: CommunityText
    kinds: Annotated[list[KindText], msgspec.Meta(max_length=FILTERS_MAX)] = []
    author: Id | None = None
    time_low: GlobalTimeField = 0
    time_high: GlobalTimeField = GLOBAL_TIME_MAX
    by: Literal["global-time", "arrival"] = "global-time"
    order: Literal["ascending", "descending"] = "ascending"
    hidden: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIST_MAX)] = 100
    next: Annotated[bytes, msgspec.Meta(max_length=NEXT_SIZE_MAX)] | None = None


class Last(Request, tag="last"):
    """The newest messages of a kind, perhaps of one author: a list that falls by global time; neighbours are
    asked before, for `fetch` seconds."""

    community: CommunityText
    kind: KindText
    author: Id | None = None
    count: Annotated[int, msgspec.Meta(ge=1, le=LIST_MAX)] = 1
    fetch: FetchSeconds = 0


class Explain(Request, tag="explain"):
    """What became of a message here, and why."""

    community: CommunityText
    message_id: Id


class Export(Request, tag="export"):
    """A page of what a community's bundle holds; `until` and `next` are what the page before gave."""

    community: CommunityText
    since: Cursor = 0
    until: Cursor | None = None
    next: Annotated[bytes, msgspec.Meta(max_length=NEXT_SIZE_MAX)] | None = None


class Import(Request, tag="import"):
    """Messages of a bundle, to be verified like any other; stripped: what is left of erased ones."""

    community: CommunityText
    messages: Annotated[list[Packet], msgspec.Meta(max_length=IMPORT_PORTION_MAX)] = []
    stripped: Annotated[list[Packet], msgspec.Meta(max_length=IMPORT_PORTION_MAX)] = []


class Communities(Request, tag="communities"):
    """All that this node has joined; left: also those it has left that are not yet removed."""

    left: bool = False


class Create(Request, tag="create", rename={"as_key": "as"}):
    """A new community; without a definition it gets one kind, `text`, and without `as` we a fresh key."""

    name: CommunityText
    definition: Annotated[bytes, msgspec.Meta(max_length=1_090)] = b""
    as_key: KeyText = ""
    request_id: Annotated[bytes, msgspec.Meta(max_length=16)] = b""
    """Empty, or 16 bytes: whoever gives one may repeat the request."""


class Join(Request, tag="join", rename={"as_key": "as"}):
    """Take part in a community by its id; peers are numeric HOST:PORT."""

    community: Id
    name: CommunityText = ""
    peers: Annotated[list[KindText], msgspec.Meta(max_length=64)] = []
    as_key: KeyText = ""


class Leave(Request, tag="leave"):
    """Take part no more; purge: remove what this node holds of it."""

    community: CommunityText
    purge: bool = False


class Load(Request, tag="load"):
    """Serve a community that was unloaded."""

    community: CommunityText


class Unload(Request, tag="unload"):
    """Stay joined, but serve it no more until it is loaded."""

    community: CommunityText


class Autoload(Request, tag="autoload"):
    """What becomes of a community when the node starts."""

    community: CommunityText
    mode: Literal["always", "on-packet", "never"]


class Block(Request, tag="block"):
    """Listen no more to a member (in one community or in all) or to an address HOST or HOST:PORT."""

    member: Member = b""
    address: CommunityText = ""
    community: CommunityText = ""


class Unblock(Request, tag="unblock"):
    """The opposite of a block with the same fields."""

    member: Member = b""
    address: CommunityText = ""
    community: CommunityText = ""


class Blocked(Request, tag="blocked"):
    """All that are blocked."""


class Authorize(Request, tag="authorize", rename={"as_key": "as"}):
    """Members get these permissions for these kinds."""

    community: CommunityText
    members: Members
    kinds: KindNames
    permissions: PermissionNames
    request_id: WriteId
    as_key: KeyText = ""


class Revoke(Request, tag="revoke", rename={"as_key": "as"}):
    """Members lose these permissions for these kinds; force: even where that hides what is not known here."""

    community: CommunityText
    members: Members
    kinds: KindNames
    permissions: PermissionNames
    request_id: WriteId
    force: bool = False
    as_key: KeyText = ""


class Undo(Request, tag="undo", rename={"as_key": "as"}):
    """A message is taken back, or one of its payloads."""

    community: CommunityText
    message_id: Id
    request_id: WriteId
    index: Annotated[int, msgspec.Meta(ge=0, le=254)] | None = None
    as_key: KeyText = ""


class Policy(Request, tag="policy", rename={"as_key": "as"}):
    """A kind whose resolution is dynamic becomes public or linear."""

    community: CommunityText
    kind: KindText
    resolution: Literal["public", "linear"]
    request_id: WriteId
    force: bool = False
    as_key: KeyText = ""


class Destroy(Request, tag="destroy", rename={"as_key": "as"}):
    """The founder ends a community for all: hard removes everything, soft lets nothing later count."""

    community: CommunityText
    hard: bool
    yes: Literal[True]
    request_id: WriteId
    as_key: KeyText = ""


class Define(Request, tag="define", rename={"as_key": "as"}):
    """The founder publishes a newer definition."""

    community: CommunityText
    definition: Annotated[bytes, msgspec.Meta(max_length=1_090)]
    request_id: WriteId
    as_key: KeyText = ""


Governing = Authorize | Revoke | Undo | Policy | Destroy | Define


class MemberList(Request, tag="members"):
    """A page of those who hold, or held, a permission or have published."""

    community: CommunityText
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIST_MAX)] = LIST_MAX
    next: Annotated[bytes, msgspec.Meta(max_length=NEXT_SIZE_MAX)] | None = None


class Permissions(Request, tag="permissions"):
    """A page of who may do what at a global time, and by which proof."""

    community: CommunityText
    member: KeyText = ""
    kind: KindText = ""
    at: GlobalTimeField | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIST_MAX)] = LIST_MAX
    next: Annotated[bytes, msgspec.Meta(max_length=NEXT_SIZE_MAX)] | None = None


class Status(Request, tag="status"):
    """How the node is; brief leaves out the processes, whose memory is dear to ask for."""

    brief: bool = False


class Peers(Request, tag="peers"):
    """Neighbours, of one community or of all."""

    community: CommunityText = ""


AnyRequest = (
    Authorize
    | Revoke
    | Undo
    | Policy
    | Destroy
    | Define
    | MemberList
    | Permissions
    | Autoload
    | Block
    | Blocked
    | Leave
    | Load
    | Unblock
    | Unload
    | Publish
    | PublishMany
    | Sign
    | SignatureRequests
    | Follow
    | CreditGrant
    | Cancel
    | Count
    | Get
    | ListMessages
    | Last
    | Explain
    | Export
    | Import
    | Communities
    | Create
    | Join
    | Status
    | Peers
)
_decoder: msgspec.msgpack.Decoder[AnyRequest] = msgspec.msgpack.Decoder(AnyRequest)
_OPTIONAL = {
    str(kind.__struct_config__.tag): {
        field.encode_name for field in msgspec.structs.fields(kind) if not field.required
    }
    for kind in get_args(AnyRequest)
}
OPS = frozenset(_OPTIONAL)


def decode(frame: bytes) -> AnyRequest:
    """A request; an optional field that is nil is as good as left out.

    raises  msgspec.MsgspecError, RecursionError, ValueError where it is none
    """
    try:
        return _decoder.decode(frame)
    except msgspec.ValidationError:
        told = msgspec.msgpack.decode(frame)
        if not isinstance(told, dict) or not isinstance(told.get("op"), str):
            raise
        optional = _OPTIONAL.get(told["op"], set())
        kept = {name: told[name] for name in told if told[name] is not None or name not in optional}
        if len(kept) == len(told):
            raise
        return _decoder.decode(msgspec.msgpack.encode(kept))


class Header(msgspec.Struct):
    """Of a request that did not decode, as far as it can be made out."""

    v: object = None
    id: object = None
    op: object = None

    def request_id(self) -> RequestId | None:
        """What the refusal repeats; None: nothing that may be an id."""
        if isinstance(self.id, str):
            return self.id if len(self.id) <= ID_SIZE_MAX else None
        if isinstance(self.id, bool) or not isinstance(self.id, int | float):
            return None
        return self.id if math.isfinite(self.id) else None


_header_decoder = msgspec.msgpack.Decoder(Header)


def decode_header(frame: bytes) -> Header:
    """What any bytes say of themselves as a request, be it nothing."""
    try:
        return _header_decoder.decode(frame)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return Header()
