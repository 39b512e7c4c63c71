"""Double signatures, both sides of them: what comes in, what is decided, and what leaves for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dispersy.bus.frames import AskedSignature, SignatureFrame
from dispersy.errors import UsageError
from dispersy.protocol.wire.numbers import FrameType
from dispersy.storage.store import Batch
from dispersy.workers.authoring.cosigning import Cosigning
from dispersy.workers.authoring.drafting import Drafting
from dispersy.workers.authoring.orders import Outcome, Ticket


class Signatures:
    """One a node, in the writer."""

    def __init__(self, drafting: Drafting, cosigning: Cosigning) -> None:
        self._drafting = drafting
        self._cosigning = cosigning

    def receive(self, number: int, source: bytes, frame_type: int, body: bytes) -> None:
        """Take a frame of another node, about a community of ours."""
        if frame_type == FrameType.SIGNATURE_REQUEST:
            self._cosigning.receive_request(number, source, body)
        else:
            self._drafting.receive_response(number, body)

    def decide(
        self, ticket: Ticket, asked_id: bytes, *, accept: bool, payloads: Sequence[bytes] = ()
    ) -> dict[str, Any] | None:
        """An application has decided: about a draft that we are asked to sign, or about what was appended to
        one of ours. The reply, or None when it comes with the commit, under the ticket.

        raises  UsageError: signature-unknown, and as Cosigning.decide()
        """
        if self._cosigning.knows(asked_id):
            return self._cosigning.decide(ticket, asked_id, accept=accept, payloads=payloads)
        if self._drafting.knows(asked_id):
            self._drafting.decide(ticket, asked_id, accept=accept)
            return None
        raise UsageError(
            "no message waits for this decision: it was made, or it was waited for in vain",
            code="signature-unknown",
            hint="whoever asked may ask again",
        )

    def handle_timer(self, now: float) -> None:
        """Once a second; `now` in monotonic seconds."""
        self._drafting.handle_timer(now)
        self._cosigning.handle_timer(now)

    def drain_frames(self) -> Mapping[int, list[SignatureFrame]]:
        """What is to be sent, by community."""
        frames = self._drafting.drain_frames()
        for number, responses in self._cosigning.drain_frames().items():
            frames.setdefault(number, []).extend(responses)
        return frames

    def drain_questions(self) -> Mapping[int, list[AskedSignature]]:
        """What applications are asked, by community."""
        return self._cosigning.drain_questions()

    def drain_outcomes(self) -> list[Outcome]:
        """Of publish requests that end without a message, or with a question, and of what was signed."""
        return [*self._drafting.drain_outcomes(), *self._cosigning.drain_outcomes()]

    # -- commit ----------------------------------------------------------------------------------------------

    def add_to(self, batch: Batch) -> None:
        """What has to be durable before our signatures leave."""
        self._cosigning.add_to(batch)

    def committed(self) -> None:
        """It is."""
        self._cosigning.committed()

    def read_store(self) -> None:
        """The commit failed: what was signed does not leave."""
        self._cosigning.read_store()
