"""Goal: nobody signs in another's name, nor twice for one place, and nothing waits without end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dispersy.bus.frames import AskedSignature, SignatureFrame
from dispersy.constants import CLOCK_AHEAD_MAX
from dispersy.errors import StorageError, UsageError
from dispersy.ext.digest import identify_many
from dispersy.ext.verify import public_key, sign_many, verify_messages
from dispersy.ext.wire import DROP_REASONS, parse_messages
from dispersy.protocol.identifiers import CommunityId, MemberId
from dispersy.protocol.wire.message import draft_message, read_message
from dispersy.protocol.wire.numbers import FrameType, SignatureOutcome
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.protocol.wire.signatures import (
    SignatureRequest,
    SignatureResponse,
    read_draft,
    refusal_signed_bytes,
    request_signed_bytes,
)
from dispersy.storage.keyring import Keyring
from dispersy.workers.authoring import cosigning
from dispersy.workers.authoring.cosigning import ASKED_PER_FIRST_MAX
from dispersy.workers.authoring.drafting import REPEAT_S, SIGNATURE_WAIT_S
from dispersy.workers.keeping.passing import Destination
from tests.scenarios.test_double_signature import DEFINITION
from tests.unit.test_ledger import NOW_MS
from tests.unit.test_ledger import House as LedgerHouse

CONTRACT = 65
ADDRESS = bytes(18)
MALLORY = b"m" * 32


class House(LedgerHouse):
    """A ledger in the community, and what it wants said to others."""

    def __init__(self, home: Path, community: CommunityId | None = None, definition: bytes = b"") -> None:
        super().__init__(home)
        if community is None:
            self.ledger.create("made", name="deals", definition=DEFINITION)
            community = CommunityId(self.commit()["made"]["community_id"])
        else:
            self.ledger.join("joined", community_id=community, name="deals", peers=())
            self.commit()
            self.take(definition, community)
        self.community = community
        (record,) = self.store.communities()
        self.key = MemberId(record.member_id)
        self.definition = record.definition

    def take(self, message: bytes, community: CommunityId) -> None:
        """A verified message comes."""
        area = encode_uvarint(len(message)) + message
        records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
        identify_many(records, area, community)
        self.ledger.receive(1, 1, bytes(records), area)
        self.commit()

    def draft(
        self, second: bytes, *, request: int = 1, text: bytes = b"we agree", ticket: object = None
    ) -> None:
        self.ledger.publish(
            ticket or request,
            number=1,
            kind=CONTRACT,
            groups=[[text]],
            request_id=NOW_MS.to_bytes(6, "big") + request.to_bytes(10, "big"),
            destination=Destination(second=second),
            now_ms=NOW_MS,
        )

    def leaving(self) -> tuple[list[SignatureFrame], list[AskedSignature]]:
        leaving = self.ledger.drain_leaving()
        return [*leaving.signatures.get(1, [])], [*leaving.questions.get(1, [])]

    def frame(self) -> SignatureFrame:
        """The one frame that is to be sent."""
        (frame,), _ = self.leaving()
        return frame

    def hear(self, frame: SignatureFrame) -> None:
        self.ledger.signatures.receive(1, ADDRESS, frame.type, frame.body)

    def hear_body(self, frame: SignatureRequest | SignatureResponse) -> None:
        self.ledger.signatures.receive(1, ADDRESS, frame.type, frame.encode())

    def decide(self, asked_id: bytes, *, accept: bool = True, payloads: tuple[bytes, ...] = ()) -> Any:
        """What the application is told, once it is durable where it was signed."""
        told = self.ledger.signatures.decide("sign", asked_id, accept=accept, payloads=payloads)
        return self.commit()["sign"] if told is None else told

    def secret(self) -> bytes:
        return Keyring(self.home / "keys").by_public(self.key).secret


@pytest.fixture
def alice(tmp_path: Path) -> House:
    (tmp_path / "alice").mkdir()
    return House(tmp_path / "alice")


@pytest.fixture
def bob(tmp_path: Path, alice: House) -> House:
    (tmp_path / "bob").mkdir()
    return House(tmp_path / "bob", alice.community, alice.definition)


def asked_of(alice: House, bob: House, *, request: int = 1) -> AskedSignature:
    """Alice drafts, and what Bob's application is asked."""
    alice.draft(bob.key, request=request)
    bob.hear(alice.frame())
    _, (asked,) = bob.leaving()
    return asked


