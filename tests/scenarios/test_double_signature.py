"""Goal: two members sign one message, each by its own application's decision, or nothing is published."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from dispersy import AsyncClient, UsageError
from dispersy.cosigning import SignatureWanted
from dispersy.messages import Message, Published
from dispersy.protocol.address import format_address
from dispersy.protocol.definitions.definition import Definition, encode_definition
from dispersy.protocol.definitions.kind import Kind
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.wire.message import read_message
from dispersy.testing import Link, Network, Node
from dispersy.workers.authoring.drafting import SIGNATURE_WAIT_S

DEFINITION = encode_definition(
    Definition(
        "deals",
        (
            Kind(number=64, name="text"),
            Kind(
                number=65,
                name="contract",
                authentication=choose("authentication", "double-member"),
                payload=choose("payload", "utf-8", size_max=400),
            ),
        ),
    )
)
Decide = Callable[[SignatureWanted], tuple[bool, Sequence[bytes]]]


def meet(network: Network, count: int = 2) -> list[Node]:
    """Nodes with the community of the first, all neighbours of it."""
    first, *others = nodes = network.nodes(count)
    made = first.client.create("deals", DEFINITION)
    for node in others:
        node.client.join(made["community_id"], name="deals", peers=[format_address(first.address)])
        node.client.wait_for_definition("deals", timeout_s=60)
    first.client.wait_for_peers("deals", count - 1, timeout_s=60)
    network.settle()
    return nodes


def key_of(node: Node) -> bytes:
    return bytes(node.client.community("deals")["member"])


async def answer(client: AsyncClient, decide: Decide, asked: list[SignatureWanted]) -> None:
    """Decide on one request."""
    async for wanted in client.signature_requests(["deals"]):
        asked.append(wanted)
        accept, append = decide(wanted)
        await client.sign(wanted, accept=accept, append=append)
        return


def publish(
    first: Node,
    second: Node,
    decide: Decide | None,
    *,
    appended: Callable[[tuple[bytes, ...]], bool] | None = None,
    text: bytes = b"we agree",
) -> tuple[Published | UsageError, list[SignatureWanted]]:
    """What comes of one publication, and what the second's application was asked."""
    key, asked = key_of(second), list[SignatureWanted]()

    async def both() -> Published | UsageError:
        async with first.async_client() as author, second.async_client() as other:
            deciding = None if decide is None else asyncio.create_task(answer(other, decide, asked))
            # Its first question must be there before the request is.
            await other.status()
            try:
                return await author.publish("deals", [text], kind="contract", second=key, appended=appended)
            except UsageError as error:
                return error
            finally:
                if deciding is not None:
                    deciding.cancel()

    return asyncio.run(both()), asked


def contracts(node: Node) -> list[Message]:
    return node.client.last("deals", 10, kind="contract")


def test_what_both_have_signed_is_stored_and_spreads_like_any_message() -> None:
    """Also to a third, who knows only their signatures."""
    with Network() as network:
        alice, bob, carol = meet(network, 3)
        outcome, (asked,) = publish(alice, bob, lambda _: (True, ()))
        assert isinstance(outcome, Published)
        assert (asked.author, asked.payloads, asked.kind) == (key_of(alice), (b"we agree",), "contract")
        network.settle()
        for node in (alice, bob, carol):
            (message,) = contracts(node)
            assert (message.message_id, message.payloads) == (outcome.ids[0], (b"we agree",))
            assert message.author == key_of(alice)


def test_the_second_may_refuse() -> None:
    with Network() as network:
        alice, bob = meet(network)
        outcome, (_,) = publish(alice, bob, lambda _: (False, ()))
        assert isinstance(outcome, UsageError)
        assert outcome.code == "signature-refused"
        network.settle()
        assert contracts(alice) == contracts(bob) == []


def test_where_no_application_decides_it_is_refused_at_once() -> None:
    with Network() as network:
        alice, bob = meet(network)
        began = network.now
        outcome, _ = publish(alice, bob, None)
        assert isinstance(outcome, UsageError)
        assert outcome.code == "signature-refused"
        assert network.now - began < 1.0


