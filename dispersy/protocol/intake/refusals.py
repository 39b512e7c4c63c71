"""Why messages were refused lately, for whoever asks what became of one."""

from __future__ import annotations

from dispersy.constants import REFUSALS_MAX


class Refusals:
    """The newest refusals of a community: reason by message id, bounded, oldest out first."""

    def __init__(self, *, kept_max: int = REFUSALS_MAX) -> None:
        self._kept_max = kept_max
        self._reasons: dict[bytes, str] = {}

    def __len__(self) -> int:
        return len(self._reasons)

    def add(self, message_id: bytes, reason: str) -> None:
        """A message was refused, perhaps once more: then it is the newest again."""
        self._reasons.pop(message_id, None)
        if len(self._reasons) >= self._kept_max:
            del self._reasons[next(iter(self._reasons))]
        self._reasons[message_id] = reason

    def reason(self, message_id: bytes) -> str:
        """Empty when it was not refused, or so long ago that others were since."""
        return self._reasons.get(message_id, "")
