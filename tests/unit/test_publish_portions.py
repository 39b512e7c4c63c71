"""Goal: however many payloads are published, and however large, no request is longer than a node takes."""

from __future__ import annotations

import pytest

from dispersy.operations import PUBLISH_WINDOW, Procedure, Submit, Wait, publish_many
from dispersy.service.gateway.gateway import REQUEST_SIZE_MAX


class Node:
    """Answers each request when the procedure waits, the oldest first."""

    def __init__(self) -> None:
        self.portions: list[list[bytes]] = []
        self._under_way: list[int] = []

    def drive(self, procedure: Procedure[int]) -> int:
        asked = next(procedure)
        while True:
            if isinstance(asked, Submit):
                self.portions.append(asked.fields["payloads"])
                self._under_way.append(len(self.portions))
                assert len(self._under_way) <= PUBLISH_WINDOW
                asked = procedure.send(len(self.portions))
                continue
            assert isinstance(asked, Wait)
            try:
                asked = procedure.send((self._under_way.pop(0), {}))
            except StopIteration as ended:
                return int(ended.value)


@pytest.mark.parametrize(("size", "count"), [(65_416, 100), (10, 3_000)])
def test_a_request_ends_by_size_as_well_as_by_number(size: int, count: int) -> None:
    node = Node()
    payloads = [bytes(size)] * count
    assert node.drive(publish_many("chat", payloads, kind="photo", progress=None, as_key="", to=())) == count
    assert [payload for portion in node.portions for payload in portion] == payloads
    assert max(sum(map(len, portion)) for portion in node.portions) < REQUEST_SIZE_MAX - 4_096
