"""Operations that publish: checked against the definition, so that the writer gets only what it can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dispersy.service.interface import requests
from dispersy.service.interface.orders import Orders
from dispersy.service.interface.view import View
from dispersy.service.operations.destination import destination_of, second_of
from dispersy.service.operations.publication import check_publication
from dispersy.service.operations.status import Reports
from dispersy.storage.store import CommunityRecord


class Writing:
    """publish and publish-many."""

    def __init__(self, view: View, orders: Orders, reports: Reports) -> None:
        self._view = view
        self._orders = orders
        self._reports = reports

    def publish(self, client: bytes, request: requests.Publish | requests.PublishMany) -> None:
        """Numbers instead of names for the writer; its answer is the reply."""
        self._view.store()
        directory = self._view.directory
        record = directory.resolve(request.community)
        together = isinstance(request, requests.Publish)
        kind = check_publication(
            directory.name(record),
            directory.definition(record),
            request.kind,
            request.payloads,
            together=together,
            refusal=directory.refusal(record),
        )
        order: dict[str, Any] = {
            "op": "publish",
            "community": record.number,
            "kind": kind,
            "groups": [request.payloads] if together else [[payload] for payload in request.payloads],
            "request_id": request.request_id,
            "as_key": request.as_key,
            **self._destination(record, kind, request.to),
        }
        if isinstance(request, requests.Publish) and request.second:
            about = self._reports.neighbourhood(record.number)
            order["second"] = second_of(request.second, about, own=record.member_id)
        self._orders.place(client, request.id, order, repeatable=True)

    def _destination(self, record: CommunityRecord, number: int, to: Sequence[str]) -> dict[str, list[bytes]]:
        definition = self._view.directory.definition(record)
        kind = definition.kind_by_number(number) if definition is not None else None
        assert kind is not None  # Or the publication would have been refused.
        about = self._reports.neighbourhood(record.number)
        return destination_of(to, kind, about, own=record.member_id)