def request_of(
    alice: House, bob_key: bytes, *, secret: bytes = b"", global_time: int = 2, sequence: int = 1
) -> SignatureRequest:
    """A request in Alice's name; secret: of whoever signs it, else her own."""
    draft = draft_message(
        alice.community,
        kind=CONTRACT,
        authors=(alice.key, MemberId(bob_key)),
        global_time=global_time,
        sequence=sequence,
        payloads=[b"we agree"],
    )
    signed = request_signed_bytes(alice.community, 7, draft.unsigned)
    signature = sign_many(secret or alice.secret(), [signed])
    return SignatureRequest(number=7, wait_s=30, signature=signature, draft=draft.unsigned)


def outcome_of(bob: House) -> SignatureOutcome:
    return SignatureResponse.decode(bob.frame().body).outcome


def test_both_sign_and_it_is_stored(alice: House, bob: House) -> None:
    asked = asked_of(alice, bob)
    assert (asked.first, asked.payloads, asked.sequence) == (alice.key, [b"we agree"], 1)
    signed = bob.decide(asked.id)
    assert signed == {"message_id": asked.id}
    alice.hear(bob.frame())
    outcome = alice.commit()[1]
    assert outcome["ids"] == [asked.id]
    # The second author is sent the whole of it at once.
    (pushed,) = alice.ledger.drain_leaving().pushed[1]
    assert pushed.members == [bob.key]
    records = parse_messages(
        encode_uvarint(len(pushed.message)) + pushed.message, bytearray(4 * len(DROP_REASONS))
    )
    area = encode_uvarint(len(pushed.message)) + pushed.message
    identify_many(records, area, alice.community)
    assert verify_messages(records, area, alice.community) == b"\1"


def test_nobody_asks_in_anothers_name(alice: House, bob: House) -> None:
    """The first author's signature on the request is not hers, or the draft names somebody else."""
    mallory = MALLORY + public_key(MALLORY)
    bob.hear_body(request_of(alice, bob.key, secret=mallory))
    bob.hear_body(request_of(alice, public_key(MALLORY)))
    assert bob.leaving() == ([], [])
    assert bob.ledger.counters["signature-request-wrong"] == 2


def test_a_second_author_cannot_be_forged(alice: House, bob: House) -> None:
    """Not in a response, where the first author checks it, nor in a message, where every verifier does."""
    alice.draft(bob.key)
    request = SignatureRequest.decode(alice.frame().body)
    draft, _ = read_draft(alice.community, request.draft)
    forged = sign_many(MALLORY + public_key(MALLORY), [draft.signed])
    alice.hear_body(
        SignatureResponse(
            number=request.number, outcome=SignatureOutcome.SIGNED, signature=forged, draft=draft.unsigned
        )
    )
    assert alice.ledger.counters["signature-response-wrong"] == 1
    assert alice.commit() == {}
    own = sign_many(alice.secret(), [draft.signed])
    for second in (own, forged, bytes(64)):
        message = draft.complete((own, second))
        area = encode_uvarint(len(message)) + message
        records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
        identify_many(records, area, alice.community)
        assert verify_messages(records, area, alice.community) == b"\0"


def test_nobody_refuses_in_anothers_name(alice: House, bob: House) -> None:
    alice.draft(bob.key)
    request = SignatureRequest.decode(alice.frame().body)
    said = refusal_signed_bytes(alice.community, request.number, SignatureOutcome.REFUSED, request.draft)
    for signature in (sign_many(MALLORY + public_key(MALLORY), [said]), bytes(64)):
        alice.hear_body(
            SignatureResponse(number=request.number, outcome=SignatureOutcome.REFUSED, signature=signature)
        )
    assert alice.ledger.counters["signature-response-wrong"] == 2
    assert alice.commit() == {}


@pytest.mark.parametrize("change", ["payload", "time", "sequence", "fewer"])
def test_the_second_may_append_and_change_nothing_else(alice: House, bob: House, change: str) -> None:
    alice.draft(bob.key)
    request = SignatureRequest.decode(alice.frame().body)
    view = read_draft(alice.community, request.draft)[1]
    changed = draft_message(
        alice.community,
        kind=CONTRACT,
        authors=(alice.key, bob.key),
        global_time=view.global_time + (change == "time"),
        sequence=view.sequence + (change == "sequence"),
        payloads={"payload": [b"I agree"], "fewer": [b""]}.get(change, [b"we agree"]),
    )
    signature = sign_many(bob.secret(), [changed.signed])
    alice.hear_body(
        SignatureResponse(
            number=request.number,
            outcome=SignatureOutcome.SIGNED,
            signature=signature,
            draft=changed.unsigned,
        )
    )
    assert alice.ledger.counters["signature-response-wrong"] == 1
    assert alice.commit() == {}


