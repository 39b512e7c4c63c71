"""The writer's tables as dictionaries."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Table:
    values: dict[bytes, int] = field(default_factory=dict)

    def insert(self, key: bytes, value: int) -> bool:
        if key in self.values:
            return False
        self.values[key] = value
        return True

    def sorted_items(self) -> list[tuple[bytes, int]]:
        return sorted(self.values.items())


Lane = tuple[int, bytes, int]
"""(community, name, kind)"""
Head = tuple[int, int, bool]
"""(sequence, global time, irregular)"""


@dataclass
class Heads:
    heads: dict[Lane, Head] = field(default_factory=dict)
    changes: set[Lane] = field(default_factory=set)

    def advance(self, lane: Lane, sequence: int, global_time: int) -> bool:
        if lane in self.heads:
            head_sequence, head_time, irregular = self.heads[lane]
            if irregular or sequence <= head_sequence or global_time <= head_time:
                return False
        self.put(lane, (sequence, global_time, False))
        return True

    def put(self, lane: Lane, head: Head) -> None:
        self.heads[lane] = head
        self.changes.add(lane)

    def forget(self, community: int) -> None:
        self.heads = {lane: head for lane, head in self.heads.items() if lane[0] != community}
        self.changes &= self.heads.keys()

    def lanes(self, community: int, kind: int) -> list[bytes]:
        return sorted(lane[1] for lane in self.heads if (lane[0], lane[2]) == (community, kind))

    def changed(self) -> list[tuple[int, bytes, int, int, int, bool]]:
        changed = sorted((*lane, *self.heads[lane]) for lane in self.changes)
        self.changes.clear()
        return changed


@dataclass
class Spans:
    since: dict[tuple[bytes, int], int | None] = field(default_factory=dict)

    def judge(self, mode: int, authors: list[bytes], kind: int, global_time: int) -> int:
        """1 permitted, 0 not, 2 look closer."""
        if mode in (1, 2):
            return mode
        if len(authors) != 1:
            return 2
        since = self.since.get((authors[0], kind), 1 << 64)
        if since is None:
            return 2
        if global_time > since:
            return 1
        return 2 if mode == 3 else 0