@pytest.mark.parametrize("agrees", [True, False])
def test_the_second_may_append_and_the_first_decides_again(agrees: bool) -> None:
    with Network() as network:
        alice, bob = meet(network)
        shown: list[tuple[bytes, ...]] = []

        def appended(payloads: tuple[bytes, ...]) -> bool:
            shown.append(payloads)
            return agrees

        outcome, (_,) = publish(alice, bob, lambda _: (True, (b"but not", b"on sunday")), appended=appended)
        assert shown == [(b"but not", b"on sunday")]
        network.settle()
        if agrees:
            assert isinstance(outcome, Published)
            (message,) = contracts(bob)
            assert message.message_id == outcome.ids[0]
            assert message.payloads == (b"we agree", b"but not", b"on sunday")
        else:
            assert isinstance(outcome, UsageError)
            assert outcome.code == "signature-appended"
            assert contracts(alice) == contracts(bob) == []


def test_without_an_answer_the_caller_hears_of_it_after_the_time_limit_once() -> None:
    """And then the place is free: the next one takes it."""
    with Network() as network:
        alice, bob = meet(network)
        network.link = Link(loss=1.0)
        began = network.now
        outcome, _ = publish(alice, bob, lambda _: (True, ()))
        assert isinstance(outcome, UsageError)
        assert outcome.code == "signature-unanswered"
        assert SIGNATURE_WAIT_S <= network.now - began <= SIGNATURE_WAIT_S + 3
        network.link = Link()
        network.run(60)
        alice.client.wait_for_peers("deals", 1, timeout_s=60)
        outcome, _ = publish(alice, bob, lambda _: (True, ()))
        assert isinstance(outcome, Published)


def test_lost_requests_and_answers_are_repeated() -> None:
    """The application is asked once all the same."""
    with Network(seed=3) as network:
        alice, bob = meet(network)
        network.link = Link(loss=0.5)
        outcome, asked = publish(alice, bob, lambda _: (True, ()))
        assert isinstance(outcome, Published)
        assert len(asked) == 1


def test_sequences_rise_per_ordered_pair() -> None:
    with Network() as network:
        alice, bob = meet(network)
        for author, second in ((alice, bob), (alice, bob), (bob, alice)):
            network.settle()
            author.client.wait_for_peers("deals", 1, timeout_s=60)
            outcome, _ = publish(author, second, lambda _: (True, ()))
            assert isinstance(outcome, Published)
        network.settle()
        found = {(message.author, message.sequence) for message in contracts(bob)}
        assert found == {(key_of(alice), 1), (key_of(alice), 2), (key_of(bob), 1)}


@pytest.mark.parametrize(
    ("kind", "second", "code"),
    [
        ("contract", "", "second-missing"),
        ("text", "bob", "second-refused"),
        ("contract", "0" * 64, "to-unknown"),
        ("contract", "alice", "to-self"),
    ],
)
def test_who_signs_too_must_be_a_neighbour_and_the_kind_must_want_it(
    kind: str, second: str, code: str
) -> None:
    with Network() as network:
        alice, bob = meet(network)
        named = {"alice": key_of(alice), "bob": key_of(bob)}.get(second, second)
        with pytest.raises(UsageError) as caught:
            alice.client.publish("deals", [b"we agree"], kind=kind, second=named)
        assert caught.value.code == code


def test_both_signatures_are_over_the_same_bytes() -> None:
    with Network() as network:
        alice, bob = meet(network)
        publish(alice, bob, lambda _: (True, ()))
        (entry,) = [each for each in alice._store.log(1, 100) if each.message[:1] == b"\x41"]
        community = CommunityId(alice.client.community("deals")["community"])
        view = read_message(community, entry.message)
        assert (view.author, view.second_author) == (key_of(alice), key_of(bob))
        assert len(set(view.signatures)) == 2
