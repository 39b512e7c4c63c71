"""A ledger that governs: the founder's key, and keys of others who might be anywhere, in one keyring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dispersy.errors import StorageError, UsageError
from dispersy.ext.wire import split_payloads
from dispersy.protocol.definitions.definition import Definition, encode_definition
from dispersy.protocol.definitions.kind import Kind
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.intake.received import pack
from dispersy.protocol.permissions.control_messages import Body, control_kind, encode_body, read_control
from dispersy.protocol.wire.message import NO_PREVIOUS, MessageView, create_message, read_message
from dispersy.storage.keyring import Key, Keyring
from dispersy.storage.store import EntryType
from dispersy.workers.authoring.orders import ControlOrder
from dispersy.workers.ledger import Ledger
from tests.unit.test_ledger import NOW_MS, FailingStore

PAGE, REMARK, OPEN = 64, 65, 66
KINDS = (
    Kind(number=PAGE, name="page", resolution=choose("resolution", "linear")),
    Kind(number=REMARK, name="remark", resolution=choose("resolution", "dynamic", initial=0)),
    Kind(number=OPEN, name="open"),
)
WIKI = encode_definition(Definition("wiki", KINDS))
ALL = 31


class House:
    """A ledger that holds the founder's key, and keys of others who might be anywhere."""

    def __init__(self, home: Path) -> None:
        self.store = FailingStore()
        self.keyring = Keyring(home / "keys")
        self._requests = 0
        self.start()
        self.ledger.create("create", name="wiki", definition=WIKI)
        self.commit()
        (record,) = self.store.communities()
        self.founder, self.own = record.community_id, record.member_id

    def start(self) -> None:
        self.ledger = Ledger(self.store, self.keyring, now_ms=NOW_MS)

    @property
    def number(self) -> int:
        """What the community has now: a destroyed one begins again."""
        (number,) = (record.number for record in self.store.communities() if not record.left)
        return number

    def key(self, name: str) -> Key:
        return self.keyring.create(name)

    def commit(self) -> dict[Any, Any]:
        """The outcome of every ticket, until nothing is left to do."""
        outcomes: dict[Any, Any] = {}
        while True:
            note, found = self.ledger.commit(now_ms=NOW_MS)
            assert not outcomes.keys() & dict(found).keys()
            outcomes |= dict(found)
            if note is None or not self.ledger.has_more:
                return outcomes

    def order(
        self, act: str, *, as_key: str = "", request: int = 0, ticket: str = "ticket", **said: Any
    ) -> None:
        self._requests += 1
        self.ledger.govern(
            ticket,
            number=self.number,
            control=ControlOrder(act, **said),
            request_id=request_id(request or 1_000 + self._requests),
            as_key=as_key,
            now_ms=NOW_MS,
        )

    def govern(self, act: str, **asked: Any) -> dict[str, Any]:
        """What is answered; what was refused is raised."""
        self.order(act, **asked)
        outcome = self.commit()["ticket"]
        if isinstance(outcome, (UsageError, StorageError)):
            raise outcome
        assert isinstance(outcome, dict)
        return outcome

    def authorize(
        self, member: Key | bytes, permissions: int, *, kind: int = PAGE, as_key: str = ""
    ) -> bytes:
        """The id of the message that authorizes it."""
        public = member if isinstance(member, bytes) else member.public
        done = self.govern(
            "authorize", members=[public.hex()], kinds=[kind], permissions=permissions, as_key=as_key
        )
        (message_id,) = done["ids"]
        assert isinstance(message_id, bytes)
        return message_id

    def revoke(
        self, member: Key | bytes, permissions: int, *, kind: int = PAGE, as_key: str = "", **more: Any
    ) -> Any:
        public = member if isinstance(member, bytes) else member.public
        return self.govern(
            "revoke", members=[public.hex()], kinds=[kind], permissions=permissions, as_key=as_key, **more
        )

    def publish(self, *texts: str, kind: int = PAGE, as_key: str = "") -> list[bytes]:
        """One message of each; their ids."""
        self._requests += 1
        self.ledger.publish(
            "publish",
            number=self.number,
            kind=kind,
            groups=[[text.encode()] for text in texts],
            request_id=request_id(1_000 + self._requests),
            as_key=as_key,
            now_ms=NOW_MS,
        )
        outcome = self.commit()["publish"]
        if isinstance(outcome, (UsageError, StorageError)):
            raise outcome
        return list(outcome["ids"])

    def receive(self, name: str, kind: int, *, global_time: int, sequence: int, text: str) -> bytes:
        """A message that a key has signed anywhere, whatever it claims, comes from a neighbour; its id."""
        secret = self.keyring.by_name(name).secret
        return self._receive(
            secret, kind=kind, global_time=global_time, sequence=sequence, payloads=[text.encode()]
        )

    def founder_says(self, body: Body, *, global_time: int) -> bytes:
        """A control message that the founder has signed anywhere comes; its id."""
        return self._receive(
            self.keyring.by_public(self.founder).secret,
            kind=control_kind(body),
            global_time=global_time,
            sequence=100,
            payloads=[encode_body(body)],
            previous=NO_PREVIOUS,
        )

    def _receive(self, secret: bytes, **said: Any) -> bytes:
        community_id = CommunityId(self.founder)
        message = create_message(community_id, secret, **said)
        records, arena = pack([message], community_id)
        self.ledger.receive(self.number, 1, records, arena)
        self.commit()
        return read_message(community_id, message).id

    def view(self, message_id: bytes) -> MessageView:
        """A message that is live."""
        (cursor,) = self.store.find_ids(message_id)
        assert cursor is not None
        return read_message(CommunityId(self.founder), self.store.messages([cursor])[0])

    def body(self, message_id: bytes) -> Body:
        return read_control(self.view(message_id)).body

    def shown(self, kind: int = PAGE) -> list[str]:
        """The payloads of what counts."""
        found = []
        for entry in self.store.log(1, 10_000):
            if entry.type == EntryType.MESSAGE and entry.message[0] == kind and not entry.marks:
                found += [payload.decode() for payload in split_payloads(entry.message)]
        return found

    def refusal(self, act: str, **asked: Any) -> UsageError:
        """Why it is refused; nothing is signed."""
        before = self.store.last_cursor()
        with pytest.raises(UsageError) as raised:
            self.govern(act, **asked)
        assert self.store.last_cursor() == before
        return raised.value


def request_id(number: int) -> bytes:
    return NOW_MS.to_bytes(6, "big") + number.to_bytes(10, "big")
