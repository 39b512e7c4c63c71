"""Operations that only look: answered at once, from the store as it is in this turn."""

from __future__ import annotations

from typing import Any

from dispersy.service import requests
from dispersy.service.overview import Overview
from dispersy.service.view import View


class Reading:
    """count, status and peers."""

    def __init__(self, view: View, overview: Overview) -> None:
        self._view = view
        self._overview = overview

    def count(self, _: bytes, request: requests.Count) -> dict[str, Any]:
        record = self._view.directory.resolve(request.community)
        return self._overview.count(self._view.store(), record)

    def status(self, _: bytes, request: requests.Status) -> dict[str, Any]:
        """Also while the node starts: that is what it is asked for then."""
        return self._overview.status(self._view.reader, brief=request.brief)

    def peers(self, _: bytes, request: requests.Peers) -> dict[str, Any]:
        of = self._view.directory.resolve(request.community) if request.community else None
        return {"peers": self._overview.peers(of)}
