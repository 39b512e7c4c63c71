"""Missing: messages, ranges, last messages and proofs are asked for and given by name, over UDP, by real
processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dispersy.client import Client
from dispersy.constants import FRAMES_SIZE_MAX, SEQUENCE_MAX
from dispersy.protocol.definitions.definition import Kind
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.permissions.control_messages import Authorize, Grant, Permission, Settings
from dispersy.protocol.wire.frames import (
    MissingLast,
    MissingMessages,
    MissingProof,
    MissingSequences,
    SyncRequest,
)
from tests.scenarios.neighbour import COMMUNITY, LIMIT_S, Member, Neighbour, founder, id_of, joined, running

TEXT, WIKI, DYNAMIC, STATUS = 64, 65, 66, 67
KINDS = (
    Kind(number=TEXT, name="text"),
    Kind(number=WIKI, name="wiki", resolution=choose("resolution", "linear")),
    Kind(number=DYNAMIC, name="dynamic", resolution=choose("resolution", "dynamic", initial=1)),
    Kind(number=STATUS, name="status", distribution=choose("distribution", "last-sync", newest=1)),
)
PERMIT, AUTHORIZE = Permission.PERMIT, Permission.AUTHORIZE


class Story:
    """A node that has joined, its one neighbour, the master, and two members."""

    def __init__(self, client: Client, master: Member, neighbour: Neighbour) -> None:
        self.client = client
        self.master = master
        self.neighbour = neighbour
        self.bob = Member(master.community_id)
        self.carol = Member(master.community_id)

    def holds(self, count: int) -> None:
        """So many messages, those that govern not counted."""
        assert self.client.wait_for_count(COMMUNITY, count, timeout_s=LIMIT_S) == count

    def ids(self, *messages: bytes) -> tuple[bytes, ...]:
        return tuple(id_of(self.master.community_id, message) for message in messages)

    def grant(self, author: Member, member: Member, permissions: Permission, *, time: int) -> bytes:
        grant = Grant(member.public, WIKI, permissions)
        return author.says(Authorize((grant,)), global_time=time)


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    master = founder()
    with running(tmp_path) as client, joined(client, master, *KINDS) as neighbour:
        yield Story(client, master, neighbour)


def test_a_proof_and_the_proof_of_a_proof_release_a_message_that_waits(story: Story) -> None:
    """Goal: who sent the message is asked what permits it, and then what permits that."""
    first = story.grant(story.master, story.bob, PERMIT | AUTHORIZE, time=2)
    second = story.grant(story.bob, story.carol, PERMIT, time=3)
    message = story.carol.message(b"an edit", kind=WIKI, global_time=10)
    story.neighbour.send_messages([message])
    request, wanted = story.neighbour.asked_for(MissingProof)
    assert wanted.of == story.ids(message)
    story.neighbour.give(request, [second])
    request, wanted = story.neighbour.asked_for(MissingProof)
    assert story.ids(second)[0] in wanted.of
    story.neighbour.give(request, [first])
    story.holds(1)
    # What was released is not asked for any more, by whomever.
    assert story.neighbour.ask(MissingLast(WIKI, 1)).messages == (message,)
    assert not [each for each in story.neighbour.asks() if isinstance(each.wanted, MissingProof)]


def test_one_proof_is_asked_for_however_many_wait_for_it(story: Story) -> None:
    """Goal: a hundred messages of one author want what permits that author, and one answer releases them."""
    messages = [
        story.carol.message(b"%d" % number, kind=WIKI, global_time=9 + number) for number in range(100)
    ]
    story.neighbour.send_messages(messages)
    request, wanted = story.neighbour.asked_for(MissingProof)
    asked = {*wanted.of}
    story.neighbour.give(request, [story.grant(story.master, story.carol, PERMIT, time=2)])
    story.holds(100)
    for each in story.neighbour.asks():
        if isinstance(each.wanted, MissingProof):
            assert not asked.intersection(each.wanted.of)
            asked.update(each.wanted.of)
    # The oldest and, as it came in several batches, what was the newest of them each time.
    assert len(asked) < 20


def test_a_settings_message_releases_what_was_rejected(story: Story) -> None:
    """Goal: a kind is opened at global time 42, and what was written at 43 is proven by that; 42 is not."""
    at_42, at_43 = (Member(story.master.community_id) for _ in range(2))
    rejected = at_42.message(b"too early", kind=DYNAMIC, global_time=42)
    message = at_43.message(b"in time", kind=DYNAMIC, global_time=43)
    story.neighbour.send_messages([rejected, message])
    request, wanted = story.neighbour.asked_for(MissingProof)
    assert {*story.ids(message), *story.ids(rejected)}.issuperset(wanted.of)
    settings = story.master.says(Settings(DYNAMIC, False), global_time=42)
    story.neighbour.give(request, [settings])
    story.holds(1)
    assert story.neighbour.ask(MissingProof(story.ids(message))).messages == (settings,)
    assert story.neighbour.ask(MissingMessages(story.ids(rejected))).messages == ()


def test_messages_ranges_and_the_last_are_given_by_name(story: Story) -> None:
    """Goal: by id, by range (out of range gives what exists), and the newest of an author."""
    author = Member(story.master.community_id)
    texts = [author.message(b"text", kind=TEXT, global_time=10 + at, sequence=at) for at in (1, 2, 5)]
    story.neighbour.send_messages(texts)
    story.holds(3)
    ask = story.neighbour.ask
    assert ask(MissingMessages(story.ids(texts[2], texts[0]))).messages == (texts[2], texts[0])
    assert ask(MissingSequences(author.public, TEXT, 2, SEQUENCE_MAX)).messages == (texts[1], texts[2])
    assert ask(MissingSequences(author.public, TEXT, 6, SEQUENCE_MAX)).messages == ()
    assert ask(MissingLast(TEXT, 2, author.public)).messages == (texts[2], texts[1])


def test_proofs_are_given_from_the_master_down(story: Story) -> None:
    """Goal: what permits several is given once; what the master says needs no proof."""
    grants = [
        story.grant(story.master, story.bob, PERMIT | AUTHORIZE, time=2),
        story.grant(story.bob, story.carol, PERMIT, time=3),
    ]
    edits = [story.carol.message(b"edit", kind=WIKI, global_time=10 + at, sequence=at) for at in (1, 2, 5)]
    story.neighbour.send_messages([*grants, *edits])
    story.holds(3)
    ask = story.neighbour.ask
    assert ask(MissingProof(story.ids(*edits))).messages == tuple(grants)
    assert ask(MissingProof(story.ids(grants[1]))).messages == (grants[0],)
    assert ask(MissingProof(story.ids(grants[0]))).messages == ()


def test_an_answer_is_bounded_by_its_budget(story: Story) -> None:
    """Goal: however much is asked for, no more datagrams come than the request allows."""
    author = Member(story.master.community_id)
    texts = [author.message(b"x" * 500, kind=TEXT, global_time=1 + at, sequence=at) for at in range(1, 40)]
    story.neighbour.send_messages(texts)
    story.holds(39)
    answer = story.neighbour.ask(MissingSequences(author.public, TEXT, 1, SEQUENCE_MAX), budget=3)
    assert answer.datagrams == 3
    assert answer.size_bytes <= 3 * (FRAMES_SIZE_MAX + 18)
    assert list(answer.messages) == texts[: len(answer.messages)]


def test_who_offers_an_older_last_sync_message_is_sent_the_newest(story: Story) -> None:
    """Goal: the newest stays, and is what a neighbour with an older one gets."""
    author = Member(story.master.community_id)
    older = author.message(b"away", kind=STATUS, global_time=10, sequence=1)
    newest = author.message(b"back", kind=STATUS, global_time=20, sequence=2)
    story.neighbour.send_messages([newest])
    story.holds(1)
    story.neighbour.send_messages([older])
    # By its turn after what was sent before: the older one has been looked at.
    story.neighbour.send_messages([author.message(b"text", kind=TEXT, global_time=21, sequence=1)])
    story.holds(2)
    answer = story.neighbour.sync(SyncRequest(number=story.neighbour.number(), budget=8))
    assert newest in answer.messages
    assert older not in answer.messages
