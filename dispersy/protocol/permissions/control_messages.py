"""Control messages by the bytes: what they say is one canonical MessagePack map, decoded and encoded again.

Whoever writes one builds a Body, and gets a UsageError that says what is wrong. Whoever receives one calls
read_control(), and gets a WireError with a named reason. What a message means is the timeline's question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from dispersy.errors import UsageError, WireError
from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.permissions.control_bodies import (
    ALL_PERMISSIONS,
    Authorize,
    AuthorRanges,
    Body,
    Destroy,
    Grant,
    PairCut,
    PairRanges,
    Permission,
    Ranges,
    Revoke,
    Settings,
    Undo,
    Withdrawal,
    check_body,
    demand,
)
from dispersy.protocol.wire.message import MessageView, payload_size_max
from dispersy.protocol.wire.numbers import ControlKind

__all__ = [
    "ALL_PERMISSIONS",
    "AuthorRanges",
    "Authorize",
    "Body",
    "ControlMessage",
    "Destroy",
    "Grant",
    "PairCut",
    "PairRanges",
    "Permission",
    "Ranges",
    "Revoke",
    "Settings",
    "Undo",
    "Withdrawal",
    "control_kind",
    "decode_body",
    "encode_body",
    "read_control",
]

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class ControlMessage:
    """A control message that says something; whether it counts is the timeline's question.

    previous  the author's previous control message, or NO_PREVIOUS
    """

    id: MessageId
    author: MemberId
    kind: ControlKind
    global_time: int
    previous: MessageId
    body: Body


# Typed down to the leaves, so a decoded value is never a float, a boolean or deeper than these.
_GrantRow = tuple[bytes, int, int]
_PairRow = tuple[bytes, int, list[int]]
_WithdrawalRow = tuple[bytes, int, int, list[bytes], list[int], list[_PairRow]]
_CutRow = list[bytes | list[int]]
_SettingsMap = dict[int, bytes | int | list[_CutRow]]
_authorize_decoder = msgspec.msgpack.Decoder(dict[int, list[_GrantRow]])
_revoke_decoder = msgspec.msgpack.Decoder(dict[int, list[_WithdrawalRow]])
_undo_decoder = msgspec.msgpack.Decoder(dict[int, bytes | int])
_settings_decoder = msgspec.msgpack.Decoder(_SettingsMap)
_destroy_decoder = msgspec.msgpack.Decoder(dict[int, int])


def control_kind(body: Body) -> ControlKind:
    """The kind of the message that says this."""
    return _KINDS[type(body)]


def encode_body(body: Body) -> bytes:
    """The payload of a control message.

    raises  UsageError control-malformed, control-not-canonical; control-too-long: give it to several messages
    """
    check_body(body)
    payload = _encode(body)
    size_max = payload_size_max(control_kind(body))
    if len(payload) > size_max:
        raise UsageError(
            f"a control message says {len(payload)} bytes; the limit is {size_max}",
            code="control-too-long",
            hint="name fewer members, kinds or sequences at once",
        )
    return payload


def decode_body(kind: int, payload: bytes) -> Body:
    """What a control message of this kind says.

    raises  WireError control-malformed, control-not-canonical
    """
    read = _READERS.get(kind)
    if read is None:
        raise WireError("control-malformed")
    try:
        body = read(payload)
        check_body(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise WireError("control-malformed") from error
    except UsageError as error:
        is_form = error.code == "control-not-canonical"
        raise WireError("control-not-canonical" if is_form else "control-malformed") from error
    # Whatever else could be written in two ways ends here: key order, duplicate keys, long forms.
    if _encode(body) != payload:
        raise WireError("control-not-canonical")
    return body


def read_control(view: MessageView) -> ControlMessage:
    """A received control message of kinds 1 to 5.

    raises  WireError control-malformed (also for any flag, or not exactly one payload), control-not-canonical
    """
    if view.flags or view.author is None or view.previous is None or len(view.payloads) != 1:
        raise WireError("control-malformed")
    body = decode_body(view.kind, view.payloads[0])
    return ControlMessage(view.id, view.author, ControlKind(view.kind), view.global_time, view.previous, body)


def _encode(body: Body) -> bytes:
    fields: dict[int, object]
    match body:
        case Authorize(grants):
            fields = {1: [[grant.member, grant.kind, int(grant.permissions)] for grant in grants]}
        case Revoke(withdrawals):
            fields = {1: [_withdrawal_row(withdrawal) for withdrawal in withdrawals]}
        case Undo(target, kind, global_time, index):
            fields = {1: target, 2: kind, 3: global_time}
            if index is not None:
                fields[4] = index
        case Settings():
            fields = {1: body.kind, 2: int(body.is_linear)}
            if body.is_linear:
                fields[3] = [[author.prefix, _flat(author.ranges)] for author in body.cut]
            if body.pair_cut:
                fields[4] = [[pair.first, pair.second, _flat(pair.ranges)] for pair in body.pair_cut]
            if body.continues is not None:
                fields[5] = body.continues
        case Destroy(is_hard):
            fields = {1: int(is_hard)}
    return msgspec.msgpack.encode(fields)


def _withdrawal_row(withdrawal: Withdrawal) -> list[object]:
    return [
        withdrawal.member,
        withdrawal.kind,
        int(withdrawal.permissions),
        list(withdrawal.heads),
        _flat(withdrawal.ranges),
        [[pair.other, pair.role, _flat(pair.ranges)] for pair in withdrawal.pairs],
    ]


def _flat(ranges: Ranges) -> list[int]:
    return [bound for both in ranges for bound in both]


def _ranges(flat: Sequence[int]) -> Ranges:
    demand(len(flat) % 2 == 0, "a range has two ends")
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def _rows(decoded: Mapping[int, list[_Row]]) -> list[_Row]:
    demand(list(decoded) == [1], "the map has the one key 1")
    return decoded[1]


def _read_authorize(payload: bytes) -> Body:
    rows = _rows(_authorize_decoder.decode(payload))
    return Authorize(tuple(Grant(MemberId(key), kind, _permissions(bits)) for key, kind, bits in rows))


def _read_revoke(payload: bytes) -> Body:
    return Revoke(tuple(_read_withdrawal(row) for row in _rows(_revoke_decoder.decode(payload))))


def _read_withdrawal(row: _WithdrawalRow) -> Withdrawal:
    member, kind, bits, heads, ranges, pairs = row
    return Withdrawal(
        MemberId(member),
        kind,
        _permissions(bits),
        tuple(map(MessageId, heads)),
        _ranges(ranges),
        tuple(PairRanges(MemberId(other), role, _ranges(shared)) for other, role, shared in pairs),
    )


def _permissions(bits: int) -> Permission:
    # An IntFlag takes any bits; those that mean nothing are refused here, where they are still a number.
    demand(1 <= bits <= ALL_PERMISSIONS, f"{bits} is no set of permissions: 1 to {int(ALL_PERMISSIONS)}")
    return Permission(bits)


def _read_undo(payload: bytes) -> Body:
    match _undo_decoder.decode(payload):
        case {1: bytes() as target, 2: int() as kind, 3: int() as global_time, **rest}:
            index = rest.pop(4, None)
            if not rest and not isinstance(index, bytes):
                return Undo(MessageId(target), kind, global_time, index)
    raise UsageError("an undo says target, kind, global time and perhaps an index", code="control-malformed")


def _read_settings(payload: bytes) -> Body:
    match _settings_decoder.decode(payload):
        case {1: int() as kind, 2: 0, **rest} if not rest:
            return Settings(kind, is_linear=False)
        case {1: int() as kind, 2: 1, 3: list() as cut, **rest}:
            pair_cut, continues = rest.pop(4, []), rest.pop(5, None)
            if not rest and isinstance(pair_cut, list) and not isinstance(continues, int | list):
                return Settings(
                    kind,
                    is_linear=True,
                    cut=tuple(_author_ranges(row) for row in cut),
                    pair_cut=tuple(_pair_cut(row) for row in pair_cut),
                    continues=None if continues is None else MessageId(continues),
                )
    raise UsageError("settings say a kind, 0 or 1, and with 1 a cut", code="control-malformed")


def _author_ranges(row: _CutRow) -> AuthorRanges:
    match row:
        case [bytes() as prefix, list() as flat]:
            return AuthorRanges(prefix, _ranges(flat))
    raise UsageError("a cut names an author and ranges", code="control-malformed")


def _pair_cut(row: _CutRow) -> PairCut:
    match row:
        case [bytes() as first, bytes() as second, list() as flat]:
            return PairCut(first, second, _ranges(flat))
    raise UsageError("a cut of pairs names two authors and ranges", code="control-malformed")


def _read_destroy(payload: bytes) -> Body:
    match _destroy_decoder.decode(payload):
        case {1: (0 | 1) as how, **rest} if not rest:
            return Destroy(is_hard=how == 1)
    raise UsageError("a destroy says 0 or 1", code="control-malformed")


_READERS: dict[int, Callable[[bytes], Body]] = {
    ControlKind.AUTHORIZE: _read_authorize,
    ControlKind.REVOKE: _read_revoke,
    ControlKind.UNDO: _read_undo,
    ControlKind.SETTINGS: _read_settings,
    ControlKind.DESTROY: _read_destroy,
}
_KINDS: dict[type[Body], ControlKind] = {
    Authorize: ControlKind.AUTHORIZE,
    Revoke: ControlKind.REVOKE,
    Undo: ControlKind.UNDO,
    Settings: ControlKind.SETTINGS,
    Destroy: ControlKind.DESTROY,
}
