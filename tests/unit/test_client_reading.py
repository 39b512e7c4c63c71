"""Goal: what the gateway tells of stored messages arrives as typed values, over a real socket."""

from __future__ import annotations

import threading
from typing import Any

from dispersy.workers.keeping.finding import find_ids, find_slot
from tests.unit.control_house import NOTHING_KNOWN
from tests.unit.gateway_house import AUTHOR, CHAT, LIMIT_S, House


def test_messages_are_found_paged_and_explained(house: House) -> None:
    """get, page, last and explain of the client, against the gateway with a store on disk."""
    house.join(1, CHAT, "chat")
    first = house.publish(1, *([b"%d" % number] for number in range(1, 6)))
    entries = house.store.log(first, 5)

    def find(order: dict[str, Any]) -> dict[str, Any]:
        if order["op"] == "explain":
            return {"ok": True, **NOTHING_KNOWN, "cursor": find_ids(house.store, 1, order["ids"])[0]}
        if "ids" in order:
            return {"ok": True, "cursors": find_ids(house.store, 1, order["ids"])}
        lane = (order["author"], order["kind"], order["sequence"])
        return {"ok": True, "cursors": find_slot(house.store, 1, *lane)}

    def answer() -> None:
        for _ in range(3):
            house.answer_order(find)

    def scene() -> None:
        writer = threading.Thread(target=answer)
        writer.start()
        with house.client() as client:
            (by_id,) = client.get("chat", entries[1].message_id)
            (by_slot,) = client.get("chat", author=AUTHOR, kind="text", sequence=by_id.sequence)
            assert by_id == by_slot
            assert (by_id.payloads, by_id.author, by_id.kind) == ((b"2",), AUTHOR, "text")
            assert (by_id.cursor, by_id.hidden) == (entries[1].cursor, ())
            page = client.page("chat", limit=2, time_low=2)
            rest = client.page("chat", limit=9, time_low=2, after=page.next)
            assert [each.payloads[0] for each in (*page.messages, *rest.messages)] == [b"2", b"3", b"4", b"5"]
            assert rest.next is None
            assert [each.payloads[0] for each in client.last("chat", 2)] == [b"5", b"4"]
            assert client.last("chat", 9, author=bytes(32)) == []
            assert client.explain("chat", entries[0].message_id)["state"] == "shown"
        writer.join(LIMIT_S)

    house.play(scene)