def test_for_one_place_one_draft_is_signed(alice: House, bob: House) -> None:
    """Another one for the same sequence would prove that both misbehave."""
    bob.decide(asked_of(alice, bob).id)
    bob.frame()
    bob.hear_body(request_of(alice, bob.key, global_time=9))
    assert outcome_of(bob) is SignatureOutcome.SEQUENCE_TAKEN


def test_what_was_signed_is_remembered_over_a_restart(alice: House, bob: House) -> None:
    """Its first author may have waited for that, with another draft for the same place."""
    bob.decide(asked_of(alice, bob).id)
    bob.frame()
    bob.start()
    bob.hear_body(request_of(alice, bob.key, global_time=9))
    assert outcome_of(bob) is SignatureOutcome.SEQUENCE_TAKEN


def test_a_signature_leaves_when_it_is_durable_that_it_was_given(
    alice: House, bob: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that fails takes it back: nobody has it, and it can be given again."""
    asked = asked_of(alice, bob)
    signatures = bob.ledger.signatures
    assert signatures.decide("sign", asked.id, accept=True) is None
    with pytest.raises(UsageError, match="no message waits"):
        signatures.decide("again", asked.id, accept=True)
    assert bob.leaving() == ([], [])

    def fail(_: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(bob.store, "commit", fail)
        assert isinstance(bob.commit()["sign"], StorageError)
    assert bob.leaving() == ([], [])
    assert bob.decide(asked.id)["message_id"]
    assert bob.frame().type == FrameType.SIGNATURE_RESPONSE


def test_what_is_signed_and_not_published_is_bounded(
    alice: House, bob: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: nothing is forgotten for it, either: another lane has to wait until something is published."""
    monkeypatch.setattr(cosigning, "LANES_SIGNED_MAX", 1)
    other = asked_of(alice, bob)
    bob.ledger.signatures._cosigning._remember((1, MALLORY, CONTRACT), 1)
    with pytest.raises(UsageError, match="not been published yet"):
        bob.decide(other.id)
    bob.store.heads.put(1, MALLORY, CONTRACT, 1, 1, False)
    assert bob.decide(other.id)["message_id"]
    assert [each.lane for each in bob.store.signed()] != [MALLORY]
    assert len(bob.store.signed()) == 1


def test_two_drafts_that_wait_are_not_both_signed(alice: House, bob: House) -> None:
    """The rule is looked at when it is decided, too."""
    ids = []
    for global_time in (2, 3):
        bob.hear_body(request_of(alice, bob.key, global_time=global_time))
        ids += [asked.id for asked in bob.leaving()[1]]
    bob.decide(ids[0])
    bob.frame()
    with pytest.raises(UsageError, match="do not let"):
        bob.decide(ids[1])
    assert outcome_of(bob) is SignatureOutcome.SEQUENCE_TAKEN


def test_a_first_author_that_forgot_goes_on_behind_what_was_signed(alice: House, bob: House) -> None:
    """Its writer ended before the answer: the next draft has the same sequence, then the one after it."""
    bob.decide(asked_of(alice, bob).id)
    bob.frame()
    alice.start()
    alice.draft(bob.key, text=b"we agree now")
    bob.hear(alice.frame())
    alice.hear(bob.frame())
    bob.hear(alice.frame())
    _, (asked,) = bob.leaving()
    assert asked.sequence == 2
    bob.decide(asked.id)
    alice.hear(bob.frame())
    assert alice.commit()[1]["ids"] == [asked.id]


@pytest.mark.parametrize("ahead", [0, 1])
def test_what_is_too_far_ahead_is_not_signed(alice: House, bob: House, ahead: int) -> None:
    """One message of the last global time would end the lane."""
    clock = bob.store.state(1).clock
    bob.hear_body(request_of(alice, bob.key, global_time=clock + CLOCK_AHEAD_MAX + ahead))
    frames, questions = bob.leaving()
    assert (len(frames), len(questions)) == ((1, 0) if ahead else (0, 1))


def test_a_request_that_comes_again_is_answered_the_same_way(alice: House, bob: House) -> None:
    """And asked of applications again while nobody has decided: they may have been started anew."""
    alice.draft(bob.key)
    request = alice.frame()
    for _ in range(2):
        bob.hear(request)
        _, (asked,) = bob.leaving()
    bob.decide(asked.id)
    answers = [bob.frame()]
    bob.hear(request)
    answers.append(bob.frame())
    assert answers[0] == answers[1]


def test_the_same_draft_asked_for_anew_is_looked_at_again(alice: House, bob: House) -> None:
    """Somebody may be there by now who decides; but what was signed stays signed."""
    bob.decide(asked_of(alice, bob, request=1).id, accept=False)
    alice.hear(bob.frame())
    assert alice.commit()[1].code == "signature-refused"
    asked = asked_of(alice, bob, request=2)
    bob.decide(asked.id)
    bob.frame()
    alice.start()
    alice.draft(bob.key, request=3)
    bob.hear(alice.frame())
    alice.hear(bob.frame())
    assert alice.commit()[3]["ids"] == [asked.id]


def test_one_member_has_few_drafts_waiting(alice: House, bob: House) -> None:
    for global_time in range(2, ASKED_PER_FIRST_MAX + 3):
        bob.hear_body(request_of(alice, bob.key, global_time=global_time))
    assert len(bob.leaving()[1]) == ASKED_PER_FIRST_MAX
    assert bob.ledger.counters["signature-request-full"] == 1
    bob.ledger.handle_timer(0.0)
    bob.ledger.handle_timer(30.0)
    bob.hear_body(request_of(alice, bob.key, global_time=99))
    assert len(bob.leaving()[1]) == 1


def test_of_two_members_and_a_kind_one_waits_at_a_time(alice: House, bob: House) -> None:
    alice.draft(bob.key, request=1)
    with pytest.raises(UsageError, match="waits for this member"):
        alice.draft(bob.key, request=2)
    # The same request again is no second one: both tickets hear of it.
    alice.draft(bob.key, request=1, ticket="again")
    alice.ledger.handle_timer(0.0)
    alice.ledger.handle_timer(SIGNATURE_WAIT_S)
    outcomes = alice.commit()
    assert {ticket: error.code for ticket, error in outcomes.items()} == dict.fromkeys(
        (1, "again"), "signature-unanswered"
    )
    assert alice.commit() == {}


def test_the_request_is_repeated_until_it_is_answered(alice: House, bob: House) -> None:
    alice.draft(bob.key)
    first = alice.frame()
    alice.ledger.handle_timer(0.0)
    assert alice.leaving() == ([], [])
    alice.ledger.handle_timer(REPEAT_S)
    assert alice.frame() == first
    alice.ledger.handle_timer(REPEAT_S + 1.0)
    assert alice.leaving() == ([], [])


def test_the_first_decides_on_what_was_appended(alice: House, bob: House) -> None:
    """The caller is told, decides within the time limit, and then it is stored or forgotten."""
    asked = asked_of(alice, bob)
    bob.decide(asked.id, payloads=(b"but not on sunday",))
    alice.hear(bob.frame())
    told = alice.commit()[1]
    assert (told["appended"], told["ids"]) == ([b"but not on sunday"], [])
    outcome = alice.decide(told["request"])
    assert outcome["ids"] == [told["request"]]
    stored = alice.store.log(outcome["first_cursor"], 1)[0].message
    assert read_message(alice.community, stored).payloads == (b"we agree", b"but not on sunday")
    with pytest.raises(UsageError) as caught:
        alice.decide(told["request"])
    assert caught.value.code == "signature-unknown"


def test_what_nobody_decides_on_is_forgotten(alice: House, bob: House) -> None:
    asked = asked_of(alice, bob)
    bob.decide(asked.id, payloads=(b"but",))
    alice.hear(bob.frame())
    told = alice.commit()[1]
    alice.ledger.handle_timer(0.0)
    alice.ledger.handle_timer(SIGNATURE_WAIT_S)
    with pytest.raises(UsageError, match="in vain"):
        alice.decide(told["request"])


def test_what_its_kind_does_not_allow_is_not_appended(alice: House, bob: House) -> None:
    asked = asked_of(alice, bob)
    with pytest.raises(UsageError, match="payload-utf-8"):
        bob.decide(asked.id, payloads=(b"\xff",))
    assert bob.decide(asked.id) == {"message_id": asked.id}


@pytest.mark.parametrize("frame_type", [FrameType.SIGNATURE_REQUEST, FrameType.SIGNATURE_RESPONSE])
def test_rubbish_is_counted_and_nothing_more(bob: House, frame_type: FrameType) -> None:
    for body in (b"", bytes(10), bytes(70), bytes(75), b"\1" * 300):
        bob.ledger.signatures.receive(1, ADDRESS, frame_type, body)
    assert sum(bob.ledger.counters.values()) == 5
    assert bob.leaving() == ([], [])
