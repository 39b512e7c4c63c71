"""Messages of kinds that are not stored (distribution direct or relay): judged once, when they come.

They are in no log and no summary, nobody synchronises them, and a crash forgets which have come. Whoever
follows is told of them while they pass. So what keeps a stored message from counting twice, its place in the
log, has to be done here by a window: of each author and kind the highest sequence seen and which of the 63
below it were seen. What is older than the window counts as seen.
"""

from __future__ import annotations

from collections.abc import Callable

from dispersy.protocol.definitions.held_definitions import HeldDefinitions
from dispersy.protocol.definitions.kind import Kind
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.wire.message import MessageView

WINDOW_SIZE = 64
WINDOWS_MAX = 8_192
"""Of one community: authors and kinds whose sequences are remembered, some 2 MB; who was silent longest is
forgotten first."""
IDS_MAX = 8_192
"""Messages without author of which it is remembered that they have come: they have no sequence."""
_WINDOW_BITS = (1 << WINDOW_SIZE) - 1

IsPermitted = Callable[[tuple[MemberId, ...], int, int, int], bool]
"""Whether the authors may send a message of this kind at a global time under a sequence."""


class ReplayWindows:
    """Which sequences of whom have come, 64 at a time."""

    def __init__(self, *, windows_max: int = WINDOWS_MAX) -> None:
        self._windows_max = windows_max
        self._windows: dict[tuple[bytes, int], tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def is_fresh(self, author: bytes, kind: int, sequence: int) -> bool:
        """Whether it has not come yet and is not too old to tell."""
        highest, seen = self._windows.get((author, kind), (0, 0))
        behind = highest - sequence
        return behind < 0 or (behind < WINDOW_SIZE and not seen >> behind & 1)

    def note(self, author: bytes, kind: int, sequence: int) -> None:
        """It has come. Bit n of a window is sequence highest - n."""
        # The one noted last stands last, so that whoever was silent longest is forgotten first.
        highest, seen = self._windows.pop((author, kind), (0, 0))
        if sequence > highest:
            ahead = sequence - highest
            seen = (seen << ahead if ahead < WINDOW_SIZE else 0) & _WINDOW_BITS | 1
            highest = sequence
        else:
            seen |= 1 << (highest - sequence)
        if len(self._windows) >= self._windows_max:
            del self._windows[next(iter(self._windows))]
        self._windows[author, kind] = (highest, seen)


class Unstored:
    """The unstored messages of one community, in the writer.

    member  our key in it: what is bound to another recipient is refused
    """

    def __init__(self, member: MemberId) -> None:
        self._member = member
        self._windows = ReplayWindows()
        self._ids: dict[bytes, None] = {}

    def receive(
        self, view: MessageView, definitions: HeldDefinitions, is_permitted: IsPermitted
    ) -> str | None:
        """Take a verified message of an unstored kind, once; why it is refused, None when it is accepted.

        is_permitted   what the timeline says
        """
        reason = self._refusal(view, definitions)
        if reason is None:
            authors = () if view.author is None else (view.author,)
            if not is_permitted(authors, view.kind, view.global_time, view.sequence):
                # Nobody waits for a proof here: it would come to a message that nobody keeps.
                return "denied"
        if reason is None:
            self.note(view)
        return reason

    def note(self, view: MessageView) -> None:
        """It has come, or we have sent it: it is not taken again."""
        if view.author is not None:
            self._windows.note(view.author, view.kind, view.sequence)
            return
        if len(self._ids) >= IDS_MAX:
            del self._ids[next(iter(self._ids))]
        self._ids[view.id] = None

    def _refusal(self, view: MessageView, definitions: HeldDefinitions) -> str | None:
        if view.recipient is not None and view.recipient != self._member:
            # Whoever it was meant for may show it to others, but cannot make it speak to them.
            return "recipient-other"
        if not self._is_fresh(view):
            return "replayed"
        return self.rule_against(view, definitions)

    def rule_against(self, view: MessageView, definitions: HeldDefinitions) -> str | None:
        """Which rule of the community is against it, wherever it goes: what is ours must keep them, too."""
        if view.flags not in definitions.shapes(view.kind):
            return "policy-authentication"
        kind = definitions.kind(view.kind)
        if view.n_hop is not None and kind is not None and view.n_hop[0] > _hops_of(kind):
            return "policy-hops"
        frozen_since = definitions.frozen_since(view.kind)
        if frozen_since is not None and view.global_time > frozen_since:
            return "frozen"
        return definitions.refusals(view.kind, [view.payloads])[0]

    def _is_fresh(self, view: MessageView) -> bool:
        if view.author is None:
            return view.id not in self._ids
        return self._windows.is_fresh(view.author, view.kind, view.sequence)


def _hops_of(kind: Kind) -> int:
    return kind.destination.number("hops") if kind.destination.name == "n-hop" else 0
