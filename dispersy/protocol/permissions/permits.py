"""The fast path of rule 12: what nearly every message is, judged by the batch in the Spans kernel.

A member that one uncut grant, or several, permit to write has a span; whoever has powers that were cut takes
a closer look. So does what has two authors, and what no span permits where settings changed a kind.
"""

from __future__ import annotations

from dispersy.ext.table import CLOSER, EVERYBODY, HOLDERS, HOLDERS_OR_CLOSER, Spans
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.permissions.control_messages import Permission
from dispersy.protocol.permissions.policy_history import PolicyHistory
from dispersy.protocol.permissions.powers import Standing


class Permits:
    """Spans and modes of one community, as of the last settle() of its timeline."""

    def __init__(self, master: MemberId) -> None:
        self.spans = Spans()
        self._master = master
        self._modes = bytearray((CLOSER,)) * 256

    @property
    def modes(self) -> bytes:
        """Of each kind, for Spans.judge_many()."""
        return bytes(self._modes)

    def judge(self, records: bytes, arena: bytes) -> bytes:
        """One byte a message_record: 1 permitted, 0 not, 2 look closer: Timeline.is_permitted()."""
        return self.spans.judge_many(records, arena, self.modes)

    def set_standing(self, member: MemberId, kind: int, standing: Standing | None) -> None:
        """A member's powers in a kind are others."""
        if standing is None or not standing.holds(Permission.PERMIT):
            self.spans.remove(member, kind)
        else:
            self.spans.set(member, kind, standing.uncut_since(Permission.PERMIT))

    def set_policy(self, kind: int, history: PolicyHistory, *, has_ended: bool) -> None:
        """What is public of a kind is otherwise; has_ended: something of its community was destroyed."""
        self.spans.set(self._master, kind, 0)
        if has_ended or history.resolution is None:
            self._modes[kind] = CLOSER
        elif not history.is_plain:
            self._modes[kind] = HOLDERS_OR_CLOSER
        else:
            self._modes[kind] = EVERYBODY if history.starts_public else HOLDERS
