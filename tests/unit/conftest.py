"""The gateway of the gateway's tests, closed behind each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.gateway_house import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A module may have another house of its own."""
    made = House(tmp_path)
    yield made
    made.close()
